//! One record of a feed: its fields, checked against the schema.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::body::Key;
use super::number::number;
use super::scan::as_sent;
use crate::schema::{Profile, Schema, ServerName, Status};
use crate::time::Timestamp;
use crate::window::Record;
use crate::window::fault::{Fault, Reason, fault_of_value};

/// Parses one record; also returns how many of its fields are not known.
pub(super) fn parse<'a>(
    raw: &'a str,
    schema: &Schema,
    recent: &mut Recent<'a>,
) -> (Result<Record, Fault>, usize) {
    if !raw.starts_with('{') {
        return (Err(Fault::new("record", raw, Reason::NotAnObject)), 0);
    }
    let mut draft = Draft::new(schema, recent);
    let mut json = serde_json::Deserializer::from_str(raw);
    if let Err(error) = json.deserialize_map(EntryVisitor { draft: &mut draft }) {
        let reason = Reason::Unreadable { message: error.to_string() };
        return (Err(Fault::new("record", "", reason)), draft.unknown_fields);
    }
    draft.finish()
}

/// What a key of a record stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Metric(usize),
    Timestamp,
    Server,
    Profile,
    Status,
    Ignored,
    Unknown,
}

impl Field {
    pub(super) fn of(key: &str, schema: &Schema) -> Self {
        if let Some(metric) = schema.metric_index(key) {
            return Self::Metric(metric);
        }
        match key {
            "timestamp" => Self::Timestamp,
            "profile" => Self::Profile,
            "status" | "state" => Self::Status,
            "problem_child" | "notes" => Self::Ignored,
            _ if schema.is_server_name_field(key) => Self::Server,
            _ => Self::Unknown,
        }
    }
}

/// A value as it stands in the text.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) text: &'a str,
    /// What it is as a number, if that was seen in passing.
    pub(super) number: Option<f64>,
}

impl<'a> From<&'a str> for Raw<'a> {
    fn from(text: &'a str) -> Self {
        Self { text, number: None }
    }
}

/// What values of fields mean that other records of the feed have had, since most say the same.
#[derive(Default)]
pub(super) struct Recent<'a> {
    timestamps: Meanings<'a, Timestamp>,
    profiles: Meanings<'a, Profile>,
    statuses: Meanings<'a, Status>,
}

/// Raw values of one field that were good, and what they mean.
struct Meanings<'a, T>(Vec<(&'a str, T)>);

impl<T> Default for Meanings<'_, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'a, T: Clone> Meanings<'a, T> {
    /// More would be searched for longer than they take to read.
    const MAX: usize = 8;

    fn of(&mut self, raw: &'a str, read: impl FnOnce() -> Result<T, Reason>) -> Result<T, Reason> {
        if let Some((_, meaning)) = self.0.iter().find(|(known, _)| *known == raw) {
            return Ok(meaning.clone());
        }
        let meaning = read()?;
        if self.0.len() < Self::MAX {
            self.0.push((raw, meaning.clone()));
        }
        Ok(meaning)
    }
}

/// What the fields read so far say.
pub(super) struct Draft<'d, 'a> {
    schema: &'d Schema,
    recent: &'d mut Recent<'a>,
    timestamp: Option<Timestamp>,
    server: Option<ServerName>,
    profile: Option<Profile>,
    status: Option<Status>,
    values: Box<[f32]>,
    seen: Seen,
    unknown_fields: usize,
    fault: Option<Fault>,
}

/// The known fields that appeared: one bit per metric, then one per other field.
#[derive(Default)]
struct Seen([u64; Schema::METRICS_MAX / 64 + 1]);

impl Seen {
    const TIMESTAMP: usize = Schema::METRICS_MAX;
    const SERVER_NAME: usize = Schema::METRICS_MAX + 1;
    const PROFILE: usize = Schema::METRICS_MAX + 2;
    const STATUS: usize = Schema::METRICS_MAX + 3;

    /// Notes a field; fails if it was there before.
    fn note(&mut self, field: usize) -> Result<(), Reason> {
        let (word, bit) = (&mut self.0[field / 64], 1 << (field % 64));
        if *word & bit != 0 {
            return Err(Reason::Duplicate);
        }
        *word |= bit;
        Ok(())
    }
}

impl<'d, 'a> Draft<'d, 'a> {
    pub(super) fn new(schema: &'d Schema, recent: &'d mut Recent<'a>) -> Self {
        Self {
            schema,
            recent,
            timestamp: None,
            server: None,
            profile: None,
            status: None,
            values: vec![f32::NAN; schema.metrics().len()].into_boxed_slice(),
            seen: Seen::default(),
            unknown_fields: 0,
            fault: None,
        }
    }

