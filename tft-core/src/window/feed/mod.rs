//! The JSON feed: `{"records":[{…}]}`, parsed record by record.
//!
//! Owns which fields a record may have and how each is written. A bad record costs only itself; a body that
//! is no JSON of this form, is nested too deeply or has too many records is refused as a whole.

mod body;
mod entry;
mod number;
mod plain;
mod scan;

use serde::{Deserialize, Serialize};

use entry::Recent;

use super::fault::Fault;
use super::report::push_rejection;
use super::{Record, Rejection};
use crate::error::{Error, ErrorKind};
use crate::schema::Schema;

/// A parsed feed: its good records, and why the others were refused.
///
/// # Examples
/// ```
/// use tft_core::schema::Schema;
/// use tft_core::window::{Feed, FeedLimits};
///
/// let body = br#"{"records":[
///     {"timestamp":"2026-01-05T12:00:00Z","server_name":"ppdb001","status":"OK","cpu_user":25.3},
///     {"timestamp":"2026-01-05T12:00:00Z","server_name":"ppdb001","cpu_user":"25.3"}]}"#;
/// let feed = Feed::from_json(body, &Schema::server_metrics(), &FeedLimits::default())?;
/// assert_eq!((feed.records().len(), feed.rejected()), (1, 1));
/// assert_eq!(feed.errors()[0].to_string(), r#"record 1: cpu_user `"25.3"` is not a number"#);
/// # Ok::<(), tft_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Feed {
    records: Vec<Record>,
    /// The position of each record in the request.
    positions: Vec<u32>,
    rejected: usize,
    errors: Vec<Rejection>,
    pub(super) unknown_fields: usize,
}

/// How large and how deep a feed may be; the size of its body is limited by whoever reads it.
///
/// # Defaults
/// At most 10,000 records and 32 levels of lists and objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeedLimits {
    /// Most records in one feed.
    pub records_max: usize,
    /// Most lists and objects inside each other, the outermost one included.
    pub depth_max: usize,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FeedError {
    #[error("feed is not UTF-8 from byte {at} on")]
    NotUtf8 { at: usize },
    #[error("feed nests lists and objects deeper than {max} levels at byte {at}")]
    TooDeep { max: usize, at: usize },
    #[error("feed is not a JSON object with a list `records`")]
    Json { source: serde_json::Error },
    #[error("feed has {count} records, allowed are at most {max}")]
    TooManyRecords { count: usize, max: usize },
}

impl Feed {
    /// Parses a feed.
    ///
    /// A record is an object with `timestamp` (RFC 3339; a date and time without offset, taken as UTC; Unix
    /// seconds or milliseconds), `server_name`, optionally `profile` and `status` (or `state`), and metrics
    /// by name or alias. A metric is a number or null, which means missing. `problem_child` and `notes` are
    /// ignored; fields that are not known are ignored and counted. A known field may appear only once,
    /// under whichever name. `NaN` and `Infinity`, which JSON does not have but some encoders write, cost
    /// only their record.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if the body is not JSON of this form, has a key twice or is nested too deep;
    /// [`ErrorKind::LimitExceeded`] if it has too many records.
    pub fn from_json(body: &[u8], schema: &Schema, limits: &FeedLimits) -> Result<Self, Error> {
        let text = str::from_utf8(body).map_err(|error| FeedError::NotUtf8 { at: error.valid_up_to() })?;
        match plain::parse(text, schema, limits) {
            Some(feed) => Ok(feed),
            None => Self::from_any_json(text, schema, limits),
        }
    }

    /// Parses a feed of any form, and says what is wrong with it.
    fn from_any_json(text: &str, schema: &Schema, limits: &FeedLimits) -> Result<Self, Error> {
        let text = scan::prepare(text, limits.depth_max)?;
        let body = body::parse(&text, limits.records_max)?;
        let mut feed = Self::with_capacity(body.records.len());
        feed.unknown_fields = body.unknown_fields;
        let mut recent = Recent::default();
        for (index, entry) in body.records.into_iter().enumerate() {
            let (record, unknown_fields) = entry::parse(entry.get(), schema, &mut recent);
            feed.unknown_fields += unknown_fields;
            feed.push(index, record);
        }
        Ok(feed)
    }

    /// Returns the good records, in the order of the request.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Returns how many records were refused.
    pub fn rejected(&self) -> usize {
        self.rejected
    }

    /// Returns why records were refused, for the first
    /// [`IngestReport::ERRORS_MAX`](super::IngestReport::ERRORS_MAX) of them.
    pub fn errors(&self) -> &[Rejection] {
        &self.errors
    }

    /// Returns how many fields were ignored because they are not known.
    pub fn unknown_fields(&self) -> usize {
        self.unknown_fields
    }

    /// Returns whether the request had no record at all, good or bad.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.rejected == 0
    }

    pub(super) fn indexed_records(&self) -> impl ExactSizeIterator<Item = (usize, &Record)> {
        self.positions.iter().map(|&position| position as usize).zip(&self.records)
    }

    pub(super) fn into_errors(self) -> Vec<Rejection> {
        self.errors
    }

    pub(super) fn with_capacity(records: usize) -> Self {
        Self {
            records: Vec::with_capacity(records),
            positions: Vec::with_capacity(records),
            rejected: 0,
            errors: Vec::new(),
            unknown_fields: 0,
        }
    }

    fn reserve(&mut self, records: usize) {
        self.records.reserve(records);
        self.positions.reserve(records);
    }

    pub(super) fn push(&mut self, index: usize, record: Result<Record, Fault>) {
        match record {
            Ok(record) => {
                self.records.push(record);
                self.positions.push(index as u32);
            }
            Err(fault) => {
                self.rejected += 1;
                push_rejection(&mut self.errors, index, &fault);
            }
        }
    }
}

impl Default for FeedLimits {
    fn default() -> Self {
        Self { records_max: 10_000, depth_max: 32 }
    }
}

impl From<FeedError> for Error {
    fn from(error: FeedError) -> Self {
        let kind = match error {
            FeedError::TooManyRecords { .. } => ErrorKind::LimitExceeded,
            _ => ErrorKind::Malformed,
        };
        Self::new(kind, error)
    }
}
