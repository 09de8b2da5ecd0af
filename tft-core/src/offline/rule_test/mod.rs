//! Tests of rules: series in a compact notation come in, and alerts are expected at times.
//!
//! Owns the format of the tests and what they mean. Each test runs through the window, the forecaster and the rules as
//! in production, step by step; a step's alerts are those once its values are in. Forecasts are made from the series by
//! whatever forecaster the caller brings, or given by the test.

mod file;
mod outcome;
mod run;
mod scenario;
#[cfg(test)]
mod tests;

pub use file::{
    Expectation, ExpectedAlert, ExpectedState, InputForecast, InputSeries, InputStatus, RuleTest,
    RuleTestFile,
};
pub use outcome::{RuleTestFailure, RuleTestOutcome, RuleTestReport};
