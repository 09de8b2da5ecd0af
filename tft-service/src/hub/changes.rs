//! What became of the alerts between two states of the fleet.

use std::collections::HashMap;

use tft_core::alert::{Alert, AlertState};

use crate::snapshot::FleetView;

/// What became of an alert.
#[derive(Debug)]
pub(super) struct AlertChange {
    /// The state before; none for an alert that nobody was told of.
    pub(super) previous: Option<AlertState>,
    pub(super) alert: Alert,
}

/// Returns what clients are told: alerts that fire, change their severity or lose their data, and the end of those
/// that they were told of.
///
/// Compares states instead of repeating the transitions of an assessment, so that a new monitor, which knows no
/// alerts yet, does not make those that were firing fire again.
pub(super) fn changes(before: &FleetView, after: &FleetView) -> Vec<AlertChange> {
    let mut known: HashMap<&str, &Alert> =
        told(before).map(|alert| (alert.fingerprint.as_str(), alert)).collect();
    let mut changes = Vec::new();
    for alert in told(after) {
        let previous = known.remove(alert.fingerprint.as_str());
        if previous.is_none_or(|old| (old.state, old.severity) != (alert.state, alert.severity)) {
            changes.push(AlertChange { previous: previous.map(|old| old.state), alert: alert.clone() });
        }
    }
    let mut ended: Vec<_> = known.into_values().map(|old| ended(old, after)).collect();
    ended.sort_by(|a, b| a.alert.fingerprint.cmp(&b.alert.fingerprint));
    changes.extend(ended);
    changes
}

/// The alerts that clients are told of.
fn told(view: &FleetView) -> impl Iterator<Item = &Alert> {
    view.assessment.alerts.iter().filter(|alert| alert.state != AlertState::Pending)
}

/// Returns the end of an alert with its last values, if the assessment tells them.
fn ended(old: &Alert, after: &FleetView) -> AlertChange {
    let mut transitions = after.assessment.transitions.iter().map(|transition| &transition.alert);
    let mut resolved = transitions
        .rfind(|alert| alert.fingerprint == old.fingerprint && alert.state == AlertState::Resolved)
        .cloned()
        .unwrap_or_else(|| old.clone());
    if resolved.state != AlertState::Resolved {
        resolved.state = AlertState::Resolved;
        resolved.since = after.assessment.at;
    }
    AlertChange { previous: Some(old.state), alert: resolved }
}
