//! The original system's pickle, read as data.
//!
//! Owns the reading of `inference_rolling_window.pkl` into a window. Nothing is ever executed: a pickle is a list of
//! instructions, and those that only put values into containers are followed; a name, a class or a call is looked
//! up in a list of plain data, and everything else is an error that says where it stands.
//!
//! # Format
//! A dict, pickled with any of the protocols 0 to 5:
//!
//! | key | value |
//! |---|---|
//! | `rolling_window` | a list, tuple or deque of dicts, one per sample |
//! | `tick_count` | how many batches were taken; optional |
//! | `server_timesteps` | a dict of each server's count of samples; optional |
//! | `timestamp` | when it was saved; optional |
//!
//! A sample has the fields of a row of a Parquet file of version 1.0 under their names and aliases: `timestamp`
//! (text, `datetime`, pandas' or numpy's), `server_name`, `profile`, `status` or `state`, and metrics. None and NaN
//! are missing values, other fields are passed over.
//!
//! # What is read
//! - dicts, lists, tuples, sets, `OrderedDict`, `defaultdict`, `Counter` and `deque`; text, bytes, integers, floats,
//!   booleans, None; values used more than once, and containers that hold themselves;
//! - `datetime`, `timedelta`, `timezone`; `ZoneInfo` and the zones of pytz and dateutil, as far as they are UTC or
//!   tell their distance from it. A time without a zone is taken as UTC. A local time whose zone is only named is an
//!   error, as this crate carries no time zone database;
//! - pandas' `Timestamp`, `NaT` and `NA`, and numpy's scalars of floats, integers, booleans, text and `datetime64`.
//!
//! # Limits
//! 128 MiB, 16.8 million instructions, 4.2 million objects and as many remembered values, 1,000 open containers,
//! a million rows. Lengths are held against the bytes that are left before anything is reserved. The worst
//! files known took 650 MB and three seconds; one of 6,000 rows takes 20 MB and 40 ms.

mod bytes;
mod calendar;
mod error;
mod globals;
mod limits;
mod literal;
mod machine;
mod numpy;
mod opcode;
mod records;
mod value;

use std::path::{Path, PathBuf};

pub(super) use error::PickleError;

use super::error::StoreError;
use super::storage::FileSystem;
use super::{LoadReport, file};
use crate::error::Error;
use crate::schema::Schema;
use crate::window::{RollingWindow, WindowConfig};

/// Reads a window from a pickle of the original system.
///
/// Rows are taken by the rules of a Parquet file of version 1.0: the oldest first, steps aggregated again, values
/// out of range as missing.
///
/// # Errors
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if the file is damaged or a row cannot be read;
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it says anything that is not plain data, naming that and its
/// byte, or lacks what a window needs; [`LimitExceeded`](crate::ErrorKind::LimitExceeded) beyond the
/// [limits](self#limits) or the window's; [`Io`](crate::ErrorKind::Io) if it cannot be read at all.
pub fn load(path: &Path, schema: Schema, config: WindowConfig) -> Result<(RollingWindow, LoadReport), Error> {
    let window = RollingWindow::new(schema, config)?;
    let bytes = file::read(&FileSystem, path, limits::BYTES_MAX).map_err(|error| error.at(path))?;
    read(&bytes, window).map_err(|error| error.at(path))
}

/// Reads a window from the bytes of a pickle.
///
/// # Errors
/// As [`load`].
///
/// # Examples
/// ```
/// use tft_core::WindowConfig;
/// use tft_core::schema::Schema;
/// use tft_core::store::pickle;
///
/// let empty = b"}S'rolling_window'\n]s.";
/// let (window, report) = pickle::decode(empty, Schema::server_metrics(), WindowConfig::default())?;
/// assert_eq!((window.server_count(), report.rows), (0, 0));
///
/// let attack = b"cos\nsystem\n(S'rm -rf ~'\ntR.";
/// let error = pickle::decode(attack, Schema::server_metrics(), WindowConfig::default()).unwrap_err();
/// assert!(error.to_string().contains("names `os.system` at byte 0"));
/// # Ok::<(), tft_core::Error>(())
/// ```
pub fn decode(
    bytes: &[u8],
    schema: Schema,
    config: WindowConfig,
) -> Result<(RollingWindow, LoadReport), Error> {
    Ok(read(bytes, RollingWindow::new(schema, config)?)?)
}

/// Renames a pickle that was taken to `<name>.migrated`, and returns the new path; a number is added where there
/// is such a file already.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) naming what the operating system refused.
pub fn mark_migrated(path: &Path) -> Result<PathBuf, Error> {
    file::rename_with_suffix(&FileSystem, path, file::MIGRATED_SUFFIX).map_err(|error| error.at(path))
}

/// Renames a pickle that cannot be taken to `<name>.backup`, as it is, and returns the new path; a number is added
/// where there is such a file already.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) naming what the operating system refused.
pub fn set_aside(path: &Path) -> Result<PathBuf, Error> {
    file::rename_with_suffix(&FileSystem, path, file::BACKUP_SUFFIX).map_err(|error| error.at(path))
}

fn read(bytes: &[u8], window: RollingWindow) -> Result<(RollingWindow, LoadReport), StoreError> {
    let (count, max) = (bytes.len() as u64, limits::BYTES_MAX);
    if count > max {
        return Err(StoreError::TooMany { what: "bytes", count, max });
    }
    let (graph, top) = machine::parse(bytes)?;
    records::read(&graph, top, window)
}
