//! Parquet files of rows that are no window: written with a checksum, and read as carefully as a checkpoint.
//!
//! Owns the bytes and their checks; which columns there are and what the footer says is decided by who keeps something
//! in such files.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::checksum::{self, CREATED_BY, Hashing};
use super::error::StoreError;
use super::read::message_of;
use super::sealing::Keyring;
use super::storage::Storage;
use super::{file, guard};
use crate::error::Error;
use crate::time::Timestamp;

/// A Parquet file in memory whose checksum and structure are right.
#[derive(Debug, Clone)]
pub(crate) struct TableFile {
    bytes: Bytes,
    metadata: Arc<ParquetMetaData>,
    is_current: bool,
}

impl TableFile {
    /// Most bytes of a file that is read: it is held as a whole.
    pub(crate) const BYTES_MAX: u64 = 256 << 20;

    /// Writes rows and footer keys, encrypted if there is a key.
    pub(crate) fn encode(
        batch: &RecordBatch,
        keys: Vec<(&'static str, String)>,
        keyring: &Keyring,
    ) -> Result<Vec<u8>, Error> {
        Ok(encode(batch, keys, keyring)?)
    }

    /// Reads a file and checks all of it but its rows.
    pub(crate) fn read(storage: &dyn Storage, path: &Path, keyring: &Keyring) -> Result<Self, Error> {
        let bytes = file::read(storage, path, Self::BYTES_MAX).map_err(|error| error.of(WHAT, path))?;
        Self::open(bytes, keyring).map_err(|error| error.of(WHAT, path))
    }

    fn open(bytes: Vec<u8>, keyring: &Keyring) -> Result<Self, StoreError> {
        let bytes = Bytes::from(bytes);
        let is_current = keyring.is_file_current(&bytes)?;
        guard::check_footer(&bytes)?;
        let metadata = Arc::new(unpanicked(|| {
            let metadata = keyring.read_footer(&bytes)?;
            checksum::verify(&bytes, &metadata)?;
            Ok(metadata)
        })?);
        let leaves = metadata.file_metadata().schema_descr().num_columns();
        guard::check_pages(&bytes, &metadata, &(0..leaves).collect::<Vec<_>>())?;
        Ok(Self { bytes, metadata, is_current })
    }

    /// Returns whether it is encrypted as it would be written now.
    pub(crate) fn is_current(&self) -> bool {
        self.is_current
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn rows(&self) -> u64 {
        u64::try_from(self.metadata.file_metadata().num_rows()).unwrap_or(0)
    }

    /// Returns what stands in the footer under a key.
    pub(crate) fn key(&self, key: &str) -> Option<&str> {
        let keys = self.metadata.file_metadata().key_value_metadata()?;
        keys.iter().find(|entry| entry.key == key)?.value.as_deref()
    }

    /// Shows the rows of some columns, or of all, a few thousand at a time; `path` is for messages.
    pub(crate) fn visit(
        &self,
        path: &Path,
        columns: Option<&[&str]>,
        mut visit: impl FnMut(&RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let reading = |source| StoreError::Parquet { source }.of(WHAT, path);
        let visited = catch_unwind(AssertUnwindSafe(|| {
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
            let metadata = ArrowReaderMetadata::try_new(self.metadata.clone(), options).map_err(reading)?;
            let mask = match columns {
                None => ProjectionMask::all(),
                Some(names) => ProjectionMask::columns(metadata.parquet_schema(), names.iter().copied()),
            };
            let builder =
                ParquetRecordBatchReaderBuilder::new_with_metadata(self.bytes.clone(), metadata.clone());
            let batches =
                builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(reading)?;
            for batch in batches {
                visit(&batch.map_err(|error| reading(ParquetError::ArrowError(error.to_string())))?)?;
            }
            Ok(())
        }));
        visited
            .unwrap_or_else(|panic| Err(StoreError::Panicked { message: message_of(&*panic) }.of(WHAT, path)))
    }
}

/// Replaces a file as a whole, durable when this returns.
pub(crate) fn replace_file(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let written = file::replace(storage, path, |file| {
        file.write_all(bytes).map_err(|source| StoreError::Io { action: "writing it", source })
    });
    written.map_err(|error| error.of(WHAT, path))
}

/// Moves a file aside under a name that says when.
pub(crate) fn set_file_aside(storage: &dyn Storage, path: &Path, at: Timestamp) -> Result<PathBuf, Error> {
    file::move_aside(storage, path, at).map_err(|error| error.of(WHAT, path))
}

fn encode(
    batch: &RecordBatch,
    keys: Vec<(&'static str, String)>,
    keyring: &Keyring,
) -> Result<Vec<u8>, StoreError> {
    let encoding = |source| StoreError::Encode { source };
    let properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::SNAPPY)
        .set_offset_index_disabled(true)
        .set_statistics_enabled(EnabledStatistics::None);
    let options = ArrowWriterOptions::new()
        .with_properties(keyring.seal_properties(properties)?.build())
        // Text is plain text for every reader then.
        .with_skip_arrow_metadata(true);
    let sink = Hashing::new(Vec::new());
    let mut writer = ArrowWriter::try_new_with_options(sink, batch.schema(), options).map_err(encoding)?;
    writer.write(batch).map_err(encoding)?;
    // Nothing but the footer may follow what the checksum covers.
    writer.flush().map_err(encoding)?;
    writer.sync().map_err(|source| StoreError::Io { action: "writing it", source })?;
    let checksum = writer.inner().footer_keys();
    let keys = keys.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value));
    keys.chain(checksum).for_each(|key| writer.append_key_value_metadata(key));
    Ok(writer.into_inner().map_err(encoding)?.into_sink())
}

/// The reader asserts what it should check; see `read`.
fn unpanicked<T>(read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|panic| Err(StoreError::Panicked { message: message_of(&*panic) }))
}

const WHAT: &str = "history file";
/// Rows that are decoded at once.
const BATCH_ROWS: usize = 4_096;
