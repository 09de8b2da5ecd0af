//! What the kernels' tests share: numbers that know how far single precision may be off, and rows in lanes.
//!
//! A kernel's scalar twin computes the paper's formula in double precision with [`Near`] numbers (running error
//! analysis: Higham 2002, §3.3), so that a tolerance follows from the numbers at hand and is never chosen.

use std::ops::{Add, Mul, Sub};

use crate::engine::simd::{Isa, Simd, Work, floats, floats_mut};

/// A number in double precision, and how far a computation of it in single precision may be off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Near {
    pub(super) value: f64,
    pub(super) error: f64,
}

/// A stream of numbers that depends on its seed alone (splitmix64).
pub(super) struct Numbers(pub(super) u64);

/// The unit roundoff of single precision.
const UNIT: f64 = 1.0 / (1 << 24) as f64;
/// How far the activations may be off, as their own test says.
const ACTIVATION: f64 = 3e-7;
/// The worst case of a long computation may be no more than this, or a test would say nothing.
const TOLERANCE_MAX: f64 = 1e-3;
/// What the exponential may be below the point where it is taken for 0.
const EXP_CUT: f64 = 2e-38;

impl Near {
    /// A result that is off by what came in, and then rounded.
    fn rounded(value: f64, error: f64) -> Self {
        Self { value, error: error + UNIT * (value.abs() + error) }
    }

    /// A function of a number that changes by no more than `slope` times as much as the number.
    fn through(self, function: impl Fn(f64) -> f64, slope: f64, off: f64) -> Self {
        Self { value: function(self.value), error: slope * self.error + off }
    }

    pub(super) fn sigmoid(self) -> Self {
        let value = 1.0 / (1.0 + (-self.value).exp());
        // The slope itself changes by less than 0.1 for each unit.
        self.through(|_| value, value * (1.0 - value) + 0.1 * self.error, ACTIVATION)
    }

    pub(super) fn tanh(self) -> Self {
        let value = self.value.tanh();
        // The slope itself changes by less than 0.8 for each unit.
        self.through(|_| value, 1.0 - value * value + 0.8 * self.error, ACTIVATION)
    }

    pub(super) fn elu(self) -> Self {
        self.through(|x| if x > 0.0 { x } else { x.exp_m1() }, 1.0, ACTIVATION * self.value.abs().max(1.0))
    }

    pub(super) fn exp(self) -> Self {
        let value = self.value.exp();
        Self { value, error: value * (self.error.exp_m1() + ACTIVATION) + EXP_CUT }
    }

    /// `1 / self` of a positive number, rounded.
    pub(super) fn inverse(self) -> Self {
        let value = 1.0 / self.value;
        Self::rounded(value, 1.0 / (self.value - self.error) - value)
    }

    /// The root of a positive number, rounded.
    pub(super) fn sqrt(self) -> Self {
        let value = self.value.sqrt();
        Self::rounded(value, value - (self.value - self.error).max(0.0).sqrt())
    }

    /// The sum of some numbers, in whatever order it is formed.
    pub(super) fn sum(terms: impl IntoIterator<Item = Self>) -> Self {
        let (mut value, mut error, mut magnitude, mut count) = (0.0, 0.0, 0.0, 0.0);
        for term in terms {
            value += term.value;
            error += term.error;
            magnitude += term.value.abs() + term.error;
            count += 1.0;
        }
        Self { value, error: error + count * UNIT * magnitude }
    }
}

impl From<f32> for Near {
    fn from(value: f32) -> Self {
        Self { value: f64::from(value), error: 0.0 }
    }
}

impl Add for Near {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::rounded(self.value + other.value, self.error + other.error)
    }
}

impl Sub for Near {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::rounded(self.value - other.value, self.error + other.error)
    }
}

impl Mul for Near {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let error =
            self.value.abs() * other.error + other.value.abs() * self.error + self.error * other.error;
        Self::rounded(self.value * other.value, error)
    }
}

