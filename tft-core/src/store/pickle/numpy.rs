//! numpy's scalars as data: a type, and the value's bytes.

use super::limits;
use super::value::{Graph, Object, Value};
use crate::time::Timestamp;

/// The type of a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DType {
    kind: u8,
    size: u32,
    is_big_endian: bool,
    /// Of `datetime64`, once it is known.
    unit: Option<Unit>,
}

/// A whole number of a calendar unit of fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) base: Base,
    count: i64,
}

/// The calendar units of fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    Nanosecond,
    Microsecond,
    /// A whole number of milliseconds.
    Millis(i64),
}

impl Base {
    fn of_code(code: &[u8]) -> Option<Self> {
        Some(match code {
            b"ns" => Self::Nanosecond,
            b"us" => Self::Microsecond,
            b"ms" => Self::Millis(1),
            b"s" => Self::Millis(1000),
            b"m" => Self::Millis(60_000),
            b"h" => Self::Millis(3_600_000),
            b"D" => Self::Millis(86_400_000),
            b"W" => Self::Millis(7 * 86_400_000),
            _ => return None,
        })
    }

    /// Reads the number that numpy and pandas have for the unit.
    pub(super) fn of_number(number: i64) -> Option<Self> {
        const CODES: [&[u8]; 11] = [b"Y", b"M", b"W", b"B", b"D", b"h", b"m", b"s", b"ms", b"us", b"ns"];
        Self::of_code(CODES.get(usize::try_from(number).ok()?)?)
    }

    /// Returns the instant so many units after 1970.
    pub(super) fn time(self, number: i64) -> Option<Timestamp> {
        let millis = match self {
            Self::Nanosecond => number.div_euclid(1_000_000),
            Self::Microsecond => number.div_euclid(1000),
            Self::Millis(unit) => number.checked_mul(unit)?,
        };
        let time = Timestamp::from_millis(millis);
        (time.as_millis() == millis).then_some(time)
    }
}

/// Reads the arguments of `numpy.dtype`: a code such as `f4`, and two flags.
pub(super) fn dtype(graph: &Graph<'_>, arguments: &[Value]) -> Option<DType> {
    let &[code, _align, _copy] = arguments else { return None };
    let (kind, size) = graph.short_text(code)?.split_at_checked(1)?;
    let kind = kind.as_bytes()[0];
    let size = size.parse().ok().filter(|&size: &u32| size > 0)?;
    let is_known = match kind {
        b'f' => matches!(size, 4 | 8),
        b'i' | b'u' => matches!(size, 1 | 2 | 4 | 8),
        b'b' => size == 1,
        b'M' => size == 8,
        b'U' => size <= limits::TEXT_BYTES_MAX as u32,
        _ => false,
    };
    is_known.then_some(DType { kind, size, is_big_endian: false, unit: None })
}

/// Takes the state of a type: its byte order, and the unit of a `datetime64`.
pub(super) fn set_state(graph: &mut Graph<'_>, dtype: Value, state: Value) -> Option<()> {
    let &[_version, order, Value::None, Value::None, Value::None, _, _, _, ref metadata @ ..] =
        graph.items(state)?
    else {
        return None;
    };
    let is_big_endian = match graph.short_text(order)? {
        "<" | "|" => false,
        ">" => true,
        _ => return None,
    };
    let unit = match *metadata {
        [] => None,
        [metadata] => Some(unit(graph, metadata)?),
        _ => return None,
    };
    match graph.object_mut(dtype)? {
        Object::DType(dtype) if (dtype.kind == b'M') == unit.is_some() => {
            (dtype.is_big_endian, dtype.unit) = (is_big_endian, unit);
            Some(())
        }
        _ => None,
    }
}

/// Reads `(None, (b"ns", 1, 1, 1))`.
fn unit(graph: &Graph<'_>, metadata: Value) -> Option<Unit> {
    let &[_, unit] = graph.items(metadata)? else { return None };
    let &[Value::Bytes(code), Value::Int(count), Value::Int(1), Value::Int(1)] = graph.items(unit)? else {
        return None;
    };
    let base = Base::of_code(graph.bytes(code))?;
    (1..=1_000_000).contains(&count).then_some(Unit { base, count })
}

/// Reads the arguments of `scalar`: a type, and the value's bytes.
pub(super) fn scalar(graph: &mut Graph<'_>, arguments: &[Value]) -> Option<Value> {
    let &[dtype, Value::Bytes(bytes)] = arguments else { return None };
    let Some(&Object::DType(dtype)) = graph.object(dtype) else { return None };
    let bytes = graph.bytes(bytes);
    if dtype.kind == b'U' {
        let text = utf32(bytes, &dtype)?;
        return graph.keep(text.as_bytes()).ok().map(Value::Text);
    }
    if bytes.len() != dtype.size as usize {
        return None;
    }
    let number = bits(bytes, dtype.is_big_endian);
    let shift = 64 - 8 * dtype.size;
    let signed = (number << shift) as i64 >> shift;
    Some(match (dtype.kind, dtype.size) {
        (b'f', 4) => Value::Float(f64::from(f32::from_bits(number as u32))),
        (b'f', _) => Value::Float(f64::from_bits(number)),
        (b'i', _) => Value::Int(signed),
        (b'u', _) => i64::try_from(number).map_or(Value::HugeInt, Value::Int),
        (b'b', _) => Value::Bool(number != 0),
        // numpy's "not a time".
        (b'M', _) if signed == i64::MIN => Value::None,
        _ => {
            let Unit { base, count } = dtype.unit?;
            Value::Time(base.time(signed.checked_mul(count)?)?)
        }
    })
}

fn bits(bytes: &[u8], is_big_endian: bool) -> u64 {
    let push = |bits: u64, &byte: &u8| bits << 8 | u64::from(byte);
    if is_big_endian { bytes.iter().fold(0, push) } else { bytes.iter().rev().fold(0, push) }
}

/// Reads numpy's text: four bytes per character, filled up with zeros.
fn utf32(bytes: &[u8], dtype: &DType) -> Option<String> {
    let (characters, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() || characters.len() != dtype.size as usize {
        return None;
    }
    let codes = characters.iter().map(|character| bits(character, dtype.is_big_endian) as u32);
    let text: Option<String> = codes.map(char::from_u32).collect();
    text.map(|text| text.trim_end_matches('\0').to_owned())
}
