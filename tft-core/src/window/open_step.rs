//! The raw samples of a step that still takes more of them.
//!
//! Owns the samples in time order and the running sums of their fold, so that the next sample in order
//! costs O(metrics) and any other one can have the step folded again from its start: the result depends
//! on the samples and not on the order of their arrival.

use super::ring::{Mark, Ring};
use crate::schema::Aggregation;
use crate::time::{Step, Timestamp};

/// The raw samples of one step; its buffers are kept when it is reused for a later step.
#[derive(Clone)]
pub(super) struct OpenStep {
    step: Step,
    times: Vec<Timestamp>,
    marks: Vec<Mark>,
    /// `[sample][metric]`.
    values: Vec<f32>,
    sums: Box<[f64]>,
    counts: Box<[u32]>,
}

/// One sample on its way into a step.
#[derive(Clone, Copy)]
pub(super) struct Sample<'a> {
    pub(super) at: Timestamp,
    pub(super) mark: Mark,
    /// One value per metric; NaN is a missing value.
    pub(super) values: &'a [f32],
}

/// What a sample did to its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// It came after all others.
    Appended,
    /// It came between others.
    Inserted,
    /// It added values to the sample of the same timestamp and replaced none.
    Completed,
    /// It replaced a value or the status of the sample of the same timestamp.
    Replaced,
    /// The step has as many samples as it may have.
    Full,
}

impl OpenStep {
    pub(super) fn new(metrics: usize, step: Step) -> Self {
        Self {
            step,
            times: Vec::new(),
            marks: Vec::new(),
            values: Vec::new(),
            sums: vec![0.0; metrics].into_boxed_slice(),
            counts: vec![0; metrics].into_boxed_slice(),
        }
    }

    /// Empties the buffers for another step.
    pub(super) fn reuse_for(&mut self, step: Step) {
        self.step = step;
        self.times.clear();
        self.marks.clear();
        self.values.clear();
        self.reset_fold();
    }

    pub(super) fn step(&self) -> Step {
        self.step
    }

    /// Adds a sample and brings the step's row in the ring up to date.
    pub(super) fn add(
        &mut self,
        sample: Sample<'_>,
        samples_max: usize,
        aggregations: &[Aggregation],
        ring: &mut Ring,
    ) -> Placement {
        let placement = self.place(sample, samples_max);
        match placement {
            Placement::Full => {}
            Placement::Appended => self.fold(self.times.len() - 1, aggregations, ring),
            Placement::Inserted | Placement::Completed | Placement::Replaced => {
                self.reset_fold();
                ring.clear(self.step);
                (0..self.times.len()).for_each(|index| self.fold(index, aggregations, ring));
            }
        }
        placement
    }

    /// Returns the samples in time order.
    #[cfg(feature = "parquet")]
    pub(super) fn samples(&self) -> impl Iterator<Item = Sample<'_>> {
        let rows = self.values.chunks_exact(self.sums.len());
        let heads = self.times.iter().zip(&self.marks);
        heads.zip(rows).map(|((&at, &mark), values)| Sample { at, mark, values })
    }

    pub(super) fn last_at(&self) -> Option<Timestamp> {
        self.times.last().copied()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.times.capacity() * size_of::<Timestamp>()
            + self.marks.capacity() * size_of::<Mark>()
            + self.values.capacity() * size_of::<f32>()
            + size_of_val(&*self.sums)
            + size_of_val(&*self.counts)
    }

    fn place(&mut self, sample: Sample<'_>, samples_max: usize) -> Placement {
        // Nearly every sample is the newest of its step: no search, which would touch all of a long list.
        let is_newest = self.last_at().is_none_or(|last| last < sample.at);
        let index =
            if is_newest { self.times.len() } else { self.times.partition_point(|&at| at < sample.at) };
        if self.times.get(index) == Some(&sample.at) {
            return self.merge(index, sample);
        }
        if self.times.len() >= samples_max {
            return Placement::Full;
        }
        self.times.insert(index, sample.at);
        self.marks.insert(index, sample.mark);
        self.values.extend_from_slice(sample.values);
        if is_newest {
            return Placement::Appended;
        }
        self.values[index * sample.values.len()..].rotate_right(sample.values.len());
        Placement::Inserted
    }

    fn merge(&mut self, index: usize, sample: Sample<'_>) -> Placement {
        let mut replaced = false;
        if sample.mark != Mark::NO_STATUS {
            replaced = self.marks[index] != Mark::NO_STATUS;
            self.marks[index] = sample.mark;
        }
        let start = index * sample.values.len();
        for (held, &value) in self.values[start..].iter_mut().zip(sample.values) {
            if !value.is_nan() {
                replaced |= !held.is_nan();
                *held = value;
            }
        }
        if replaced { Placement::Replaced } else { Placement::Completed }
    }

    fn reset_fold(&mut self) {
        self.sums.fill(0.0);
        self.counts.fill(0);
    }

    /// Folds one sample into the ring's row; samples are folded in time order.
    fn fold(&mut self, index: usize, aggregations: &[Aggregation], ring: &mut Ring) {
        let start = index * self.sums.len();
        let sums = self.sums.iter_mut().zip(&mut self.counts);
        let values = self.values[start..].iter().zip(aggregations);
        for ((cell, (&value, &aggregation)), (sum, count)) in ring.row_mut(self.step).zip(values).zip(sums) {
            if !value.is_nan() {
                *sum += f64::from(value);
                *count += 1;
                *cell = aggregate(aggregation, *cell, value, *sum, *count);
            }
        }
        ring.mark(self.step, self.marks[index]);
    }
}

/// Returns a step's new value after `value`; `held` is NaN before the first one.
fn aggregate(aggregation: Aggregation, held: f32, value: f32, sum: f64, count: u32) -> f32 {
    match aggregation {
        Aggregation::Mean => (sum / f64::from(count)) as f32,
        Aggregation::Max => held.max(value),
        Aggregation::Last => value,
    }
}
