//! A window's rows to Parquet, a row group at a time and within it column by column.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, TimestampMillisecondArray};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{Field, Schema as ArrowSchema};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::ColumnPath;

use super::checksum::{CREATED_BY, Hashing};
use super::error::StoreError;
use super::sealing::Keyring;
use super::texts::TextRuns;
use super::values::ValuePages;
use super::{SaveReport, footer};
use crate::time::Timestamp;
use crate::window::{RollingWindow, StoredRows, fields};

/// Rows of a row group, and at most those of one server more. A column of them is held while it is written.
const ROW_GROUP_ROWS: usize = 524_288;
/// The text column whose rows are in order, so that its bounds let readers leave row groups out.
const SERVER_COLUMN: usize = 1;

/// Writes a window to `sink`, and the newest frame of a log that it holds.
pub(super) fn write<W: Write + Send>(
    window: &RollingWindow,
    (saved_at, log_sequence): (Timestamp, Option<u64>),
    keyring: &Keyring,
    sink: W,
) -> Result<SaveReport, StoreError> {
    let keys = footer::keys(window, saved_at, log_sequence);
    let properties = keyring.seal_properties(properties(window, keys))?.build();
    let pages = (!keyring.is_sealing()).then(ValuePages::default);
    let mut writer = Writer::new(window, (properties, pages), sink).map_err(writing)?;
    let mut rows = StoredRows::new(window);
    let mut row_count = 0;
    for server in window.servers() {
        rows.push(server);
        if rows.len() >= ROW_GROUP_ROWS {
            row_count += rows.len() as u64;
            writer.write(&rows).map_err(writing)?;
            rows.clear();
        }
    }
    row_count += rows.len() as u64;
    writer.write(&rows).map_err(writing)?;
    Ok(SaveReport { rows: row_count, bytes: writer.finish().map_err(writing)? })
}

struct Writer<W: Write + Send> {
    file: SerializedFileWriter<Hashing<W>>,
    fields: Arc<ArrowSchema>,
    columns: ArrowRowGroupWriterFactory,
    /// For columns that this crate writes itself; none if pages are encrypted, which only the parquet crate can.
    pages: Option<ValuePages>,
}

impl<W: Write + Send> Writer<W> {
    fn new(
        window: &RollingWindow,
        (properties, pages): (WriterProperties, Option<ValuePages>),
        sink: W,
    ) -> Result<Self, ParquetError> {
        // Without the embedded Arrow schema, text is plain text for every reader and not a dictionary type.
        let fields = Arc::new(fields(window.schema()));
        let schema = ArrowSchemaConverter::new().convert(&fields)?;
        let (sink, properties) = (Hashing::new(sink), Arc::new(properties));
        let file = SerializedFileWriter::new(sink, schema.root_schema_ptr(), properties)?;
        let columns = ArrowRowGroupWriterFactory::new(&file, fields.clone());
        Ok(Self { file, fields, columns, pages })
    }

    /// Writes rows as a row group.
    fn write(&mut self, rows: &StoredRows<'_>) -> Result<(), ParquetError> {
        if rows.len() == 0 {
            return Ok(());
        }
        let writers = self.columns.create_column_writers(self.file.flushed_row_groups().len())?;
        let descriptors = self.file.schema_descr().columns().to_vec();
        let mut group = self.file.next_row_group()?;
        for (index, ((writer, descriptor), field)) in
            writers.into_iter().zip(descriptors).zip(self.fields.fields()).enumerate()
        {
            let array: ArrayRef = match index {
                0 => Arc::new(TimestampMillisecondArray::from(rows.times()).with_timezone("UTC")),
                1..=3 => {
                    let mut texts = TextRuns::default();
                    rows.visit_texts(index - 1, |text, count| texts.push(text, count));
                    if self.pages.is_some() && texts.are_long() {
                        texts.append(descriptor, index == SERVER_COLUMN, &mut group)?;
                        continue;
                    }
                    texts.into_array()
                }
                _ => {
                    if let Some(pages) = &mut self.pages
                        && pages.append((rows, index - 4), descriptor, &mut group)?
                    {
                        continue;
                    }
                    values_with_gaps(rows, index - 4)
                }
            };
            write_array(writer, field, &array, &mut group)?;
        }
        group.close()?;
        Ok(())
    }

    /// Writes the footer; returns how many bytes the file has.
    fn finish(mut self) -> Result<u64, ParquetError> {
        // Nothing but the footer may follow what the checksum covers.
        self.file.flush()?;
        for key in self.file.inner().footer_keys() {
            self.file.append_key_value_metadata(key);
        }
        self.file.finish()?;
        Ok(self.file.bytes_written() as u64)
    }
}

fn values_with_gaps(rows: &StoredRows<'_>, metric: usize) -> ArrayRef {
    let mut values = Vec::with_capacity(rows.len());
    let visited: Result<bool, Infallible> = rows.try_visit_values(metric, |some| {
        values.extend_from_slice(some);
        Ok(true)
    });
    let Ok(_) = visited;
    let nulls = BooleanBuffer::collect_bool(values.len(), |row| !values[row].is_nan());
    Arc::new(Float32Array::new(values.into(), Some(nulls.into())))
}

fn write_array<W: Write + Send>(
    mut writer: ArrowColumnWriter,
    field: &Field,
    array: &ArrayRef,
    group: &mut SerializedRowGroupWriter<'_, W>,
) -> Result<(), ParquetError> {
    for leaf in compute_leaves(field, array)? {
        writer.write(&leaf)?;
    }
    writer.close()?.append_to_row_group(group)
}

fn properties(window: &RollingWindow, keys: Vec<KeyValue>) -> WriterPropertiesBuilder {
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::SNAPPY)
        .set_offset_index_disabled(true)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(None)
        .set_key_value_metadata(Some(keys));
    // The rows are in order of servers, so that the bounds of these columns let readers leave row groups out;
    // those of measured values would not.
    for column in ["timestamp", "server_name"] {
        properties =
            properties.set_column_statistics_enabled(ColumnPath::from(column), EnabledStatistics::Chunk);
    }
    // Measured values hardly repeat; times and texts do, and keep the writer's dictionary. Plain floats
    // and not BYTE_STREAM_SPLIT: the gain is small, and Spark 3 cannot read that.
    for metric in window.schema().metrics() {
        let column = ColumnPath::from(metric.name.as_str());
        properties = properties.set_column_dictionary_enabled(column, false);
    }
    properties
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
