//! The window's steps as record batches.

use std::ops::RangeBounds;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float32Array, Int32Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow_schema::{ArrowError, DataType, Field, Schema as ArrowSchema, TimeUnit};

use crate::error::{Error, ErrorKind};
use crate::schema::Schema;
use crate::time::Timestamp;
use crate::window::{RollingWindow, ServerView, StoredSample};

#[derive(Debug, thiserror::Error)]
#[error("window has no server `{name}`")]
struct UnknownServer {
    name: String,
}

impl RollingWindow {
    /// Returns the closed steps of some servers, whose starts lie in a range, as a record batch.
    ///
    /// Columns are `timestamp` (milliseconds, UTC), `server_name`, `profile` and `status` (dictionaries of text) and
    /// a 32-bit float for each metric; null is a missing value, and a step without samples has no row. Rows are in
    /// the order of `servers`, and of time within each. What another window is given of it makes the same steps.
    ///
    /// # Performance
    /// O(rows). Values are copied: the window keeps each metric of a server in a ring, and a batch may outlive it.
    /// [`ServerView::history`] reads the ring in place.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if there is no such server.
    ///
    /// # Examples
    /// ```
    /// use tft_core::schema::Schema;
    /// use tft_core::time::Timestamp;
    /// use tft_core::{Record, RollingWindow, WindowConfig};
    ///
    /// let schema = Schema::server_metrics();
    /// let mut window = RollingWindow::new(schema.clone(), WindowConfig::default())?;
    /// let noon = Timestamp::parse("2026-01-05T12:00:00Z")?;
    /// for step in 0..4 {
    ///     let at = noon.plus_millis(300_000 * step);
    ///     window.ingest(&[Record::new(&schema, "ppdb001", at)?.with("cpu_user_pct", 25.0)?], at)?;
    /// }
    /// // The newest step and, with the default grace, the one before it still take samples.
    /// assert_eq!(window.to_record_batch(&["ppdb001"], ..)?.num_rows(), 2);
    /// assert_eq!(window.to_record_batch(&["ppdb001"], ..=noon)?.num_rows(), 1);
    /// # Ok::<(), tft_core::Error>(())
    /// ```
    pub fn to_record_batch(
        &self,
        servers: &[&str],
        starts: impl RangeBounds<Timestamp>,
    ) -> Result<RecordBatch, Error> {
        let mut rows = RowBatch::new(self);
        for name in servers {
            let unknown = || UnknownServer { name: crate::time::abbreviate(name) };
            let server = self.server(name).ok_or_else(|| Error::new(ErrorKind::InvalidInput, unknown()))?;
            server.visit_closed(|sample| {
                if starts.contains(&sample.at) {
                    rows.push(server, sample);
                }
            });
        }
        let fields = Arc::new(fields(&self.schema));
        rows.take(&fields).map_err(|source| Error::new(ErrorKind::Internal, source))
    }
}

/// Returns the columns of a window's steps.
pub(crate) fn fields(schema: &Schema) -> ArrowSchema {
    let text = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let mut fields = vec![
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
        Field::new("server_name", text(), false),
        Field::new("profile", text(), false),
        Field::new("status", text(), true),
    ];
    let metrics = schema.metrics().iter();
    fields.extend(metrics.map(|metric| Field::new(&metric.name, DataType::Float32, true)));
    ArrowSchema::new(fields)
}

/// Rows on their way into a record batch, column by column.
pub(crate) struct RowBatch<'w> {
    window: &'w RollingWindow,
    times: Vec<i64>,
    servers: Labels<'w>,
    profiles: Labels<'w>,
    statuses: Labels<'w>,
    /// `[metric][row]`; NaN is a missing value.
    values: Vec<Vec<f32>>,
}

/// One text per row, each distinct one held once.
#[derive(Default)]
struct Labels<'w> {
    keys: Vec<Option<i32>>,
    texts: Vec<&'w str>,
}

impl<'w> RowBatch<'w> {
    pub(crate) fn new(window: &'w RollingWindow) -> Self {
        Self {
            window,
            times: Vec::new(),
            servers: Labels::default(),
            profiles: Labels::default(),
            statuses: Labels::default(),
            values: vec![Vec::new(); window.schema().metrics().len()],
        }
    }

    pub(crate) fn push(&mut self, server: ServerView<'w>, sample: StoredSample<'_>) {
        let statuses = self.window.schema().statuses();
        self.times.push(sample.at.as_millis());
        self.servers.push(Some(server.name().as_str()));
        self.profiles.push(Some(server.profile().as_str()));
        self.statuses.push(sample.status.map(|status| statuses.name(status)));
        for (column, &value) in self.values.iter_mut().zip(sample.values) {
            column.push(value);
        }
    }

    /// Returns the rows, and is empty from then on.
    pub(crate) fn take(&mut self, fields: &Arc<ArrowSchema>) -> Result<RecordBatch, ArrowError> {
        let times = TimestampMillisecondArray::from(std::mem::take(&mut self.times)).with_timezone("UTC");
        let labels = [&mut self.servers, &mut self.profiles, &mut self.statuses];
        let mut columns: Vec<ArrayRef> = vec![Arc::new(times)];
        columns.extend(labels.map(|labels| std::mem::take(labels).into_array()));
        columns.extend(self.values.iter_mut().map(|column| array_of_floats(column)));
        RecordBatch::try_new(fields.clone(), columns)
    }
}

impl<'w> Labels<'w> {
    /// Adds a row's text. Rows with the same text mostly follow each other, so that only the newest texts
    /// are compared; a text that is held twice is correct as well.
    fn push(&mut self, text: Option<&'w str>) {
        const TEXTS_COMPARED: usize = 16;
        let key = text.map(|text| {
            let recent = self.texts.iter().rev().take(TEXTS_COMPARED);
            let age = recent.into_iter().position(|known| *known == text);
            let key = age.map_or(self.texts.len(), |age| self.texts.len() - 1 - age);
            if age.is_none() {
                self.texts.push(text);
            }
            key as i32
        });
        self.keys.push(key);
    }

    fn into_array(self) -> ArrayRef {
        let texts = Arc::new(StringArray::from(self.texts));
        // A key is the position of a text that was pushed before it.
        Arc::new(DictionaryArray::<Int32Type>::new(Int32Array::from(self.keys), texts))
    }
}

/// Makes a column of values in which NaN is a missing one; there are none left then.
fn array_of_floats(values: &mut Vec<f32>) -> ArrayRef {
    let next = Vec::with_capacity(values.len());
    let values = std::mem::replace(values, next);
    // Most columns miss nothing, and need no copy then.
    if values.iter().any(|value| value.is_nan()) {
        let values = values.into_iter().map(|value| (!value.is_nan()).then_some(value));
        Arc::new(values.collect::<Float32Array>())
    } else {
        Arc::new(Float32Array::from(values))
    }
}
