//! The footer keys of a checkpoint: what it says beside its rows.

use std::collections::{BTreeMap, HashMap};

use parquet::file::metadata::{KeyValue, ParquetMetaData};

use super::FORMAT_VERSION;
use super::error::StoreError;
use crate::time::{Timestamp, abbreviate};
use crate::window::RollingWindow;

/// What the footer says beside the columns.
pub(super) struct Footer {
    pub(super) format_version: String,
    pub(super) tick_count: u64,
    pub(super) samples_accepted: HashMap<String, u64>,
    pub(super) saved_at: Option<Timestamp>,
    /// The newest frame of the log that the rows hold.
    pub(super) log_sequence: Option<u64>,
}

impl Footer {
    pub(super) fn read(metadata: &ParquetMetaData) -> Result<Self, StoreError> {
        let keys = metadata.file_metadata().key_value_metadata();
        let value = |key: &str| {
            let entry = keys?.iter().find(|entry| entry.key == key)?;
            entry.value.as_deref()
        };
        let format_version = value("format_version").unwrap_or("1.0");
        if format_version.split('.').next() != Some("1") {
            return Err(StoreError::Version { version: abbreviate(format_version) });
        }
        Ok(Self {
            format_version: abbreviate(format_version),
            tick_count: parse_key("tick_count", value("tick_count"), "a number", |text| text.parse().ok())?,
            samples_accepted: parse_key(
                "server_timesteps",
                value("server_timesteps"),
                "a JSON object of numbers",
                |text| serde_json::from_str(text).ok(),
            )?,
            // Only shown to people, so that a time which cannot be read costs nothing.
            saved_at: value("timestamp").and_then(|text| Timestamp::parse(text).ok()),
            log_sequence: parse_key("log_sequence", value("log_sequence"), "a number", |text| {
                text.parse().ok().map(Some)
            })?,
        })
    }

    /// Returns whether the rows of a server are in time order: this crate writes them so.
    pub(super) fn is_ordered(&self) -> bool {
        self.format_version != "1.0"
    }
}

fn parse_key<T: Default>(
    key: &'static str,
    value: Option<&str>,
    expected: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, StoreError> {
    let Some(text) = value else { return Ok(T::default()) };
    parse(text).ok_or_else(|| StoreError::FooterKey { key, value: abbreviate(text), expected })
}

/// Returns the keys for a window, but for the checksum.
pub(super) fn keys(window: &RollingWindow, saved_at: Timestamp, log_sequence: Option<u64>) -> Vec<KeyValue> {
    let samples: BTreeMap<_, _> =
        window.servers().map(|server| (server.name().as_str(), server.samples_accepted())).collect();
    let samples = serde_json::to_string(&samples).expect("invariant: text and numbers are JSON");
    let keys = [
        ("format_version", FORMAT_VERSION.to_owned()),
        ("tick_count", window.tick_count().to_string()),
        ("timestamp", saved_at.to_string()),
        ("server_timesteps", samples),
    ];
    let log_sequence = log_sequence.map(|sequence| ("log_sequence", sequence.to_string()));
    let keys = keys.into_iter().chain(log_sequence);
    keys.map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect()
}
