//! The lives of alerts: when each fired and was resolved, who took it over, and what was written about it.

use std::collections::BTreeMap;

use super::archive::History;
use super::event::{AlertEvent, EventKind};
use crate::alert::AlertState;
use crate::error::Error;
use crate::time::Timestamp;

/// Tells one life of an alert from all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LifeKey {
    /// The alert's fingerprint.
    pub fingerprint: String,
    /// When this life began.
    pub first_seen: Timestamp,
}

/// What became of an alert.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlertLife {
    /// When it first fired.
    pub fired_at: Option<Timestamp>,
    /// When it was resolved.
    pub resolved_at: Option<Timestamp>,
    /// When it was last taken over, and by whom; none if it was given back.
    pub acknowledged: Option<(Timestamp, String)>,
    /// The last [`NOTES_MAX`](Self::NOTES_MAX) notes, the oldest first.
    pub notes: Vec<AlertNote>,
}

/// What somebody wrote about an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlertNote {
    /// When.
    pub at: Timestamp,
    /// Who; empty if nobody said.
    pub actor: String,
    /// What.
    pub text: String,
}

impl AlertLife {
    /// Most notes of a life that are kept in view; all are in the history.
    pub const NOTES_MAX: usize = 100;

    /// Returns how long the alert was there, in milliseconds; none if it still is.
    pub fn duration_ms(&self, key: &LifeKey) -> Option<i64> {
        Some(self.resolved_at?.as_millis().saturating_sub(key.first_seen.as_millis()).max(0))
    }

    fn take(&mut self, event: AlertEvent) {
        match event.kind {
            EventKind::Transition => match event.state {
                Some(AlertState::Firing) => self.fired_at = self.fired_at.or(Some(event.at)),
                Some(AlertState::Resolved) => self.resolved_at = Some(event.at),
                _ => {}
            },
            EventKind::Acknowledged => self.acknowledged = Some((event.at, event.actor)),
            EventKind::Unacknowledged => self.acknowledged = None,
            EventKind::Note => {
                if self.notes.len() == Self::NOTES_MAX {
                    self.notes.remove(0);
                }
                self.notes.push(AlertNote { at: event.at, actor: event.actor, text: event.note });
            }
            EventKind::SilenceSet | EventKind::SilenceExpired => {}
        }
    }
}

impl History {
    /// Returns what became of alerts, from everything that the history has of them.
    ///
    /// # Performance
    /// Reads, in a few columns, the files from the earliest life on.
    ///
    /// # Errors
    /// As [`alerts`](Self::alerts).
    pub fn lives(
        &self,
        keys: impl IntoIterator<Item = LifeKey>,
    ) -> Result<BTreeMap<LifeKey, AlertLife>, Error> {
        let mut lives: BTreeMap<_, _> = keys.into_iter().map(|key| (key, AlertLife::default())).collect();
        let Some(from) = lives.keys().map(|key| key.first_seen).min() else { return Ok(lives) };
        self.visit_rows((Some(from), None), &COLUMNS, |event: AlertEvent| {
            if let Some(life) = event.life().and_then(|key| lives.get_mut(&key)) {
                life.take(event);
            }
        })?;
        Ok(lives)
    }
}

const COLUMNS: [&str; 8] =
    ["sequence", "timestamp", "kind", "state", "first_seen", "fingerprint", "actor", "note"];
