//! Interpretable multi-head attention of one vector of queries (Lim et al. 2021, §4.4): queries in the lanes.
//!
//! All heads share the values, so their weights are averaged before the values are added up.

use super::activation::exp_below_zero;
use crate::engine::plan::AttentionPlan;
use crate::engine::simd::Simd;

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

/// Where attention weights go.
pub(crate) trait Report {
    /// Whether anybody asks for them.
    fn is_wanted(&self) -> bool;

    /// Takes one head's weights `[key][lane]` of the queries from `first` on.
    fn write<S: Simd>(&mut self, first: usize, head: usize, weights: &[S]);
}

impl AttentionPlan {
    /// Below this a masked score is as good as none: its exponential is 0.
    const NO_WEIGHT: f32 = -1e6;

    /// Attends from the queries `[heads·width]` whose first lane is query `first`, and reports each head's weights.
    /// Writes the mixture `[width]` to `y`.
    ///
    /// `scores` and `mean` hold one vector per key.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(
        &self,
        queries: &[S],
        first: usize,
        keys: &Keys<'_>,
        [scores, mean]: [&mut [S]; 2],
        y: &mut [S],
        report: &mut impl Report,
    ) {
        mean.fill(S::splat(0.0));
        let share = S::splat(1.0 / self.heads as f32);
        for (head, query) in queries.chunks_exact(self.width).enumerate() {
            let largest = self.scores(query, [first, head], keys, scores);
            let mut sum = S::splat(0.0);
            for score in scores.iter_mut() {
                *score = exp_below_zero(score.sub(largest));
                sum = sum.add(*score);
            }
            let inverse = S::splat(1.0).div(sum);
            let share_of_sum = inverse.mul(share);
            for (score, mean) in scores.iter().zip(mean.iter_mut()) {
                *mean = score.mul_add(share_of_sum, *mean);
            }
            if report.is_wanted() {
                for score in scores.iter_mut() {
                    *score = score.mul(inverse);
                }
                report.write(first, head, scores);
            }
        }
        for (feature, y) in y.iter_mut().enumerate() {
            *y = mixture(mean, keys.values, self.width, feature);
        }
    }

    /// Writes the scores of one head and returns the largest of each query.
    #[inline(always)]
    fn scores<S: Simd>(
        &self,
        query: &[S],
        [first, head]: [usize; 2],
        keys: &Keys<'_>,
        scores: &mut [S],
    ) -> S {
        let masked = if self.mask_bias <= Self::NO_WEIGHT { f32::NEG_INFINITY } else { self.mask_bias };
        let masked = S::splat(masked);
        let decoder = scores.len() - keys.encoder;
        // The last query of a vector sees the steps before it.
        let visible = if self.is_causal { decoder.min(first + S::LANES - 1) } else { keys.decoder_length };
        scores[keys.encoder_length..keys.encoder].fill(masked);
        scores[keys.encoder + visible..].fill(masked);
        let (encoder_scores, decoder_scores) = scores.split_at_mut(keys.encoder);
        let all = self.heads * self.width;
        let of_head = &keys.features[head * self.width..];
        dot_products(query, of_head, all, &mut encoder_scores[..keys.encoder_length]);
        let of_decoder = of_head.get(keys.encoder * all..).unwrap_or_default();
        dot_products(query, of_decoder, all, &mut decoder_scores[..visible]);
        if self.is_causal {
            let lanes = lane_numbers::<S>(first);
            for (step, score) in decoder_scores[..visible].iter_mut().enumerate().skip(first) {
                *score = lanes.where_above(S::splat(step as f32), *score, masked);
            }
        }
        let mut largest = S::splat(f32::NEG_INFINITY);
        for score in scores.iter() {
            largest = largest.max(*score);
        }
        largest
    }
}

/// Writes the products of a query with some keys, whose features start every `stride` numbers.
#[inline(always)]
fn dot_products<S: Simd>(query: &[S], keys: &[f32], stride: usize, scores: &mut [S]) {
    /// Keys at a time: sums that do not wait for one another.
    const KEYS: usize = 4;
    let mut start = 0;
    let (blocks, rest) = scores.as_chunks_mut::<KEYS>();
    for block in blocks {
        let mut sums = [S::splat(0.0); KEYS];
        let mut features: [&[f32]; KEYS] = [&[]; KEYS];
        for key in 0..KEYS {
            features[key] = &keys[start + key * stride..][..query.len()];
        }
        for (i, query) in query.iter().enumerate() {
            for key in 0..KEYS {
                sums[key] = query.mul_add(S::splat(features[key][i]), sums[key]);
            }
        }
        *block = sums;
        start += KEYS * stride;
    }
    for score in rest {
        let mut sum = S::splat(0.0);
        for (query, &feature) in query.iter().zip(&keys[start..]) {
            sum = query.mul_add(S::splat(feature), sum);
        }
        *score = sum;
        start += stride;
    }
}

/// The sum of one feature of the values, times their weights.
#[inline(always)]
fn mixture<S: Simd>(weights: &[S], values: &[f32], width: usize, feature: usize) -> S {
    const KEYS: usize = 4;
    let mut sums = [S::splat(0.0); KEYS];
    let (blocks, rest) = weights.as_chunks::<KEYS>();
    let mut at = feature;
    for block in blocks {
        for key in 0..KEYS {
            sums[key] = block[key].mul_add(S::splat(values[at + key * width]), sums[key]);
        }
        at += KEYS * width;
    }
    for weight in rest {
        sums[0] = weight.mul_add(S::splat(values[at]), sums[0]);
        at += width;
    }
    sums[0].add(sums[1]).add(sums[2].add(sums[3]))
}

/// The query number of each lane.
#[inline(always)]
fn lane_numbers<S: Simd>(first: usize) -> S {
    let numbers: [f32; 16] = std::array::from_fn(|lane| (first + lane) as f32);
    S::load(&numbers)
}
