//! The life of an alert: pending, firing, without data, resolved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::checked::{CheckedRule, Scope};
use super::message;
use super::reading::{Hit, Reading};
use super::template::{Facts, Template};
use super::{Rule, Severity};
use crate::schema::{Profile, ServerName};
use crate::time::{StepLength, Timestamp};

/// One rule broken by one server; there is never more than one for the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alert {
    /// The server.
    pub server: ServerName,
    /// The server's profile when the alert began.
    pub profile: Profile,
    /// The rule's name.
    pub rule: String,
    /// The metric's name, or `risk_score` or `readiness`.
    pub metric: String,
    /// How bad it is; for an alert that is without data, how bad it was.
    pub severity: Severity,
    /// Where in its life it is.
    pub state: AlertState,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Since when it exists.
    pub first_seen: Timestamp,
    /// The level of the forecast's quantile that the rule compares; 0.5 where it compares none.
    pub quantile: f64,
    /// The threshold that is reached, in the unit of what the rule's [`Condition`](super::Condition) measures; none if the
    /// alert never had data.
    pub threshold: Option<f64>,
    /// The newest observed value of the metric, if known.
    pub current_value: Option<f64>,
    /// The worst value that the condition measured, from now to the end of a look-ahead; none if the alert never had data.
    pub predicted_value: Option<f64>,
    /// The first step at which the threshold is reached; 0 is now. None if the alert never had data.
    pub steps_ahead: Option<usize>,
    /// The same in minutes.
    pub minutes_ahead: Option<f64>,
    /// One sentence for people.
    pub message: String,
    /// What the rule says in one line, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What the rule says to know and to do, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The server's labels and the rule's, which win, as they were when the alert began.
    pub labels: BTreeMap<String, String>,
    /// 16 hex digits that stay the same for this server and rule, for deduplication.
    pub fingerprint: String,
}

/// Where in its life an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AlertState {
    /// The rule is broken, but not for long enough.
    Pending,
    /// The rule is broken, or has recovered too shortly ago.
    Firing,
    /// The server fell silent, or the metric is missing.
    NoData,
    /// The rule is not broken any more; only seen in a [`Transition`].
    Resolved,
}

/// A change in the life of an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Transition {
    /// The state before, none for a new alert. If it equals the alert's state, its severity has changed.
    pub from: Option<AlertState>,
    /// The alert after the change.
    pub alert: Alert,
}

/// An alert and what its next step depends on.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) alert: Alert,
    /// Whether it was firing when its data stopped.
    pub(super) was_firing: bool,
    /// Since when its value has recovered, while it is kept.
    pub(super) recovered_at: Option<Timestamp>,
}

/// Which rule looks at which server, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch<'a> {
    pub(super) checked: &'a CheckedRule,
    pub(super) scope: Scope,
    pub(super) server: &'a ServerName,
    pub(super) profile: &'a Profile,
    /// The server's own.
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) step_length: StepLength,
    pub(super) current: Option<f64>,
    pub(super) now: Timestamp,
}

/// What a rule learns of a server.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signal {
    Read(Reading),
    NoData,
    /// The server has been silent for longer than alerts are kept.
    Forgotten,
    /// The rule does not look at the server, or its alerts are silenced.
    Excluded,
}

/// What an evaluation leaves.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) entry: Option<Entry>,
    pub(super) transition: Option<Transition>,
}

