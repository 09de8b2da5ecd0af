//! Forecasts the health of a fleet of servers and warns before a threshold is crossed.
//!
//! Keeps a rolling window of each server's metrics, forecasts every metric as quantiles for the next hours
//! with a Temporal Fusion Transformer, and turns forecasts into risk scores and alerts. The built-in model
//! works on any metric without training; a model trained with pytorch-forecasting gives the numbers that it
//! gave there.
//!
//! ```
//! # #[cfg(all(feature = "burn", feature = "default-model"))] {
//! use tft_core::schema::Schema;
//! use tft_core::time::Timestamp;
//! use tft_core::{Forecaster, ForecasterConfig, Model, Monitor, Record, RollingWindow, WindowConfig};
//!
//! let schema = Schema::server_metrics();
//! let forecaster = Forecaster::new(Model::built_in()?, ForecasterConfig::default())?;
//! let config = WindowConfig { steps_per_server: forecaster.history_steps(), ..Default::default() };
//! let mut window = RollingWindow::new(schema.clone(), config)?;
//! let mut monitor = Monitor::new(&schema, forecaster)?;
//!
//! let now = Timestamp::parse("2026-01-05T12:00:00Z")?;
//! let record = Record::new(&schema, "ppdb001", now)?.with("mem_used_pct", 99.5)?;
//! window.ingest(&[record], now)?;
//! let ten_minutes_later = now.plus_millis(600_000);
//! let assessment = monitor.assess(&window, ten_minutes_later)?;
//! assert_eq!(assessment.alerts[0].metric, "mem_used_pct");
//! # }
//! # Ok::<(), tft_core::Error>(())
//! ```
//!
//! # Concepts
//! - A **sample** is what one server measured at one time; a **step** is a fixed interval of the clock, five
//!   minutes by default, aggregated from samples. The [`RollingWindow`] holds the recent steps of every server.
//! - A [`Model`] is weights and everything needed to turn steps into tensors and back. A [`Forecaster`] is a
//!   model prepared for execution: windows in, [`FleetForecast`]s out. Metrics that the model cannot take, for
//!   want of history, are forecast by a statistical [fallback](fallback_forecast), and the forecast says so.
//! - An [`Interpretation`] says what a network's output rests on: attention over past steps and the importance of
//!   each variable. An [`Explainer`] says which metrics of a server stand out, and what the model would forecast had they
//!   gone another way.
//! - A [`RiskPolicy`] turns values and forecasts into a score from 0 to 100; the [`AlertEngine`] keeps one
//!   alert per server and [`Rule`], which an operator writes in a [`RuleFile`].
//! - A [`CascadeDetector`] finds metrics that leave their usual range on several servers at once; a [`DriftTracker`] says
//!   whether earlier forecasts came true as often as they said. A [`Monitor`] calls all of these in order.
//! - The [`history`] keeps what happened to alerts and how the fleet was, for as long as it is told to.
//!
//! # What it is not
//! It reads no clock, no environment and no network and writes no logs: time comes in as an argument, and what to do
//! with an alert is the caller's business. It starts no threads unless [`ForecasterConfig::threads`] asks for more than
//! one; those end with the call. It does not train models.
//!
//! # Features
//! | feature | default | adds |
//! |---|---|---|
//! | `engine` | yes | [`engine`]: models compiled for this processor, which the forecaster uses |
//! | `burn` | yes | the network on burn: the meaning of a model, and other devices |
//! | `default-model` | yes | the built-in model's weights |
//! | `arrow` | with `parquet` | [`arrow`]: samples in and steps out as record batches |
//! | `parquet` | yes | [`store`]: the window in a checkpoint and a log; the original system's pickle; [`history`] |
//! | `encryption` | no | keys for [`store`]: its files encrypted with AES-256-GCM |
//!
//! Features only add. Without any there are the window, the model's encodings, the fallback, risk and alerts;
//! `engine` alone has forecasts by models and compiles no burn.
//!
//! # Stability
//! Below 1.0 a minor version may change the API. The model directory and the checkpoint carry a format
//! version, and what an older version wrote stays readable.

pub mod alert;
#[cfg(feature = "arrow")]
pub mod arrow;
pub mod cascade;
pub mod drift;
#[cfg(feature = "engine")]
pub mod engine;
pub mod error;
pub mod explain;
pub mod forecast;
#[cfg(feature = "parquet")]
pub mod history;
pub mod model;
pub mod monitor;
pub mod offline;
mod problems;
pub mod quality;
pub mod quantile;
pub mod risk;
pub mod schema;
#[cfg(feature = "parquet")]
pub mod store;
pub mod time;
pub mod window;

pub use alert::{
    Alert, AlertConfig, AlertEngine, AlertState, Rule, RuleFile, ServerObservation, Severity, Transition,
};
pub use cascade::{CascadeConfig, CascadeDetector, CascadeReport};
pub use drift::{DriftConfig, DriftReport, DriftTracker};
pub use error::{Error, ErrorKind};
pub use explain::{Explainer, Explanation, Interpretation};
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

/// The README's program, compiled and run.
#[cfg(all(doctest, feature = "burn", feature = "default-model"))]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The guide's program, compiled.
#[cfg(all(doctest, feature = "burn"))]
#[doc = include_str!("../docs/import.md")]
struct ImportGuide;
