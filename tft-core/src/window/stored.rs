//! What a checkpoint keeps of a window, and how a window is made from it again.
//!
//! Closed steps leave as one sample at their first instant, steps that still take samples as their raw
//! samples. Both come back through the same fold as live samples, so that the restored window treats what
//! follows as the saved one would have.

use super::closed::StoredSample;
use super::fault::{Fault, Reason};
use super::open_step::Sample;
use super::ring::Mark;
use super::{Record, RollingWindow, ServerView};
use crate::error::Error;
use crate::schema::{Profile, Schema, ServerName, Status};
use crate::time::{Step, StepLength, Timestamp};

impl ServerView<'_> {
    /// Returns what is measured.
    pub(crate) fn schema(&self) -> &Schema {
        &self.window.schema
    }

    /// Visits what a checkpoint keeps of this server, in time order.
    pub(crate) fn visit_stored<E>(
        &self,
        mut visit: impl FnMut(StoredSample<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.try_visit_closed(&mut visit)?;
        self.visit_open(visit)
    }

    /// Visits the samples of the steps that still take more, in time order of the steps.
    pub(crate) fn visit_open<E>(
        &self,
        mut visit: impl FnMut(StoredSample<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let rules = &self.window.rules;
        let open_steps = self.server.oldest_open(rules).0..=self.newest_step().0;
        for sample in open_steps.flat_map(|step| self.server.open_samples(Step(step))) {
            visit(StoredSample { at: sample.at, status: sample.mark.status(), values: sample.values })?;
        }
        Ok(())
    }
}

impl RollingWindow {
    /// Takes a sample from a checkpoint; returns false if its step no longer takes samples.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) if it names a server too many.
    pub(crate) fn restore(
        &mut self,
        name: &ServerName,
        profile: Option<&Profile>,
        sample: StoredSample<'_>,
    ) -> Result<bool, Error> {
        let StoredSample { at, status, values } = sample;
        let sample = Sample { at, mark: Mark::of(status), values };
        let infer = || self.schema.profiles().infer(name.as_str()).clone();
        match self.fleet.add(name, infer, sample, &self.rules) {
            Ok((server, _)) => {
                server.tell_profile(profile);
                Ok(true)
            }
            Err(reason @ Reason::FleetFull { .. }) => Err(does_not_fit(name, reason)),
            Err(_) => Ok(false),
        }
    }

    /// Takes samples of one server from a checkpoint for as long as each is the only one of a closed step; returns
    /// how many, and the rest is for [`restore`](Self::restore). What they make of the window is what it would.
    ///
    /// # Shapes
    /// `columns`: the samples' values by metric; NaN is a missing one.
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    pub(crate) fn restore_closed<'c>(
        &mut self,
        name: &ServerName,
        profile: Option<&Profile>,
        samples: &[(Timestamp, Option<Status>)],
        columns: impl Fn(usize) -> &'c [f32],
    ) -> Result<usize, Error> {
        let config = &self.rules.config;
        let steps = steps_of(samples, config.step);
        let rising = steps.array_windows().take_while(|[earlier, later]| earlier.0 < later.0).count();
        let Some(&(newest, _)) = steps.get(rising) else { return Ok(0) };
        let oldest_open = newest.plus(-(config.grace_steps as i64));
        let closed = steps[..=rising].partition_point(|&(step, _)| step < oldest_open);
        let infer = || self.schema.profiles().infer(name.as_str()).clone();
        match self.fleet.add_closed(name, infer, (&steps[..closed], columns), &self.rules) {
            Ok(Some(server)) => {
                server.tell_profile(profile);
                Ok(closed)
            }
            Ok(None) => Ok(0),
            Err(reason) => Err(does_not_fit(name, reason)),
        }
    }

    /// Takes a batch again that was taken before, with the same outcome. It may have more records than a new
    /// one may have today.
    pub(crate) fn replay(&mut self, records: &[Record], taken_at: Timestamp) {
        self.take_all(records.iter().enumerate(), taken_at);
    }

    /// Sets the counters that a checkpoint keeps.
    pub(crate) fn restore_counters<'n>(
        &mut self,
        tick_count: u64,
        samples_accepted: impl IntoIterator<Item = (&'n str, u64)>,
    ) {
        self.tick_count = tick_count;
        for (name, count) in samples_accepted {
            if let Some(server) = self.fleet.find_mut(name) {
                server.samples_accepted = count;
            }
        }
    }
}

/// Returns the steps of samples and their statuses.
fn steps_of(samples: &[(Timestamp, Option<Status>)], length: StepLength) -> Vec<(Step, Mark)> {
    let Some(&(first, _)) = samples.first() else { return Vec::new() };
    let mut step = length.step_at(first);
    let mut start_ms = length.start_of(step).as_millis();
    let steps = samples.iter().map(|&(at, status)| {
        // Mostly the next step; a division for each sample would take longer than all else that is done here.
        let after_ms = at.as_millis().saturating_sub(start_ms);
        if (length.as_millis()..2 * length.as_millis()).contains(&after_ms) {
            (step, start_ms) = (step.plus(1), start_ms + length.as_millis());
        } else if !(0..length.as_millis()).contains(&after_ms) {
            step = length.step_at(at);
            start_ms = length.start_of(step).as_millis();
        }
        (step, Mark::of(status))
    });
    steps.collect()
}

fn does_not_fit(name: &ServerName, reason: Reason) -> Error {
    Error::new(crate::ErrorKind::LimitExceeded, Fault::new("server_name", name.as_str(), reason))
}
