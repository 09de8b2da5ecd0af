//! Rules on trial: tests of rules on series that somebody wrote, and backtests on what was recorded.
//!
//! Owns what an operator asks of rules before they page anyone. Everything is computed by the window, the forecaster and
//! the alert engine that production has; this module feeds them, and compares and counts what comes out.

mod backtest;
mod rule_test;
mod series;

pub use backtest::{
    Backtest, BacktestConfig, BacktestReport, History, Incident, IncidentFigures, Quartiles, RuleFigures,
};
pub use rule_test::{
    Expectation, ExpectedAlert, ExpectedState, InputForecast, InputSeries, InputStatus, RuleTest,
    RuleTestFailure, RuleTestFile, RuleTestOutcome, RuleTestReport,
};
