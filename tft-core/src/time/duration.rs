//! Durations and numbers of steps as people write them: `90s`, `1h30m`, 12.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::{StepLength, abbreviate};
use crate::error::{Error, ErrorKind};

/// A length of time that is written as text: whole numbers of `w`, `d`, `h`, `m`, `s` and `ms`, the largest unit
/// first, each at most once, such as `1h30m`.
///
/// A file may also give milliseconds as a number.
///
/// # Units
/// Milliseconds, 0 to [`DurationMs::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DurationMs(i64);

/// How many steps count: a number of them, or all that a length of time covers.
///
/// A file gives a number for the former and text, as for [`DurationMs`], for the latter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StepSpan {
    /// A number of steps.
    Steps(usize),
    /// As many steps as it takes to cover a time.
    Time(DurationMs),
}

#[derive(Debug, thiserror::Error)]
enum DurationError {
    #[error(
        "duration `{text}` is not a sequence of whole numbers with the units w, d, h, m, s, ms, such as `1h30m`"
    )]
    Text { text: String },
    #[error("duration {millis} ms is not between 0 and {}", DurationMs::MAX)]
    Range { millis: i64 },
}

impl DurationMs {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// The longest duration: 366 days.
    pub const MAX: Self = Self(366 * StepLength::DAY_MS);

    /// Wraps milliseconds.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] unless they lie between 0 and [`MAX`](Self::MAX).
    pub fn from_millis(millis: i64) -> Result<Self, Error> {
        if (0..=Self::MAX.0).contains(&millis) {
            Ok(Self(millis))
        } else {
            Err(DurationError::Range { millis }.into())
        }
    }

    /// Wraps minutes; more than [`MAX`](Self::MAX) is that.
    pub const fn from_minutes(minutes: u32) -> Self {
        let millis = minutes as i64 * 60_000;
        if millis < Self::MAX.0 { Self(millis) } else { Self::MAX }
    }

    /// Returns the length in milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns the length in minutes.
    pub fn as_minutes(self) -> f64 {
        self.0 as f64 / 60_000.0
    }
}

impl StepSpan {
    /// Returns how many steps of a length that is, a part of one counting as one.
    pub fn steps(self, step_length: StepLength) -> usize {
        match self {
            Self::Steps(steps) => steps,
            Self::Time(time) => {
                let (millis, step_ms) = (time.as_millis(), step_length.as_millis());
                (millis / step_ms + i64::from(millis % step_ms > 0)) as usize
            }
        }
    }
}

/// Writes the units that are not zero, the largest first; nothing is `0s`.
impl fmt::Display for DurationMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        // Weeks are read, but `14d` says more than `2w`.
        for &(unit, millis) in &UNITS[1..] {
            if rest >= millis {
                write!(f, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

impl FromStr for DurationMs {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match parse(text) {
            Some(millis) => Self::from_millis(millis),
            None => Err(DurationError::Text { text: abbreviate(text) }.into()),
        }
    }
}

impl fmt::Display for StepSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(1) => f.write_str("1 step"),
            Self::Steps(steps) => write!(f, "{steps} steps"),
            Self::Time(time) => time.fmt(f),
        }
    }
}

impl Serialize for DurationMs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DurationMs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(NumberOrText)? {
            Given::Time(time) => Ok(time),
            Given::Number(number) => {
                let millis = i64::try_from(number).unwrap_or(i64::MAX);
                Self::from_millis(millis).map_err(de::Error::custom)
            }
        }
    }
}

impl Serialize for StepSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Steps(steps) => steps.serialize(serializer),
            Self::Time(time) => time.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for StepSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(NumberOrText)? {
            Given::Time(time) => Self::Time(time),
            Given::Number(steps) => Self::Steps(usize::try_from(steps).unwrap_or(usize::MAX)),
        })
    }
}

impl From<DurationError> for Error {
    fn from(error: DurationError) -> Self {
        Self::new(ErrorKind::InvalidConfig, error)
    }
}

enum Given {
    Number(u64),
    Time(DurationMs),
}

struct NumberOrText;

impl Visitor<'_> for NumberOrText {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"1h30m\", or a whole number from 0")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Given, E> {
        Ok(Given::Number(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Given, E> {
        let error = || E::invalid_value(de::Unexpected::Signed(number), &self);
        u64::try_from(number).map(Given::Number).map_err(|_| error())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Given, E> {
        text.parse().map(Given::Time).map_err(E::custom)
    }
}

/// Reads units in descending order, each at most once; none if that is not what the text is, or too long.
fn parse(text: &str) -> Option<i64> {
    let mut total = 0_i64;
    let mut rest = text;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest[..digits].parse().ok()?;
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = &rest[digits..digits + letters];
        let &(_, millis) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(millis)?)?;
        rest = &rest[digits + letters..];
    }
    (!text.is_empty()).then_some(total)
}

const UNITS: [(&str, i64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, millis, canonical) in [
            ("5m", 300_000, "5m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("2d", 172_800_000, "2d"),
            ("90s", 90_000, "1m30s"),
            ("2w1ms", 1_209_600_001, "14d1ms"),
            ("0s", 0, "0s"),
        ] {
            let duration: DurationMs = text.parse().unwrap();
            assert_eq!((duration.as_millis(), duration.to_string().as_str()), (millis, canonical), "{text}");
        }
        for text in [
            "",
            "5",
            "m",
            "5 m",
            "-5m",
            "30m1h",
            "1m1m",
            "1.5h",
            "5min",
            "367d",
            "99999999999999999999s",
            "5ö",
        ] {
            assert!(text.parse::<DurationMs>().is_err(), "{text}");
        }
    }

    #[test]
    fn files_give_text_or_numbers() {
        let read = |text| serde_json::from_str::<DurationMs>(text).map(DurationMs::as_millis);
        assert_eq!((read("\"5m\"").unwrap(), read("1500").unwrap()), (300_000, 1500));
        let error = read("\"soon\"").unwrap_err().to_string();
        insta::assert_snapshot!(error, @"duration `soon` is not a sequence of whole numbers with the units w, d, h, m, s, ms, such as `1h30m` at line 1 column 6");
        insta::assert_snapshot!(read("-1").unwrap_err(), @r#"invalid value: integer `-1`, expected a duration such as "1h30m", or a whole number from 0 at line 1 column 2"#);
        let span = |text| serde_json::from_str::<StepSpan>(text).unwrap();
        assert_eq!(
            (span("12"), span("\"1h\"")),
            (StepSpan::Steps(12), StepSpan::Time(DurationMs::from_minutes(60)))
        );
        let steps = |text| span(text).steps(StepLength::FIVE_MINUTES);
        assert_eq!((steps("12"), steps("\"1h\""), steps("\"61m\""), steps("\"0s\"")), (12, 12, 13, 0));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(millis in 0..=DurationMs::MAX.0) {
            let duration = DurationMs::from_millis(millis).unwrap();
            prop_assert_eq!(duration.to_string().parse::<DurationMs>().unwrap(), duration);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,12}") {
            drop(text.parse::<DurationMs>());
        }
    }
}
