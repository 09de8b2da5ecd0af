//! Why one record is refused: the field, its value and the reason.

use std::borrow::Cow;
use std::fmt;

use crate::schema::{Metric, Profile, ServerName};
use crate::time::{Timestamp, abbreviate};

/// Why one record is refused.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) field: Cow<'static, str>,
    /// The value as text, abbreviated; empty if there is none to show.
    pub(super) value: String,
    pub(super) reason: Reason,
}

/// Reads on from the field and its value: `cpu_user_pct 120` *is above 100*.
#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error("is not a number")]
    NotANumber,
    #[error("is not a finite single-precision number")]
    NotFinite,
    #[error("is below the smallest valid value {min}")]
    Below { min: f64 },
    #[error("is above the largest valid value {max}")]
    Above { max: f64 },
    #[error("is not text")]
    NotText,
    #[error("is not a known status")]
    UnknownStatus,
    #[error("must be 1 to {} characters of [A-Za-z0-9._:-]", ServerName::LENGTH_MAX)]
    BadServerName,
    #[error("must be 1 to {} characters of [A-Za-z0-9_-]", Profile::LENGTH_MAX)]
    BadProfile,
    #[error(
        "is not a time in the years 1 to 9999: RFC 3339, a date and time without offset, Unix seconds or milliseconds"
    )]
    UnreadableTime,
    #[error("appears more than once in the record")]
    Duplicate,
    #[error("is missing")]
    Missing,
    #[error("is not below {metrics}")]
    NoSuchMetric { metrics: usize },
    #[error("is not an object")]
    NotAnObject,
    #[error("cannot be read: {message}")]
    Unreadable { message: String },
    #[error("was made for another schema")]
    OtherSchema,
    #[error("has neither a metric value nor a status")]
    Empty,
    #[error("is more than {tolerance_ms} ms after {now}")]
    Future { tolerance_ms: i64, now: Timestamp },
    #[error("is late: samples of this server are accepted from {oldest} on")]
    Late { oldest: Timestamp },
    #[error("is one too many: its step already has {max} samples")]
    StepFull { max: usize },
    #[error("is new, and the limit of {max} servers is reached")]
    FleetFull { max: usize },
}

impl Fault {
    pub(super) fn new(field: impl Into<Cow<'static, str>>, value: &str, reason: Reason) -> Self {
        Self { field: field.into(), value: abbreviate(value), reason }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field)?;
        if !self.value.is_empty() {
            write!(f, " `{}`", self.value)?;
        }
        write!(f, " {}", self.reason)
    }
}

impl std::error::Error for Fault {}

/// Returns why a metric does not take a value, if it does not.
pub(super) fn fault_of_value(metric: &Metric, value: f64) -> Option<Reason> {
    if metric.accepts(value) {
        return None;
    }
    if !(value as f32).is_finite() {
        return Some(Reason::NotFinite);
    }
    match (metric.min, metric.max) {
        (Some(min), _) if value < min => Some(Reason::Below { min }),
        (_, Some(max)) => Some(Reason::Above { max }),
        _ => Some(Reason::NotFinite),
    }
}
