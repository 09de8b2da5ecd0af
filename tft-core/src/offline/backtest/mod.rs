//! Backtests: what rules would have done over a recorded history.
//!
//! Owns the replay and the figures. A history goes through the window, the forecaster and the rules step by step, as it
//! would have live; nothing of it is known before its time.

mod episode;
mod figures;
mod history;
mod incident;
mod replay;
mod report;
#[cfg(test)]
mod tests;

pub use figures::{IncidentFigures, Quartiles, RuleFigures};
pub use history::History;
pub use incident::Incident;
pub use replay::{Backtest, BacktestConfig};
pub use report::BacktestReport;
