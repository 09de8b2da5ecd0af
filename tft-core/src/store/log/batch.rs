//! The content of a frame: the records of one feed and the time at which it was taken.
//!
//! A record is written as it was given to the window, and read back checked: what the schema of today does
//! not accept is counted and left out, so that no bytes make an invalid record.

use super::header::{Cursor, Mapping};
use crate::schema::{Metric, Profile, Schema, ServerName};
use crate::time::Timestamp;
use crate::window::Record;

/// A batch that was read.
#[derive(Debug)]
pub(in crate::store) struct Batch {
    pub(in crate::store) taken_at: Timestamp,
    pub(in crate::store) records: Vec<Record>,
    /// Values that today's schema has no metric for or does not accept, and states that it does not know.
    pub(in crate::store) values_dropped: u64,
}

const HAS_PROFILE: u8 = 1;
const HAS_STATUS: u8 = 2;
/// Every metric has a value, so that there is no bitmap.
const IS_COMPLETE: u8 = 4;
/// Time, name and flags of a record with a name of one character.
const RECORD_BYTES_MIN: usize = 8 + 2 + 1;

/// All of a record but its values, with a name and a profile of usual length.
const TYPICAL_RECORD_BYTES: usize = 40;

/// Appends the records of a feed to `out`.
pub(in crate::store) fn encode(records: &[Record], taken_at: Timestamp, out: &mut Vec<u8>) {
    let values = records.first().map_or(0, |record| record.values().len());
    out.reserve(records.len() * (TYPICAL_RECORD_BYTES + size_of::<f32>() * values));
    out.extend_from_slice(&taken_at.as_millis().to_le_bytes());
    out.extend_from_slice(&(records.len() as u32).to_le_bytes());
    for record in records {
        encode_record(record, out);
    }
}

fn encode_record(record: &Record, out: &mut Vec<u8>) {
    let values = record.values();
    let is_complete = values.iter().all(|value| !value.is_nan());
    let mut flags = if is_complete { IS_COMPLETE } else { 0 };
    flags |= if record.profile().is_some() { HAS_PROFILE } else { 0 };
    flags |= if record.status().is_some() { HAS_STATUS } else { 0 };
    out.extend_from_slice(&record.timestamp().as_millis().to_le_bytes());
    push_text(record.server().as_str(), out);
    out.push(flags);
    if let Some(profile) = record.profile() {
        push_text(profile.as_str(), out);
    }
    if let Some(status) = record.status() {
        out.push(status.0);
    }
    if !is_complete {
        out.extend(values.chunks(8).map(|chunk| {
            let bits = chunk.iter().enumerate().map(|(bit, value)| u8::from(!value.is_nan()) << bit);
            bits.fold(0, |bitmap, bit| bitmap | bit)
        }));
    }
    let start = out.len();
    out.resize(start + size_of_val(values), 0);
    let (places, _) = out[start..].as_chunks_mut();
    let mut written = 0;
    for (place, value) in places.iter_mut().zip(values.iter().filter(|value| !value.is_nan())) {
        *place = value.to_le_bytes();
        written += 1;
    }
    out.truncate(start + written * size_of::<f32>());
}

