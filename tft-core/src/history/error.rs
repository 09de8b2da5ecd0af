//! What can go wrong with the history, in words that name the file or the field.

use std::io;
use std::path::PathBuf;

use crate::error::{Error, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub(super) enum HistoryError {
    #[error("history.{key} is {value}, allowed are {min} to {max}")]
    Config { key: &'static str, value: u64, min: u64, max: u64 },
    #[error("history `{path}`: {action} failed")]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("history `{path}` is open in another process")]
    InUse { path: PathBuf },
    #[error("history file `{path}`: {reason}")]
    Corrupt { path: PathBuf, reason: &'static str },
    #[error("history file `{path}` has format_version `{version}`, readable is {}", super::FORMAT_VERSION)]
    Version { path: PathBuf, version: String },
    #[error("history batch takes {bytes} bytes, allowed are at most {}", super::History::BATCH_BYTES_MAX)]
    BatchTooLarge { bytes: usize },
    #[error("history `{path}`: files that name the server could not be removed")]
    Left { path: PathBuf },
    #[error("history rows cannot be put into columns")]
    Columns { source: arrow_schema::ArrowError },
    #[error("history query has the limit {limit}, allowed are 1 to {}", super::Query::LIMIT_MAX)]
    QueryLimit { limit: usize },
    #[error("{field} has {bytes} bytes, allowed are 1 to {max}")]
    TextLength { field: &'static str, bytes: usize, max: usize },
}

impl From<HistoryError> for Error {
    fn from(error: HistoryError) -> Self {
        let kind = match &error {
            HistoryError::Config { .. } => ErrorKind::InvalidConfig,
            HistoryError::Io { .. } | HistoryError::Left { .. } => ErrorKind::Io,
            HistoryError::InUse { .. } => ErrorKind::Unavailable,
            HistoryError::Corrupt { .. } => ErrorKind::Corrupt,
            HistoryError::Version { .. }
            | HistoryError::QueryLimit { .. }
            | HistoryError::TextLength { .. } => ErrorKind::InvalidInput,
            HistoryError::BatchTooLarge { .. } => ErrorKind::LimitExceeded,
            HistoryError::Columns { .. } => ErrorKind::Internal,
        };
        Self::new(kind, error)
    }
}
