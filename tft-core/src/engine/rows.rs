//! How the steps of a window lie in vectors.
//!
//! Steps are rows, and rows lie in the lanes: row `p` is lane `p % LANES` of vector row `p / LANES`. Vector rows
//! form groups of `G` while there are enough, then groups of one. A buffer of F features holds, group after
//! group and feature after feature, the vectors of the group: `F·R` vectors for a group of R.
//!
//! Step `t` of N is row `(t + rotation) % N`. Where the rotation is the number of a window's first step, each
//! step of a series stays in its row while the window moves on.
#![allow(clippy::inline_always, reason = "code must end up inside the function of its instruction set")]

use std::ops::Range;

use super::simd::Simd;

/// The groups of a number of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowShape {
    pub(super) steps: usize,
    /// Vector rows.
    pub(super) vectors: usize,
    /// Vector rows in full groups; the rest are groups of one.
    grouped: usize,
    lanes: usize,
    group: usize,
    /// The row of step 0.
    rotation: usize,
}

/// Where a step's features lie among the floats of a buffer: at `start`, `start + stride`, ...
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StepPlace {
    pub(super) start: usize,
    pub(super) stride: usize,
}

/// What is done with each group of rows.
pub(super) trait GroupWork<S: Simd> {
    /// Handles the group of R vectors that starts at a vector row.
    fn run<const R: usize>(&mut self, row: usize);
}

impl RowShape {
    pub(super) fn new<S: Simd>(steps: usize, group: usize) -> Self {
        let vectors = steps.div_ceil(S::LANES);
        Self { steps, vectors, grouped: vectors / group * group, lanes: S::LANES, group, rotation: 0 }
    }

    /// Returns this shape with step 0 in the row of a step that is counted from anywhere.
    pub(super) fn rotated_to(self, first_step: i64) -> Self {
        let rotation = first_step.rem_euclid(self.steps.max(1) as i64) as usize;
        Self { rotation, ..self }
    }

    /// Returns the row of a step.
    #[inline(always)]
    pub(super) fn row_of(&self, step: usize) -> usize {
        let row = step + self.rotation;
        if row < self.steps { row } else { row - self.steps }
    }

    /// Returns where a step lies in a buffer of some features.
    #[inline(always)]
    pub(super) fn place(&self, features: usize, step: usize) -> StepPlace {
        self.place_of_row(features, self.row_of(step))
    }

    /// Returns where a row lies in a buffer of some features.
    #[inline(always)]
    pub(super) fn place_of_row(&self, features: usize, row: usize) -> StepPlace {
        let (row, lane) = (row / self.lanes, row % self.lanes);
        let size = if row < self.grouped { self.group } else { 1 };
        let first = row - row % size;
        StepPlace { start: (features * first + row - first) * self.lanes + lane, stride: size * self.lanes }
    }

    /// Returns where the vectors of one feature lie in a buffer of some features, group after group, and which
    /// vector rows they are.
    #[inline(always)]
    pub(super) fn vectors_of(
        self,
        features: usize,
        feature: usize,
    ) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let groups = (0..self.grouped).step_by(self.group).map(move |row| (row, self.group));
        groups.chain((self.grouped..self.vectors).map(|row| (row, 1))).map(move |(row, size)| {
            let first = features * row + feature * size;
            (first..first + size, row..row + size)
        })
    }

    /// Runs work on every group; G is the size that the shape was made with.
    #[inline(always)]
    pub(super) fn each_group<S: Simd, const G: usize>(&self, work: &mut impl GroupWork<S>) {
        let mut row = 0;
        while row < self.grouped {
            work.run::<G>(row);
            row += G;
        }
        while row < self.vectors {
            work.run::<1>(row);
            row += 1;
        }
    }
}

/// The vectors of a group in a buffer of some features.
#[inline(always)]
pub(super) fn group<S: Simd, const R: usize>(buffer: &[S], features: usize, row: usize) -> &[[S; R]] {
    buffer[features * row..features * (row + R)].as_chunks().0
}

/// The vectors of a group in a buffer of some features, to be written.
#[inline(always)]
pub(super) fn group_mut<S: Simd, const R: usize>(
    buffer: &mut [S],
    features: usize,
    row: usize,
) -> &mut [[S; R]] {
    buffer[features * row..features * (row + R)].as_chunks_mut().0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::simd::Lanes;

    #[test]
    fn every_step_has_a_place_of_its_own() {
        let shape = RowShape::new::<Lanes>(45, 2).rotated_to(-3);
        let mut taken = vec![false; shape.vectors * 3 * Lanes::LANES];
        for step in 0..45 {
            let place = shape.place(3, step);
            for feature in 0..3 {
                let at = place.start + feature * place.stride;
                assert!(!std::mem::replace(&mut taken[at], true), "step {step} feature {feature}");
            }
        }
    }
}
