//! The rules and limits of an engine, as plain data.

use serde::{Deserialize, Serialize};

use super::{Rule, ServerLabels};
use crate::time::DurationMs;

/// The rules and limits of an [`AlertEngine`](super::AlertEngine).
///
/// # Defaults
/// No rules, no labels, 100,000 alerts at a time, alerts of absent servers kept for a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertConfig {
    /// The rules; at most [`AlertEngine::RULES_MAX`](super::AlertEngine::RULES_MAX).
    pub rules: Vec<Rule>,
    /// The labels of servers; at most [`AlertConfig::SERVER_LABELS_MAX`] entries, of which later ones win.
    pub server_labels: Vec<ServerLabels>,
    /// Most alerts at a time; at least 1. Over it, no new ones begin.
    pub alerts_max: usize,
    /// For how long an alert without data stays when its server is not observed at all; at least 1 ms.
    pub absent_retention: DurationMs,
}

impl AlertConfig {
    /// Most assignments of labels to servers.
    pub const SERVER_LABELS_MAX: usize = 1000;

    /// Most alerts at a time, unless a configuration says otherwise.
    pub const ALERTS_MAX: usize = 100_000;

    /// For how long an alert of an absent server stays, unless a configuration says otherwise.
    pub const ABSENT_RETENTION: DurationMs = DurationMs::from_minutes(24 * 60);
}

impl Default for AlertConfig {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            server_labels: Vec::new(),
            alerts_max: Self::ALERTS_MAX,
            absent_retention: Self::ABSENT_RETENTION,
        }
    }
}
