//! Sums in single precision with the rounding of PyTorch on a CPU.
//!
//! A mean of window values is an input of the network, and its last bits depend on the order of additions:
//! PyTorch adds four interleaved rows, each in blocks whose sums go up a level when full (`cascade_sum` in
//! `aten/src/ATen/native/cpu/SumKernel.cpp`), of eight lanes side by side where values are adjacent in
//! memory. The same order here gives the same bits.

/// How a tensor lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model::encoding) enum Layout {
    /// Value after value.
    Adjacent,
    /// A column of a table.
    Strided,
}

const LANES: usize = 8;
const ROWS: usize = 4;
const LEVELS: usize = 4;

/// The mean of values, rounded as PyTorch rounds it.
pub(super) fn mean(values: &[f32], layout: Layout) -> f32 {
    let sum = match layout {
        Layout::Adjacent if values.len() >= LANES => sum_of_lanes(values),
        _ => {
            let (scalars, _) = values.as_chunks::<1>();
            sum_of_rows(scalars)[0]
        }
    };
    sum / values.len() as f32
}

fn sum_of_lanes(values: &[f32]) -> f32 {
    let (vectors, rest) = values.as_chunks::<LANES>();
    let lanes = sum_of_rows(vectors);
    rest.iter().chain(&lanes).fold(0.0, |sum, value| sum + value)
}

/// Sums vectors by lane: four interleaved rows, what is left over, then the rows.
fn sum_of_rows<const N: usize>(vectors: &[[f32; N]]) -> [f32; N] {
    let (rows, rest) = vectors.as_chunks::<ROWS>();
    let [mut first, others @ ..] = cascade(rows);
    rest.iter().chain(&others).for_each(|vector| add(&mut first, vector));
    first
}

/// Sums each of four rows in blocks; a full block's sum moves up a level.
fn cascade<const N: usize>(rows: &[[[f32; N]; ROWS]]) -> [[f32; N]; ROWS] {
    let bits = rows.len().next_power_of_two().trailing_zeros() as usize;
    let level_bits = (bits / LEVELS).max(4);
    let mut levels = [[[0.0; N]; ROWS]; LEVELS];
    let full_blocks = rows.len() >> level_bits << level_bits;
    for (index, row) in rows.iter().enumerate() {
        (0..ROWS).for_each(|k| add(&mut levels[0][k], &row[k]));
        if index < full_blocks && (index + 1) % (1 << level_bits) == 0 {
            carry(&mut levels, index + 1, level_bits);
        }
    }
    let [mut total, upper @ ..] = levels;
    for level in &upper {
        (0..ROWS).for_each(|k| add(&mut total[k], &level[k]));
    }
    total
}

fn carry<const N: usize>(levels: &mut [[[f32; N]; ROWS]; LEVELS], count: usize, level_bits: usize) {
    let mask = (1 << level_bits) - 1;
    for level in 1..LEVELS {
        let full = std::mem::replace(&mut levels[level - 1], [[0.0; N]; ROWS]);
        (0..ROWS).for_each(|k| add(&mut levels[level][k], &full[k]));
        if count & (mask << (level * level_bits)) != 0 {
            break;
        }
    }
}

fn add<const N: usize>(sum: &mut [f32; N], values: &[f32; N]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values whose sum rounds differently in every order.
    fn values(count: u32) -> Vec<f32> {
        (0..count).map(|i| 40.0 + ((i.wrapping_mul(2_654_435_761) >> 8) as f32) / 1_048_576.0).collect()
    }

    /// Bits of `torch.tensor(values).mean(-1)` and of the same values as a column, PyTorch 2.15 on x86-64.
    #[test]
    fn means_have_the_bits_of_pytorch() {
        for (count, adjacent, strided) in REFERENCE {
            let values = values(count);
            assert_eq!(mean(&values, Layout::Adjacent).to_bits(), adjacent, "{count} adjacent");
            assert_eq!(mean(&values, Layout::Strided).to_bits(), strided, "{count} strided");
        }
    }

    const REFERENCE: [(u32, u32, u32); 6] = [
        (3, 0x4232_3889, 0x4232_3889),
        (8, 0x423a_708b, 0x423a_708a),
        (17, 0x423e_50d5, 0x423e_50d5),
        (48, 0x423e_db40, 0x423e_db40),
        (288, 0x423f_cd4b, 0x423f_cd4b),
        (2000, 0x423f_ff81, 0x423f_ff80),
    ];
}
