//! A window's rows, in batches, to Parquet.

use std::io::Write;
use std::sync::Arc;

use arrow_schema::Schema as ArrowSchema;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::checksum::{CREATED_BY, Hashing};
use super::error::StoreError;
use super::sealing::Keyring;
use super::{SaveReport, footer};
use crate::time::Timestamp;
use crate::window::{RollingWindow, RowBatch, fields};

/// Rows that are handed to the writer at once, and at most the closed steps of a server more.
const BATCH_ROWS: usize = 16_384;
/// Rows of a row group, which the writer and every reader hold in memory.
const ROW_GROUP_ROWS: usize = 131_072;

/// Writes a window to `sink`, and the newest frame of a log that it holds.
pub(super) fn write<W: Write + Send>(
    window: &RollingWindow,
    (saved_at, log_sequence): (Timestamp, Option<u64>),
    keyring: &Keyring,
    sink: W,
) -> Result<SaveReport, StoreError> {
    let fields = Arc::new(fields(window.schema()));
    let properties = properties(window, footer::keys(window, saved_at, log_sequence));
    let properties = keyring.seal_properties(properties)?.build();
    let options = ArrowWriterOptions::new().with_properties(properties);
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

fn write_rows<W: Write + Send>(
    window: &RollingWindow,
    fields: &Arc<ArrowSchema>,
    writer: &mut ArrowWriter<W>,
) -> Result<u64, StoreError> {
    let mut batch = RowBatch::new(window);
    let mut rows = 0;
    for server in window.servers() {
        batch.push_closed(server);
        server.visit_open(|sample| {
            batch.push(server, sample);
            Ok::<_, StoreError>(())
        })?;
        if batch.len() >= BATCH_ROWS {
            rows += flush(&mut batch, fields, writer)?;
        }
    }
    Ok(rows + flush(&mut batch, fields, writer)?)
}

/// Hands the rows to the writer; returns how many there were.
fn flush<W: Write + Send>(
    batch: &mut RowBatch<'_>,
    fields: &Arc<ArrowSchema>,
    writer: &mut ArrowWriter<W>,
) -> Result<u64, StoreError> {
    let rows = batch.len() as u64;
    let batch = batch.take(fields).map_err(|error| writing(error.into()))?;
    writer.write(&batch).map_err(writing)?;
    Ok(rows)
}

fn properties(window: &RollingWindow, keys: Vec<KeyValue>) -> WriterPropertiesBuilder {
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::SNAPPY)
        .set_offset_index_disabled(true)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
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
