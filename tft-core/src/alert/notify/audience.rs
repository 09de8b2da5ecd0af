//! One receiver, what it was told, and the groups of what it is to be told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::DeliveryOutcome;
use super::group::{ByFingerprint, Group, IsSuppressed, Told};
use super::receiver::Receiver;
use crate::alert::{Alert, AlertState, Notification};
use crate::time::Timestamp;

/// A receiver and its groups.
#[derive(Debug, Clone)]
pub(super) struct Audience {
    pub(super) receiver: Receiver,
    /// What it was told of alerts that have not resolved, or whose end is not in a group's list yet.
    pub(super) told: ByFingerprint<Told>,
    /// By key.
    pub(super) groups: BTreeMap<String, Group>,
}

/// The alerts of one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight<'a> {
    /// All that are not resolved.
    pub(super) active: &'a ByFingerprint<Arc<Alert>>,
    /// Those that have resolved just now.
    pub(super) resolved: &'a HashMap<&'a str, &'a Alert>,
    pub(super) now: Timestamp,
}

/// What one message is made with.
pub(super) struct Sending<'a> {
    pub(super) is_suppressed: IsSuppressed<'a>,
    pub(super) listed_max: usize,
    pub(super) now: Timestamp,
    /// When a message is given up of which nothing is heard.
    pub(super) until: Timestamp,
}

impl Audience {
    pub(super) fn new(receiver: Receiver) -> Self {
        Self { receiver, told: BTreeMap::new(), groups: BTreeMap::new() }
    }

    /// Takes up the alerts of a moment; [`assess`](Self::assess) has to follow.
    pub(super) fn observe(&mut self, sight: Sight<'_>) {
        self.resume(sight);
        self.place(sight);
        self.end(sight);
        self.end_in_flight(sight);
        let Self { receiver, told, groups } = self;
        let referenced: HashSet<_> = told.values().map(|told| told.group.as_str()).collect();
        groups.retain(|key, group| referenced.contains(key.as_str()) || !group.is_over(receiver, sight.now));
    }

    pub(super) fn assess(&mut self, is_suppressed: IsSuppressed<'_>, now: Timestamp) {
        for group in self.groups.values_mut() {
            group.assess(&self.told, is_suppressed, now);
        }
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.groups.values().filter_map(|group| group.due_at(&self.receiver)).min()
    }

    /// Returns the messages that are due, which count as on their way from then on.
    pub(super) fn due(&mut self, sending: &Sending<'_>, receipts: &mut u64) -> Vec<Notification> {
        let Self { receiver, told, groups } = self;
        let mut messages = Vec::new();
        for (key, group) in groups {
            let is_due = |group: &Group| group.due_at(receiver).is_some_and(|at| at <= sending.now);
            if !is_due(group) {
                continue;
            }
            // On its way, and due, means given up.
            if group.flight.take().is_some() {
                group.assess(told, sending.is_suppressed, sending.now);
            }
            let Some(at) = group.due_at(receiver).filter(|&at| at <= sending.now) else { continue };
            *receipts += 1;
            let flight = (*receipts, at, sending.until);
            let (name, listed_max) = ((receiver.name.as_str(), key.as_str()), sending.listed_max);
            messages.push(group.send(name, sending.is_suppressed, listed_max, flight));
        }
        messages
    }

    /// Takes note of what became of a message; returns whether it was on its way.
    pub(super) fn delivered(
        &mut self,
        (key, receipt): (&str, u64),
        outcome: DeliveryOutcome,
        is_suppressed: IsSuppressed<'_>,
        now: Timestamp,
    ) -> bool {
        let Some(group) = self.groups.get_mut(key) else { return false };
        let Some(flight) = group.flight.take_if(|flight| flight.receipt == receipt) else { return false };
        match outcome {
            DeliveryOutcome::Failed { retry_at } => group.retry_at = Some(retry_at),
            DeliveryOutcome::Delivered => {
                (group.told_at, group.retry_at) = (Some(now), None);
                for (fingerprint, content) in flight.contents {
                    let (severity, group_key) = (content.severity, key.to_owned());
                    let told = Told { alert: content.alert, severity, group: group_key };
                    match (content.is_end, content.has_ended) {
                        (true, _) => {
                            self.told.remove(&fingerprint);
                            group.ended.remove(&fingerprint);
                        }
                        (false, true) => {
                            self.told.remove(&fingerprint);
                            group.ended.insert(fingerprint, told);
                        }
                        (false, false) => {
                            group.ended.remove(&fingerprint);
                            self.told.insert(fingerprint, told);
                        }
                    }
                }
                if !self.receiver.send_resolved {
                    group.ended.clear();
                }
            }
        }
        group.assess(&self.told, is_suppressed, now);
        true
    }

