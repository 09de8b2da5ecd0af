//! One group of alerts: what of it is to be told, and when.
//!
//! Owns the times of a group and what is on its way. What was told of an alert belongs to the receiver, because an
//! alert can change its group.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::receiver::{GroupName, Receiver};
use crate::alert::{Alert, Notification, Severity};
use crate::time::Timestamp;

/// What a receiver was told of an alert, whose end it does not know of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    /// The newest known state of the alert.
    pub(super) alert: Arc<Alert>,
    /// How bad it was said to be.
    pub(super) severity: Severity,
    /// The group that is to tell its end.
    pub(super) group: String,
}

/// By fingerprint.
pub(super) type ByFingerprint<T> = BTreeMap<String, T>;

/// One group.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) labels: BTreeMap<String, String>,
    /// The alerts that are firing or without data.
    pub(super) members: ByFingerprint<Arc<Alert>>,
    /// The ends that are still to be told.
    pub(super) ended: ByFingerprint<Told>,
    /// Since when there is something to tell.
    pub(super) waiting_since: Option<Timestamp>,
    /// When the newest message was delivered.
    pub(super) told_at: Option<Timestamp>,
    /// Before when a failed message is not tried again.
    pub(super) retry_at: Option<Timestamp>,
    pub(super) flight: Option<Flight>,
    /// Whether there is anything that a repeated message would tell.
    can_repeat: bool,
}

/// A message on its way.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) receipt: u64,
    /// When it is given up.
    until: Timestamp,
    pub(super) contents: ByFingerprint<Content>,
}

/// What a message says of an alert.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) alert: Arc<Alert>,
    pub(super) severity: Severity,
    /// Whether it tells the end of the alert.
    pub(super) is_end: bool,
    /// Whether the alert has resolved since.
    pub(super) has_ended: bool,
}

/// Finds out whether an alert must not be told.
pub(super) type IsSuppressed<'a> = &'a dyn Fn(&str) -> bool;

impl Content {
    fn new(alert: &Arc<Alert>, is_end: bool) -> Self {
        Self { alert: Arc::clone(alert), severity: alert.severity, is_end, has_ended: is_end }
    }
}

impl Group {
    pub(super) fn new(name: GroupName) -> Self {
        Self { labels: name.labels, ..Self::default() }
    }

    /// Works out what there is to tell; `told` is what the receiver was told.
    pub(super) fn assess(
        &mut self,
        told: &ByFingerprint<Told>,
        is_suppressed: IsSuppressed<'_>,
        now: Timestamp,
    ) {
        // A clock that was ahead must not delay messages.
        for at in [&mut self.waiting_since, &mut self.told_at] {
            *at = at.map(|at| at.min(now));
        }
        let mut has_change = !self.ended.is_empty();
        self.can_repeat = false;
        for (fingerprint, alert) in &self.members {
            if !is_suppressed(fingerprint) {
                self.can_repeat = true;
                has_change |= told.get(fingerprint).is_none_or(|told| told.severity != alert.severity);
            }
        }
        self.waiting_since = has_change.then(|| self.waiting_since.unwrap_or(now));
    }

    /// Returns when it has something to tell, or a message on its way is given up.
    pub(super) fn due_at(&self, receiver: &Receiver) -> Option<Timestamp> {
        if let Some(flight) = &self.flight {
            return Some(flight.until);
        }
        let after = |at: Option<Timestamp>, wait_ms| at.map(|at| at.plus_millis(wait_ms));
        let change = after(self.waiting_since, receiver.group_wait_ms);
        let change = change.map(|at| at.max(after(self.told_at, receiver.group_interval_ms).unwrap_or(at)));
        let repeat = after(self.told_at, receiver.repeat_interval_ms).filter(|_| self.can_repeat);
        let due_at = change.into_iter().chain(repeat).min()?;
        Some(due_at.max(self.retry_at.unwrap_or(due_at)))
    }

    /// Builds the message, of at most `listed_max` alerts, and remembers that it is on its way.
    pub(super) fn send(
        &mut self,
        (receiver, key): (&str, &str),
        is_suppressed: IsSuppressed<'_>,
        listed_max: usize,
        (receipt, at, until): (u64, Timestamp, Timestamp),
    ) -> Notification {
        let mut contents = ByFingerprint::new();
        for (fingerprint, told) in &self.ended {
            contents.insert(fingerprint.clone(), Content::new(&told.alert, true));
        }
        for (fingerprint, alert) in self.members.iter().filter(|(fingerprint, _)| !is_suppressed(fingerprint))
        {
            contents.insert(fingerprint.clone(), Content::new(alert, false));
        }
        let mut alerts: Vec<_> = contents.values().map(|content| &*content.alert).collect();
        alerts.sort_by(|a, b| Notification::order(a, b));
        let truncated_count = alerts.len().saturating_sub(listed_max);
        let listed = alerts.into_iter().take(listed_max).cloned().collect();
        let message = Notification::new((receiver, key), self.labels.clone(), at, listed);
        self.flight = Some(Flight { receipt, until, contents });
        Notification { truncated_count, receipt, ..message }
    }

    /// Drops what is about a server.
    pub(super) fn forget(&mut self, server_name: &str) {
        let is_other = |alert: &Arc<Alert>| alert.server.as_str() != server_name;
        self.members.retain(|_, alert| is_other(alert));
        self.ended.retain(|_, told| is_other(&told.alert));
        if let Some(flight) = &mut self.flight {
            flight.contents.retain(|_, content| is_other(&content.alert));
        }
    }

    /// Returns whether nothing would be lost without it: it has no alerts, and its next message may come as soon as
    /// that of a new group.
    pub(super) fn is_over(&self, receiver: &Receiver, now: Timestamp) -> bool {
        let rests = self.told_at.is_some_and(|at| at.plus_millis(receiver.group_interval_ms) > now);
        self.members.is_empty() && self.ended.is_empty() && self.flight.is_none() && !rests
    }
}
