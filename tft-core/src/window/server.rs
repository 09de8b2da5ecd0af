//! The state of one server: its ring and the steps that still take samples.

use super::WindowConfig;
use super::fault::Reason;
use super::open_step::{OpenStep, Placement, Sample};
#[cfg(feature = "parquet")]
use super::ring::Mark;
use super::ring::Ring;
use crate::schema::{Aggregation, Profile, ServerName};
use crate::time::{Step, Timestamp};

/// The state of one server; it has at least one sample.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) name: ServerName,
    pub(super) profile: Profile,
    pub(super) samples_accepted: u64,
    ring: Ring,
    /// The samples of step `k` are at `k mod (grace_steps + 1)`: no two steps that take samples collide.
    open_steps: Box<[OpenStep]>,
}

/// What every server of a window needs to know to take a sample.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) config: WindowConfig,
    /// One per metric.
    pub(super) aggregations: Box<[Aggregation]>,
}

impl Server {
    /// Makes room for a server whose first sample lies in `first`.
    pub(super) fn new(name: ServerName, profile: Profile, rules: &Rules, first: Step) -> Self {
        let metrics = rules.aggregations.len();
        let open_step = OpenStep::new(metrics, first);
        Self {
            name,
            profile,
            samples_accepted: 0,
            ring: Ring::new(metrics, rules.config.steps_per_server, first),
            open_steps: vec![open_step; rules.config.grace_steps + 1].into_boxed_slice(),
        }
    }

    /// Takes a sample into its step.
    pub(super) fn add(&mut self, sample: Sample<'_>, rules: &Rules) -> Result<Placement, Reason> {
        let step = rules.config.step.step_at(sample.at);
        let oldest = self.oldest_open(rules);
        if step < oldest {
            return Err(Reason::Late { oldest: rules.config.step.start_of(oldest) });
        }
        if step > self.ring.newest() {
            self.ring.advance_to(step);
        }
        let max = rules.config.samples_per_step_max;
        let (open_step, ring) = self.open_step(step);
        let placement = open_step.add(sample, max, &rules.aggregations, ring);
        match placement {
            Placement::Full => return Err(Reason::StepFull { max }),
            Placement::Appended | Placement::Inserted => {
                // A checkpoint may have said any number.
                self.samples_accepted = self.samples_accepted.saturating_add(1);
            }
            Placement::Completed | Placement::Replaced => {}
        }
        Ok(placement)
    }

    /// Takes steps that are closed when the next sample comes, one sample each, in ascending order and newer than
    /// all before; returns false, and takes none, if they are not newer.
    #[cfg(feature = "parquet")]
    pub(super) fn add_closed<'c>(
        &mut self,
        steps: &[(Step, Mark)],
        columns: impl Fn(usize) -> &'c [f32],
    ) -> bool {
        let is_new = self.ring.sampled_steps() == 0;
        let is_newer = steps.first().is_some_and(|&(first, _)| first > self.ring.newest());
        if is_new || is_newer {
            self.ring.extend(steps, columns);
            self.samples_accepted = self.samples_accepted.saturating_add(steps.len() as u64);
        }
        is_new || is_newer
    }

    /// Forgets the steps before `step`, which the newest one is not.
    pub(super) fn forget_before(&mut self, step: Step) {
        self.ring.forget_before(step);
        for open_step in self.open_steps.iter_mut().filter(|open_step| open_step.step() < step) {
            open_step.reuse_for(open_step.step());
        }
    }

    /// Changes the known values of a metric in `first..=last`.
    pub(super) fn change(
        &mut self,
        metric: usize,
        (first, last): (Step, Step),
        change: impl Fn(Step, f32) -> f32,
    ) {
        for step in first.max(self.ring.oldest()).0..=last.min(self.ring.newest()).0 {
            let value = self.ring.value(metric, Step(step));
            if let Some(cell) = self.ring.row_mut(Step(step)).nth(metric).filter(|_| !value.is_nan()) {
                *cell = change(Step(step), value);
            }
        }
    }

    /// Takes over the profile that a sample tells, if it does.
    pub(super) fn tell_profile(&mut self, told: Option<&Profile>) {
        if let Some(profile) = told.filter(|&profile| *profile != self.profile) {
            self.profile = profile.clone();
        }
    }

    pub(super) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Returns the oldest step that still takes samples.
    pub(super) fn oldest_open(&self, rules: &Rules) -> Step {
        self.ring.newest().plus(-(rules.config.grace_steps as i64))
    }

    /// Returns the samples of a step that still takes more.
    #[cfg(feature = "parquet")]
    pub(super) fn open_samples(&self, step: Step) -> impl Iterator<Item = Sample<'_>> {
        let open_step = &self.open_steps[self.open_index(step)];
        let holds_step = open_step.step() == step;
        open_step.samples().take_while(move |_| holds_step)
    }

    /// Returns the closed steps that have samples, in time order.
    #[cfg(feature = "arrow")]
    pub(super) fn closed_steps(&self, rules: &Rules) -> impl Iterator<Item = Step> {
        let steps = self.ring.oldest().0..self.oldest_open(rules).0;
        steps.map(Step).filter(|&step| self.ring.is_sampled(step))
    }

    pub(super) fn last_sample_at(&self) -> Option<Timestamp> {
        self.open_steps[self.open_index(self.ring.newest())].last_at()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let open_steps = self.open_steps.iter().map(OpenStep::memory_bytes).sum::<usize>();
        size_of::<Self>() + self.ring.memory_bytes() + size_of_val(&*self.open_steps) + open_steps
    }

    fn open_step(&mut self, step: Step) -> (&mut OpenStep, &mut Ring) {
        let open_step = &mut self.open_steps[self.open_index(step)];
        if open_step.step() != step {
            open_step.reuse_for(step);
        }
        (open_step, &mut self.ring)
    }

    fn open_index(&self, step: Step) -> usize {
        step.0.rem_euclid(self.open_steps.len() as i64) as usize
    }
}
