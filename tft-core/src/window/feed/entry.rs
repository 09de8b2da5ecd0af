//! One record of a feed: its fields, checked against the schema.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::body::Key;
use super::scan::as_sent;
use crate::schema::{Profile, Schema, ServerName, Status};
use crate::time::Timestamp;
use crate::window::Record;
use crate::window::fault::{Fault, Reason, fault_of_value};

/// Parses one record; also returns how many of its fields are not known.
pub(super) fn parse(raw: &str, schema: &Schema) -> (Result<Record, Fault>, usize) {
    if !raw.starts_with('{') {
        return (Err(Fault::new("record", raw, Reason::NotAnObject)), 0);
    }
    let mut draft = Draft::new(schema);
    let mut json = serde_json::Deserializer::from_str(raw);
    if let Err(error) = json.deserialize_map(EntryVisitor { draft: &mut draft }) {
        let reason = Reason::Unreadable { message: error.to_string() };
        return (Err(Fault::new("record", "", reason)), draft.unknown_fields);
    }
    let unknown_fields = draft.unknown_fields;
    (draft.finish(), unknown_fields)
}

/// What the fields read so far say.
struct Draft<'s> {
    schema: &'s Schema,
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

impl<'s> Draft<'s> {
    fn new(schema: &'s Schema) -> Self {
        Self {
            schema,
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

    fn finish(self) -> Result<Record, Fault> {
        let missing = |field: &'static str| Fault::new(field, "", Reason::Missing);
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let timestamp = self.timestamp.ok_or_else(|| missing("timestamp"))?;
        let server = self.server.ok_or_else(|| missing("server_name"))?;
        Ok(Record::from_parts(self.schema, timestamp, server, (self.profile, self.status), self.values))
    }

    fn read(&mut self, key: &str, raw: &str) {
        if let Err(reason) = self.read_field(key, raw) {
            let value = if matches!(reason, Reason::Duplicate) { "" } else { as_sent(raw) };
            self.fault.get_or_insert_with(|| Fault::new(key.to_owned(), value, reason));
        }
    }

    fn read_field(&mut self, key: &str, raw: &str) -> Result<(), Reason> {
        if let Some(metric) = self.schema.metric_index(key) {
            self.seen.note(metric)?;
            return self.read_metric(metric, raw);
        }
        match key {
            "timestamp" => self.read_timestamp(raw),
            "profile" => self.read_profile(raw),
            "status" | "state" => self.read_status(raw),
            "problem_child" | "notes" => Ok(()),
            _ if self.schema.is_server_name_field(key) => self.read_server(raw),
            _ => {
                self.unknown_fields += 1;
                Ok(())
            }
        }
    }

    fn read_metric(&mut self, metric: usize, raw: &str) -> Result<(), Reason> {
        if raw == "null" {
            return Ok(());
        }
        let definition = &self.schema.metrics()[metric];
        let value = number(raw).ok_or(Reason::NotANumber)?;
        if let Some(reason) = fault_of_value(definition, value) {
            return Err(reason);
        }
        self.values[metric] = definition.clamp(value) as f32;
        Ok(())
    }

    fn read_timestamp(&mut self, raw: &str) -> Result<(), Reason> {
        self.seen.note(Seen::TIMESTAMP)?;
        let timestamp = match number(raw) {
            Some(number) => Timestamp::from_number(number),
            None => Timestamp::parse(&text(raw).map_err(|_| Reason::UnreadableTime)?),
        };
        self.timestamp = Some(timestamp.map_err(|_| Reason::UnreadableTime)?);
        Ok(())
    }

    fn read_server(&mut self, raw: &str) -> Result<(), Reason> {
        self.seen.note(Seen::SERVER_NAME)?;
        self.server = Some(ServerName::new(&text(raw)?).map_err(|_| Reason::BadServerName)?);
        Ok(())
    }

    fn read_profile(&mut self, raw: &str) -> Result<(), Reason> {
        self.seen.note(Seen::PROFILE)?;
        if raw != "null" {
            self.profile = Some(Profile::new(&text(raw)?).map_err(|_| Reason::BadProfile)?);
        }
        Ok(())
    }

    fn read_status(&mut self, raw: &str) -> Result<(), Reason> {
        self.seen.note(Seen::STATUS)?;
        if raw != "null" {
            let status = self.schema.statuses().parse(&text(raw)?);
            self.status = Some(status.ok_or(Reason::UnknownStatus)?);
        }
        Ok(())
    }
}

struct EntryVisitor<'d, 's> {
    draft: &'d mut Draft<'s>,
}

impl<'de> Visitor<'de> for EntryVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
            self.draft.read(&key, value.get());
        }
        Ok(())
    }
}

/// Reads a raw JSON value that is a number; one beyond the range of `f64` becomes infinite.
fn number(raw: &str) -> Option<f64> {
    let is_number = raw.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    is_number.then(|| raw.parse().ok()).flatten()
}

/// Reads a raw JSON value that is a string.
fn text(raw: &str) -> Result<Cow<'_, str>, Reason> {
    let inner = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(Reason::NotText)?;
    if !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw).map(Cow::Owned).map_err(|_| Reason::NotText)
}
