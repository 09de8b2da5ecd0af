//! The history: what happened to alerts, and how the fleet was, kept in files for as long as it is asked for.
//!
//! Owns the rows, their files and the queries over them. A [`History`] is a directory: what comes in is appended to a
//! log and durable when [`History::append`] returns; when the day is over, or the log is full, its rows become Parquet
//! files, one per table, that any tool reads. `docs/format.md` writes every byte down. What becomes a row, and how often
//! a fleet is looked at, is the application's business. Reads no clock: rows bring their times.

mod archive;
mod config;
mod entry;
mod error;
mod event;
mod export;
mod file_name;
mod held;
mod life;
mod query;
mod recover;
mod removal;
mod report;
mod row;
mod segment;
mod snapshot;
mod summary;

pub use archive::History;
pub use config::HistoryConfig;
pub use entry::HistoryEntry;
pub use event::{AlertEvent, EventKind};
pub use export::ParquetExport;
pub use life::{AlertLife, AlertNote, LifeKey};
pub use query::{Page, Query};
pub use report::{Appended, Expiry, HistoryRecovery, HistoryRemoval, HistoryStats};
pub use row::{Cell, Column, ColumnKind, HistoryRow, Table};
pub use snapshot::{FleetSnapshot, RiskOf};
pub use summary::HistorySummary;

/// The version of the Parquet files that is written; the log has that of its frames.
const FORMAT_VERSION: &str = "1";

/// What stands in the header of a log.
const LOG_NAME: &str = "tft-history 1";
