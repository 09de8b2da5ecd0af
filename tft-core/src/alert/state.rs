//! What an engine knows between steps, as data that outlives the process.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::life::{Alert, AlertState, Entry};
use super::{AlertEngine, Rule, message};
use crate::error::{Error, ErrorKind};
use crate::schema::ServerName;
use crate::time::Timestamp;

/// The alerts of an engine, by server and rule name.
///
/// Read it with [`from_json`](Self::from_json), which says what is wrong; an engine checks it once more against its rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertEngineState {
    version: u32,
    alerts: Vec<SavedAlert>,
}

/// One alert and what its next step depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedAlert {
    alert: Alert,
    was_firing: bool,
    recovered_at: Option<Timestamp>,
}

/// What became of the alerts of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Restored {
    /// Alerts that go on.
    pub alerts: usize,
    /// Alerts that were dropped because no rule of their name, labels and metric is left.
    pub dropped_rules: usize,
    /// Alerts that were dropped because their server is not known any more.
    pub dropped_servers: usize,
    /// Alerts that were dropped because there are more than the engine may have.
    pub dropped_excess: usize,
}

#[derive(Debug, thiserror::Error)]
enum StateError {
    #[error("alert state has {length} bytes, allowed are at most {}", AlertEngineState::BYTES_MAX)]
    Size { length: usize },
    #[error("alert state is damaged")]
    Json { source: serde_json::Error },
    #[error("alert state has version {version}, this program reads {}", AlertEngineState::VERSION)]
    Version { version: u32 },
    #[error(
        "alert state has `{field}` of {length} bytes or entries for server `{server}`, allowed are at most {max}"
    )]
    Length { server: ServerName, field: &'static str, length: usize, max: usize },
    #[error("alert state has a resolved alert of server `{server}`")]
    Resolved { server: ServerName },
    #[error("alert state cannot be written")]
    Write { source: serde_json::Error },
}

impl AlertEngineState {
    /// The version that is written, and the only one that is read.
    pub const VERSION: u32 = 1;

    /// Most bytes of a state as JSON: 1 GiB.
    pub const BYTES_MAX: usize = 1 << 30;

    /// Most bytes of an alert's message and texts.
    const TEXT_LENGTH_MAX: usize = 1 << 18;

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it is too large, damaged, cut off or of another version.
    pub fn from_json(text: &[u8]) -> Result<Self, Error> {
        if text.len() > Self::BYTES_MAX {
            return Err(StateError::Size { length: text.len() }.into());
        }
        let state: Self = serde_json::from_slice(text).map_err(|source| StateError::Json { source })?;
        state.check()?;
        Ok(state)
    }

    /// Writes the state as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`], which a state that an engine made never gives.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(|source| StateError::Write { source }.into())
    }

    /// Returns the number of alerts.
    pub fn len(&self) -> usize {
        self.alerts.len()
    }

    /// Returns whether there are no alerts.
    pub fn is_empty(&self) -> bool {
        self.alerts.is_empty()
    }

    fn check(&self) -> Result<(), StateError> {
        if self.version != Self::VERSION {
            return Err(StateError::Version { version: self.version });
        }
        self.alerts.iter().try_for_each(|saved| check_alert(&saved.alert))
    }
}

impl AlertEngine {
    /// Returns the alerts and all that their next step depends on.
    pub fn state(&self) -> AlertEngineState {
        let saved = |(_, entry): &(usize, Entry)| SavedAlert {
            alert: entry.alert.clone(),
            was_firing: entry.was_firing,
            recovered_at: entry.recovered_at,
        };
        AlertEngineState {
            version: AlertEngineState::VERSION,
            alerts: self.roster.entries().map(saved).collect(),
        }
    }

    /// Goes on with the alerts of a state, in place of its own.
    ///
    /// An alert goes on under the rule of its name, if that has the same labels and metric, however its thresholds and
    /// times have changed: the next evaluation decides by them. `knows` says which servers are still known. With the
    /// rules unchanged, an engine that is restored goes on exactly as the one that was saved.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the state is of another version or holds what no engine says; the engine stays as it was.
    pub fn restore(
        &mut self,
        state: AlertEngineState,
        knows: impl Fn(&ServerName) -> bool,
    ) -> Result<Restored, Error> {
        state.check()?;
        self.roster = super::roster::Roster::default();
        self.count = 0;
        let indexes: HashMap<_, _> =
            self.rules.iter().enumerate().map(|(at, rule)| (rule.rule.name.clone(), at)).collect();
        let mut restored = Restored::default();
        let mut alerts = state.alerts;
        // In the order of servers each goes to the end.
        alerts.sort_by(|a, b| a.alert.server.cmp(&b.alert.server));
        for saved in alerts {
            let server = &saved.alert.server;
            let index =
                indexes.get(&saved.alert.rule).copied().filter(|&index| self.applies(index, &saved.alert));
            match index {
                _ if !knows(server) => restored.dropped_servers += 1,
                None => restored.dropped_rules += 1,
                Some(_) if restored.alerts >= self.config().alerts_max => restored.dropped_excess += 1,
                Some(index) => {
                    let entry = self.mended(index, saved);
                    self.roster.restore(index, entry);
                    restored.alerts += 1;
                }
            }
        }
        self.count = self.roster.entries().count();
        restored.alerts = self.count;
        Ok(restored)
    }

    /// Whether the rule at a position is still that of an alert.
    fn applies(&self, index: usize, alert: &Alert) -> bool {
        let checked = &self.rules[index];
        let fingerprint = message::fingerprint(alert.server.as_str(), &alert.rule, &checked.rule.labels);
        alert.metric == checked.metric_name && alert.fingerprint == fingerprint
    }

    /// An alert with a severity that its rule has, and times that there are.
    fn mended(&self, index: usize, saved: SavedAlert) -> Entry {
        let SavedAlert { mut alert, was_firing, recovered_at } = saved;
        let checked = &self.rules[index];
        if !checked.rule.thresholds.contains_key(&alert.severity) {
            alert.severity = checked.severity_min();
        }
        let valid = |at: Timestamp| Timestamp::from_millis(at.as_millis());
        (alert.since, alert.first_seen) = (valid(alert.since), valid(alert.first_seen));
        Entry { alert, was_firing, recovered_at: recovered_at.map(valid) }
    }
}

/// Refuses what no engine says.
fn check_alert(alert: &Alert) -> Result<(), StateError> {
    let server = || alert.server.clone();
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let labels_max = 2 * Rule::LABELS_MAX;
    let longest = alert.labels.iter().map(|(name, value)| name.len().max(value.len())).max().unwrap_or(0);
    let (text_max, name_max) = (AlertEngineState::TEXT_LENGTH_MAX, Rule::NAME_LENGTH_MAX);
    for (field, length, max) in [
        ("message", alert.message.len(), text_max),
        ("summary", length(&alert.summary), text_max),
        ("description", length(&alert.description), text_max),
        ("rule", alert.rule.len(), name_max),
        ("metric", alert.metric.len(), name_max),
        ("fingerprint", alert.fingerprint.len(), name_max),
        ("labels", alert.labels.len(), labels_max),
        ("labels", longest, name_max),
    ] {
        if length > max {
            return Err(StateError::Length { server: server(), field, length, max });
        }
    }
    if alert.state == AlertState::Resolved {
        return Err(StateError::Resolved { server: server() });
    }
    Ok(())
}

impl From<StateError> for Error {
    fn from(error: StateError) -> Self {
        let kind = match error {
            StateError::Write { .. } => ErrorKind::Internal,
            _ => ErrorKind::Corrupt,
        };
        Self::new(kind, error)
    }
}
