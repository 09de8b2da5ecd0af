//! Properties of the library as its users see it, one module each.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "parquet")]
mod checkpoint;
mod feed;
mod window_properties;
