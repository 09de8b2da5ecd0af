//! What can go wrong with the log, in words that name the file.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::store::sealing::SealError;

#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum LogError {
    #[error("log `{path}`: {action} failed")]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("log `{path}`: has format version {version}, readable is {}", super::FORMAT_VERSION)]
    Version { path: PathBuf, version: u32 },
    #[error("log `{path}`: {problem}")]
    Seal { path: PathBuf, problem: SealError },
    #[error("feed {0}")]
    Unsealable(SealError),
    #[error("schema takes {bytes} bytes in the log, allowed are at most {}", super::HEADER_BYTES_MAX)]
    SchemaTooLarge { bytes: usize },
    #[error("feed takes {bytes} bytes in the log, allowed are at most {}", super::FRAME_BYTES_MAX)]
    FeedTooLarge { bytes: usize },
    #[error("log has {bytes} bytes, allowed are at most {max} until a checkpoint is saved")]
    Full { bytes: u64, max: u64 },
    #[error("log is not written to after a failure ({reason}) until a checkpoint is saved")]
    Suspended { reason: Arc<str> },
    #[error("feed could not be made durable: {reason}")]
    NotDurable { reason: Arc<str> },
    #[error("store `{path}` is open in another process")]
    InUse { path: PathBuf },
    #[error("store `{path}` exists already")]
    Exists { path: PathBuf },
    #[error("window for a store has {servers} servers already, expected is an empty one")]
    WindowNotEmpty { servers: usize },
}

impl LogError {
    pub(in crate::store) fn io(path: impl Into<PathBuf>, action: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.into(), action, source }
    }
}

impl From<LogError> for Error {
    fn from(error: LogError) -> Self {
        let kind = match error {
            LogError::Seal { problem, .. } | LogError::Unsealable(problem) => problem.kind(),
            LogError::Io { .. } | LogError::NotDurable { .. } => ErrorKind::Io,
            LogError::Version { .. } | LogError::WindowNotEmpty { .. } | LogError::Exists { .. } => {
                ErrorKind::InvalidInput
            }
            LogError::SchemaTooLarge { .. } | LogError::FeedTooLarge { .. } => ErrorKind::LimitExceeded,
            LogError::Full { .. } | LogError::Suspended { .. } | LogError::InUse { .. } => {
                ErrorKind::Unavailable
            }
        };
        Self::new(kind, error)
    }
}
