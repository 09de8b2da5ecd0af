//! Timestamps, steps and the calendar.
//!
//! Owns the model's clock: an instant is a [`Timestamp`], the clock's fixed interval a [`StepLength`],
//! and a numbered interval a [`Step`]; a length of time as people write it is a [`DurationMs`]. Never reads the system clock; time comes in as an argument.

mod duration;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use duration::{DurationMs, StepSpan};

use crate::error::{Error, ErrorKind};

/// An instant in milliseconds since 1970-01-01T00:00:00Z.
///
/// # Units
/// Milliseconds; the range is that of the years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// The fixed interval of the model's clock, a whole number of which make a day.
///
/// # Units
/// Milliseconds, from one second to one day; default 300,000 (five minutes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct StepLength(i64);

/// The number of an interval: step `k` of length `d` covers `[k·d, (k+1)·d)` milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Step(pub i64);

/// The calendar fields of an instant in UTC that models use as known inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CalendarTime {
    /// Hour of the day, 0–23.
    pub hour: u8,
    /// Minute of the hour, 0–59.
    pub minute: u8,
    /// Day of the week, Monday 0 to Sunday 6.
    pub weekday: u8,
    /// Day of the month, 1–31.
    pub day: u8,
    /// Month of the year, 1–12.
    pub month: u8,
    /// Milliseconds since midnight, 0–86,399,999.
    pub millis_of_day: u32,
}

#[derive(Debug, thiserror::Error)]
enum TimeError {
    #[error(
        "timestamp `{value}` is not RFC 3339, a date and time without offset, or Unix seconds or milliseconds"
    )]
    Unreadable { value: String },
    #[error("timestamp {value} is outside the years 1 to 9999")]
    OutOfRange { value: String },
    #[error("step length {millis} ms does not divide a day into whole steps of at least one second")]
    StepLength { millis: i64 },
}

impl Timestamp {
    /// The earliest instant that is accepted: 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800_000);
    /// The latest instant that is accepted: 9999-12-30T22:00:00.999Z, the last that every offset can write.
    pub const MAX: Self = Self(253_402_207_200_999);

    /// Wraps milliseconds since the Unix epoch, clamped to [`MIN`](Self::MIN)–[`MAX`](Self::MAX).
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Reads text: RFC 3339 with an offset, a date and time without one (taken as UTC), or a number as
    /// [`from_number`](Self::from_number) reads it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the text is neither.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Self::checked(instant.as_millisecond(), text);
        }
        if let Ok(civil) = text.parse::<jiff::civil::DateTime>()
            && let Ok(zoned) = civil.to_zoned(jiff::tz::TimeZone::UTC)
        {
            return Self::checked(zoned.timestamp().as_millisecond(), text);
        }
        match text.parse::<f64>() {
            Ok(number) => Self::from_number(number),
            Err(_) => Err(TimeError::Unreadable { value: abbreviate(text) }.into()),
        }
    }

    /// Reads a Unix time: seconds below 10¹¹ in magnitude, milliseconds from there on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the number is not finite or beyond the years 1 to 9999.
    pub fn from_number(number: f64) -> Result<Self, Error> {
        const SECONDS_BELOW: f64 = 1e11;
        let millis = if number.abs() < SECONDS_BELOW { number * 1000.0 } else { number };
        let in_range = millis >= Self::MIN.0 as f64 && millis <= Self::MAX.0 as f64;
        if !in_range {
            return Err(TimeError::OutOfRange { value: number.to_string() }.into());
        }
        Ok(Self(millis.round() as i64))
    }

    /// Returns milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns this instant moved by `millis`, clamped to the accepted range.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// Returns the UTC calendar fields of this instant.
    pub fn calendar(self) -> CalendarTime {
        let day_number = self.0.div_euclid(StepLength::DAY_MS);
        let millis_of_day = self.0.rem_euclid(StepLength::DAY_MS);
        let (month, day) = month_and_day(day_number);
        CalendarTime {
            hour: (millis_of_day / 3_600_000) as u8,
            minute: (millis_of_day / 60_000 % 60) as u8,
            // Day 0 was a Thursday.
            weekday: (day_number + 3).rem_euclid(7) as u8,
            day,
            month,
            millis_of_day: millis_of_day as u32,
        }
    }

    fn checked(millis: i64, text: &str) -> Result<Self, Error> {
        if (Self::MIN.0..=Self::MAX.0).contains(&millis) {
            Ok(Self(millis))
        } else {
            Err(TimeError::OutOfRange { value: abbreviate(text) }.into())
        }
    }
}