    /// Drops what is about a server.
    pub(super) fn forget(&mut self, server_name: &str) {
        self.told.retain(|_, told| told.alert.server.as_str() != server_name);
        self.groups.values_mut().for_each(|group| group.forget(server_name));
    }

    /// An alert that fires again before its end was told has not ended.
    fn resume(&mut self, sight: Sight<'_>) {
        for group in self.groups.values_mut() {
            for (fingerprint, told) in std::mem::take(&mut group.ended) {
                if sight.active.get(&fingerprint).is_some_and(|alert| is_tellable(alert)) {
                    self.told.insert(fingerprint, told);
                } else {
                    group.ended.insert(fingerprint, told);
                }
            }
        }
    }

    /// Puts alerts into their groups. One that has moved takes along what was told of it, and when.
    fn place(&mut self, sight: Sight<'_>) {
        let Self { receiver, told, groups } = self;
        for group in groups.values_mut() {
            group.members.clear();
        }
        for (fingerprint, alert) in sight.active {
            if !is_tellable(alert) || !receiver.selects(alert) {
                continue;
            }
            let mut name = receiver.group_of(alert);
            if groups.len() >= Receiver::GROUPS_MAX && !groups.contains_key(&name.key) {
                name = receiver.named(BTreeMap::new());
            }
            let key = name.key.clone();
            let moved = told.get_mut(fingerprint).filter(|told| told.group != key);
            let moved_from = moved.map(|told| std::mem::replace(&mut told.group, key.clone()));
            let told_at = moved_from.and_then(|from| groups.get(&from)?.told_at);
            let group = groups.entry(key).or_insert_with(|| Group::new(name));
            group.told_at = group.told_at.max(told_at);
            group.members.insert(fingerprint.clone(), Arc::clone(alert));
        }
    }

    /// Looks for the ends of alerts that were told, and puts them into their groups.
    fn end(&mut self, sight: Sight<'_>) {
        for (fingerprint, mut told) in std::mem::take(&mut self.told) {
            if let Some(alert) = sight.active.get(&fingerprint) {
                told.alert = Arc::clone(alert);
                self.told.insert(fingerprint, told);
            } else if self.receiver.send_resolved {
                told.alert = end_of(&told.alert, sight);
                self.groups.entry(told.group.clone()).or_default().ended.insert(fingerprint, told);
            }
        }
    }

    fn end_in_flight(&mut self, sight: Sight<'_>) {
        for flight in self.groups.values_mut().filter_map(|group| group.flight.as_mut()) {
            for (fingerprint, content) in &mut flight.contents {
                if !content.has_ended && !sight.active.contains_key(fingerprint) {
                    content.has_ended = true;
                    content.alert = end_of(&content.alert, sight);
                }
            }
        }
    }
}

/// Returns the end of an alert that is no longer active, with its last values if they are known.
fn end_of(alert: &Arc<Alert>, sight: Sight<'_>) -> Arc<Alert> {
    if let Some(&resolved) = sight.resolved.get(alert.fingerprint.as_str()) {
        return Arc::new(resolved.clone());
    }
    let mut ended = Alert::clone(alert);
    ended.state = AlertState::Resolved;
    ended.since = sight.now;
    Arc::new(ended)
}

/// Whether people are told of an alert in this state.
fn is_tellable(alert: &Alert) -> bool {
    matches!(alert.state, AlertState::Firing | AlertState::NoData)
}
