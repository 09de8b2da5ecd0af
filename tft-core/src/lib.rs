//! Forecasts the health of a fleet of servers.
//!
//! Keeps a rolling window of each server's metrics, forecasts them with quantiles for the next hours, and
//! turns forecasts into risk scores and alerts.

pub mod error;
pub mod forecast;
pub mod schema;
#[cfg(feature = "parquet")]
pub mod store;
pub mod time;
pub mod window;

pub use error::{Error, ErrorKind};
pub use window::{Feed, FeedLimits, IngestReport, Record, Rejection, RollingWindow, WindowConfig};
