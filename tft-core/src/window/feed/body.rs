//! The outermost object of a feed: its list of records, each left as text.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::FeedError;

/// The outermost object of a feed.
pub(super) struct Body<'a> {
    pub(super) records: Vec<&'a RawValue>,
    pub(super) unknown_fields: usize,
}

/// A key, borrowed where it has no escapes.
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

/// The raw records that were kept, and the number of all of them.
struct RawRecords<'a> {
    kept: Vec<&'a RawValue>,
    count: usize,
}

/// Parses the outermost object; its records are only told apart.
pub(super) fn parse(text: &str, records_max: usize) -> Result<Body<'_>, FeedError> {
    let as_json = |source| FeedError::Json { source };
    let mut json = serde_json::Deserializer::from_str(text);
    let (records, unknown_fields) = json.deserialize_map(BodyVisitor { records_max }).map_err(as_json)?;
    json.end().map_err(as_json)?;
    if records.count > records_max {
        return Err(FeedError::TooManyRecords { count: records.count, max: records_max });
    }
    Ok(Body { records: records.kept, unknown_fields })
}

struct BodyVisitor {
    records_max: usize,
}

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = (RawRecords<'de>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a list `records`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut records = None;
        let mut keys = HashSet::new();
        while let Some(Key(key)) = map.next_key()? {
            if key == "records" {
                records = Some(map.next_value_seed(RecordsSeed { records_max: self.records_max })?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            if let Some(key) = keys.replace(key) {
                let key = crate::time::abbreviate(&key);
                return Err(A::Error::custom(format_args!("key `{key}` appears twice")));
            }
        }
        let records = records.ok_or_else(|| A::Error::missing_field("records"))?;
        Ok((records, keys.len() - 1))
    }
}

struct RecordsSeed {
    records_max: usize,
}

impl<'de> DeserializeSeed<'de> for RecordsSeed {
    type Value = RawRecords<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RecordsSeed {
    type Value = RawRecords<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut records = RawRecords { kept: Vec::new(), count: 0 };
        while records.kept.len() < self.records_max {
            let Some(record) = list.next_element()? else { break };
            records.kept.push(record);
        }
        records.count = records.kept.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            records.count += 1;
        }
        Ok(records)
    }
}

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}
