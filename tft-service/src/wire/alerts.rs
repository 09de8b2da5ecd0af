//! Alerts as clients read them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use tft_core::alert::{Alert, AlertState, Severity};
use tft_core::time::Timestamp;

use super::alert_filter::AlertFilter;
use super::names;
use super::selection::Selection;
use super::silences::AcknowledgedEntry;
use crate::snapshot::FleetView;
use crate::suppression::Suppression;

/// The reply of `GET /alerts/active`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AlertsReply<'a> {
    timestamp: String,
    count: usize,
    alerts: Vec<AlertEntry<'a>>,
}

/// One alert: the fields that old clients know, and its life.
#[derive(Serialize, JsonSchema)]
pub(super) struct AlertEntry<'a> {
    server: &'a str,
    metric: &'a str,
    #[schemars(schema_with = "names::severity")]
    severity: Severity,
    predicted_value: Option<f64>,
    current_value: Option<f64>,
    threshold: Option<f64>,
    steps_ahead: Option<usize>,
    minutes_ahead: Option<f64>,
    message: &'a str,
    /// What the rule says in one line, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    /// What the rule says to know and to do, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[schemars(schema_with = "names::alert_state")]
    state: AlertState,
    since: String,
    first_seen: String,
    fingerprint: &'a str,
    quantile: f64,
    rule: &'a str,
    labels: &'a BTreeMap<String, String>,
    /// The ids of silences that cover it.
    silenced_by: &'a [String],
    /// The fingerprints of alerts that inhibit it.
    inhibited_by: &'a [String],
    /// Who knows of it.
    acknowledged: Option<AcknowledgedEntry>,
}

/// Renders the alerts that are not resolved and that somebody asks for.
pub(crate) fn render_alerts(view: &FleetView, suppression: &Suppression, filter: &AlertFilter) -> Vec<u8> {
    let alerts = view.assessment.alerts.iter();
    let selected = alerts.filter(|alert| filter.selects(alert, suppression.status(&alert.fingerprint)));
    let alerts: Vec<_> = selected.map(|alert| AlertEntry::new(alert, suppression)).collect();
    super::to_json(&AlertsReply { timestamp: utc(view.assessment.at), count: alerts.len(), alerts })
}

/// The alerts of the selected servers.
pub(super) fn entries<'a>(view: &'a FleetView, selection: &Selection) -> Vec<AlertEntry<'a>> {
    let selected = view.assessment.alerts.iter().filter(|alert| selection.has_server(alert.server.as_str()));
    selected.map(|alert| AlertEntry::new(alert, &view.suppression)).collect()
}

/// Returns an instant as RFC 3339 with `Z`.
pub(super) fn utc(at: Timestamp) -> String {
    at.to_string()
}

impl<'a> AlertEntry<'a> {
    pub(super) fn new(alert: &'a Alert, suppression: &'a Suppression) -> Self {
        let status = suppression.status(&alert.fingerprint);
        let acknowledgement = status.and_then(|status| status.acknowledgement.as_ref());
        Self {
            server: alert.server.as_str(),
            metric: &alert.metric,
            severity: alert.severity,
            predicted_value: alert.predicted_value,
            current_value: alert.current_value,
            threshold: alert.threshold,
            steps_ahead: alert.steps_ahead,
            minutes_ahead: alert.minutes_ahead,
            message: &alert.message,
            summary: alert.summary.as_deref(),
            description: alert.description.as_deref(),
            state: alert.state,
            since: utc(alert.since),
            first_seen: utc(alert.first_seen),
            fingerprint: &alert.fingerprint,
            quantile: alert.quantile,
            rule: &alert.rule,
            labels: &alert.labels,
            silenced_by: status.map_or(&[], |status| &status.silenced_by),
            inhibited_by: status.map_or(&[], |status| &status.inhibited_by),
            acknowledged: acknowledgement.map(AcknowledgedEntry::new),
        }
    }
}
