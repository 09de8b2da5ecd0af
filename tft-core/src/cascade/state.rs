//! What a detector knows, to be kept over a restart.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::baseline::{Joined, Series};
use super::detector::{CascadeDetector, ServerTrack};
use super::event::CascadeEvent;
use super::watch::Watch;
use crate::error::{Error, ErrorKind};
use crate::time::Step;

/// What a [`CascadeDetector`] knows, as plain data of format version 1.
///
/// A detector that was restored from it goes on as the one that it was taken from. About 120 bytes of JSON per server
/// and metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CascadeState {
    version: u32,
    /// The names of the watched metrics, in the order of everything below.
    metrics: Vec<String>,
    judged_to: Option<Step>,
    servers: Vec<ServerTrack>,
    watches: Vec<Watch>,
    recent: Vec<CascadeEvent>,
    event_count: u64,
}

#[derive(Debug, thiserror::Error)]
enum StateError {
    #[error("cascade state has version {found}, this version reads {}", CascadeState::VERSION)]
    Version { found: u32 },
    #[error("cascade state is about metrics {found:?}, the configuration about {expected:?}")]
    Metrics { found: Vec<String>, expected: Vec<String> },
    #[error("cascade state is damaged: {what}")]
    Damaged { what: &'static str },
}

impl CascadeState {
    /// The version of the format that this crate reads and writes.
    pub const VERSION: u32 = 1;

    fn check(&self, detector: &CascadeDetector) -> Result<(), StateError> {
        if self.version != Self::VERSION {
            return Err(StateError::Version { found: self.version });
        }
        let expected: Vec<_> = detector.watched.iter().map(|watched| watched.name.clone()).collect();
        if self.metrics != expected {
            return Err(StateError::Metrics { found: self.metrics.clone(), expected });
        }
        let fits = |is_valid: bool, what| if is_valid { Ok(()) } else { Err(StateError::Damaged { what }) };
        let metrics = self.metrics.len();
        fits(self.watches.len() == metrics, "it lacks a metric")?;
        fits(self.watches.iter().all(watch_is_valid), "a metric has a number out of range")?;
        let names = self.servers.iter().zip(self.servers.iter().skip(1));
        fits(names.into_iter().all(|(a, b)| a.name < b.name), "its servers are not in order")?;
        fits(self.servers.iter().all(|server| server.series.len() == metrics), "a server lacks a metric")?;
        fits(self.servers.iter().all(|server| self.server_is_valid(server)), "a baseline is out of range")
    }

    fn server_is_valid(&self, server: &ServerTrack) -> bool {
        let is_valid = |(series, watch): (&Series, &Watch)| {
            series.baseline.is_valid() && place_is_valid(series.joined, watch.ongoing.as_ref())
        };
        server.series.iter().zip(&self.watches).all(is_valid)
    }
}

impl CascadeDetector {
    /// Returns what is known, to be kept over a restart.
    pub fn state(&self) -> CascadeState {
        CascadeState {
            version: CascadeState::VERSION,
            metrics: self.watched.iter().map(|watched| watched.name.clone()).collect(),
            judged_to: self.judged_to,
            servers: self.servers.clone(),
            watches: self.watches.clone(),
            recent: self.recent.iter().map(|event| CascadeEvent::clone(event)).collect(),
            event_count: self.event_count,
        }
    }

    /// Goes on from what another detector of the same metrics knew. The report is empty until the next step.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the state is of another version or other metrics, [`ErrorKind::Corrupt`] if it
    /// contradicts itself; the detector stays as it was.
    pub fn restore(&mut self, state: CascadeState) -> Result<(), Error> {
        state.check(self)?;
        let dropped = state.recent.len().saturating_sub(self.config.events_max);
        self.recent = state.recent.into_iter().skip(dropped).map(Arc::new).collect::<VecDeque<_>>();
        self.judged_to = state.judged_to;
        self.servers = state.servers;
        self.watches = state.watches;
        self.event_count = state.event_count;
        self.clear_report();
        Ok(())
    }
}

impl From<StateError> for Error {
    fn from(error: StateError) -> Self {
        let kind = match error {
            StateError::Version { .. } | StateError::Metrics { .. } => ErrorKind::InvalidInput,
            StateError::Damaged { .. } => ErrorKind::Corrupt,
        };
        Self::new(kind, error)
    }
}

fn watch_is_valid(watch: &Watch) -> bool {
    let share_is_valid = (0.0..=1.0).contains(&watch.usual_share);
    share_is_valid && watch.correlation.shared.is_finite() && watch.correlation.total.is_finite()
}

/// Whether a place is one of the event that goes on, or of one that is over.
fn place_is_valid(joined: Option<Joined>, ongoing: Option<&CascadeEvent>) -> bool {
    let Some((joined, event)) = joined.zip(ongoing) else { return true };
    joined.event != event.id || joined.place.is_none_or(|place| place < event.affected.len())
}
