//! Spans of time as people write them: `90s`, `5m`, `1h30m`, `2d`.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// A span of time that is not negative; written as whole numbers with the units `d`, `h`, `m`, `s` and `ms`, the largest
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(i64);

#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a span of time such as `90s`, `5m`, `1h30m` or `2d`, at most ten years")]
struct SpanError {
    text: String,
}

impl Span {
    /// The longest span, in milliseconds: ten years.
    pub const MILLIS_MAX: i64 = 3_652 * 86_400_000;

    /// Takes milliseconds, limited to what a span can be.
    pub const fn from_millis(millis: i64) -> Self {
        let capped = if millis > Self::MILLIS_MAX { Self::MILLIS_MAX } else { millis };
        Self(if capped < 0 { 0 } else { capped })
    }

    /// Reads a span; `0` needs no unit.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] with the text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refused =
            || Error::new(ErrorKind::InvalidInput, SpanError { text: crate::time::abbreviate(text) });
        parse_millis(text.trim()).map(Self).ok_or_else(refused)
    }

    /// Returns the milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        if rest == 0 {
            return f.write_str("0m");
        }
        for (unit, millis) in UNITS {
            if rest >= millis {
                write!(f, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Span {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

fn parse_millis(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut total, mut units) = (text, None, UNITS.iter());
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        // Each unit only after larger ones.
        let (_, millis) = units.find(|(name, _)| *name == unit)?;
        total = number.parse::<i64>().ok()?.checked_mul(*millis)?.checked_add(total.unwrap_or(0));
        total?;
        rest = &rest[digits + letters..];
    }
    total.filter(|total| *total <= Span::MILLIS_MAX)
}

const UNITS: [(&str, i64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_they_are_written() {
        for text in ["0m", "5m", "1h30m", "2d", "90s", "1d2h3m4s5ms", "36h"] {
            let span = Span::parse(text).unwrap();
            assert_eq!(Span::parse(&span.to_string()).unwrap(), span, "{text}");
        }
        assert_eq!(Span::parse("1h30m").unwrap().to_string(), "1h30m");
        assert_eq!(Span::parse("90s").unwrap().to_string(), "1m30s");
        assert_eq!(Span::parse("0").unwrap(), Span::default());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "5", "m", "5m1h", "5m5m", "-5m", "1.5h", "5 m", "9999999999999999999m", "4000d"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
        insta::assert_snapshot!(Span::parse("5min").unwrap_err(), @"`5min` is not a span of time such as `90s`, `5m`, `1h30m` or `2d`, at most ten years");
    }
}
