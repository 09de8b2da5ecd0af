//! One cascade from its first step to its last.

use serde::{Deserialize, Serialize};

use crate::schema::ServerName;
use crate::time::Step;

/// A cascade of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CascadeEvent {
    /// Its number, counted from 1 over all events of a detector.
    pub id: u64,
    /// The metric's name.
    pub metric: String,
    /// The step in which enough servers were beyond the threshold.
    pub start: Step,
    /// The newest step in which they were.
    pub last: Step,
    /// Whether it has ended, with `last`.
    pub is_over: bool,
    /// The highest severity of any of its steps.
    pub severity: CascadeSeverity,
    /// The largest share of servers with a value that were beyond the threshold in one step, 0 to 1.
    pub share_max: f64,
    /// How many servers were beyond the threshold at any time of it.
    pub affected_count: usize,
    /// The first of them, by how long they had been beyond the threshold; at most
    /// [`affected_max`](super::CascadeConfig::affected_max).
    pub affected: Vec<AffectedServer>,
}

/// A server's part in a cascade.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AffectedServer {
    /// The server.
    pub server: ServerName,
    /// The step since which it has been beyond the threshold, short breaks aside; maybe before the cascade's start.
    pub since: Step,
    /// The step in which it joined; not before the cascade's start.
    pub joined: Step,
    /// Deviations from its baseline in the step in which it joined; negative below it.
    pub z: f64,
    /// The same where it was farthest from the baseline.
    pub z_peak: f64,
}

/// How much of a fleet a cascade has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CascadeSeverity {
    /// Less than a tenth of the servers with a value, and no coincidence.
    Low,
    /// A tenth or more.
    Medium,
    /// A quarter or more.
    High,
    /// Half or more.
    Critical,
}

impl CascadeEvent {
    /// Returns the server that was beyond the threshold first; of several the one that was farthest when it joined. None
    /// if all that are listed were forgotten.
    pub fn lead_server(&self) -> Option<&ServerName> {
        self.affected.iter().min_by_key(|affected| affected.since).map(|affected| &affected.server)
    }

    /// Puts the servers in the order in which they were affected; of those of one step, the order in which they
    /// joined stays.
    pub(super) fn sort(&mut self) {
        self.affected.sort_by_key(|affected| affected.since);
    }

    /// Forgets a server, and returns its place in the list.
    pub(super) fn forget(&mut self, server_name: &str) -> Option<usize> {
        let place = self.affected.iter().position(|affected| affected.server.as_str() == server_name)?;
        self.affected.remove(place);
        self.affected_count -= 1;
        Some(place)
    }
}

impl CascadeSeverity {
    /// All severities, ascending.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Returns the name on the wire: `low`, `medium`, `high` or `critical`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}