impl Numbers {
    /// Some numbers between -spread and spread.
    pub(super) fn take(&mut self, count: usize, spread: f32) -> Vec<f32> {
        (0..count).map(|_| spread * self.symmetric()).collect()
    }

    /// Some vectors of such numbers.
    pub(super) fn rows(&mut self, count: usize, width: usize, spread: f32) -> Vec<Vec<f32>> {
        (0..count).map(|_| self.take(width, spread)).collect()
    }

    fn symmetric(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// What a kernel does with a group of rows.
pub(super) trait GroupKernel {
    /// Maps rows of features to rows of features; there are as many rows as R vectors have lanes.
    fn run<S: Simd, const R: usize>(&self, rows: &[Vec<f32>]) -> Vec<Vec<f32>>;
}

/// The widths that are tried: no multiples of a block or a vector, and one that is.
pub(super) const WIDTHS: &[usize] = if cfg!(miri) { &[1, 3] } else { &[1, 3, 4, 5, 17] };

/// Most rows of a group.
pub(super) const ROWS: usize = if cfg!(miri) { 16 } else { 64 };

struct EachGroup<'a, K>(&'a K, &'a [Vec<f32>]);

impl<K: GroupKernel> Work for EachGroup<'_, K> {
    type Output = Vec<Vec<Vec<f32>>>;

    #[inline(always)]
    fn run<S: Simd>(self) -> Self::Output {
        let Self(kernel, rows) = self;
        let mut found =
            vec![kernel.run::<S, 1>(&rows[..S::LANES]), kernel.run::<S, 2>(&rows[..2 * S::LANES])];
        found.extend(rows.get(..4 * S::LANES).map(|rows| kernel.run::<S, 4>(rows)));
        found
    }
}

/// Compares a kernel with its twin on every instruction set, in groups of one, two and four vectors.
pub(super) fn assert_twins(
    name: &str,
    kernel: &impl GroupKernel,
    rows: &[Vec<f32>],
    twin: impl Fn(&[f32]) -> Vec<Near>,
) {
    let expected: Vec<Vec<Near>> = rows.iter().map(|row| twin(row)).collect();
    for isa in Isa::available() {
        for found in isa.run(EachGroup(kernel, rows)) {
            for (row, found) in found.iter().enumerate() {
                assert_near(
                    &format!("{name}, row {row} of {}, {}", rows.len(), isa.name()),
                    found,
                    &expected[row],
                );
            }
        }
    }
}

/// Asserts that numbers are as near to their twins as single precision lets them be, which must be near.
pub(super) fn assert_near(name: &str, found: &[f32], expected: &[Near]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (at, (&found, expected)) in found.iter().zip(expected).enumerate() {
        let Near { value, error } = *expected;
        assert!(
            error <= TOLERANCE_MAX * value.abs().max(1.0),
            "{name}: a tolerance of {error} at {at} says nothing"
        );
        let distance = (f64::from(found) - value).abs();
        assert!(distance <= error, "{name}: {found} at {at}, expected {value} within {error}");
    }
}

/// Lays rows into lanes.
#[inline(always)]
pub(super) fn into_lanes<S: Simd, const R: usize>(rows: &[Vec<f32>]) -> Vec<[S; R]> {
    let mut vectors = vec![[S::splat(0.0); R]; rows[0].len()];
    for (feature, vectors) in vectors.iter_mut().enumerate() {
        floats_mut(vectors).iter_mut().zip(rows).for_each(|(lane, row)| *lane = row[feature]);
    }
    vectors
}

/// Takes rows out of lanes.
#[inline(always)]
pub(super) fn from_lanes<S: Simd, const R: usize>(vectors: &[[S; R]]) -> Vec<Vec<f32>> {
    let row = |row: usize| vectors.iter().map(|feature| floats(feature)[row]).collect();
    (0..R * S::LANES).map(row).collect()
}

/// The numbers of a row.
pub(super) fn near(values: &[f32]) -> Vec<Near> {
    values.iter().map(|&value| value.into()).collect()
}

/// Numbers in double precision, as the compiler hands them over.
pub(super) fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}
