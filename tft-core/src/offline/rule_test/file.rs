//! What a test of rules says, as plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::alert::Severity;
use crate::schema::Metric;
use crate::time::DurationMs;

/// A file of tests: series that come in, and which alerts must be there when.
///
/// # Defaults
/// For the keys that a file may leave out: five-minute steps, the metrics of
/// [`Schema::server_metrics`](crate::schema::Schema::server_metrics).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleTestFile {
    /// The file of the rules under test, from the directory of this one; the application reads it.
    pub rules: String,
    /// The time between two values of a series, such as `5m`.
    #[serde(default = "five_minutes")]
    pub step: DurationMs,
    /// The metrics that series and rules may name.
    #[serde(default)]
    pub metrics: Vec<Metric>,
    /// The tests; 1 to [`RuleTestFile::TESTS_MAX`].
    #[serde(rename = "test")]
    pub tests: Vec<RuleTest>,
}

/// One test: it starts with an empty window and without alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleTest {
    /// A name that no other test of the file has.
    pub name: String,
    /// When the first value of each series is taken; 00:00 UTC of a Monday if left out.
    #[serde(default = "a_monday")]
    pub start: String,
    /// What comes in.
    pub series: Vec<InputSeries>,
    /// States that servers report.
    #[serde(default)]
    pub status: Vec<InputStatus>,
    /// The profiles of servers whose names do not tell it.
    #[serde(default)]
    pub profiles: BTreeMap<String, String>,
    /// Forecasts that take the place of those that are made from the series.
    #[serde(default)]
    pub forecast: Vec<InputForecast>,
    /// What must be there when.
    pub expect: Vec<Expectation>,
}

/// The values of one metric of one server, a step apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSeries {
    /// The server.
    pub server: String,
    /// The metric.
    pub metric: String,
    /// Items such as `10 20 _ 30`, `0+5x10` (a start, a difference, how many more), `7x4` and `_x3`.
    pub values: String,
}

/// A state that a server reports for some time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputStatus {
    /// The server.
    pub server: String,
    /// A word for the state.
    pub status: String,
    /// The first step of it.
    pub from: DurationMs,
    /// The last step of it; to the end of the test if left out.
    #[serde(default)]
    pub until: Option<DurationMs>,
}

/// A forecast of one metric of one server, as paths of quantiles in the notation of series.
///
/// A quantile that is not given lies between its neighbours, or on the nearest. Where a path ends before the horizon
/// its last value stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputForecast {
    /// The server.
    pub server: String,
    /// The metric.
    pub metric: String,
    /// The step after which it is made: its first value is for the step after that.
    pub at: DurationMs,
    /// The last step at which the same paths are forecast again; `at` if left out.
    #[serde(default)]
    pub until: Option<DurationMs>,
    /// The quantiles by their labels, `p50` and the like.
    pub paths: BTreeMap<String, String>,
}

/// Which alerts there must be once a step's values are in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The step, counted from the first value.
    pub at: DurationMs,
    /// The alerts.
    pub alerts: Vec<ExpectedAlert>,
    /// Whether any other alert that is not resolved is a failure.
    #[serde(default = "yes")]
    pub exact: bool,
    /// The only rule that this is about; all if left out.
    #[serde(default)]
    pub rule: Option<String>,
}

/// What one alert must look like; what is left out may be anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedAlert {
    /// The rule.
    pub rule: String,
    /// The server.
    pub server: String,
    /// Where in its life it is.
    pub state: ExpectedState,
    /// How bad it is.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// The whole message.
    #[serde(default)]
    pub message: Option<String>,
    /// Labels that it must have, beside others.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Where in its life an alert must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExpectedState {
    /// Broken, but not for long enough.
    Pending,
    /// Broken, or recovered too shortly ago.
    Firing,
    /// Without data.
    NoData,
    /// Resolved at this very step.
    Resolved,
    /// There must be no such alert.
    None,
}

impl RuleTestFile {
    /// Most tests of a file.
    pub const TESTS_MAX: usize = 1000;

    /// Most steps of a test.
    pub const STEPS_MAX: usize = 10_000;

    /// Most series, states, forecasts and expectations of a test, each.
    pub const ENTRIES_MAX: usize = 1000;
}

fn five_minutes() -> DurationMs {
    DurationMs::from_minutes(5)
}

fn a_monday() -> String {
    "2026-01-05T00:00:00Z".to_owned()
}

const fn yes() -> bool {
    true
}
