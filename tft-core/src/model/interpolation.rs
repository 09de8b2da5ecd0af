//! How the reference changes the width of a feature vector.

/// The matrix of linear interpolation with aligned corners, `[input, output]` row by row.
///
/// Positions are found in single precision, as the reference does: in a wide input they are off by parts of
/// a feature that would otherwise show in the weights.
pub(crate) fn interpolation(input: usize, output: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; input * output];
    let scale = if output == 1 { 0.0 } else { (input - 1) as f32 / (output - 1) as f32 };
    for column in 0..output {
        let at = scale * column as f32;
        let low = (at.floor() as usize).min(input - 1);
        let high = (low + 1).min(input - 1);
        let share = (at - low as f32).clamp(0.0, 1.0);
        matrix[low * output + column] += 1.0 - share;
        matrix[high * output + column] += share;
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolation_keeps_corners_and_sums_to_one() {
        let matrix = interpolation(3, 5);
        let column = |index: usize| [matrix[index], matrix[5 + index], matrix[10 + index]];
        let is_close = |found: &[f32], expected: &[f32]| {
            found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-7)
        };
        assert!(is_close(&column(0), &[1.0, 0.0, 0.0]));
        assert!(is_close(&column(1), &[0.5, 0.5, 0.0]));
        assert!(is_close(&column(4), &[0.0, 0.0, 1.0]));
        assert!(is_close(&interpolation(4, 1), &[1.0, 0.0, 0.0, 0.0]));
    }
}
