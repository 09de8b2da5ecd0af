//! Tests of tft-core through its public API, a module per property.

#[cfg(all(feature = "burn", feature = "parquet"))]
mod golden;
#[cfg(all(feature = "burn", feature = "parquet"))]
mod parity;