/// Names of servers and profiles have at most 100 bytes.
fn push_text(text: &str, out: &mut Vec<u8>) {
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// Reads a batch; none if the bytes are not one.
pub(in crate::store) fn decode(bytes: &[u8], mapping: &Mapping, schema: &Schema) -> Option<Batch> {
    let mut bytes = Cursor(bytes);
    let taken_at = time(&mut bytes)?;
    let count = u32::from_le_bytes(bytes.take()?) as usize;
    if count > bytes.0.len() / RECORD_BYTES_MIN {
        return None;
    }
    let mut batch = Batch { taken_at, records: Vec::with_capacity(count), values_dropped: 0 };
    for _ in 0..count {
        let record = decode_record(&mut bytes, mapping, schema, &mut batch.values_dropped)?;
        batch.records.push(record);
    }
    bytes.0.is_empty().then_some(batch)
}

fn decode_record(
    bytes: &mut Cursor<'_>,
    mapping: &Mapping,
    schema: &Schema,
    values_dropped: &mut u64,
) -> Option<Record> {
    let at = time(bytes)?;
    let server = ServerName::new(text(bytes)?).ok()?;
    let flags = bytes.byte()?;
    if flags & !(HAS_PROFILE | HAS_STATUS | IS_COMPLETE) != 0 {
        return None;
    }
    let profile = if flags & HAS_PROFILE == 0 { None } else { Some(Profile::new(text(bytes)?).ok()?) };
    let mut status = None;
    if flags & HAS_STATUS != 0 {
        status = *mapping.states.get(usize::from(bytes.byte()?))?;
        *values_dropped += u64::from(status.is_none());
    }
    let bitmap = match flags & IS_COMPLETE {
        0 => Some(bytes.slice(mapping.metrics.len().div_ceil(8))?),
        _ => None,
    };
    let mut values = vec![f32::NAN; schema.metrics().len()].into_boxed_slice();
    for (index, &metric) in mapping.metrics.iter().enumerate() {
        if bitmap.is_some_and(|bitmap| bitmap[index / 8] & 1 << (index % 8) == 0) {
            continue;
        }
        let value = f32::from_le_bytes(bytes.take()?);
        match metric.and_then(|metric| Some((metric, accepted(&schema.metrics()[metric], value)?))) {
            Some((metric, value)) => values[metric] = value,
            None => *values_dropped += 1,
        }
    }
    Some(Record::from_parts(schema, at, server, (profile, status), values))
}

/// Returns a value as the metric takes it today. A bound that single precision rounds outwards is one.
fn accepted(metric: &Metric, value: f32) -> Option<f32> {
    let clamped = metric.clamp(f64::from(value)) as f32;
    let is_accepted =
        metric.accepts(f64::from(value)) || value.to_bits() == clamped.to_bits() && value.is_finite();
    is_accepted.then_some(clamped)
}

fn time(bytes: &mut Cursor<'_>) -> Option<Timestamp> {
    let millis = i64::from_le_bytes(bytes.take()?);
    let time = Timestamp::from_millis(millis);
    (time.as_millis() == millis).then_some(time)
}

fn text<'a>(bytes: &mut Cursor<'a>) -> Option<&'a str> {
    let length = usize::from(bytes.byte()?);
    bytes.text(length)
}

#[cfg(test)]
mod tests {
    use super::super::header::Header;
    use super::*;
    use crate::schema::{MetricKind, SchemaConfig};

    fn schema(names: &[(&str, Option<f64>)]) -> Schema {
        let metric =
            |&(name, max): &(&str, Option<f64>)| Metric { max, ..Metric::new(name, MetricKind::Continuous) };
        Schema::new(SchemaConfig { metrics: names.iter().map(metric).collect(), ..Default::default() })
            .unwrap()
    }

    fn at() -> Timestamp {
        Timestamp::parse("2026-01-05T12:00:00Z").unwrap()
    }

    fn encoded(records: &[Record]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(records, at(), &mut bytes);
        bytes
    }

    #[test]
    fn records_come_back_with_everything_that_they_tell() {
        let schema = schema(&[("a", Some(0.1)), ("b", None), ("c", None)]);
        let record = || Record::new(&schema, "ppdb001", at()).unwrap();
        let records = [
            record().with("a", 0.1).unwrap().with("b", -1.5).unwrap().with("c", 3.0).unwrap(),
            record().with("c", 2.5).unwrap().with_profile(Profile::new("database").unwrap()),
            record().with_status("WARN").unwrap(),
        ];
        let bytes = encoded(&records);
        let mapping = Header::new(&schema, 1).mapping(&schema);
        let batch = decode(&bytes, &mapping, &schema).unwrap();
        assert_eq!((batch.taken_at, batch.values_dropped), (at(), 0));
        assert_eq!(format!("{:?}", batch.records), format!("{records:?}"));
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length], &mapping, &schema).is_none(), "{length}");
        }
    }

    #[test]
    fn another_schema_takes_what_it_knows_by_name() {
        let old = schema(&[("gone", None), ("moved", None), ("narrowed", None)]);
        let new = schema(&[("narrowed", Some(10.0)), ("added", None), ("moved", None)]);
        let record = Record::new(&old, "web1", at()).unwrap();
        let record = record.with("gone", 1.0).unwrap().with("moved", 2.0).unwrap();
        let bytes = encoded(&[record.with("narrowed", 11.0).unwrap()]);
        let mapping = Header::new(&old, 1).mapping(&new);
        assert_eq!(mapping.unknown_metrics, ["gone"]);
        let batch = decode(&bytes, &mapping, &new).unwrap();
        let values: Vec<_> = (0..3).map(|metric| batch.records[0].value(metric)).collect();
        assert_eq!((values, batch.values_dropped), (vec![None, None, Some(2.0)], 2));
    }
}
