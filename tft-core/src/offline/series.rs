//! The compact notation of a series of values, as `promtool test rules` has it.
//!
//! Owns the grammar and its limits. Knows nothing of servers, metrics or time.

/// Reads a series: items that are separated by white space.
///
/// | item | values |
/// |---|---|
/// | `a` | `a` |
/// | `_` | one missing value |
/// | `_xn` | `n` missing values |
/// | `axn` | `a`, and `n` more of it |
/// | `a+bxn`, `a-bxn` | `a`, and `n` more, each `b` higher or lower than the one before |
///
/// As in `promtool`, `n` does not count the first value: `0+5x3` is `0 5 10 15`, and `7x3` is `7 7 7 7`. Missing values
/// come out as NaN. `stale`, which Prometheus has besides, means nothing here: a value that is missing is missing.
///
/// # Errors
/// The position and the text of the first item that is none, or that has more values than `values_max` leaves room
/// for.
pub(super) fn parse_series(text: &str, values_max: usize) -> Result<Vec<f64>, SeriesError> {
    let mut values = Vec::new();
    for (at, item) in items(text) {
        let error = |reason| SeriesError { character: at + 1, item: crate::time::abbreviate(item), reason };
        let run = Run::parse(item).ok_or_else(|| error(Reason::NoItem))?;
        if values.len().saturating_add(run.count) > values_max {
            return Err(error(Reason::TooMany { max: values_max }));
        }
        values.extend((0..run.count).map(|index| run.start + run.step * index as f64));
        if values.last().is_some_and(|last| last.is_infinite()) {
            return Err(error(Reason::TooLarge));
        }
    }
    Ok(values)
}

/// An item that cannot be used, and where it stands.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{item}` at character {character} {reason}")]
pub(super) struct SeriesError {
    character: usize,
    item: String,
    reason: Reason,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("is not a number, `_`, or one of them repeated as in `7x4`, `0+5x10`, `100-1x5`, `_x3`")]
    NoItem,
    #[error("makes more than {max} values")]
    TooMany { max: usize },
    #[error("leads to a value that is too large")]
    TooLarge,
}

/// `count` values from `start` on; all missing if `start` is NaN.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: f64,
    step: f64,
    count: usize,
}

impl Run {
    fn parse(item: &str) -> Option<Self> {
        if let Some(rest) = item.strip_prefix('_') {
            let count = if rest.is_empty() { 1 } else { repeats(rest)? };
            return Some(Self { start: f64::NAN, step: 0.0, count });
        }
        let (start, rest) = leading_number(item)?;
        if rest.is_empty() {
            return Some(Self { start, step: 0.0, count: 1 });
        }
        let (step, rest) = match rest.as_bytes()[0] {
            b'+' => leading_number(&rest[1..])?,
            b'-' => leading_number(&rest[1..]).map(|(step, rest)| (-step, rest))?,
            _ => (0.0, rest),
        };
        Some(Self { start, step, count: repeats(rest)?.saturating_add(1) })
    }
}

/// Splits a text into its items and the number of characters before each.
fn items(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_whitespace().map(|item| {
        // An item lies inside the text that it was split from.
        let bytes = item.as_ptr() as usize - text.as_ptr() as usize;
        (text[..bytes].chars().count(), item)
    })
}

/// Reads the `xn` at the end of an item.
fn repeats(text: &str) -> Option<usize> {
    let digits = text.strip_prefix('x').filter(|digits| !digits.is_empty())?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    // A count that is too long for a number is too large for any series.
    Some(digits.parse().unwrap_or(usize::MAX))
}