    /// Returns the record, and how many of its fields are not known.
    pub(super) fn finish(self) -> (Result<Record, Fault>, usize) {
        let unknown_fields = self.unknown_fields;
        (self.into_record(), unknown_fields)
    }

    fn into_record(self) -> Result<Record, Fault> {
        let missing = |field: &'static str| Fault::new(field, "", Reason::Missing);
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let timestamp = self.timestamp.ok_or_else(|| missing("timestamp"))?;
        let server = self.server.ok_or_else(|| missing("server_name"))?;
        Ok(Record::from_parts(self.schema, timestamp, server, (self.profile, self.status), self.values))
    }

    /// Takes a field; `raw` is its value as JSON has it.
    pub(super) fn read(&mut self, (key, field): (&str, Field), raw: Raw<'a>) {
        if let Err(reason) = self.read_field(field, raw) {
            let value = if matches!(reason, Reason::Duplicate) { "" } else { as_sent(raw.text) };
            self.fault.get_or_insert_with(|| Fault::new(key.to_owned(), value, reason));
        }
    }

    fn read_field(&mut self, field: Field, raw: Raw<'a>) -> Result<(), Reason> {
        match field {
            Field::Metric(metric) => {
                self.seen.note(metric)?;
                self.read_metric(metric, raw)
            }
            Field::Timestamp => self.read_timestamp(raw.text),
            Field::Profile => self.read_profile(raw.text),
            Field::Status => self.read_status(raw.text),
            Field::Server => self.read_server(raw.text),
            Field::Ignored => Ok(()),
            Field::Unknown => {
                self.unknown_fields += 1;
                Ok(())
            }
        }
    }

    fn read_metric(&mut self, metric: usize, raw: Raw<'_>) -> Result<(), Reason> {
        let value = match raw.number {
            Some(value) => value,
            None if raw.text == "null" => return Ok(()),
            None => number(raw.text).ok_or(Reason::NotANumber)?,
        };
        let definition = &self.schema.metrics()[metric];
        if let Some(reason) = fault_of_value(definition, value) {
            return Err(reason);
        }
        self.values[metric] = definition.clamp(value) as f32;
        Ok(())
    }

    fn read_timestamp(&mut self, raw: &'a str) -> Result<(), Reason> {
        self.seen.note(Seen::TIMESTAMP)?;
        let read = || {
            let timestamp = match number(raw) {
                Some(number) => Timestamp::from_number(number),
                None => Timestamp::parse(&text(raw).map_err(|_| Reason::UnreadableTime)?),
            };
            timestamp.map_err(|_| Reason::UnreadableTime)
        };
        self.timestamp = Some(self.recent.timestamps.of(raw, read)?);
        Ok(())
    }

    fn read_server(&mut self, raw: &str) -> Result<(), Reason> {
        self.seen.note(Seen::SERVER_NAME)?;
        self.server = Some(ServerName::new(&text(raw)?).map_err(|_| Reason::BadServerName)?);
        Ok(())
    }

    fn read_profile(&mut self, raw: &'a str) -> Result<(), Reason> {
        self.seen.note(Seen::PROFILE)?;
        if raw != "null" {
            let read = || Profile::new(&text(raw)?).map_err(|_| Reason::BadProfile);
            self.profile = Some(self.recent.profiles.of(raw, read)?);
        }
        Ok(())
    }

    fn read_status(&mut self, raw: &'a str) -> Result<(), Reason> {
        self.seen.note(Seen::STATUS)?;
        if raw != "null" {
            let schema = self.schema;
            let read = || schema.statuses().parse(&text(raw)?).ok_or(Reason::UnknownStatus);
            self.status = Some(self.recent.statuses.of(raw, read)?);
        }
        Ok(())
    }
}

struct EntryVisitor<'v, 'd, 'a> {
    draft: &'v mut Draft<'d, 'a>,
}

impl<'de> Visitor<'de> for EntryVisitor<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
            let field = Field::of(&key, self.draft.schema);
            self.draft.read((&key, field), value.get().into());
        }
        Ok(())
    }
}

/// Reads a raw JSON value that is a string.
fn text(raw: &str) -> Result<Cow<'_, str>, Reason> {
    let inner = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(Reason::NotText)?;
    if !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw).map(Cow::Owned).map_err(|_| Reason::NotText)
}
