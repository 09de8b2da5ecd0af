//! Keeping the rolling window: a checkpoint that other tools can read, and a log of the feeds since then.
//!
//! Owns files: a [`Store`] is a window whose every acknowledged feed survives the end of the process, and,
//! as its [`SyncMode`] promises, a loss of power. The checkpoint is a Parquet file that is replaced as a
//! whole; the log lies beside it in segments named `<checkpoint>.log-<first sequence>`. Files are reached
//! through [`Storage`], so that tests can fail any operation. `docs/format.md` writes every byte down.
//!
//! [Documents](Store::save_document) are small things that an application keeps beside the window, such as its alerts.
//!
//! With the feature `encryption` and a key in the [`StoreConfig`] everything that is written is encrypted, and plain
//! files that are found are rewritten at once; a file that no key given opens is refused and left as it is.
//!
//! [`save`], [`load`], [`encode`] and [`decode`] are the checkpoint alone, without a log.
//!
//! # Format of the checkpoint
//! Version 1.2. One row per sample, the rows of a server together and in time order:
//!
//! | column | type | null |
//! |---|---|---|
//! | `timestamp` | TIMESTAMP, milliseconds, UTC | never |
//! | `server_name` | text | never |
//! | `profile` | text | never |
//! | `status` | text, a state of the schema | no status told |
//! | one per metric, by its name | 32-bit float | missing |
//!
//! A closed step is one row at its first instant; the steps of a server that still take samples are their
//! raw samples, so that a loaded window treats what follows as the saved one would have. Footer keys are
//! `format_version`, `tick_count`, `timestamp` (when it was saved) and `server_timesteps`, a JSON object of
//! each server's count of samples; `data_bytes` and `data_crc32c` are a checksum over the rows. `log_sequence`
//! is the newest feed of the log that the rows hold; a checkpoint that was saved without a log has none.
//!
//! Version 1.1 has `data_sha256` instead of `data_crc32c`.
//!
//! Version 1.0 is what the original system wrote: timestamps as text, `state` or `status`, floats of either
//! width, rows of all servers mixed and as frequent as they were fed. Also a file without footer keys loads.
//! What the original wrote before it had Parquet is read by [`pickle`].
//!
//! Files of other programs load if they have such columns: text in any of Arrow's types or categorical, times of any
//! unit with or without a zone, numbers of any width and booleans as 0 and 1, further columns and indexes beside them;
//! uncompressed or in snappy or zstd. `scripts/check_parquet.py` shows that pandas, fastparquet, DuckDB and Spark read
//! what is written, `tests/fixtures/checkpoint/foreign.py` writes what is read.

mod checksum;
mod chunk;
mod columns;
mod commit;
mod config;
mod document;
mod durable;
mod error;
mod export;
mod file;
mod footer;
mod guard;
#[cfg(feature = "encryption")]
mod key;
mod log;
mod open_log;
pub mod pickle;
mod read;
mod recording;
mod removal;
mod report;
mod rows;
mod sealing;
mod storage;
mod texts;
mod values;
mod write;

use std::path::{Path, PathBuf};

use bytes::Bytes;

pub use config::{StoreConfig, SyncMode};
pub use durable::{Store, Ticket, WindowGuard};
pub use export::{ExportedSample, ServerExport};
#[cfg(feature = "encryption")]
pub use key::EncryptionKey;
pub(crate) use recording::{RecordedFile, Recording};
pub use report::{CheckpointReport, LogDamage, RecoveryReport, Removal, SetAside};
pub use storage::{FileSystem, Storage, StorageFile};

use crate::error::Error;
use crate::schema::Schema;
use crate::time::Timestamp;
use crate::window::{RollingWindow, WindowConfig};
use sealing::Keyring;

/// Most bytes of a checkpoint that is loaded; it is read into memory as a whole.
pub const FILE_BYTES_MAX: u64 = 4 << 30;

/// The version that is written.
const FORMAT_VERSION: &str = "1.2";

/// What was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SaveReport {
    /// Rows written.
    pub rows: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// What was loaded, and what of it was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadReport {
    /// The file's `format_version`; 1.0 if it has none.
    pub format_version: String,
    /// When it was saved, if it says.
    pub saved_at: Option<Timestamp>,
    /// The newest feed of a log that it holds, if it was saved with one.
    pub log_sequence: Option<u64>,
    /// Rows read.
    pub rows: u64,
    /// Rows left out: they have neither a metric value nor a status, their step was closed by an earlier
    /// row, or it had too many samples.
    pub rows_dropped: u64,
    /// Values that lie outside of their metric's range, loaded as missing.
    pub values_out_of_range: u64,
    /// Status words that the schema does not know, loaded as missing.
    pub statuses_unknown: u64,
    /// The schema's metrics that the file has no column for, loaded as missing.
    pub missing_metrics: Vec<String>,
}

/// Writes a window to a file, replacing the one that is there as a whole.
///
/// After a crash at any moment the file is the old or the new one. It is readable for its owner and group.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) naming what the operating system refused; the old file is then
/// as it was, and no temporary one is left.
pub fn save(window: &RollingWindow, path: &Path, saved_at: Timestamp) -> Result<SaveReport, Error> {
    let saved = file::replace(&FileSystem, path, |file| {
        write::write(window, (saved_at, None), &Keyring::empty(), file)
    });
    saved.map_err(|error| error.at(path))
}

/// Reads a window from a file.
///
/// The file may have been saved with another configuration: steps are aggregated again, and what the window
/// has no room for is forgotten.
///
/// # Errors
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if the file is damaged;
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a column is missing or has another type, or the format
/// is newer; [`LimitExceeded`](crate::ErrorKind::LimitExceeded) if it has more bytes, rows or servers than are
/// allowed; [`Io`](crate::ErrorKind::Io) if it cannot be read. Messages name the file, and the column and row
/// where there are such.
pub fn load(path: &Path, schema: Schema, config: WindowConfig) -> Result<(RollingWindow, LoadReport), Error> {
    let window = RollingWindow::new(schema, config)?;
    let bytes = file::read(&FileSystem, path, FILE_BYTES_MAX).map_err(|error| error.at(path))?;
    read::read(Bytes::from(bytes), window, &Keyring::empty()).map_err(|error| error.at(path))
}

/// Moves a file that cannot be loaded to `<name>.corrupt-<yyyymmddThhmmssZ>` and returns the new path; a
/// number is added where there is such a file already.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) naming what the operating system refused.
pub fn quarantine(path: &Path, at: Timestamp) -> Result<PathBuf, Error> {
    file::move_aside(&FileSystem, path, at).map_err(|error| error.at(path))
}

/// Returns the bytes that [`save`] would write.
///
/// # Errors
/// None that the content of a window could cause.
pub fn encode(window: &RollingWindow, saved_at: Timestamp) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    write::write(window, (saved_at, None), &Keyring::empty(), &mut bytes)?;
    Ok(bytes)
}

/// Reads a window from the bytes of a file.
///
/// # Errors
/// As [`load`].
pub fn decode(
    bytes: Vec<u8>,
    schema: Schema,
    config: WindowConfig,
) -> Result<(RollingWindow, LoadReport), Error> {
    let window = RollingWindow::new(schema, config)?;
    Ok(read::read(Bytes::from(bytes), window, &Keyring::empty())?)
}
