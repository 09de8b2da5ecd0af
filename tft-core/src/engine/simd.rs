//! Vectors of single-precision numbers, one type per instruction set.
//!
//! The only file of the crate with `unsafe` code. Every operation is one instruction, or a loop over lanes in
//! the portable type. [`run`] picks the instruction set that the processor has; everything that is generic
//! over [`Simd`] is inlined into a function compiled for it, so helpers carry `#[inline(always)]`.
#![allow(unsafe_code, reason = "instructions of a processor are reached through intrinsics")]
#![allow(clippy::inline_always, reason = "code must end up inside the function of its instruction set")]

/// A vector of single-precision numbers and what can be done with it.
pub(super) trait Simd: Copy + Send + Sync + 'static {
    /// Numbers in a vector.
    const LANES: usize;
    /// The name of the instruction set.
    const NAME: &'static str;

    fn splat(value: f32) -> Self;
    /// The first `LANES` numbers of a slice.
    fn load(values: &[f32]) -> Self;
    /// Writes to the first `LANES` numbers of a slice.
    fn store(self, values: &mut [f32]);
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// `self·factor + summand`, rounded once where the instruction set has it.
    fn mul_add(self, factor: Self, summand: Self) -> Self;
    /// `other` where one of the two is not a number.
    fn max(self, other: Self) -> Self;
    /// `other` where one of the two is not a number.
    fn min(self, other: Self) -> Self;
    fn sqrt(self) -> Self;
    fn round(self) -> Self;
    /// `self·2^exponent` for whole exponents from -126 to 127.
    fn scale_exp2(self, exponent: Self) -> Self;
    /// `1 / self` for numbers from 1 to 1e38, to the last bit or two.
    fn reciprocal(self) -> Self;
    /// `if self > limit { yes } else { no }`, lane by lane.
    fn where_above(self, limit: Self, yes: Self, no: Self) -> Self;

    /// Exchanges vectors and lanes of `LANES` vectors.
    #[inline(always)]
    fn transpose(square: &mut [Self]) {
        let numbers = &mut floats_mut(square)[..Self::LANES * Self::LANES];
        for row in 0..Self::LANES {
            for column in 0..row {
                numbers.swap(row * Self::LANES + column, column * Self::LANES + row);
            }
        }
    }
}

/// The numbers of vectors, lane by lane.
#[inline(always)]
pub(super) fn floats<S: Simd>(vectors: &[S]) -> &[f32] {
    const { assert!(size_of::<S>() == S::LANES * size_of::<f32>()) };
    // SAFETY: a vector is nothing but its numbers, and a number's alignment is the smaller one.
    unsafe { std::slice::from_raw_parts(vectors.as_ptr().cast(), vectors.len() * S::LANES) }
}

/// The numbers of vectors, lane by lane, to be written.
#[inline(always)]
pub(super) fn floats_mut<S: Simd>(vectors: &mut [S]) -> &mut [f32] {
    const { assert!(size_of::<S>() == S::LANES * size_of::<f32>()) };
    // SAFETY: as above, and any numbers are a vector.
    unsafe { std::slice::from_raw_parts_mut(vectors.as_mut_ptr().cast(), vectors.len() * S::LANES) }
}

/// Work that is done with whatever instruction set there is.
pub(super) trait Work {
    type Output;
    fn run<S: Simd>(self) -> Self::Output;
}

/// An instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Isa {
    /// Returns the widest instruction set of this processor.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// Returns all instruction sets of this processor, the widest first.
    pub(super) fn available() -> Vec<Self> {
        let widest = Self::detect();
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if widest != Self::Portable && std::arch::is_x86_feature_detected!("fma") {
                all.insert(0, Self::Avx2);
            }
            if widest == Self::Avx512 {
                all.insert(0, Self::Avx512);
            }
        }
        debug_assert_eq!(all[0], widest);
        all
    }

    /// Returns the instruction set's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => x86::F32x16::NAME,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::F32x8::NAME,
            Self::Portable => Lanes::NAME,
        }
    }

    /// Runs work with this instruction set.
    pub(super) fn run<W: Work>(self, work: W) -> W::Output {
        match self {
            // SAFETY: these values are only made by `detect` and `available`, which asked the processor.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { x86::run_avx512(work) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::run_avx2(work) },
            Self::Portable => run_portable(work),
        }
    }
}

/// A function of its own as those of the other instruction sets: in a build that is not optimised each has a stack
/// frame as large as all that is inlined into it.
#[inline(never)]
fn run_portable<W: Work>(work: W) -> W::Output {
    work.run::<Lanes>()
}

