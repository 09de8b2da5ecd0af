//! What people are told: one message about a group of alerts.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Alert, AlertState};
use crate::time::Timestamp;

/// One message about a group of alerts, for one receiver; how it is sent is the application's business.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Notification {
    /// The receiver's name.
    pub receiver: String,
    /// Stays the same for all messages about a group, so that they form a thread.
    pub group_key: String,
    /// The labels that all alerts of the group share.
    pub group_labels: BTreeMap<String, String>,
    /// When it became due.
    pub at: Timestamp,
    /// The alerts: those that are not resolved first, the most severe of them first.
    pub alerts: Vec<Alert>,
    /// How many further alerts the group has, beyond what one message may list.
    pub truncated_count: usize,
    /// By which the [`Notifier`](super::Notifier) knows its message again when it is told what became of it; 0 for one
    /// that it did not make.
    #[serde(default)]
    pub receipt: u64,
}

impl Notification {
    /// Builds a message about a group; the alerts are put in order.
    pub fn new(
        (receiver, group_key): (&str, &str),
        group_labels: BTreeMap<String, String>,
        at: Timestamp,
        mut alerts: Vec<Alert>,
    ) -> Self {
        alerts.sort_by(Self::order);
        let (receiver, group_key) = (receiver.to_owned(), group_key.to_owned());
        Self { receiver, group_key, group_labels, at, alerts, truncated_count: 0, receipt: 0 }
    }

    /// The order in which a message lists alerts.
    pub(super) fn order(a: &Alert, b: &Alert) -> Ordering {
        let is_over = |alert: &Alert| alert.state == AlertState::Resolved;
        let (names_a, names_b) = ((&a.server, &a.rule), (&b.server, &b.rule));
        is_over(a).cmp(&is_over(b)).then(b.severity.cmp(&a.severity)).then(names_a.cmp(&names_b))
    }

    /// Returns whether every alert of it is resolved.
    pub fn is_resolved(&self) -> bool {
        self.alerts.iter().all(|alert| alert.state == AlertState::Resolved)
    }

    /// Returns the alerts that are not resolved.
    pub fn unresolved(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter().filter(|alert| alert.state != AlertState::Resolved)
    }
}
