//! Python's dates, times and zones as data.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::numpy::Base;
use super::value::{Graph, Value, Zone};
use crate::time::Timestamp;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Python's longest `timedelta`.
const DAYS_MAX: i64 = 999_999_999;

/// Reads the arguments of `datetime.datetime`: ten bytes, and a zone if there is one. Without one it is UTC.
pub(super) fn datetime(graph: &Graph<'_>, arguments: &[Value]) -> Option<Value> {
    let (bytes, offset_ms) = match *arguments {
        [Value::Bytes(bytes)] => (bytes, 0),
        [Value::Bytes(bytes), Value::Zone(Zone::Offset(offset_ms))] => (bytes, offset_ms),
        _ => return None,
    };
    let &[century, year, month, day, hour, minute, second, a, b, c] = graph.bytes(bytes) else { return None };
    let year = i16::from_be_bytes([century, year]);
    // The highest bit tells the second of two equal times when clocks are put back; it needs a zone's rules.
    let month = (month & 0x7f) as i8;
    let [day, hour, minute, second] =
        [day, hour, minute, second].map(|part| i8::try_from(part).unwrap_or(-1));
    let micros = i32::from_be_bytes([0, a, b, c]);
    let nanos = micros.checked_mul(1000)?;
    let civil = DateTime::new(year, month, day, hour, minute, second, nanos).ok()?;
    let at = civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond() - i64::from(offset_ms);
    let time = Timestamp::from_millis(at);
    (time.as_millis() == at).then_some(Value::Time(time))
}

/// Reads the arguments of `datetime.timedelta`: days, seconds, microseconds.
pub(super) fn timedelta(arguments: &[Value]) -> Option<Value> {
    let &[Value::Int(days), Value::Int(seconds), Value::Int(micros)] = arguments else { return None };
    let in_range = days.abs() <= DAYS_MAX
        && (0..SECONDS_PER_DAY).contains(&seconds)
        && (0..MICROS_PER_SECOND).contains(&micros);
    if !in_range {
        return None;
    }
    let whole = days.checked_mul(SECONDS_PER_DAY)?.checked_add(seconds)?.checked_mul(MICROS_PER_SECOND)?;
    whole.checked_add(micros).map(Value::Duration)
}

/// Reads the arguments of `datetime.timezone`: the distance from UTC, and a name.
pub(super) fn timezone(arguments: &[Value]) -> Option<Value> {
    match *arguments {
        [Value::Duration(micros)] | [Value::Duration(micros), Value::Text(_)] => {
            offset(micros / MICROS_PER_SECOND)
        }
        _ => None,
    }
}

/// Reads the arguments of dateutil's `tzoffset`: a name, and the distance from UTC.
pub(super) fn tzoffset(arguments: &[Value]) -> Option<Value> {
    match *arguments {
        [Value::Text(_) | Value::None, Value::Duration(micros)] => offset(micros / MICROS_PER_SECOND),
        _ => None,
    }
}

/// Reads the arguments of pytz's `FixedOffset`: minutes.
pub(super) fn pytz_offset(arguments: &[Value]) -> Option<Value> {
    match *arguments {
        [Value::Int(minutes)] => offset(minutes.checked_mul(60)?),
        _ => None,
    }
}

/// Reads the arguments of a zone of pytz: its name, and the distance from UTC in seconds where it is one of
/// several that a place had.
pub(super) fn pytz_zone(arguments: &[Value]) -> Option<Value> {
    match *arguments {
        [Value::Text(_), Value::Int(seconds), Value::Int(_), Value::Text(_)] => offset(seconds),
        [Value::Text(_)] => Some(Value::Zone(Zone::Named)),
        _ => None,
    }
}

/// Reads the arguments of `ZoneInfo`: a name, and whether to keep it.
pub(super) fn zoneinfo(graph: &Graph<'_>, arguments: &[Value]) -> Option<Value> {
    let (&name, Value::Text(_)) = (arguments.first()?, arguments.first()?) else { return None };
    let is_utc = matches!(graph.short_text(name), Some("UTC" | "Etc/UTC" | "GMT" | "Etc/GMT"));
    Some(Value::Zone(if is_utc { Zone::Offset(0) } else { Zone::Named }))
}

/// Reads the arguments of pandas' timestamps: a number, a frequency, a zone, and the number's unit.
///
/// The number counts from 1970 in UTC where there is a zone, so that the zone's rules are not needed.
pub(super) fn timestamp(arguments: &[Value]) -> Option<Value> {
    let (number, base) = match *arguments {
        [Value::Int(number), _, Value::None | Value::Zone(_)] => (number, Base::Nanosecond),
        [Value::Int(number), _, Value::None | Value::Zone(_), Value::Int(unit)] => {
            (number, Base::of_number(unit)?)
        }
        _ => return None,
    };
    base.time(number).map(Value::Time)
}

fn offset(seconds: i64) -> Option<Value> {
    let is_possible = seconds.abs() < SECONDS_PER_DAY;
    is_possible.then(|| Value::Zone(Zone::Offset(seconds as i32 * 1000)))
}
