//! Decides what is told to whom, and when.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::acknowledgement::Acknowledgement;
use super::audience::{Audience, Sending, Sight};
use super::config::NotifierConfig;
use super::error::NotifyError;
use super::group::ByFingerprint;
use super::inhibit::Inhibitor;
use super::silence::Silence;
use super::silences::Silences;
use crate::alert::{Alert, AlertState, Notification, Transition};
use crate::error::Error;
use crate::time::Timestamp;

/// Turns alerts into messages that people can live with.
///
/// Pure and deterministic: the same calls give the same messages, in whatever order alerts are listed. `docs/notifications.md`
/// says what is told when. Call [`observe`](Self::observe) after each evaluation, [`due`](Self::due) at
/// [`next_due`](Self::next_due) or more often, and [`delivered`](Self::delivered) for every message.
#[derive(Debug, Clone)]
pub struct Notifier {
    pub(super) config: NotifierConfig,
    pub(super) audiences: Vec<Audience>,
    pub(super) silences: Silences,
    pub(super) acknowledgements: ByFingerprint<Acknowledgement>,
    active: ByFingerprint<Arc<Alert>>,
    /// Of the alerts that are suppressed.
    statuses: ByFingerprint<AlertStatus>,
    /// When a silence begins or ends.
    changes_at: Option<Timestamp>,
    /// Whether the active alerts are known.
    has_observed: bool,
    receipts: u64,
    revision: u64,
}

/// Why an alert is not told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AlertStatus {
    /// The ids of silences that cover it, at most 10.
    pub silenced_by: Vec<String>,
    /// The fingerprints of alerts that inhibit it, at most 10.
    pub inhibited_by: Vec<String>,
    /// Who knows of it already.
    pub acknowledgement: Option<Acknowledgement>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// Its receiver has it.
    Delivered,
    /// Its receiver does not have it; what is to be told stays due.
    Failed {
        /// Before when it is not tried again.
        retry_at: Timestamp,
    },
}

impl Notifier {
    /// Builds a notifier that was told of nothing and has told nothing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) naming the field and its value.
    pub fn new(config: NotifierConfig) -> Result<Self, Error> {
        config.validate().map_err(NotifyError::in_config)?;
        Ok(Self {
            audiences: config.receivers.iter().cloned().map(Audience::new).collect(),
            silences: Silences::new(config.silences)?,
            config,
            acknowledgements: BTreeMap::new(),
            active: BTreeMap::new(),
            statuses: BTreeMap::new(),
            changes_at: None,
            has_observed: false,
            receipts: 0,
            revision: 0,
        })
    }

    /// Takes all alerts that are not resolved, and what has changed since the last call.
    ///
    /// An alert that was told and is not among them has resolved; `transitions` may say how.
    pub fn observe(&mut self, alerts: &[Alert], transitions: &[Transition], now: Timestamp) {
        self.take_up(alerts);
        self.has_observed = true;
        let resolved: HashMap<_, _> = transitions
            .iter()
            .map(|transition| &transition.alert)
            .filter(|alert| alert.state == AlertState::Resolved)
            .map(|alert| (alert.fingerprint.as_str(), alert))
            .collect();
        let active = &self.active;
        self.acknowledgements
            .retain(|fingerprint, known| active.get(fingerprint).is_some_and(|alert| known.holds_for(alert)));
        let sight = Sight { active, resolved: &resolved, now };
        self.audiences.iter_mut().for_each(|audience| audience.observe(sight));
        self.refresh(now);
    }

    /// Returns the messages that are due. Each is on its way from then on, and its group tells nothing else, until
    /// [`delivered`](Self::delivered) says what became of it or [`delivery_ms_max`](NotifierConfig::delivery_ms_max)
    /// has passed.
    ///
    /// A notifier whose state was restored returns none before it has observed alerts.
    pub fn due(&mut self, now: Timestamp) -> Vec<Notification> {
        self.advance(now);
        if !self.has_observed {
            return Vec::new();
        }
        let Self { audiences, statuses, receipts, config, .. } = self;
        let sending = Sending {
            is_suppressed: &|fingerprint| statuses.contains_key(fingerprint),
            listed_max: config.alerts_listed_max,
            now,
            until: now.plus_millis(config.delivery_ms_max),
        };
        audiences.iter_mut().flat_map(|audience| audience.due(&sending, receipts)).collect()
    }

    /// Returns when [`due`](Self::due) is worth calling, if nothing is observed or changed before; none if then it never
    /// is. That may be an instant before `now`.
    pub fn next_due(&self) -> Option<Timestamp> {
        let due = self.audiences.iter().filter_map(Audience::next_due).min().filter(|_| self.has_observed);
        due.into_iter().chain(self.changes_at).min()
    }

    /// Takes note of what became of a message, and returns whether it was on its way: one that was given up, or about
    /// which the notifier has heard already, changes nothing.
    pub fn delivered(
        &mut self,
        notification: &Notification,
        outcome: DeliveryOutcome,
        now: Timestamp,
    ) -> bool {
        let Self { audiences, statuses, .. } = self;
        let audience = audiences.iter_mut().find(|audience| audience.receiver.name == notification.receiver);
        let message = (notification.group_key.as_str(), notification.receipt);
        let is_suppressed = |fingerprint: &str| statuses.contains_key(fingerprint);
        audience.is_some_and(|audience| audience.delivered(message, outcome, &is_suppressed, now))
    }

