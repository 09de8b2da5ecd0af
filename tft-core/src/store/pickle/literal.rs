//! Numbers and texts as the instructions spell them.

use super::bytes::Bytes;
use super::error::PickleError;
use super::opcode;
use super::value::{Graph, Span, Value};

/// Reads the number that an instruction announces.
pub(super) fn number(bytes: &mut Bytes<'_>, instruction: u8) -> Result<Value, PickleError> {
    Ok(match instruction {
        opcode::BININT => Value::Int(i64::from(i32::from_le_bytes(bytes.array()?))),
        opcode::BININT1 => Value::Int(i64::from(bytes.byte()?)),
        opcode::BININT2 => Value::Int(i64::from(u16::from_le_bytes(bytes.array()?))),
        opcode::BINFLOAT => Value::Float(f64::from_be_bytes(bytes.array()?)),
        opcode::LONG1 => {
            let length = bytes.length::<1>()?;
            long(bytes.take(length)?)
        }
        opcode::LONG4 => {
            let length = bytes.length::<4>()?;
            long(bytes.take(length)?)
        }
        opcode::FLOAT => {
            let number = bytes.ascii_line()?.parse().map_err(|_| bytes.damaged("a line is not a number"))?;
            Value::Float(number)
        }
        _ => {
            let line = bytes.ascii_line()?;
            match line {
                "00" if instruction == opcode::INT => Value::Bool(false),
                "01" if instruction == opcode::INT => Value::Bool(true),
                _ => integer(line).ok_or_else(|| bytes.damaged("a line is not an integer"))?,
            }
        }
    })
}

/// Reads the text or bytes that an instruction announces.
pub(super) fn text(
    bytes: &mut Bytes<'_>,
    graph: &mut Graph<'_>,
    instruction: u8,
) -> Result<Value, PickleError> {
    if instruction == opcode::UNICODE {
        return unicode(bytes, graph);
    }
    if instruction == opcode::STRING {
        return quoted(bytes);
    }
    let length = match instruction {
        opcode::SHORT_BINSTRING | opcode::SHORT_BINBYTES | opcode::SHORT_BINUNICODE => bytes.length::<1>()?,
        opcode::BINSTRING | opcode::BINBYTES | opcode::BINUNICODE => bytes.length::<4>()?,
        _ => bytes.length::<8>()?,
    };
    let start = bytes.at();
    let taken = bytes.take(length)?;
    let span = Span::of_file(start, length);
    match instruction {
        opcode::BINUNICODE | opcode::SHORT_BINUNICODE | opcode::BINUNICODE8 => {
            let is_text = std::str::from_utf8(taken).is_ok();
            is_text.then_some(Value::Text(span)).ok_or(PickleError::Damaged { at: start, reason: NOT_UTF8 })
        }
        // Python 2's strings, which are text where they can be.
        opcode::BINSTRING | opcode::SHORT_BINSTRING if taken.is_ascii() => Ok(Value::Text(span)),
        _ => Ok(Value::Bytes(span)),
    }
}

/// Reads a line in Python's `raw-unicode-escape`: Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
fn unicode(bytes: &mut Bytes<'_>, graph: &mut Graph<'_>) -> Result<Value, PickleError> {
    let start = bytes.at();
    let line = bytes.line()?;
    if line.is_ascii() && !line.contains(&b'\\') {
        return Ok(Value::Text(Span::of_file(start, line.len())));
    }
    let text = unescape(line).ok_or(PickleError::Damaged { at: start, reason: "a text has a bad escape" })?;
    graph.keep(text.as_bytes()).map(Value::Text)
}

fn unescape(mut line: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(line.len());
    while let Some((&first, rest)) = line.split_first() {
        let digits = match (first, rest.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.push(char::from(first));
                line = rest;
                continue;
            }
        };
        let code = std::str::from_utf8(rest.get(1..=digits)?).ok()?;
        text.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        line = &rest[digits + 1..];
    }
    Some(text)
}

/// Reads a string of Python 2 in quotes; those with escapes are not text that this crate looks for.
fn quoted(bytes: &mut Bytes<'_>) -> Result<Value, PickleError> {
    let start = bytes.at();
    let line = bytes.line()?;
    let ([b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"']) = line else {
        return Err(PickleError::Damaged { at: start, reason: "a string lacks its quotes" });
    };
    if !inner.is_ascii() || inner.contains(&b'\\') {
        return Err(PickleError::Refused { what: "an escaped string of Python 2", at: start });
    }
    Ok(Value::Text(Span::of_file(start + 1, inner.len())))
}

fn integer(line: &str) -> Option<Value> {
    let digits = line.strip_suffix('L').unwrap_or(line);
    if let Ok(number) = digits.parse() {
        return Some(Value::Int(number));
    }
    let digits = digits.strip_prefix('-').unwrap_or(digits);
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then_some(Value::HugeInt)
}

/// Reads a number in two's complement, the lowest byte first.
fn long(bytes: &[u8]) -> Value {
    let is_negative = bytes.last().is_some_and(|&last| last & 0x80 != 0);
    let fill = if is_negative { 0xff } else { 0 };
    let (low, high) = bytes.split_at(bytes.len().min(8));
    let mut number = [fill; 8];
    number[..low.len()].copy_from_slice(low);
    let number = i64::from_le_bytes(number);
    let fits = high.iter().all(|&byte| byte == fill) && (number < 0) == is_negative;
    if fits { Value::Int(number) } else { Value::HugeInt }
}

const NOT_UTF8: &str = "a text is not UTF-8";
