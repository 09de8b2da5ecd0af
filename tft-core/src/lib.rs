//! Forecasts the health of a fleet of servers.
//!
//! Keeps a rolling window of each server's metrics, forecasts them with quantiles for the next hours, and
//! turns forecasts into risk scores and alerts.

pub mod alert;
pub mod error;
pub mod forecast;
pub mod model;
pub mod monitor;
pub mod quality;
pub mod quantile;
pub mod risk;
pub mod schema;
#[cfg(feature = "parquet")]
pub mod store;
pub mod time;
pub mod window;

pub use alert::{Alert, AlertConfig, AlertEngine, AlertState, Rule, ServerObservation, Severity, Transition};
pub use error::{Error, ErrorKind};
pub use forecast::{
    FleetForecast, Forecast, Forecaster, ForecasterConfig, Method, MetricForecast, fallback_forecast,
};
pub use model::Model;
pub use monitor::{FleetAssessment, Monitor, ServerAssessment};
pub use quality::{ForecastScorer, QualitySummary, ScorerConfig};
pub use risk::{
    FleetPolicy, FleetSummary, RiskAssessment, RiskInput, RiskLevel, RiskPolicy, RiskPolicyConfig, WireLevel,
};
pub use window::{Feed, FeedLimits, IngestReport, Record, Rejection, RollingWindow, WindowConfig};
