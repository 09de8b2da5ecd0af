//! Numbers of JSON, of which short decimals, as metrics are, get their value while they are passed over.

/// Reads a raw JSON value that is a number; one beyond the range of `f64` becomes infinite.
pub(super) fn number(raw: &str) -> Option<f64> {
    let (length, short) = scan(raw.as_bytes())?;
    if length < raw.len() {
        return None;
    }
    short.or_else(|| raw.parse().ok())
}

/// Passes over the number of JSON's grammar that the bytes begin with. Returns its length, and its value if it has few
/// digits and no exponent: with digits and a power of ten that `f64` holds exactly, one division rounds as the standard
/// library's parser does.
pub(super) fn scan(bytes: &[u8]) -> Option<(usize, Option<f64>)> {
    let is_negative = bytes.first() == Some(&b'-');
    let start = usize::from(is_negative);
    let (mut at, mut digits) = pass_digits(bytes, start, 0);
    let mut count = at - start;
    if count == 0 || (count > 1 && bytes[start] == b'0') {
        return None;
    }
    let mut decimals = 0;
    if bytes.get(at) == Some(&b'.') {
        let point = at;
        (at, digits) = pass_digits(bytes, point + 1, digits);
        decimals = at - point - 1;
        if decimals == 0 {
            return None;
        }
        count += decimals;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        return pass_exponent(bytes, at + 1).map(|at| (at, None));
    }
    if count > DIGITS_MAX {
        return Some((at, None));
    }
    let magnitude = digits as f64 / POWERS[decimals];
    Some((at, Some(if is_negative { -magnitude } else { magnitude })))
}

/// Moves past digits, and appends them to those before; beyond [`DIGITS_MAX`] of them the number means nothing.
fn pass_digits(bytes: &[u8], from: usize, before: u64) -> (usize, u64) {
    let (mut at, mut digits) = (from, before);
    while let Some(&byte @ b'0'..=b'9') = bytes.get(at) {
        digits = digits.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        at += 1;
    }
    (at, digits)
}

/// Moves past an exponent's sign and digits.
fn pass_exponent(bytes: &[u8], from: usize) -> Option<usize> {
    let start = from + usize::from(matches!(bytes.get(from), Some(b'+' | b'-')));
    let (at, _) = pass_digits(bytes, start, 0);
    (at > start).then_some(at)
}

/// Integers of so many digits are exact, and so are these powers of ten.
const DIGITS_MAX: usize = 15;
const POWERS: [f64; DIGITS_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_numbers_of_the_grammar_are_numbers() {
        for text in ["", "-", "01", "-00", "1.", ".5", "1e", "1e+", "1.e1", "+1", "1x", "NaN", "\"1\"", "1 "]
        {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(scan(b"12.5,"), Some((4, Some(12.5))));
        assert_eq!(scan(b"1e3}"), Some((3, None)));
        assert_eq!(number("-0.0").map(f64::to_bits), Some((-0.0_f64).to_bits()));
        assert_eq!(number("1e400"), Some(f64::INFINITY));
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_standard_library(
            text in r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
        ) {
            prop_assert_eq!(number(&text).map(f64::to_bits), text.parse::<f64>().ok().map(f64::to_bits));
        }
    }
}
