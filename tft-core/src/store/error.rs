//! What can go wrong with a checkpoint, in words that name its file and column.

use std::path::{Path, PathBuf};

use arrow_schema::DataType;
use parquet::errors::ParquetError;

use super::pickle::PickleError;
use super::sealing::SealError;
use crate::error::{Error, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("is not a Parquet file: {reason}")]
    NotParquet { reason: &'static str },
    #[error("is damaged at byte {at}: {reason}")]
    Damaged { at: usize, reason: &'static str },
    #[error("is damaged: its rows do not match their checksum")]
    Checksum,
    #[error("cannot be read as Parquet")]
    Parquet { source: ParquetError },
    #[error("cannot be decoded: the Parquet reader gave up with `{message}`")]
    Panicked { message: String },
    #[error("cannot be encoded as Parquet")]
    Encode { source: ParquetError },
    #[error("has {count} {what}, allowed are at most {max}")]
    TooMany { what: &'static str, count: u64, max: u64 },
    #[error("has format_version `{version}`, readable are 1.x")]
    Version { version: String },
    #[error("has no column `{column}`")]
    MissingColumn { column: &'static str },
    #[error("has no column for any of the schema's {metrics} metrics")]
    NoMetricColumn { metrics: usize },
    #[error("has column `{column}`, which is another name of column `{first}`")]
    RepeatedColumn { column: String, first: String },
    #[error("column `{column}` has the type {found}, expected is {expected}")]
    ColumnType { column: String, found: DataType, expected: &'static str },
    #[error("column `{column}` has the encoding {encoding}, a delta encoding of text, which is not read")]
    Encoding { column: String, encoding: i64 },
    #[error("column `{column}` is compressed with {codec}, readable are none, snappy and zstd")]
    Compression { column: String, codec: String },
    #[error("column `{column}` has no value in row {row}")]
    Null { column: String, row: u64 },
    #[error("column `{column}` has `{value}` in row {row}, expected is {expected}")]
    Value { column: String, value: String, row: u64, expected: &'static str },
    #[error("footer key `{key}` has `{value}`, expected is {expected}")]
    FooterKey { key: &'static str, value: String, expected: &'static str },
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Pickle(#[from] PickleError),
    #[error("does not fit into the window")]
    Window { source: Error },
    #[error("{action} failed")]
    Io { action: &'static str, source: std::io::Error },
}

/// A failure together with the file that it is about.
#[derive(Debug)]
struct AtPath {
    what: &'static str,
    path: PathBuf,
    error: StoreError,
}

impl StoreError {
    pub(super) fn at(self, path: &Path) -> Error {
        self.of("checkpoint", path)
    }

    /// Names the file as what it is.
    pub(super) fn of(self, what: &'static str, path: &Path) -> Error {
        Error::new(self.kind(), AtPath { what, path: path.to_owned(), error: self })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotParquet { .. }
            | Self::Damaged { .. }
            | Self::Checksum
            | Self::Parquet { .. }
            | Self::Panicked { .. }
            | Self::Null { .. }
            | Self::Value { .. }
            | Self::FooterKey { .. } => ErrorKind::Corrupt,
            Self::Version { .. }
            | Self::MissingColumn { .. }
            | Self::NoMetricColumn { .. }
            | Self::RepeatedColumn { .. }
            | Self::Encoding { .. }
            | Self::Compression { .. }
            | Self::ColumnType { .. } => ErrorKind::InvalidInput,
            Self::TooMany { .. } => ErrorKind::LimitExceeded,
            Self::Seal(error) => error.kind(),
            Self::Pickle(error) => error.kind(),
            Self::Encode { .. } => ErrorKind::Internal,
            Self::Window { source } => source.kind(),
            Self::Io { .. } => ErrorKind::Io,
        }
    }
}

impl std::fmt::Display for AtPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} `{}`: {}", self.what, self.path.display(), self.error)
    }
}

impl std::error::Error for AtPath {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::new(error.kind(), InMemory(error))
    }
}

/// A failure of a checkpoint that is no file.
#[derive(Debug)]
struct InMemory(StoreError);

impl std::fmt::Display for InMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "checkpoint: {}", self.0)
    }
}

impl std::error::Error for InMemory {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
