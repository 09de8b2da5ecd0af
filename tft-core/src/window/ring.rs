//! The steps of one server as a columnar ring.
//!
//! Owns one contiguous block `[metric][slot]` with `slot = step mod capacity`, and one status byte per
//! slot. NaN marks a missing value: accepted values are finite, so a validity bitmap would say the same
//! again, and the model wants NaN or a filled value anyway.

use crate::schema::Status;
use crate::time::Step;

/// The steps of one server; never without a sampled step once the first one is written.
#[derive(Clone)]
pub(super) struct Ring {
    capacity: usize,
    values: Box<[f32]>,
    marks: Box<[Mark]>,
    oldest: Step,
    newest: Step,
    sampled_steps: usize,
}

/// The status byte of a step: a status code, or one of the two values above all codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(u8);

impl Mark {
    /// The step has no sample.
    pub(super) const EMPTY: Self = Self(u8::MAX);
    /// The step has samples, none of which tells a status.
    pub(super) const NO_STATUS: Self = Self(u8::MAX - 1);

    pub(super) fn of(status: Option<Status>) -> Self {
        status.map_or(Self::NO_STATUS, |status| Self(status.0))
    }

    pub(super) fn status(self) -> Option<Status> {
        (self.0 < Self::NO_STATUS.0).then_some(Status(self.0))
    }
}

impl Ring {
    pub(super) fn new(metrics: usize, capacity: usize, first: Step) -> Self {
        Self {
            capacity,
            values: vec![f32::NAN; metrics * capacity].into_boxed_slice(),
            marks: vec![Mark::EMPTY; capacity].into_boxed_slice(),
            oldest: first,
            newest: first,
            sampled_steps: 0,
        }
    }

    /// Makes `step` the newest; what falls out of the capacity is forgotten. The caller writes it next.
    pub(super) fn advance_to(&mut self, step: Step) {
        if step.since(self.newest) >= self.capacity as i64 {
            self.values.fill(f32::NAN);
            self.marks.fill(Mark::EMPTY);
            self.sampled_steps = 0;
            self.oldest = step;
        } else if self.sampled_steps > 0 {
            for offset in 1..=step.since(self.newest) {
                self.clear(self.newest.plus(offset));
            }
        }
        self.newest = step;
    }

