//! The rows of a file as they are, for what replays them instead of going on with them.
//!
//! Owns what of a file is read then. Which columns a file may have, and in which types, is the checkpoint's matter.

use std::path::{Path, PathBuf};

use arrow_schema::Fields;
use bytes::Bytes;

use super::sealing::Keyring;
use super::{FILE_BYTES_MAX, FileSystem, file, read};
use crate::error::Error;
use crate::schema::{Profile, Schema, ServerName, Status};
use crate::time::Timestamp;
use crate::window::{RollingWindow, WindowConfig};

/// A Parquet file in memory.
pub(crate) struct RecordedFile {
    path: PathBuf,
    bytes: Bytes,
}

/// All rows of a file, in its order.
pub(crate) struct Recording {
    pub(crate) servers: Vec<ServerName>,
    pub(crate) rows: Vec<RecordedRow>,
    /// `[row][metric]`; NaN is missing.
    pub(crate) values: Vec<f32>,
    pub(crate) values_out_of_range: u64,
}

/// What a row says beside its metrics.
#[derive(Debug, Clone)]
pub(crate) struct RecordedRow {
    pub(crate) at: Timestamp,
    /// The position of its name.
    pub(crate) server: usize,
    pub(crate) profile: Option<Profile>,
    pub(crate) status: Option<Status>,
}

impl RecordedFile {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let bytes = file::read(&FileSystem, path, FILE_BYTES_MAX).map_err(|error| error.at(path))?;
        Ok(Self { path: path.to_owned(), bytes: bytes.into() })
    }

    /// Returns the columns.
    pub(crate) fn fields(&self) -> Result<Fields, Error> {
        let fields = read::fields(&self.bytes, &Keyring::empty()).map_err(|error| error.at(&self.path))?;
        Ok(fields.fields().clone())
    }

    /// Reads the columns that a schema knows.
    pub(crate) fn read(&self, schema: &Schema) -> Result<Recording, Error> {
        let window = RollingWindow::new(schema.clone(), WindowConfig::default())?;
        let rows = read::read_rows(self.bytes.clone(), window, &Keyring::empty());
        let rows = rows.map_err(|error| error.at(&self.path))?;
        let recorded = rows.pending.into_iter().map(|row| RecordedRow {
            at: row.at,
            server: row.server,
            profile: row.profile,
            status: row.status,
        });
        Ok(Recording {
            rows: recorded.collect(),
            servers: rows.names.into_names(),
            values: rows.values,
            values_out_of_range: rows.report.values_out_of_range,
        })
    }
}
