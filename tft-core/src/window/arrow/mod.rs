//! Arrow: samples in as record batches or as a stream of them, and the window's steps out.
//!
//! Owns which columns a batch may have and in which types. A bad row costs only itself, in the words of the JSON
//! feed; a batch without the columns that every row needs, or with a column of another type, is refused as a whole.

mod columns;
mod rows;
mod stream;
mod table;
mod text;

use arrow_array::RecordBatch;
use arrow_schema::DataType;

use super::{Feed, FeedLimits, IngestReport, RollingWindow};
use crate::error::{Error, ErrorKind};
use crate::schema::Schema;
use crate::time::Timestamp;

#[cfg(feature = "parquet")]
pub(crate) use table::fields;

#[derive(Debug, thiserror::Error)]
pub(super) enum ArrowFeedError {
    #[error("feed has no column `{column}`")]
    MissingColumn { column: &'static str },
    #[error("feed has column `{column}`, which is another name of column `{first}`")]
    RepeatedColumn { column: String, first: String },
    #[error("column `{column}` of the feed has the type {found}, expected is {expected}")]
    ColumnType { column: String, found: DataType, expected: &'static str },
    #[error("feed has {count} records, allowed are at most {max}")]
    TooManyRecords { count: usize, max: usize },
    #[error("feed is not an Arrow stream: {reason}")]
    Stream { reason: String },
}

impl Feed {
    /// Reads a feed from record batches, whose rows are numbered through.
    ///
    /// | column | types |
    /// |---|---|
    /// | `timestamp` | a timestamp of any unit, with or without a zone; text or a number as in the [JSON feed](Self::from_json) |
    /// | `server_name` | text |
    /// | `profile`, `status` (or `state`), optional | text |
    /// | a metric, by its name or an alias | a float or integer of any width |
    ///
    /// Text is any of Arrow's text types, or a dictionary of them. A timestamp without a zone is taken as UTC. Null
    /// is a missing value; NaN is not a number and costs its record. Columns may be absent or of the null type where
    /// they are optional; `problem_child` and `notes` are ignored, other columns are ignored and counted for each
    /// row.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if a column is missing, appears under two names or has another type;
    /// [`ErrorKind::LimitExceeded`] if there are too many rows.
    pub fn from_record_batches(
        batches: &[RecordBatch],
        schema: &Schema,
        limits: &FeedLimits,
    ) -> Result<Self, Error> {
        let count = batches.iter().map(RecordBatch::num_rows).fold(0, usize::saturating_add);
        if count > limits.records_max {
            return Err(ArrowFeedError::TooManyRecords { count, max: limits.records_max }.into());
        }
        let mut feed = Self::with_capacity(count);
        let mut first_row = 0;
        for batch in batches {
            let columns = columns::find(batch, schema)?;
            feed.unknown_fields += columns.unknown * batch.num_rows();
            for (row, record) in rows::read(batch, &columns, schema).enumerate() {
                feed.push(first_row + row, record);
            }
            first_row += batch.num_rows();
        }
        Ok(feed)
    }

    /// Reads a feed from a stream in Arrow's IPC format, which may have several batches.
    ///
    /// The stream is one of strangers: what its messages say of lengths is held against its bytes before anything is
    /// decoded. Compressed batches and deltas of dictionaries, which writers make only when asked to, are refused.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if the bytes are not such a stream, and otherwise as
    /// [`from_record_batches`](Self::from_record_batches).
    pub fn from_arrow_stream(bytes: &[u8], schema: &Schema, limits: &FeedLimits) -> Result<Self, Error> {
        let batches = stream::read(bytes, limits.records_max)?;
        Self::from_record_batches(&batches, schema, limits)
    }
}

impl RollingWindow {
    /// Takes the good rows of a record batch and reports the others, as [`ingest`](Self::ingest) does.
    ///
    /// [`Feed::from_record_batches`] has the columns.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if the columns are not those of a feed; [`ErrorKind::LimitExceeded`] if there are more
    /// than [`records_max`](super::WindowConfig::records_max) rows. Nothing is taken then.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    ///
    /// use tft_core::arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
    /// use tft_core::schema::Schema;
    /// use tft_core::time::Timestamp;
    /// use tft_core::{RollingWindow, WindowConfig};
    ///
    /// let now = Timestamp::parse("2026-01-05T12:00:00Z")?;
    /// let times: ArrayRef = Arc::new(StringArray::from(vec!["2026-01-05T12:00:00Z"; 2]));
    /// let names: ArrayRef = Arc::new(StringArray::from(vec!["ppdb001", "ppdb 2"]));
    /// let busy: ArrayRef = Arc::new(Float64Array::from(vec![Some(25.3), None]));
    /// let batch =
    ///     RecordBatch::try_from_iter([("timestamp", times), ("server_name", names), ("cpu_user_pct", busy)])?;
    ///
    /// let mut window = RollingWindow::new(Schema::server_metrics(), WindowConfig::default())?;
    /// let report = window.ingest_batch(&batch, now)?;
    /// assert_eq!((report.accepted, report.rejected), (1, 1));
    /// assert!(report.errors[0].to_string().starts_with(r#"record 1: server_name `"ppdb 2"` must be"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ingest_batch(&mut self, batch: &RecordBatch, now: Timestamp) -> Result<IngestReport, Error> {
        let limits = FeedLimits { records_max: self.config().records_max, ..FeedLimits::default() };
        let feed = Feed::from_record_batches(std::slice::from_ref(batch), self.schema(), &limits)?;
        self.ingest_feed(feed, now)
    }
}

impl From<ArrowFeedError> for Error {
    fn from(error: ArrowFeedError) -> Self {
        let kind = match error {
            ArrowFeedError::TooManyRecords { .. } => ErrorKind::LimitExceeded,
            _ => ErrorKind::Malformed,
        };
        Self::new(kind, error)
    }
}