    /// Writes steps that are newer than all before, in ascending order.
    ///
    /// # Shapes
    /// `columns`: `[metric][step]`.
    #[cfg(feature = "parquet")]
    pub(super) fn extend<'c>(&mut self, steps: &[(Step, Mark)], columns: impl Fn(usize) -> &'c [f32]) {
        let (Some(&(first, _)), Some(&(last, _))) = (steps.first(), steps.last()) else { return };
        self.advance_to(last);
        let mut start = steps.partition_point(|(step, _)| last.since(*step) >= self.capacity as i64);
        self.sampled_steps += steps.len() - start;
        let metrics = self.values.len() / self.capacity;
        for run in steps[start..].chunk_by(|earlier, later| later.0.since(earlier.0) == 1) {
            let slot = self.slot(run[0].0);
            let until_wrap = run.len().min(self.capacity - slot);
            for (index, &(_, mark)) in run.iter().enumerate() {
                self.marks[if index < until_wrap { slot + index } else { index - until_wrap }] = mark;
            }
            for metric in 0..metrics {
                let (older, newer) = columns(metric)[start..start + run.len()].split_at(until_wrap);
                let column = &mut self.values[metric * self.capacity..(metric + 1) * self.capacity];
                column[slot..slot + until_wrap].copy_from_slice(older);
                column[..newer.len()].copy_from_slice(newer);
            }
            start += run.len();
        }
        self.oldest = self.oldest.min(first);
        self.skip_to_oldest_sampled();
    }

    /// Forgets the values of a step before its samples are folded in again.
    pub(super) fn clear(&mut self, step: Step) {
        let slot = self.slot(step);
        if self.marks[slot] == Mark::EMPTY {
            return;
        }
        self.marks[slot] = Mark::EMPTY;
        self.sampled_steps -= 1;
        for value in self.values.iter_mut().skip(slot).step_by(self.capacity) {
            *value = f32::NAN;
        }
    }

    /// Forgets the steps before `step`, which the newest one is not.
    pub(super) fn forget_before(&mut self, step: Step) {
        while self.oldest < step.min(self.newest) {
            self.clear(self.oldest);
            self.oldest = self.oldest.plus(1);
        }
        self.skip_to_oldest_sampled();
    }

    /// Marks a step as sampled; a sample without status leaves the status of the step as it is.
    pub(super) fn mark(&mut self, step: Step, mark: Mark) {
        let slot = self.slot(step);
        let before = self.marks[slot];
        self.sampled_steps += usize::from(before == Mark::EMPTY);
        if before == Mark::EMPTY || mark != Mark::NO_STATUS {
            self.marks[slot] = mark;
        }
        self.oldest = self.oldest.min(step);
        self.skip_to_oldest_sampled();
    }

    /// Returns the cells of a step, one per metric.
    pub(super) fn row_mut(&mut self, step: Step) -> impl Iterator<Item = &mut f32> {
        let slot = self.slot(step);
        self.values.chunks_exact_mut(self.capacity).map(move |column| &mut column[slot])
    }

    /// Returns the values of a step that the ring spans, one per metric.
    pub(super) fn row(&self, step: Step) -> impl Iterator<Item = f32> {
        self.values.iter().skip(self.slot(step)).step_by(self.capacity).copied()
    }

    /// Returns the oldest step that has samples.
    pub(super) fn oldest(&self) -> Step {
        self.oldest
    }

    pub(super) fn newest(&self) -> Step {
        self.newest
    }

    /// Returns the number of steps that have samples.
    pub(super) fn sampled_steps(&self) -> usize {
        self.sampled_steps
    }

    pub(super) fn contains(&self, step: Step) -> bool {
        (self.oldest..=self.newest).contains(&step)
    }

    /// Returns the status byte of a step, [`Mark::EMPTY`] where the ring does not reach.
    pub(super) fn mark_at(&self, step: Step) -> Mark {
        if self.contains(step) { self.marks[self.slot(step)] } else { Mark::EMPTY }
    }

    /// Returns the cell of a step, NaN where the ring does not reach.
    pub(super) fn value(&self, metric: usize, step: Step) -> f32 {
        if !self.contains(step) {
            return f32::NAN;
        }
        self.values.get(metric * self.capacity + self.slot(step)).copied().unwrap_or(f32::NAN)
    }

    /// Returns whether a step has samples.
    pub(super) fn is_sampled(&self, step: Step) -> bool {
        self.mark_at(step) != Mark::EMPTY
    }

    /// Returns whether a step has the value of any metric.
    pub(super) fn has_values(&self, step: Step) -> bool {
        self.is_sampled(step) && self.row(step).any(|value| !value.is_nan())
    }

    /// Returns the values of `first..=last`, which the ring must span, in two runs in time order.
    pub(super) fn span(&self, metric: usize, first: Step, last: Step) -> (&[f32], &[f32]) {
        let Some(column) = self.values.chunks_exact(self.capacity).nth(metric) else { return (&[], &[]) };
        let (start, length) = (self.slot(first), last.since(first) as usize + 1);
        let until_wrap = length.min(self.capacity - start);
        (&column[start..start + until_wrap], &column[..length - until_wrap])
    }

    /// Returns the status bytes of `first..=last`, which the ring must span, in two runs in time order.
    #[cfg(feature = "parquet")]
    pub(super) fn mark_span(&self, first: Step, last: Step) -> (&[Mark], &[Mark]) {
        let (start, length) = (self.slot(first), last.since(first) as usize + 1);
        let until_wrap = length.min(self.capacity - start);
        (&self.marks[start..start + until_wrap], &self.marks[..length - until_wrap])
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.values) + size_of_val(&*self.marks)
    }

    fn skip_to_oldest_sampled(&mut self) {
        self.oldest = self.oldest.max(self.newest.plus(1 - self.capacity as i64));
        while self.marks[self.slot(self.oldest)] == Mark::EMPTY && self.oldest < self.newest {
            self.oldest = self.oldest.plus(1);
        }
    }

    fn slot(&self, step: Step) -> usize {
        step.0.rem_euclid(self.capacity as i64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(ring: &mut Ring, step: i64, value: f32) {
        if Step(step) > ring.newest() {
            ring.advance_to(Step(step));
        }
        ring.row_mut(Step(step)).for_each(|cell| *cell = value);
        ring.mark(Step(step), Mark::NO_STATUS);
    }

    #[test]
    fn keeps_the_newest_steps_in_order_across_the_wrap() {
        let mut ring = Ring::new(2, 4, Step(-3));
        for step in -3..=2 {
            write(&mut ring, step, step as f32);
        }
        let (older, newer) = ring.span(1, ring.oldest(), ring.newest());
        assert_eq!([older, newer].concat(), [-1.0, 0.0, 1.0, 2.0]);
        assert_eq!((ring.oldest(), ring.sampled_steps()), (Step(-1), 4));
    }

    #[test]
    fn a_gap_stays_missing_and_the_oldest_step_is_a_sampled_one() {
        let mut ring = Ring::new(1, 4, Step(0));
        write(&mut ring, 0, 1.0);
        write(&mut ring, 3, 2.0);
        assert!(ring.value(0, Step(1)).is_nan() && !ring.has_values(Step(2)));
        write(&mut ring, 4, 3.0);
        assert_eq!((ring.oldest(), ring.sampled_steps()), (Step(3), 2));
    }

    #[test]
    fn a_jump_over_the_capacity_forgets_everything() {
        let mut ring = Ring::new(1, 4, Step(0));
        write(&mut ring, 0, 1.0);
        write(&mut ring, i64::MAX / 300_000, 2.0);
        assert_eq!((ring.oldest(), ring.sampled_steps()), (ring.newest(), 1));
    }
}
