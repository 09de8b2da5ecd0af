//! Interpretable multi-head attention of one vector of queries (Lim et al. 2021, §4.4): queries in the lanes.
//!
//! All heads share the values, so their weights are averaged before the values are added up.

use super::activation::exp;
use crate::engine::plan::AttentionPlan;
use crate::engine::simd::{Simd, floats};

/// The keys and values of one window, row by row.
pub(crate) struct Keys<'a> {
    /// `[key][heads·width]`
    pub(crate) features: &'a [f32],
    /// `[key][width]`
    pub(crate) values: &'a [f32],
    /// Encoder keys, those of them that are valid, and valid decoder keys.
    pub(crate) encoder: usize,
    pub(crate) encoder_length: usize,
    pub(crate) decoder_length: usize,
}

impl AttentionPlan {
    /// Below this a masked score is as good as none: its exponential is 0.
    const NO_WEIGHT: f32 = -1e6;

    /// Attends from the queries that start at `first`, and hands each head's weights to `report` as
    /// `(head, [key][lane])`. Writes the mixture `[width]` to `y`.
    ///
    /// `scores` and `mean` hold one vector per key.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(
        &self,
        query: impl Fn(usize) -> S,
        first: usize,
        keys: &Keys<'_>,
        [scores, mean]: [&mut [S]; 2],
        y: &mut [S],
        mut report: impl FnMut(usize, &[f32]),
    ) {
        mean.fill(S::splat(0.0));
        let share = S::splat(1.0 / self.heads as f32);
        for head in 0..self.heads {
            let largest = self.scores(&query, [first, head], keys, scores);
            let mut sum = S::splat(0.0);
            for score in scores.iter_mut() {
                *score = exp(score.sub(largest));
                sum = sum.add(*score);
            }
            let inverse = S::splat(1.0).div(sum);
            for (score, mean) in scores.iter_mut().zip(mean.iter_mut()) {
                *score = score.mul(inverse);
                *mean = score.mul_add(share, *mean);
            }
            report(head, floats(scores));
        }
        y.fill(S::splat(0.0));
        for (mean, values) in mean.iter().zip(keys.values.chunks_exact(self.width)) {
            for (y, &value) in y.iter_mut().zip(values) {
                *y = mean.mul_add(S::splat(value), *y);
            }
        }
    }

    /// Writes the scores of one head and returns the largest of each query.
    #[inline(always)]
    fn scores<S: Simd>(
        &self,
        query: &impl Fn(usize) -> S,
        [first, head]: [usize; 2],
        keys: &Keys<'_>,
        scores: &mut [S],
    ) -> S {
        let masked = self.mask_bias.max(f32::MIN);
        let skipped = if masked <= Self::NO_WEIGHT { f32::NEG_INFINITY } else { masked };
        let mut largest = S::splat(f32::NEG_INFINITY);
        let all_features = self.heads * self.width;
        for (key, score) in scores.iter_mut().enumerate() {
            let step = key.wrapping_sub(keys.encoder);
            let is_encoder = key < keys.encoder;
            let is_hidden = if is_encoder {
                key >= keys.encoder_length
            } else if self.is_causal {
                step >= first + S::LANES
            } else {
                step >= keys.decoder_length
            };
            if is_hidden {
                *score = S::splat(skipped);
                largest = largest.max(*score);
                continue;
            }
            let features = &keys.features[key * all_features + head * self.width..][..self.width];
            let mut dot = S::splat(0.0);
            for (i, &feature) in features.iter().enumerate() {
                dot = query(head * self.width + i).mul_add(S::splat(feature), dot);
            }
            if !is_encoder && self.is_causal && step >= first {
                dot = lane_numbers::<S>(first).where_above(S::splat(step as f32), dot, S::splat(skipped));
            }
            *score = dot;
            largest = largest.max(dot);
        }
        largest
    }
}

/// The query number of each lane.
#[inline(always)]
fn lane_numbers<S: Simd>(first: usize) -> S {
    let numbers: [f32; 16] = std::array::from_fn(|lane| (first + lane) as f32);
    S::load(&numbers)
}
