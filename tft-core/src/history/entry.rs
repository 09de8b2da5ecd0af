//! A row of either table on its way into the log, as JSON.

use serde::{Deserialize, Serialize};

use super::event::AlertEvent;
use super::row::sealed::Stored;
use super::snapshot::FleetSnapshot;
use crate::time::Timestamp;

/// A row of either table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all rows of a log are of one kind or the other for long"
)]
pub enum HistoryEntry {
    /// What happened to an alert or a silence.
    Alert(AlertEvent),
    /// How the fleet was.
    Snapshot(FleetSnapshot),
}

impl HistoryEntry {
    /// Most bytes of a row as JSON; larger ones are refused.
    pub const BYTES_MAX: usize = 64 << 10;

    /// Returns when it happened.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Alert(event) => event.at(),
            Self::Snapshot(snapshot) => snapshot.at(),
        }
    }

    /// Returns its place in the history.
    pub fn sequence(&self) -> u64 {
        match self {
            Self::Alert(event) => event.sequence,
            Self::Snapshot(snapshot) => snapshot.sequence,
        }
    }

    /// Writes it for the log; none if it is too large.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self).ok().filter(|content| content.len() <= Self::BYTES_MAX)
    }

    /// Reads what [`encode`](Self::encode) wrote; none if it is none of ours.
    pub(super) fn decode(sequence: u64, content: &[u8]) -> Option<Self> {
        let mut entry: Self = serde_json::from_slice(content).ok()?;
        let (own_sequence, at) = match &mut entry {
            Self::Alert(event) => (&mut event.sequence, &mut event.at),
            Self::Snapshot(snapshot) => (&mut snapshot.sequence, &mut snapshot.at),
        };
        (*own_sequence, *at) = (sequence, Timestamp::from_millis(at.as_millis()));
        Some(entry)
    }
}

impl From<AlertEvent> for HistoryEntry {
    fn from(event: AlertEvent) -> Self {
        Self::Alert(event)
    }
}

impl From<FleetSnapshot> for HistoryEntry {
    fn from(snapshot: FleetSnapshot) -> Self {
        Self::Snapshot(snapshot)
    }
}
