//! What came of tests, and how failures are told.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::file::{ExpectedAlert, ExpectedState};
use crate::alert::{Alert, AlertState};
use crate::time::DurationMs;

/// What came of the tests of one file.
///
/// Its text is a line per test, and below it everything in which the test failed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RuleTestReport {
    /// One per test, in the order of the file.
    pub tests: Vec<RuleTestOutcome>,
}

/// What came of one test.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RuleTestOutcome {
    /// The test's name.
    pub name: String,
    /// How many alerts were looked at, absent ones included.
    pub checks: usize,
    /// What was not as expected, by time.
    pub failures: Vec<RuleTestFailure>,
}

/// One alert that was not as expected.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RuleTestFailure {
    /// The time, counted from the test's first value.
    pub at: DurationMs,
    /// The rule.
    pub rule: String,
    /// The server.
    pub server: String,
    /// What should be there.
    pub expected: String,
    /// What is.
    pub got: String,
}

impl RuleTestReport {
    /// Returns whether everything was as expected.
    pub fn is_passed(&self) -> bool {
        self.failed_count() == 0
    }

    /// Returns how many tests failed.
    pub fn failed_count(&self) -> usize {
        self.tests.iter().filter(|test| !test.failures.is_empty()).count()
    }
}

impl Display for RuleTestReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.tests.iter().try_for_each(|test| test.fmt(f))?;
        let (failed, all) = (self.failed_count(), self.tests.len());
        match failed {
            0 => writeln!(f, "{all} passed"),
            _ => writeln!(f, "{failed} of {all} failed"),
        }
    }
}

impl Display for RuleTestOutcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.failures.is_empty() {
            return writeln!(f, "ok      {}", self.name);
        }
        writeln!(f, "FAILED  {}", self.name)?;
        self.failures.iter().try_for_each(|failure| failure.fmt(f))
    }
}

impl Display for RuleTestFailure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { at, rule, server, expected, got } = self;
        writeln!(f, "        at {at}, {rule} on {server}")?;
        writeln!(f, "          expected  {expected}")?;
        writeln!(f, "          got       {got}")
    }
}

/// Returns what is expected and what is there, if they differ.
pub(super) fn difference(expected: &ExpectedAlert, found: Option<&Alert>) -> Option<(String, String)> {
    if let Some(alert) = found
        && expected.state.is(alert.state)
        && expected.severity.is_none_or(|severity| severity == alert.severity)
        && expected.message.as_ref().is_none_or(|message| *message == alert.message)
        && expected.labels.iter().all(|(name, value)| alert.label(name) == Some(value))
    {
        return None;
    }
    match (expected.state, found) {
        (ExpectedState::None, None) => None,
        _ => Some((expected.text(), found.map_or_else(|| NOTHING.to_owned(), |alert| expected.shown(alert)))),
    }
}

/// Says what an alert is that nobody expects.
pub(super) fn unexpected(alert: &Alert) -> (String, String) {
    (NOTHING.to_owned(), format!("{}, {}: {}", alert.state.as_str(), alert.severity.as_str(), alert.message))
}

impl ExpectedAlert {
    fn text(&self) -> String {
        let mut text = self.state.as_str().to_owned();
        if let Some(severity) = self.severity {
            text = format!("{text}, {}", severity.as_str());
        }
        for (name, value) in &self.labels {
            text = format!("{text}, {name}=\"{value}\"");
        }
        self.message.as_ref().map_or_else(|| text.clone(), |message| format!("{text}: {message}"))
    }

    /// Tells of an alert what this expectation is about.
    fn shown(&self, alert: &Alert) -> String {
        let mut text = format!("{}, {}", alert.state.as_str(), alert.severity.as_str());
        for name in self.labels.keys() {
            let value = alert.label(name).map_or_else(|| "(none)".to_owned(), |value| format!("\"{value}\""));
            text = format!("{text}, {name}={value}");
        }
        if self.message.is_some() { format!("{text}: {}", alert.message) } else { text }
    }
}

impl ExpectedState {
    fn is(self, state: AlertState) -> bool {
        self.as_str() == state.as_str()
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::NoData => "no_data",
            Self::Resolved => "resolved",
            Self::None => NOTHING,
        }
    }
}

const NOTHING: &str = "none";
