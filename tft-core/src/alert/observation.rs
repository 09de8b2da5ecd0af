//! What an engine is told of one server at one moment.

use crate::risk::OwnQuantiles;
use crate::schema::{Profile, ServerName};
use crate::time::Step;
use crate::window::{Readiness, ReadinessState, ServerView};

/// What is known of one server at one moment.
#[derive(Debug, Clone, Copy)]
pub struct ServerObservation<'a> {
    /// The server; its forecast is found by this name.
    pub server: &'a ServerName,
    /// Its profile, which rules may select.
    pub profile: &'a Profile,
    /// The newest value of each metric in schema order; NaN, or beyond the end, means missing.
    pub current: &'a [f32],
    /// Whether its state silences alerts: those it has are resolved, and none begins.
    pub is_in_maintenance: bool,
    /// Whether it is ready for the model, if that is known; where it is stale, its alerts are without data.
    pub readiness: Option<Readiness>,
    /// Its risk score, 0 to 100, if it was assessed.
    pub risk_score: Option<f64>,
    /// The quantiles of its own history.
    pub own_quantiles: OwnQuantiles<'a>,
    /// Its recent past; without it, rules that look back know nothing.
    pub history: Option<ObservedHistory<'a>>,
}

/// The recent past of one server, read from the window.
#[derive(Debug, Clone, Copy)]
pub struct ObservedHistory<'a> {
    view: ServerView<'a>,
    origin: Step,
}

impl ServerObservation<'_> {
    pub(super) fn is_stale(&self) -> bool {
        self.readiness.is_some_and(|readiness| readiness.state == ReadinessState::Stale)
    }

    /// The newest value of a metric, if it is known.
    pub(super) fn value(&self, metric: usize) -> Option<f64> {
        self.current.get(metric).filter(|value| value.is_finite()).map(|&value| f64::from(value))
    }
}

impl<'a> ObservedHistory<'a> {
    /// Reads the steps up to `origin`.
    pub fn new(view: ServerView<'a>, origin: Step) -> Self {
        Self { view, origin }
    }

    /// Copies the newest steps of a metric, the newest last; NaN is missing.
    pub(super) fn copy(&self, metric: usize, out: &mut [f32]) {
        self.view.copy_history(metric, self.origin, out);
    }

    /// How many steps before the server's newest one a metric had its newest value; where it has none, all that are held.
    pub(super) fn missing_steps(&self, metric: usize) -> usize {
        let newest = self.view.newest_step().min(self.origin);
        let oldest = self.view.oldest_step();
        let held = (oldest.0..=newest.0).rev().map(Step);
        held.take_while(|&step| self.view.value(metric, step).is_none()).count()
    }
}
