//! Properties of the library as its users see it, one module each.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(all(feature = "burn", feature = "engine", feature = "parquet"))]
mod allocations;
#[cfg(feature = "parquet")]
mod arrow_feed;
mod bad_batch;
#[cfg(all(feature = "burn", feature = "parquet"))]
mod bad_model;
#[cfg(feature = "parquet")]
mod bad_pickle;
#[cfg(all(feature = "burn", feature = "parquet"))]
mod bad_rows;
#[cfg(feature = "parquet")]
mod checkpoint;
#[cfg(feature = "parquet")]
mod crash;
#[cfg(all(feature = "burn", feature = "parquet", feature = "default-model"))]
mod default_model;
#[cfg(feature = "parquet")]
mod disk;
#[cfg(feature = "parquet")]
mod documents;
#[cfg(feature = "encryption")]
mod encryption;
#[cfg(all(feature = "burn", feature = "parquet"))]
mod explain;
#[cfg(all(any(feature = "burn", feature = "engine"), feature = "default-model"))]
mod explanation;
#[cfg(all(feature = "burn", feature = "parquet"))]
mod extremes;
mod feed;
#[cfg(all(feature = "burn", feature = "default-model"))]
mod forecaster;
#[cfg(feature = "parquet")]
mod foreign_checkpoint;
#[cfg(any(feature = "burn", feature = "engine"))]
mod golden;
#[cfg(feature = "parquet")]
mod history;
#[cfg(feature = "parquet")]
mod history_crash;
#[cfg(all(feature = "burn", feature = "parquet"))]
mod imported;
#[cfg(all(feature = "burn", feature = "default-model"))]
mod monitor;
#[cfg(all(feature = "burn", feature = "parquet"))]
mod parity;
#[cfg(feature = "parquet")]
mod pickle;
#[cfg(all(feature = "burn", feature = "parquet"))]
mod plain_network;
#[cfg(all(feature = "burn", feature = "parquet"))]
mod plain_parity;
#[cfg(all(feature = "burn", feature = "parquet"))]
mod random_network;
mod rules;
mod send_sync;
#[cfg(feature = "parquet")]
mod store;
#[cfg(all(feature = "burn", feature = "engine", feature = "parquet"))]
mod streaming;
#[cfg(any(feature = "burn", feature = "engine"))]
mod verification;
mod window_model;
mod window_properties;
#[cfg(all(feature = "parquet", not(feature = "encryption")))]
mod without_encryption;