impl Watch<'_> {
    pub(super) fn rule(&self) -> &Rule {
        &self.checked.rule
    }

    /// The unit of what is compared.
    pub(super) fn unit(&self) -> &str {
        &self.checked.unit
    }

    pub(super) fn minutes(&self, steps: usize) -> f64 {
        steps as f64 * self.step_length.as_millis() as f64 / 60_000.0
    }

    /// Moves an alert, or its absence, on by one evaluation.
    pub(super) fn advance(&self, before: Option<Entry>, signal: Signal) -> Outcome {
        match (before, signal) {
            (None, Signal::Read(reading)) => self.begin(&reading),
            (None, Signal::NoData) if self.rule().alerts_on_no_data => {
                let mut alert = self.new_alert(AlertState::NoData);
                self.annotate(&mut alert);
                Entry::new(alert).changed(None)
            }
            (None, _) => Outcome::default(),
            (Some(entry), Signal::Read(reading)) => match entry.alert.state {
                AlertState::Pending => self.advance_pending(entry, &reading),
                AlertState::Firing => self.advance_firing(entry, &reading),
                AlertState::NoData | AlertState::Resolved => self.regain(entry, &reading),
            },
            (Some(entry), Signal::NoData) => self.lose(entry),
            (Some(entry), Signal::Forgotten) => self.resolve(entry, message::forgotten(self)),
            (Some(entry), Signal::Excluded) => self.resolve(entry, message::excluded(self)),
        }
    }

    fn begin(&self, reading: &Reading) -> Outcome {
        let Some(hit) = reading.reached else { return Outcome::default() };
        let state =
            if self.rule().pending_for.as_millis() == 0 { AlertState::Firing } else { AlertState::Pending };
        let mut entry = Entry::new(self.new_alert(state));
        self.describe(&mut entry.alert, hit, reading, message::broken(self, hit, reading));
        entry.changed(None)
    }

    fn advance_pending(&self, mut entry: Entry, reading: &Reading) -> Outcome {
        let Some(hit) = reading.reached else {
            return self.resolve(entry, message::recovered(self, reading));
        };
        self.describe(&mut entry.alert, hit, reading, message::broken(self, hit, reading));
        if self.elapsed_ms(entry.alert.since) < self.rule().pending_for.as_millis() {
            return entry.unchanged();
        }
        self.enter(entry, AlertState::Firing)
    }

    fn advance_firing(&self, mut entry: Entry, reading: &Reading) -> Outcome {
        let before = entry.alert.severity;
        let Some(kept) = reading.held_up_to(before) else {
            return self.advance_recovered(entry, reading);
        };
        entry.recovered_at = None;
        let reached = reading.reached.filter(|reached| reached.severity >= kept.severity);
        let hit = reached.unwrap_or(kept);
        let message = match reached {
            Some(reached) => message::broken(self, reached, reading),
            None => message::held(self, hit, reading),
        };
        self.describe(&mut entry.alert, hit, reading, message);
        if hit.severity == before { entry.unchanged() } else { entry.changed(Some(AlertState::Firing)) }
    }

    fn advance_recovered(&self, mut entry: Entry, reading: &Reading) -> Outcome {
        let recovered_at = *entry.recovered_at.get_or_insert(self.now);
        if self.elapsed_ms(recovered_at) >= self.rule().keep_firing_for.as_millis() {
            return self.resolve(entry, message::recovered(self, reading));
        }
        entry.alert.current_value = self.current;
        entry.alert.predicted_value = Some(reading.worst);
        entry.alert.message = message::kept(self, reading);
        self.annotate(&mut entry.alert);
        entry.unchanged()
    }

    fn lose(&self, mut entry: Entry) -> Outcome {
        if entry.alert.state == AlertState::NoData {
            return entry.unchanged();
        }
        entry.was_firing = entry.alert.state == AlertState::Firing;
        entry.alert.message = message::no_data(self);
        self.enter(entry, AlertState::NoData)
    }

    /// Data are back: an alert that was firing goes on unless the value has recovered meanwhile; any other
    /// begins again.
    fn regain(&self, mut entry: Entry, reading: &Reading) -> Outcome {
        let held = reading.held_up_to(entry.alert.severity).filter(|_| entry.was_firing);
        let hit = reading.reached.or(held);
        let Some(hit) = hit else {
            return self.resolve(entry, message::recovered(self, reading));
        };
        let message = match reading.reached {
            Some(reached) => message::broken(self, reached, reading),
            None => message::held(self, hit, reading),
        };
        entry.recovered_at = None;
        self.describe(&mut entry.alert, hit, reading, message);
        let fires = entry.was_firing || self.rule().pending_for.as_millis() == 0;
        self.enter(entry, if fires { AlertState::Firing } else { AlertState::Pending })
    }

    fn resolve(&self, mut entry: Entry, message: String) -> Outcome {
        entry.alert.message = message;
        entry.alert.current_value = self.current;
        let outcome = self.enter(entry, AlertState::Resolved);
        Outcome { entry: None, ..outcome }
    }

    fn enter(&self, mut entry: Entry, state: AlertState) -> Outcome {
        let from = entry.alert.state;
        entry.alert.state = state;
        entry.alert.since = self.now;
        entry.changed(Some(from))
    }

    fn describe(&self, alert: &mut Alert, hit: Hit, reading: &Reading, message: String) {
        alert.severity = hit.severity;
        alert.threshold = Some(hit.threshold);
        alert.current_value = self.current;
        alert.predicted_value = Some(reading.worst);
        alert.steps_ahead = Some(hit.steps_ahead);
        alert.minutes_ahead = Some(self.minutes(hit.steps_ahead));
        alert.message = message;
        self.annotate(alert);
    }

    /// Writes the rule's own texts.
    fn annotate(&self, alert: &mut Alert) {
        let of_alert = |template: &Template| {
            template.render(&Facts {
                server: alert.server.as_str(),
                profile: alert.profile.as_str(),
                rule: &alert.rule,
                metric: &alert.metric,
                severity: alert.severity,
                unit: self.unit(),
                metric_unit: &self.checked.metric_unit,
                value: alert.predicted_value,
                current: alert.current_value,
                threshold: alert.threshold,
                minutes: alert.minutes_ahead,
                label: &|name| alert.labels.get(name).map(String::as_str),
            })
        };
        let (summary, description) = (of_alert(&self.checked.summary), of_alert(&self.checked.description));
        (alert.summary, alert.description) = (summary, description);
    }

    fn new_alert(&self, state: AlertState) -> Alert {
        let rule = self.rule();
        let mut labels = self.labels.clone();
        labels.extend(rule.labels.clone());
        Alert {
            server: self.server.clone(),
            profile: self.profile.clone(),
            rule: rule.name.clone(),
            metric: self.checked.metric_name.clone(),
            severity: self.checked.severity_min(),
            state,
            since: self.now,
            first_seen: self.now,
            quantile: rule.condition.quantile().unwrap_or(0.5),
            threshold: None,
            current_value: self.current,
            predicted_value: None,
            steps_ahead: None,
            minutes_ahead: None,
            message: message::no_data(self),
            summary: None,
            description: None,
            labels,
            fingerprint: message::fingerprint(self.server.as_str(), &rule.name, &rule.labels),
        }
    }

    /// Milliseconds since an instant; 0 if the caller's clock went back.
    fn elapsed_ms(&self, since: Timestamp) -> i64 {
        self.now.as_millis().saturating_sub(since.as_millis()).max(0)
    }
}

impl Entry {
    fn new(alert: Alert) -> Self {
        Self { alert, was_firing: false, recovered_at: None }
    }

    fn unchanged(self) -> Outcome {
        Outcome { entry: Some(self), transition: None }
    }

    fn changed(self, from: Option<AlertState>) -> Outcome {
        let transition = Transition { from, alert: self.alert.clone() };
        Outcome { entry: Some(self), transition: Some(transition) }
    }
}

impl Alert {
    /// Returns what a matcher compares by name: `alertname`, `server`, `profile`, `metric` and `severity`, which a label
    /// of the same name does not hide, and every label; none if there is no such label.
    pub fn label(&self, name: &str) -> Option<&str> {
        match name {
            "alertname" => Some(&self.rule),
            "server" => Some(self.server.as_str()),
            "profile" => Some(self.profile.as_str()),
            "metric" => Some(&self.metric),
            "severity" => Some(self.severity.as_str()),
            _ => self.labels.get(name).map(String::as_str),
        }
    }
}

impl AlertState {
    /// Returns the name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::NoData => "no_data",
            Self::Resolved => "resolved",
        }
    }
}
