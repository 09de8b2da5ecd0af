//! A window's rows, in batches, to Parquet.

use std::io::Write;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float32Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Schema as ArrowSchema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::checksum::{CREATED_BY, Hashing};
use super::error::StoreError;
use super::{SaveReport, footer};
use crate::schema::Schema;
use crate::time::Timestamp;
use crate::window::{RollingWindow, StoredSample};

/// Rows that are handed to the writer at once.
const BATCH_ROWS: usize = 16_384;
/// Rows of a row group, which the writer and every reader hold in memory.
const ROW_GROUP_ROWS: usize = 131_072;

/// Writes a window to `sink`, and the newest frame of a log that it holds.
pub(super) fn write<W: Write + Send>(
    window: &RollingWindow,
    (saved_at, log_sequence): (Timestamp, Option<u64>),
    sink: W,
) -> Result<SaveReport, StoreError> {
    let fields = Arc::new(fields(window.schema()));
    let options = ArrowWriterOptions::new()
        .with_properties(properties(window, footer::keys(window, saved_at, log_sequence)));
    // Without the embedded Arrow schema, text is plain text for every reader and not a dictionary type.
    let options = options.with_skip_arrow_metadata(true);
    let sink = Hashing::new(sink);
    let mut writer = ArrowWriter::try_new_with_options(sink, fields.clone(), options).map_err(writing)?;
    let rows = write_rows(window, &fields, &mut writer)?;
    // Nothing but the footer may follow what the checksum covers.
    writer.flush().map_err(writing)?;
    writer.sync().map_err(|error| writing(error.into()))?;
    for key in writer.inner().footer_keys() {
        writer.append_key_value_metadata(key);
    }
    writer.finish().map_err(writing)?;
    Ok(SaveReport { rows, bytes: writer.bytes_written() as u64 })
}

/// The rows of one batch, column by column.
struct Batch<'w> {
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

fn write_rows<W: Write + Send>(
    window: &RollingWindow,
    fields: &Arc<ArrowSchema>,
    writer: &mut ArrowWriter<W>,
) -> Result<u64, StoreError> {
    let mut batch = Batch::new(window);
    let mut rows = 0;
    for server in window.servers() {
        server.visit_stored(|sample| {
            batch.push(server.name().as_str(), server.profile().as_str(), sample);
            if batch.times.len() == BATCH_ROWS {
                rows += batch.flush(fields, writer)?;
            }
            Ok::<_, StoreError>(())
        })?;
    }
    Ok(rows + batch.flush(fields, writer)?)
}

impl<'w> Batch<'w> {
    fn new(window: &'w RollingWindow) -> Self {
        Self {
            window,
            times: Vec::new(),
            servers: Labels::default(),
            profiles: Labels::default(),
            statuses: Labels::default(),
            values: vec![Vec::new(); window.schema().metrics().len()],
        }
    }

    fn push(&mut self, server: &'w str, profile: &'w str, sample: StoredSample<'_>) {
        let statuses = self.window.schema().statuses();
        self.times.push(sample.at.as_millis());
        self.servers.push(Some(server));
        self.profiles.push(Some(profile));
        self.statuses.push(sample.status.map(|status| statuses.name(status)));
        for (column, &value) in self.values.iter_mut().zip(sample.values) {
            column.push(value);
        }
    }

    /// Hands the rows to the writer; returns how many there were.
    fn flush<W: Write + Send>(
        &mut self,
        fields: &Arc<ArrowSchema>,
        writer: &mut ArrowWriter<W>,
    ) -> Result<u64, StoreError> {
        let rows = self.times.len() as u64;
        let times = TimestampMillisecondArray::from(std::mem::take(&mut self.times)).with_timezone("UTC");
        let labels = [&mut self.servers, &mut self.profiles, &mut self.statuses];
        let mut columns: Vec<ArrayRef> = vec![Arc::new(times)];
        columns.extend(labels.map(|labels| std::mem::take(labels).into_array()));
        columns.extend(self.values.iter_mut().map(|column| floats(column)));
        let batch = RecordBatch::try_new(fields.clone(), columns).map_err(|error| writing(error.into()))?;
        writer.write(&batch).map_err(writing)?;
        Ok(rows)
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
        let keys = arrow_array::Int32Array::from(self.keys);
        let texts = Arc::new(StringArray::from(self.texts));
        // A key is the position of a text that was pushed before it.
        Arc::new(DictionaryArray::<Int32Type>::new(keys, texts))
    }
}

fn floats(column: &mut Vec<f32>) -> ArrayRef {
    let values = column.drain(..).map(|value| (!value.is_nan()).then_some(value));
    Arc::new(values.collect::<Float32Array>())
}

fn fields(schema: &Schema) -> ArrowSchema {
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

fn properties(window: &RollingWindow, keys: Vec<KeyValue>) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::SNAPPY)
        .set_offset_index_disabled(true)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_key_value_metadata(Some(keys));
    // Measured values hardly repeat; times and texts do, and keep the writer's dictionary. Plain floats
    // and not BYTE_STREAM_SPLIT: the gain is small, and Spark 3 cannot read that.
    for metric in window.schema().metrics() {
        let column = ColumnPath::from(metric.name.as_str());
        properties = properties.set_column_dictionary_enabled(column, false);
    }
    properties.build()
}

fn writing(source: ParquetError) -> StoreError {
    match source {
        // The writer wraps what the file says.
        ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(source) => StoreError::Io { action: "writing it", source: *source },
            Err(cause) => StoreError::Encode { source: ParquetError::External(cause) },
        },
        source => StoreError::Encode { source },
    }
}
