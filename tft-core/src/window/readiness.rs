//! Whether a server has enough history for a forecast, and if not, why.

use serde::{Deserialize, Serialize};

use super::WindowConfig;
use super::ring::Ring;
use crate::time::{Step, Timestamp};

/// Whether a server has enough history for a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Readiness {
    /// Whether it is ready, or what it lacks.
    pub state: ReadinessState,
    /// Steps of usable history that end at the origin: from the earliest step with a value after which no
    /// gap is longer than [`WindowConfig::gap_fill_steps_max`].
    pub history_steps: usize,
    /// Steps of history that the caller asked for.
    pub needed_steps: usize,
    /// Since when the server is in this state, as far as the held history tells: the end of the data for
    /// `stale` and `gap`, the start of the usable history for `warming_up`, the moment when that became
    /// long enough for `ready`.
    pub since: Timestamp,
}

/// Whether a server is ready, or what it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReadinessState {
    /// There has not been enough data yet.
    WarmingUp,
    /// There is enough data.
    Ready,
    /// There is older data, but a gap too long to fill lies between it and the origin.
    Gap,
    /// The newest data lies too far before the origin to be filled up to it.
    Stale,
}

impl ReadinessState {
    /// Returns the state's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WarmingUp => "warming_up",
            Self::Ready => "ready",
            Self::Gap => "gap",
            Self::Stale => "stale",
        }
    }
}

/// The usable history up to an origin.
struct Usable {
    /// The earliest step with a value after which no gap is too long.
    start: Option<Step>,
    /// The newest step with a value before the gap that ends the history, if one does.
    before_gap: Option<Step>,
}

pub(super) fn assess(ring: &Ring, config: &WindowConfig, origin: Step, needed_steps: usize) -> Readiness {
    let usable = usable_history(ring, config.gap_fill_steps_max, origin);
    let history_steps = usable.start.map_or(0, |start| origin.since(start) as usize + 1);
    let (state, since) = if history_steps >= needed_steps.max(1) {
        let start = usable.start.unwrap_or(origin);
        (ReadinessState::Ready, config.step.start_of(start.plus(needed_steps as i64)))
    } else if origin.since(ring.newest()) > config.gap_fill_steps_max as i64 {
        (ReadinessState::Stale, config.step.end_of(ring.newest()))
    } else if let Some(step) = usable.before_gap {
        (ReadinessState::Gap, config.step.end_of(step))
    } else {
        (ReadinessState::WarmingUp, config.step.start_of(usable.start.unwrap_or(ring.oldest())))
    };
    Readiness { state, history_steps, needed_steps, since }
}

fn usable_history(ring: &Ring, gap_steps_max: usize, origin: Step) -> Usable {
    let mut start = None;
    let mut reach = origin.plus(1);
    let held = (ring.oldest().0..=origin.min(ring.newest()).0).rev().map(Step);
    for step in held.filter(|&step| ring.has_values(step)) {
        if reach.since(step) > gap_steps_max as i64 + 1 {
            return Usable { start, before_gap: Some(step) };
        }
        start = Some(step);
        reach = step;
    }
    Usable { start, before_gap: None }
}
