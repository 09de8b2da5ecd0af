//! Rows as a Parquet file that is handed out, a part at a time.

use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::error::HistoryError;
use super::row::{HistoryRow, to_batch};
use crate::error::{Error, ErrorKind};

/// A Parquet file with the columns of a table that is written a part at a time; it is never encrypted.
///
/// # Performance
/// Memory is that of the rows of a part.
pub struct ParquetExport(ArrowWriter<Vec<u8>>);

impl std::fmt::Debug for ParquetExport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ParquetExport")
    }
}

#[derive(Debug, thiserror::Error)]
#[error("history rows cannot be written as Parquet")]
struct ExportError(#[from] ParquetError);

impl ParquetExport {
    /// Begins a file with the columns of a table.
    ///
    /// # Errors
    /// None that rows could cause.
    pub fn new<R: HistoryRow>() -> Result<Self, Error> {
        let columns = to_batch::<R>(&[]).map_err(|source| HistoryError::Columns { source })?.schema();
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), columns, options);
        Ok(Self(writer.map_err(refused)?))
    }

    /// Adds rows as a part of their own, and returns the bytes that are complete.
    ///
    /// # Errors
    /// None that rows of the table could cause.
    pub fn add<R: HistoryRow>(&mut self, rows: &[R]) -> Result<Vec<u8>, Error> {
        let batch = to_batch(rows).map_err(|source| HistoryError::Columns { source })?;
        self.0.write(&batch).and_then(|()| self.0.flush()).map_err(refused)?;
        self.0.sync().map_err(|error| refused(ParquetError::External(Box::new(error))))?;
        // The writer counts bytes by itself, so that the sink may be emptied.
        Ok(std::mem::take(self.0.inner_mut()))
    }

    /// Returns the rest of the bytes, which make it a whole file.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn finish(self) -> Result<Vec<u8>, Error> {
        self.0.into_inner().map_err(refused)
    }
}

fn refused(error: ParquetError) -> Error {
    Error::new(ErrorKind::Internal, ExportError(error))
}
