//! The Arrow crates of the public API, under one roof and in the version that the API means.
//!
//! Owns nothing: batches go in with [`RollingWindow::ingest_batch`](crate::RollingWindow::ingest_batch) and
//! [`Feed::from_arrow_stream`](crate::Feed::from_arrow_stream), and come out of
//! [`RollingWindow::to_record_batch`](crate::RollingWindow::to_record_batch).

pub use arrow_array as array;
pub use arrow_ipc as ipc;
pub use arrow_schema as schema;