    /// Adds a silence or replaces one; see [`Silences::set`].
    ///
    /// # Errors
    /// Those of [`Silences::set`].
    pub fn set_silence(&mut self, silence: Silence, now: Timestamp) -> Result<Silence, Error> {
        let kept = self.silences.set(silence, now)?.clone();
        self.refresh(now);
        Ok(kept)
    }

    /// Ends a silence now and returns it; none if there is none with this id.
    pub fn expire_silence(&mut self, id: &str, now: Timestamp) -> Option<Silence> {
        let ended = self.silences.expire(id, now)?.clone();
        self.refresh(now);
        Some(ended)
    }

    /// Notes who knows of an alert, in place of who did before; none if there is no such alert.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the name is empty or a text is too long.
    pub fn acknowledge(
        &mut self,
        fingerprint: &str,
        (by, comment): (&str, &str),
        now: Timestamp,
    ) -> Result<Option<Acknowledgement>, Error> {
        let Some(alert) = self.active.get(fingerprint) else { return Ok(None) };
        let made = Acknowledgement::new(alert, (by, comment), now)?;
        self.acknowledgements.insert(fingerprint.to_owned(), made.clone());
        self.refresh(now);
        Ok(Some(made))
    }

    /// Takes back an acknowledgement and returns it.
    pub fn unacknowledge(&mut self, fingerprint: &str, now: Timestamp) -> Option<Acknowledgement> {
        let taken = self.acknowledgements.remove(fingerprint)?;
        self.refresh(now);
        Some(taken)
    }

    /// Drops all that is known of a server, also the silences that can only be about it.
    pub fn forget(&mut self, server_name: &str, now: Timestamp) {
        self.active.retain(|_, alert| alert.server.as_str() != server_name);
        self.acknowledgements.retain(|_, known| known.server.as_str() != server_name);
        self.silences.forget(server_name);
        self.audiences.iter_mut().for_each(|audience| audience.forget(server_name));
        self.refresh(now);
    }

    /// Brings [`status`](Self::status) up to date with the time; [`due`](Self::due) does so too.
    pub fn advance(&mut self, now: Timestamp) {
        if self.changes_at.is_some_and(|at| at <= now) {
            self.refresh(now);
        }
    }

    /// Returns why an alert is not told; empty for one that may be, or that is not known.
    pub fn status(&self, fingerprint: &str) -> &AlertStatus {
        static NOTHING: AlertStatus =
            AlertStatus { silenced_by: Vec::new(), inhibited_by: Vec::new(), acknowledgement: None };
        self.statuses.get(fingerprint).unwrap_or(&NOTHING)
    }

    /// Returns the alerts that are not told, by fingerprint, and why.
    pub fn suppressed(&self) -> impl Iterator<Item = (&str, &AlertStatus)> {
        self.statuses.iter().map(|(fingerprint, status)| (fingerprint.as_str(), status))
    }

    /// Returns a number that changes whenever the answer of [`status`](Self::status) does for any alert.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the silences.
    pub fn silences(&self) -> &Silences {
        &self.silences
    }

    /// Returns what it was built from.
    pub fn config(&self) -> &NotifierConfig {
        &self.config
    }

    /// Replaces the active alerts; of two with one fingerprint, which a hash allows, the worse counts.
    fn take_up(&mut self, alerts: &[Alert]) {
        let mut newest: ByFingerprint<&Alert> = BTreeMap::new();
        for alert in alerts.iter().filter(|alert| alert.state != AlertState::Resolved) {
            let kept = newest.entry(alert.fingerprint.clone()).or_insert(alert);
            if Notification::order(alert, kept).is_lt() {
                *kept = alert;
            }
        }
        let mut before = std::mem::take(&mut self.active);
        for (fingerprint, alert) in newest {
            let known = before.remove(&fingerprint).filter(|known| **known == *alert);
            self.active.insert(fingerprint, known.unwrap_or_else(|| Arc::new(alert.clone())));
        }
    }

    /// Works out anew which alerts are suppressed, and so what there is to tell.
    pub(super) fn refresh(&mut self, now: Timestamp) {
        self.silences.prune(now);
        self.changes_at = self.silences.next_change(now);
        let silences = self.silences.index(now);
        let inhibitor =
            Inhibitor::new(&self.config.inhibit_rules, &self.active.values().map(|alert| &**alert));
        let status = |fingerprint: &str, alert: &Alert| AlertStatus {
            silenced_by: silences.covering(alert, AlertStatus::LISTED_MAX),
            inhibited_by: inhibitor.inhibiting(alert),
            acknowledgement: self.acknowledgements.get(fingerprint).cloned(),
        };
        let all = self.active.iter().map(|(fingerprint, alert)| (fingerprint, status(fingerprint, alert)));
        let suppressed = all.filter(|(_, status)| status.is_suppressed());
        let statuses: ByFingerprint<_> = suppressed.map(|(name, status)| (name.clone(), status)).collect();
        if statuses != self.statuses {
            self.revision += 1;
            self.statuses = statuses;
        }
        // Without the alerts it would look as if there were nothing to tell.
        if self.has_observed {
            let Self { audiences, statuses, .. } = self;
            let is_suppressed = |fingerprint: &str| statuses.contains_key(fingerprint);
            for audience in audiences {
                audience.assess(&is_suppressed, now);
            }
        }
    }
}

impl AlertStatus {
    /// Most silences and most alerts that are listed.
    pub(super) const LISTED_MAX: usize = super::inhibit::LISTED_MAX;

    /// Returns whether the alert is not told.
    pub fn is_suppressed(&self) -> bool {
        *self != Self::default()
    }
}
