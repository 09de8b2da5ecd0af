//! A Parquet file with the rows of one table, from one log.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::FORMAT_VERSION;
use super::error::HistoryError;
use super::file_name::FileName;
use super::row::sealed::Stored;
use super::row::{Cells, Column, HistoryRow, to_batch};
use crate::error::Error;
use crate::store::{Keyring, Storage, TableFile, replace_file};
use crate::time::Timestamp;

/// What is known of a Parquet file of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) name: FileName,
    pub(super) path: PathBuf,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// The sequences of its rows lie in this range.
    pub(super) sequences: RangeInclusive<u64>,
    /// The times of its rows lie in this range.
    pub(super) times: RangeInclusive<Timestamp>,
}

/// Where the files are, and what they are encrypted with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) storage: &'p dyn Storage,
    pub(super) directory: &'p Path,
    pub(super) keyring: &'p Keyring,
}

impl Segment {
    /// Writes rows to a file of their own, durable when this returns; nothing if there are none.
    pub(super) fn write<R: HistoryRow>(
        place: Place<'_>,
        (day, first): (i64, u64),
        rows: &[R],
    ) -> Result<Option<Self>, Error> {
        let name = FileName { first, day, table: Some(R::TABLE) };
        let path = name.path(place.directory);
        let (Some(oldest), Some(newest)) = (rows.first(), rows.last()) else { return Ok(None) };
        let sequences = oldest.sequence()..=newest.sequence();
        let earliest = rows.iter().map(Stored::at).min().unwrap_or(oldest.at());
        let latest = rows.iter().map(Stored::at).max().unwrap_or(newest.at());
        let batch = to_batch(rows).map_err(|source| HistoryError::Columns { source })?;
        let keys = vec![
            (VERSION_KEY, FORMAT_VERSION.to_owned()),
            (TABLE_KEY, R::TABLE.as_str().to_owned()),
            (FIRST_KEY, sequences.start().to_string()),
            (LAST_KEY, sequences.end().to_string()),
            (EARLIEST_KEY, earliest.as_millis().to_string()),
            (LATEST_KEY, latest.as_millis().to_string()),
        ];
        let bytes = TableFile::encode(&batch, keys, place.keyring)?;
        replace_file(place.storage, &path, &bytes)?;
        let times = earliest..=latest;
        let (rows, bytes) = (rows.len() as u64, bytes.len() as u64);
        Ok(Some(Self { name, path, rows, bytes, sequences, times }))
    }

    /// Reads what a file says of itself.
    pub(super) fn open(place: Place<'_>, name: FileName) -> Result<(Self, TableFile), Error> {
        let path = name.path(place.directory);
        let file = TableFile::read(place.storage, &path, place.keyring)?;
        let corrupt = |reason| Error::from(HistoryError::Corrupt { path: path.clone(), reason });
        let version = file.key(VERSION_KEY).unwrap_or_default();
        if !version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') || version.is_empty() {
            return Err(corrupt("it does not say its version"));
        }
        if version != FORMAT_VERSION {
            let version = crate::time::abbreviate(version);
            return Err(HistoryError::Version { path: path.clone(), version }.into());
        }
        if file.key(TABLE_KEY) != name.table.map(super::Table::as_str) {
            return Err(corrupt("it is of another table than its name says"));
        }
        let number = |key: &str| file.key(key)?.parse::<i64>().ok();
        let range = |first, last| Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last);
        let sequences = range(FIRST_KEY, LAST_KEY).filter(|&(first, _)| first >= 1);
        let (Some((first, last)), Some((earliest, latest))) = (sequences, range(EARLIEST_KEY, LATEST_KEY))
        else {
            return Err(corrupt("its footer does not say which rows it has"));
        };
        let segment = Self {
            name,
            rows: file.rows(),
            bytes: file.bytes(),
            sequences: first.unsigned_abs()..=last.unsigned_abs(),
            times: Timestamp::from_millis(earliest)..=Timestamp::from_millis(latest),
            path,
        };
        Ok((segment, file))
    }

    /// Shows its rows, the oldest first.
    pub(super) fn visit<R: HistoryRow>(
        &self,
        place: Place<'_>,
        columns: Option<&[&str]>,
        visit: impl FnMut(R),
    ) -> Result<(), Error> {
        let (_, file) = Self::open(place, self.name)?;
        visit_rows(&file, &self.path, columns, visit)
    }

    /// Returns its rows, the oldest first.
    pub(super) fn rows<R: HistoryRow>(&self, place: Place<'_>) -> Result<Vec<R>, Error> {
        let mut rows = Vec::new();
        self.visit(place, None, |row| rows.push(row))?;
        Ok(rows)
    }
}

/// Shows the rows of a file, the oldest first.
pub(super) fn visit_rows<R: HistoryRow>(
    file: &TableFile,
    path: &Path,
    columns: Option<&[&str]>,
    mut visit: impl FnMut(R),
) -> Result<(), Error> {
    let is_wanted = |column: &&Column| columns.is_none_or(|columns| columns.contains(&column.name));
    file.visit(path, columns, |batch| {
        // A damaged name of a column would otherwise pass for a column without values.
        if !R::COLUMNS.iter().filter(is_wanted).all(|column| column.is_in(batch)) {
            let reason = "it lacks a column";
            return Err(HistoryError::Corrupt { path: path.to_owned(), reason }.into());
        }
        let is_read = Cells::each(batch, |cells| R::of_cells(cells).map(&mut visit).is_some());
        let reason = "a row lacks a value, or has one that is not known";
        if is_read { Ok(()) } else { Err(HistoryError::Corrupt { path: path.to_owned(), reason }.into()) }
    })
}

const VERSION_KEY: &str = "format_version";
const TABLE_KEY: &str = "table";
const FIRST_KEY: &str = "first_sequence";
const LAST_KEY: &str = "last_sequence";
const EARLIEST_KEY: &str = "earliest_ms";
const LATEST_KEY: &str = "latest_ms";
