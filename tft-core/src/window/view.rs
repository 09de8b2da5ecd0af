//! What the window knows of one server, for reading.

use super::RollingWindow;
use super::readiness::{self, Readiness};
use super::server::Server;
use crate::schema::{Profile, ServerName, Status};
use crate::time::{Step, Timestamp};

/// What the window knows of one server.
#[derive(Clone, Copy)]
pub struct ServerView<'a> {
    pub(super) window: &'a RollingWindow,
    pub(super) server: &'a Server,
}

impl<'a> ServerView<'a> {
    /// Returns the server's name.
    pub fn name(&self) -> &'a ServerName {
        &self.server.name
    }

    /// Returns the profile that a record told last, or the one that the name implies.
    pub fn profile(&self) -> &'a Profile {
        &self.server.profile
    }

    /// Returns the newest status in the window, if any sample in it told one.
    pub fn status(&self) -> Option<Status> {
        let ring = self.server.ring();
        let newest_first = (ring.oldest().0..=ring.newest().0).rev();
        newest_first.map(Step).find_map(|step| ring.mark_at(step).status())
    }

    /// Returns the status of a step: the one told last within it.
    pub fn status_at(&self, step: Step) -> Option<Status> {
        self.server.ring().mark_at(step).status()
    }

    /// Returns the newest step with a sample.
    pub fn newest_step(&self) -> Step {
        self.server.ring().newest()
    }

    /// Returns the oldest step with a sample that the window still holds.
    pub fn oldest_step(&self) -> Step {
        self.server.ring().oldest()
    }

    /// Returns the number of steps with samples that the window still holds.
    pub fn step_count(&self) -> usize {
        self.server.ring().sampled_steps()
    }

    /// Returns the instant of the newest sample.
    pub fn last_sample_at(&self) -> Timestamp {
        let newest_step = self.window.config().step.start_of(self.newest_step());
        self.server.last_sample_at().unwrap_or(newest_step)
    }

    /// Returns how many samples with different timestamps were ever accepted: the original system's
    /// `server_timesteps`.
    pub fn samples_accepted(&self) -> u64 {
        self.server.samples_accepted
    }

    /// Returns the value of a metric (by its position in the schema) in a step, unless it is missing or
    /// not held.
    pub fn value(&self, metric: usize, step: Step) -> Option<f32> {
        let value = self.server.ring().value(metric, step);
        (!value.is_nan()).then_some(value)
    }

    /// Returns all held values of a metric in time order, without copying them.
    ///
    /// The first run is followed by the second; together they cover [`oldest_step`](Self::oldest_step) to
    /// [`newest_step`](Self::newest_step), NaN where a value is missing. Both are empty if the schema has no
    /// such metric.
    pub fn history(&self, metric: usize) -> (&'a [f32], &'a [f32]) {
        let ring = self.server.ring();
        ring.span(metric, ring.oldest(), ring.newest())
    }

    /// Copies the steps of a metric that end at `origin` to `out`, NaN where a value is missing or not held.
    ///
    /// # Shapes
    /// `out[i]` is the step `origin - out.len() + 1 + i`.
    pub fn copy_history(&self, metric: usize, origin: Step, out: &mut [f32]) {
        out.fill(f32::NAN);
        let ring = self.server.ring();
        let start = origin.plus(1 - out.len() as i64);
        let (first, last) = (start.max(ring.oldest()), origin.min(ring.newest()));
        if first > last || out.is_empty() {
            return;
        }
        let (older, newer) = ring.span(metric, first, last);
        let at = first.since(start) as usize;
        out[at..at + older.len()].copy_from_slice(older);
        out[at + older.len()..at + older.len() + newer.len()].copy_from_slice(newer);
    }

    /// Copies like [`copy_history`](Self::copy_history) and repeats a value over the missing steps after it,
    /// at most [`gap_fill_steps_max`](super::WindowConfig::gap_fill_steps_max) of them.
    ///
    /// The value may lie before the first step of `out`, and the missing steps may lie after the server's
    /// newest one. What is missing for longer stays NaN from there on.
    ///
    /// # Shapes
    /// `out[i]` is the step `origin - out.len() + 1 + i`.
    pub fn copy_filled_history(&self, metric: usize, origin: Step, out: &mut [f32]) {
        self.copy_history(metric, origin, out);
        let limit = self.window.config().gap_fill_steps_max;
        let start = origin.plus(1 - out.len() as i64);
        let mut age = 0;
        let mut held = f32::NAN;
        if out.first().is_some_and(|value| value.is_nan()) {
            (held, age) = self.newest_before(metric, start, limit);
        }
        for value in out {
            if !value.is_nan() {
                (held, age) = (*value, 0);
            } else if age < limit {
                *value = held;
                age += 1;
            }
        }
    }

    /// Returns whether a model that reads `needed_steps` steps up to `origin` can forecast this server.
    pub fn readiness(&self, origin: Step, needed_steps: usize) -> Readiness {
        readiness::assess(self.server.ring(), self.window.config(), origin, needed_steps)
    }

    /// Returns the newest value before `step`, at most `limit` steps before it, and how many missing steps
    /// lie between them.
    fn newest_before(&self, metric: usize, step: Step, limit: usize) -> (f32, usize) {
        let values =
            (0..limit).map(|age| (self.server.ring().value(metric, step.plus(-1 - age as i64)), age));
        values.into_iter().find(|(value, _)| !value.is_nan()).unwrap_or((f32::NAN, limit))
    }
}

impl std::fmt::Debug for ServerView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerView")
            .field("name", self.name())
            .field("oldest_step", &self.oldest_step())
            .field("newest_step", &self.newest_step())
            .finish_non_exhaustive()
    }
}
