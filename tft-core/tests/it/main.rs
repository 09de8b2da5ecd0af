//! Properties of the library as its users see it, one module each.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod feed;
#[cfg(all(feature = "burn", feature = "parquet"))]
mod golden;
#[cfg(all(feature = "burn", feature = "parquet"))]
mod parity;
mod window_properties;