/// Reads a decimal number, with an exponent or without, and returns what follows it.
fn leading_number(text: &str) -> Option<(f64, &str)> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let whole = digits(end);
    end += whole;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        end += 1 + fraction;
    }
    if whole + fraction == 0 {
        return None;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let exponent = bytes.get(end + 1 + sign..).map_or(0, |_| digits(end + 1 + sign));
        end += if exponent > 0 { 1 + sign + exponent } else { 0 };
    }
    let number: f64 = text[..end].parse().ok()?;
    number.is_finite().then_some((number, &text[end..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 1000;

    fn shown(text: &str) -> String {
        match parse_series(text, MAX) {
            Ok(values) => {
                let word = |value: &f64| if value.is_nan() { "_".to_owned() } else { value.to_string() };
                values.iter().map(word).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_examples_of_promtools_manual_mean_what_they_mean_there() {
        for (text, values) in [
            ("-2+4x3", "-2 2 6 10"),
            (" 1-2x4", "1 -1 -3 -5 -7"),
            ("1x4", "1 1 1 1 1"),
            ("1 _x3 7", "1 _ _ _ 7"),
            ("10 20 _ 30", "10 20 _ 30"),
            ("1e2+0.5x1\n\t-.5", "100 100.5 -0.5"),
            ("5x0", "5"),
            ("_x0", ""),
            ("", ""),
        ] {
            assert_eq!(shown(text), values, "{text}");
        }
    }

    #[test]
    fn errors_say_where_and_what() {
        insta::assert_snapshot!(shown("10 20 3O"), @"`3O` at character 7 is not a number, `_`, or one of them repeated as in `7x4`, `0+5x10`, `100-1x5`, `_x3`");
        insta::assert_snapshot!(shown("é 1"), @"`é` at character 1 is not a number, `_`, or one of them repeated as in `7x4`, `0+5x10`, `100-1x5`, `_x3`");
        insta::assert_snapshot!(shown("1 0+5x1000"), @"`0+5x1000` at character 3 makes more than 1000 values");
        insta::assert_snapshot!(shown("1x99999999999999999999999"), @"`1x99999999999999999999999` at character 1 makes more than 1000 values");
        insta::assert_snapshot!(shown("1e308+1e308x9"), @"`1e308+1e308x9` at character 1 leads to a value that is too large");
        for text in
            ["stale", "1+2", "1+x3", "x3", "_3", "1x", "1x-2", "nan", "inf", "1e999", "--1", "1+2x3y", "."]
        {
            assert!(parse_series(text, MAX).is_err(), "{text}");
        }
    }

    /// One item as its parts, so that a naive expander need not parse.
    #[derive(Debug, Clone)]
    enum Item {
        Missing(Option<u8>),
        Run { start: i32, step: Option<i32>, count: Option<u8> },
    }

    impl Item {
        fn text(&self) -> String {
            match self {
                Self::Missing(None) => "_".to_owned(),
                Self::Missing(Some(count)) => format!("_x{count}"),
                Self::Run { start, count: None, .. } => start.to_string(),
                Self::Run { start, step: None, count: Some(count) } => format!("{start}x{count}"),
                Self::Run { start, step: Some(step), count: Some(count) } => {
                    format!("{start}{step:+}x{count}")
                }
            }
        }

        fn values(&self) -> Vec<Option<i64>> {
            let (mut values, mut value) = (Vec::new(), 0);
            let (more, step) = match self {
                Self::Missing(count) => return vec![None; usize::from(count.unwrap_or(1))],
                Self::Run { start, step, count } => {
                    value += i64::from(*start);
                    (count.unwrap_or(0), step.filter(|_| count.is_some()).unwrap_or(0))
                }
            };
            values.push(Some(value));
            for _ in 0..more {
                value += i64::from(step);
                values.push(Some(value));
            }
            values
        }
    }

    fn item() -> impl Strategy<Value = Item> {
        let small = -1000..1000_i32;
        let run = (small.clone(), prop::option::of(small), prop::option::of(0..20_u8))
            .prop_map(|(start, step, count)| Item::Run { start, step, count });
        prop_oneof![prop::option::of(0..20_u8).prop_map(Item::Missing), run]
    }

    proptest! {
        #[test]
        fn series_expand_as_a_naive_expander_expands_them(items in prop::collection::vec(item(), 0..12)) {
            let text = items.iter().map(Item::text).collect::<Vec<_>>().join(" ");
            let expected: Vec<_> = items.iter().flat_map(Item::values).collect();
            let parsed = parse_series(&text, MAX).unwrap();
            let parsed: Vec<_> = parsed.iter().map(|value| (!value.is_nan()).then_some(*value as i64)).collect();
            prop_assert_eq!(parsed, expected);
        }

        #[test]
        fn no_text_panics_or_grows_beyond_the_limit(text in "[-+._x0-9e ]{0,40}|.{0,20}") {
            if let Ok(values) = parse_series(&text, 50) {
                prop_assert!(values.len() <= 50);
                prop_assert!(values.iter().all(|value| !value.is_infinite()));
            }
        }
    }
}
