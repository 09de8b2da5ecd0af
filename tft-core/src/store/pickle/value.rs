//! What a pickle says, as data: values that refer to containers by number.
//!
//! Containers lie side by side in the [`Graph`] and not inside each other, so that neither depth nor a container
//! that holds itself means anything to reading or dropping them, and a shared container is held once.

use super::error::PickleError;
use super::globals::Global;
use super::limits;
use super::numpy::DType;
use crate::time::{Timestamp, abbreviate};

/// A value; 16 bytes, copied freely.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits.
    HugeInt,
    Float(f64),
    Text(Span),
    Bytes(Span),
    Time(Timestamp),
    /// A length of time in microseconds.
    Duration(i64),
    Zone(Zone),
    Global(Global),
    Object(ObjectId),
}

/// What is said about a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    /// A fixed distance from UTC in milliseconds, east positive.
    Offset(i32),
    /// A name, whose meaning would take a time zone database.
    Named,
}

/// Bytes of the file, or of what was decoded from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    length: u32,
}

/// The number of an object in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ObjectId(u32);

/// What does not fit into a value.
#[derive(Debug)]
pub(super) enum Object {
    List(Vec<Value>),
    Tuple(Box<[Value]>),
    Dict(Vec<(Value, Value)>),
    Set(Vec<Value>),
    DType(DType),
}

/// All that a pickle says.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    file: &'a [u8],
    decoded: Vec<u8>,
    objects: Vec<Object>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(file: &'a [u8]) -> Self {
        Self { file, decoded: Vec::new(), objects: Vec::new() }
    }

    pub(super) fn add(&mut self, object: Object) -> Result<Value, PickleError> {
        if self.objects.len() >= limits::OBJECTS_MAX {
            return Err(PickleError::TooMany { what: "objects", max: limits::OBJECTS_MAX });
        }
        self.objects.push(object);
        Ok(Value::Object(ObjectId(self.objects.len() as u32 - 1)))
    }

    /// Keeps bytes that do not stand in the file as they are.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Result<Span, PickleError> {
        if self.decoded.len() + bytes.len() > limits::DECODED_BYTES_MAX {
            return Err(PickleError::TooMany { what: "decoded bytes", max: limits::DECODED_BYTES_MAX });
        }
        let start = self.file.len() + self.decoded.len();
        self.decoded.extend_from_slice(bytes);
        Ok(Span { start: start as u32, length: bytes.len() as u32 })
    }

    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        let (start, length) = (span.start as usize, span.length as usize);
        let (source, start) = match start.checked_sub(self.file.len()) {
            Some(start) => (self.decoded.as_slice(), start),
            None => (self.file, start),
        };
        source.get(start..start + length).unwrap_or_default()
    }

    /// Returns a text, if the value is one and not longer than anything that is looked at.
    pub(super) fn short_text(&self, value: Value) -> Option<&str> {
        match value {
            Value::Text(span) if span.length as usize <= limits::TEXT_BYTES_MAX => {
                std::str::from_utf8(self.bytes(span)).ok()
            }
            _ => None,
        }
    }

    pub(super) fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(ObjectId(index)) => self.objects.get(index as usize),
            _ => None,
        }
    }

    pub(super) fn object_mut(&mut self, value: Value) -> Option<&mut Object> {
        match value {
            Value::Object(ObjectId(index)) => self.objects.get_mut(index as usize),
            _ => None,
        }
    }

    pub(super) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.object(value)? {
            Object::Dict(entries) => Some(entries),
            _ => None,
        }
    }

    /// Returns the items of a list or tuple.
    pub(super) fn items(&self, value: Value) -> Option<&[Value]> {
        match self.object(value)? {
            Object::List(items) => Some(items),
            Object::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the number of objects.
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Says what a value is, for messages.
    pub(super) fn describe(&self, value: Value) -> String {
        match value {
            Value::None => "None".to_owned(),
            Value::Bool(value) => if value { "True" } else { "False" }.to_owned(),
            Value::Int(value) => value.to_string(),
            Value::HugeInt => "an integer beyond 64 bits".to_owned(),
            // Not `{value}`, which writes a large number in hundreds of digits.
            Value::Float(value) => format!("{value:?}"),
            Value::Text(span) => {
                let bytes = self.bytes(span);
                abbreviate(&String::from_utf8_lossy(bytes.get(..limits::TEXT_BYTES_MAX).unwrap_or(bytes)))
            }
            Value::Time(time) => time.to_string(),
            Value::Bytes(_) => "bytes".to_owned(),
            Value::Duration(_) => "a timedelta".to_owned(),
            Value::Zone(_) => "a time zone".to_owned(),
            Value::Global(global) => global.name().to_owned(),
            Value::Object(_) => match self.object(value) {
                Some(Object::List(_)) => "a list",
                Some(Object::Tuple(_)) => "a tuple",
                Some(Object::Dict(_)) => "a dict",
                Some(Object::Set(_)) => "a set",
                Some(Object::DType(_)) | None => "a dtype",
            }
            .to_owned(),
        }
    }
}

impl Span {
    /// Refers to bytes of the file, whose positions fit into 32 bits.
    pub(super) fn of_file(start: usize, length: usize) -> Self {
        Self { start: start as u32, length: length as u32 }
    }
}

impl ObjectId {
    /// Returns the object's position.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}