/// Eight numbers in an array.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub(super) struct Lanes([f32; 8]);

impl Lanes {
    #[inline(always)]
    fn zip(self, other: Self, map: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| map(self.0[lane], other.0[lane])))
    }
}

impl Simd for Lanes {
    const LANES: usize = 8;
    const NAME: &'static str = "portable";

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 8])
    }
    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        Self(std::array::from_fn(|lane| values[lane]))
    }
    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        values[..8].copy_from_slice(&self.0);
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        self.mul(factor).add(summand)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.map(f32::sqrt))
    }
    #[inline(always)]
    fn round(self) -> Self {
        Self(self.0.map(f32::round))
    }
    #[inline(always)]
    fn scale_exp2(self, exponent: Self) -> Self {
        self.zip(exponent, |value, n| value * f32::from_bits(((n as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    fn reciprocal(self) -> Self {
        Self(self.0.map(f32::recip))
    }
    #[inline(always)]
    fn where_above(self, limit: Self, yes: Self, no: Self) -> Self {
        let choose = |lane: usize| if self.0[lane] > limit.0[lane] { yes.0[lane] } else { no.0[lane] };
        Self(std::array::from_fn(choose))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[allow(clippy::wildcard_imports, reason = "forty intrinsics")]
    use std::arch::x86_64::*;

    use super::{Simd, Work};

    /// Sixteen numbers in an AVX-512 register.
    #[derive(Debug, Clone, Copy)]
    #[repr(transparent)]
    pub(super) struct F32x16(__m512);

    /// Eight numbers in an AVX register.
    #[derive(Debug, Clone, Copy)]
    #[repr(transparent)]
    pub(super) struct F32x8(__m256);

    /// # Safety
    /// The processor must have AVX-512F.
    #[target_feature(enable = "avx512f,avx2,fma")]
    pub(super) unsafe fn run_avx512<W: Work>(work: W) -> W::Output {
        work.run::<F32x16>()
    }

    /// # Safety
    /// The processor must have AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn run_avx2<W: Work>(work: W) -> W::Output {
        work.run::<F32x8>()
    }

    // SAFETY, for all operations below: vectors are only handled inside `run_avx512` and `run_avx2`, whose
    // callers have checked the processor; loads and stores check the length of their slice.

    impl Simd for F32x16 {
        const LANES: usize = 16;
        const NAME: &'static str = "AVX-512";

        #[inline(always)]
        fn splat(value: f32) -> Self {
            unsafe { Self(_mm512_set1_ps(value)) }
        }
        #[inline(always)]
        fn load(values: &[f32]) -> Self {
            let values = &values[..16];
            unsafe { Self(_mm512_loadu_ps(values.as_ptr())) }
        }
        #[inline(always)]
        fn store(self, values: &mut [f32]) {
            let values = &mut values[..16];
            unsafe { _mm512_storeu_ps(values.as_mut_ptr(), self.0) }
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            unsafe { Self(_mm512_add_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            unsafe { Self(_mm512_sub_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            unsafe { Self(_mm512_mul_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn div(self, other: Self) -> Self {
            unsafe { Self(_mm512_div_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn mul_add(self, factor: Self, summand: Self) -> Self {
            unsafe { Self(_mm512_fmadd_ps(self.0, factor.0, summand.0)) }
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            unsafe { Self(_mm512_max_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn min(self, other: Self) -> Self {
            unsafe { Self(_mm512_min_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            unsafe { Self(_mm512_sqrt_ps(self.0)) }
        }
        #[inline(always)]
        fn round(self) -> Self {
            unsafe { Self(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT }>(self.0)) }
        }
        #[inline(always)]
        fn scale_exp2(self, exponent: Self) -> Self {
            unsafe { Self(_mm512_scalef_ps(self.0, exponent.0)) }
        }
        #[inline(always)]
        fn reciprocal(self) -> Self {
            // An estimate of 14 bits and one step of Newton's method.
            unsafe {
                let estimate = _mm512_rcp14_ps(self.0);
                let error = _mm512_fnmadd_ps(self.0, estimate, _mm512_set1_ps(1.0));
                Self(_mm512_fmadd_ps(estimate, error, estimate))
            }
        }
        #[inline(always)]
        fn where_above(self, limit: Self, yes: Self, no: Self) -> Self {
            unsafe {
                let is_above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, limit.0);
                Self(_mm512_mask_blend_ps(is_above, no.0, yes.0))
            }
        }
        #[inline(always)]
        fn transpose(square: &mut [Self]) {
            let Some(rows) = square.first_chunk_mut::<16>() else { return };
            // Exchanges within squares of 2, 4, 8 and 16. Loops and no closures: those would be functions that
            // are compiled for any processor.
            unsafe {
                let mut twos = *rows;
                for i in (0..16).step_by(2) {
                    twos[i].0 = _mm512_unpacklo_ps(rows[i].0, rows[i + 1].0);
                    twos[i + 1].0 = _mm512_unpackhi_ps(rows[i].0, rows[i + 1].0);
                }
                let mut fours = twos;
                for (i, from) in [(0, 0), (2, 1), (4, 4), (6, 5), (8, 8), (10, 9), (12, 12), (14, 13)] {
                    let (a, b) = (_mm512_castps_pd(twos[from].0), _mm512_castps_pd(twos[from + 2].0));
                    fours[i].0 = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                    fours[i + 1].0 = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
                }
                let mut eights = fours;
                for i in [0, 1, 2, 3, 8, 9, 10, 11] {
                    eights[i].0 = _mm512_shuffle_f32x4::<0x88>(fours[i].0, fours[i + 4].0);
                    eights[i + 4].0 = _mm512_shuffle_f32x4::<0xdd>(fours[i].0, fours[i + 4].0);
                }
                for i in 0..8 {
                    rows[i].0 = _mm512_shuffle_f32x4::<0x88>(eights[i].0, eights[i + 8].0);
                    rows[i + 8].0 = _mm512_shuffle_f32x4::<0xdd>(eights[i].0, eights[i + 8].0);
                }
            }
        }
    }

    impl Simd for F32x8 {
        const LANES: usize = 8;
        const NAME: &'static str = "AVX2";

        #[inline(always)]
        fn splat(value: f32) -> Self {
            unsafe { Self(_mm256_set1_ps(value)) }
        }
        #[inline(always)]
        fn load(values: &[f32]) -> Self {
            let values = &values[..8];
            unsafe { Self(_mm256_loadu_ps(values.as_ptr())) }
        }
        #[inline(always)]
        fn store(self, values: &mut [f32]) {
            let values = &mut values[..8];
            unsafe { _mm256_storeu_ps(values.as_mut_ptr(), self.0) }
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            unsafe { Self(_mm256_add_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            unsafe { Self(_mm256_sub_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            unsafe { Self(_mm256_mul_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn div(self, other: Self) -> Self {
            unsafe { Self(_mm256_div_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn mul_add(self, factor: Self, summand: Self) -> Self {
            unsafe { Self(_mm256_fmadd_ps(self.0, factor.0, summand.0)) }
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            unsafe { Self(_mm256_max_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn min(self, other: Self) -> Self {
            unsafe { Self(_mm256_min_ps(self.0, other.0)) }
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            unsafe { Self(_mm256_sqrt_ps(self.0)) }
        }
        #[inline(always)]
        fn round(self) -> Self {
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
            unsafe { Self(_mm256_round_ps::<NEAREST>(self.0)) }
        }
        #[inline(always)]
        fn scale_exp2(self, exponent: Self) -> Self {
            unsafe {
                let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(exponent.0), _mm256_set1_epi32(127));
                let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent));
                Self(_mm256_mul_ps(self.0, power))
            }
        }
        #[inline(always)]
        fn reciprocal(self) -> Self {
            // An estimate of 12 bits and one step of Newton's method.
            unsafe {
                let estimate = _mm256_rcp_ps(self.0);
                let error = _mm256_fnmadd_ps(self.0, estimate, _mm256_set1_ps(1.0));
                Self(_mm256_fmadd_ps(estimate, error, estimate))
            }
        }
        #[inline(always)]
        fn where_above(self, limit: Self, yes: Self, no: Self) -> Self {
            unsafe {
                let is_above = _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, limit.0);
                Self(_mm256_blendv_ps(no.0, yes.0, is_above))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Transpose;

    impl Work for Transpose {
        type Output = (usize, Vec<f32>);

        #[inline(always)]
        fn run<S: Simd>(self) -> Self::Output {
            let numbers: Vec<f32> = (0..S::LANES * S::LANES).map(|number| number as f32).collect();
            let mut square: Vec<S> = numbers.chunks_exact(S::LANES).map(S::load).collect();
            S::transpose(&mut square);
            (S::LANES, floats(&square).to_vec())
        }
    }

    #[test]
    fn vectors_and_lanes_change_places() {
        for isa in Isa::available() {
            let (lanes, found) = isa.run(Transpose);
            let expected = (0..lanes * lanes).map(|place| (place % lanes * lanes + place / lanes) as f32);
            assert_eq!(found, expected.collect::<Vec<_>>(), "{}", isa.name());
        }
    }
}