/// Writes RFC 3339 in UTC, with milliseconds only where there are any.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => instant.fmt(f),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl StepLength {
    /// Milliseconds in a day.
    pub const DAY_MS: i64 = 86_400_000;

    /// Five minutes, the default step.
    pub const FIVE_MINUTES: Self = Self(300_000);

    /// Wraps a step length in milliseconds.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] unless it is at least one second and divides a day.
    pub fn from_millis(millis: i64) -> Result<Self, Error> {
        if millis >= 1000 && Self::DAY_MS % millis == 0 {
            Ok(Self(millis))
        } else {
            Err(TimeError::StepLength { millis }.into())
        }
    }

    /// Returns the length in milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns how many steps make a day.
    pub const fn steps_per_day(self) -> usize {
        (Self::DAY_MS / self.0) as usize
    }

    /// Returns the step that covers `at`.
    pub fn step_at(self, at: Timestamp) -> Step {
        Step(at.as_millis().div_euclid(self.0))
    }

    /// Returns the first instant of `step`.
    pub fn start_of(self, step: Step) -> Timestamp {
        Timestamp::from_millis(step.0.saturating_mul(self.0))
    }

    /// Returns the first instant after `step`.
    pub fn end_of(self, step: Step) -> Timestamp {
        self.start_of(Step(step.0.saturating_add(1)))
    }
}

impl Default for StepLength {
    fn default() -> Self {
        Self::FIVE_MINUTES
    }
}

impl TryFrom<i64> for StepLength {
    type Error = Error;

    fn try_from(millis: i64) -> Result<Self, Error> {
        Self::from_millis(millis)
    }
}

impl From<StepLength> for i64 {
    fn from(step: StepLength) -> i64 {
        step.0
    }
}

impl Step {
    /// Returns the step `count` steps later (earlier if negative).
    #[must_use]
    pub fn plus(self, count: i64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// Returns how many steps this one lies after `earlier`; negative if before.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl From<TimeError> for Error {
    fn from(error: TimeError) -> Self {
        let kind = match error {
            TimeError::StepLength { .. } => ErrorKind::InvalidConfig,
            TimeError::Unreadable { .. } | TimeError::OutOfRange { .. } => ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

/// Month and day of the month of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// Counting years from March puts the leap day last, so that month lengths follow a linear formula
/// (Richards, "Calendars", in the Explanatory Supplement to the Astronomical Almanac, 3rd ed., §15.11).
fn month_and_day(day_number: i64) -> (u8, u8) {
    const DAYS_PER_ERA: i64 = 146_097;
    let from_march_of_year_zero = day_number + 719_468;
    let day_of_era = from_march_of_year_zero.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (month as u8, day as u8)
}

/// Cuts text from outside down to what an error message should repeat.
pub(crate) fn abbreviate(text: &str) -> String {
    const SHOWN_CHARACTERS_MAX: usize = 64;
    if text.chars().count() <= SHOWN_CHARACTERS_MAX {
        return text.to_owned();
    }
    text.chars().take(SHOWN_CHARACTERS_MAX).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_accepted_form() {
        let expected = Timestamp(1_700_000_000_000);
        for text in [
            "2023-11-14T22:13:20Z",
            "2023-11-14T23:13:20+01:00",
            "2023-11-14T22:13:20",
            "2023-11-14 22:13:20",
            "2023-11-14T22:13:20.000",
            "1700000000",
            "1700000000000",
        ] {
            assert_eq!(Timestamp::parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in ["", "yesterday", "2023-13-01T00:00:00Z", "NaN", "1e999", "-1e300"] {
            let error = Timestamp::parse(text).unwrap_err();
            assert!(error.is_invalid_input(), "{text}: {error}");
        }
    }

    #[test]
    fn calendar_agrees_with_jiff_over_four_centuries() {
        for day in (-400 * 366..400 * 366).step_by(13) {
            let at = Timestamp(day * StepLength::DAY_MS + 47_123_456);
            let zoned = jiff::Timestamp::from_millisecond(at.0).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
            let calendar = at.calendar();
            assert_eq!(i16::from(calendar.month), i16::from(zoned.month()));
            assert_eq!(i16::from(calendar.day), i16::from(zoned.day()));
            assert_eq!(calendar.hour as i8, zoned.hour());
            assert_eq!(calendar.weekday as i8, zoned.weekday().to_monday_zero_offset());
        }
    }

    #[test]
    fn steps_cover_instants_before_the_epoch_too() {
        let step = StepLength::FIVE_MINUTES;
        assert_eq!(step.step_at(Timestamp(-1)), Step(-1));
        assert_eq!(step.step_at(Timestamp(299_999)), Step(0));
        assert_eq!(step.end_of(Step(0)), Timestamp(300_000));
    }

    #[test]
    fn step_length_must_divide_a_day() {
        assert!(StepLength::from_millis(7_000).is_err());
        assert!(StepLength::from_millis(0).is_err());
        assert_eq!(StepLength::from_millis(60_000).unwrap().steps_per_day(), 1440);
    }
}
