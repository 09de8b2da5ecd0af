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
        let masked = S::splat(self.mask_bias);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernels::linear::PackedLinear;
    use crate::engine::kernels::near::{Near, Numbers, assert_near, near};
    use crate::engine::kernels::norm::tests::softmax_of_row;
    use crate::engine::simd::{Isa, Work, floats, floats_mut};

    /// Queries, keys and values of one window as they are written: `[step][head·width]`, `[key][width]`.
    #[derive(Debug)]
    struct Window {
        heads: usize,
        width: usize,
        lengths: [usize; 2],
        steps: [usize; 2],
        mask_bias: f32,
        is_causal: bool,
        queries: Vec<Vec<f32>>,
        keys: Vec<Vec<f32>>,
        values: Vec<Vec<f32>>,
    }

    /// `[query]`: the weights of each head one after the other, and then the mixture.
    type Outcome<T> = Vec<Vec<T>>;

    impl Window {
        fn random(sizes: [usize; 2], steps: [usize; 2], lengths: [usize; 2], numbers: &mut Numbers) -> Self {
            let [heads, width] = sizes;
            let all = steps[0] + steps[1];
            Self {
                heads,
                width,
                lengths,
                steps,
                mask_bias: -1e9,
                is_causal: true,
                queries: numbers.rows(steps[1], heads * width, 2.0),
                keys: numbers.rows(all, heads * width, 2.0),
                values: numbers.rows(all, width, 2.0),
            }
        }

        /// The twin of [`AttentionPlan::apply`]: eq. 13-15 with the weights of all heads averaged; a score that
        /// the decoder must not see is the mask's.
        fn of_query(&self, query: usize) -> Vec<Near> {
            let mut weights = Vec::new();
            for head in 0..self.heads {
                let part = head * self.width..(head + 1) * self.width;
                let score = |key: usize| {
                    if !self.is_visible(query, key) {
                        return self.mask_bias.into();
                    }
                    let (asking, key) = (&self.queries[query][part.clone()], &self.keys[key][part.clone()]);
                    Near::sum(near(asking).into_iter().zip(near(key)).map(|(q, k)| q * k))
                };
                weights.push(softmax_of_row(&(0..self.keys.len()).map(score).collect::<Vec<_>>()));
            }
            let share = Near::from(self.heads as f32).inverse();
            let mean = |key: usize| Near::sum(weights.iter().map(|head| head[key] * share));
            let mixture = |feature: usize| {
                let values = self.values.iter().enumerate();
                Near::sum(values.map(|(key, value)| mean(key) * value[feature].into()))
            };
            let mixture: Vec<Near> = (0..self.width).map(mixture).collect();
            weights.concat().into_iter().chain(mixture).collect()
        }

        fn is_visible(&self, query: usize, key: usize) -> bool {
            let decoder = if self.is_causal { query } else { self.lengths[1] };
            if key < self.steps[0] { key < self.lengths[0] } else { key - self.steps[0] < decoder }
        }

        fn plan(&self) -> AttentionPlan {
            let none = || PackedLinear::new(&[], &[], 0);
            AttentionPlan {
                heads: self.heads,
                width: self.width,
                query: none(),
                key: none(),
                value: none(),
                mask_bias: self.mask_bias,
                is_causal: self.is_causal,
            }
        }
    }

    /// The weights of some queries, head after head.
    struct Rows<'a>(&'a mut [Vec<f32>]);

    impl Report for Rows<'_> {
        fn is_wanted(&self) -> bool {
            true
        }

        fn write<S: Simd>(&mut self, _first: usize, _head: usize, weights: &[S]) {
            for (lane, row) in self.0.iter_mut().enumerate() {
                row.extend(floats(weights).iter().copied().skip(lane).step_by(S::LANES));
            }
        }
    }

    impl Work for &Window {
        type Output = Outcome<f32>;

        #[inline(always)]
        fn run<S: Simd>(self) -> Self::Output {
            let (features, values) = (self.keys.concat(), self.values.concat());
            let [encoder_length, decoder_length] = self.lengths;
            let keys = Keys {
                features: &features,
                values: &values,
                encoder: self.steps[0],
                encoder_length,
                decoder_length,
            };
            let mut outcome = vec![Vec::new(); self.steps[1]];
            for (vector, rows) in outcome.chunks_mut(S::LANES).enumerate() {
                let first = vector * S::LANES;
                let mut queries = vec![S::splat(0.0); self.heads * self.width];
                for (feature, lanes) in queries.iter_mut().enumerate() {
                    let lanes = floats_mut(std::slice::from_mut(lanes)).iter_mut();
                    lanes.zip(&self.queries[first..]).for_each(|(lane, query)| *lane = query[feature]);
                }
                let [mut scores, mut mean] = [7.0, 7.0].map(|old| vec![S::splat(old); self.keys.len()]);
                let mut y = vec![S::splat(7.0); self.width];
                let mut rows = Rows(rows);
                self.plan().apply(&queries, first, &keys, [&mut scores, &mut mean], &mut y, &mut rows);
                rows.write(first, 0, &y);
            }
            outcome
        }
    }

    fn check(window: &Window) {
        let expected: Vec<_> = (0..window.steps[1]).map(|query| window.of_query(query)).collect();
        for isa in Isa::available() {
            for (query, (found, expected)) in isa.run(window).iter().zip(&expected).enumerate() {
                let Window { heads, width, steps, lengths, mask_bias, is_causal, .. } = window;
                let name = format!(
                    "{heads} heads of {width}, steps {steps:?}, lengths {lengths:?}, mask {mask_bias}, causal \
                     {is_causal}, query {query}, {}",
                    isa.name()
                );
                assert_near(&name, found, expected);
            }
        }
    }

    #[test]
    fn weights_and_mixture_are_those_of_the_formula() {
        let sizes: &[[usize; 2]] = if cfg!(miri) { &[[2, 1]] } else { &[[1, 1], [1, 17], [3, 5], [4, 4]] };
        let steps: &[[usize; 2]] = if cfg!(miri) { &[[1, 5]] } else { &[[1, 1], [5, 3], [3, 17], [13, 35]] };
        let mut numbers = Numbers(10);
        for (&sizes, &steps) in sizes.iter().flat_map(|sizes| steps.iter().map(move |steps| (sizes, steps))) {
            for lengths in [steps, [1, 1], steps.map(|steps| steps.div_ceil(2))] {
                let mut window = Window::random(sizes, steps, lengths, &mut numbers);
                for (is_causal, mask_bias) in
                    [true, false].into_iter().flat_map(|causal| [-1e9, -1e4, -2.0].map(|bias| (causal, bias)))
                {
                    (window.is_causal, window.mask_bias) = (is_causal, mask_bias);
                    check(&window);
                }
            }
        }
    }

    #[test]
    fn what_is_masked_has_no_weight_at_all() {
        let window = Window::random([2, 3], [5, 3], [2, 2], &mut Numbers(11));
        for isa in Isa::available() {
            for (query, row) in isa.run(&window).iter().enumerate() {
                for (at, weight) in row[..2 * 8].iter().enumerate() {
                    assert_eq!(window.is_visible(query, at % 8), *weight != 0.0, "key {at} of {query}");
                }
            }
        }
    }
}
