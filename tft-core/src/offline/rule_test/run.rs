//! Running a test, and comparing.

use std::sync::Arc;

use ndarray::Array2;

use super::file::{Expectation, RuleTestFile};
use super::outcome::{RuleTestFailure, RuleTestOutcome, RuleTestReport, difference, unexpected};
use super::scenario::{self, EntryError, Frame, GivenForecast, Scenario, TestFileError};
use crate::alert::{Alert, AlertState};
use crate::error::Error;
use crate::forecast::{FleetForecast, Method, MetricForecast, QuantileLevels};
use crate::monitor::{FleetAssessment, Monitor};
use crate::schema::Schema;
use crate::time::{DurationMs, StepLength};
use crate::window::{RollingWindow, WindowConfig};

impl RuleTestFile {
    /// Runs all tests, each with a monitor of its own.
    ///
    /// `monitor` builds one with the rules under test for the schema and the step of the tests.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) naming the test, the entry and what is wrong with
    /// it, for a series with the position in its text; and those of `monitor`.
    pub fn run(
        &self,
        mut monitor: impl FnMut(&Schema, StepLength) -> Result<Monitor, Error>,
    ) -> Result<RuleTestReport, Error> {
        let frame = Frame::new(self)?;
        let mut tests = Vec::with_capacity(self.tests.len());
        for scenario in scenario::read(self, &frame)? {
            let monitor = monitor(&frame.schema, frame.step_length)?;
            tests.push(Run::new(&scenario, &frame, monitor)?.finish()?);
        }
        Ok(RuleTestReport { tests })
    }
}

/// A test under way.
struct Run<'s, 'f> {
    scenario: &'s Scenario<'f>,
    frame: &'s Frame,
    monitor: Monitor,
    window: RollingWindow,
    outcome: RuleTestOutcome,
}

impl<'s, 'f> Run<'s, 'f> {
    fn new(scenario: &'s Scenario<'f>, frame: &'s Frame, monitor: Monitor) -> Result<Self, Error> {
        let forecaster = monitor.forecaster();
        let (tests, needed) = (frame.step_length.as_millis(), forecaster.step_length().as_millis());
        if tests != needed {
            return Err(TestFileError::StepLength { tests, forecaster: needed }.into());
        }
        let defaults = WindowConfig::default();
        let steps = scenario.steps.max(forecaster.history_steps_min());
        // A step is closed as soon as its values are in.
        let config = WindowConfig {
            step: frame.step_length,
            steps_per_server: steps.max(defaults.gap_fill_steps_max + 1),
            grace_steps: 0,
            ..defaults
        };
        let outcome = RuleTestOutcome { name: scenario.name.to_owned(), checks: 0, failures: Vec::new() };
        let window = RollingWindow::new(frame.schema.clone(), config)?;
        let run = Self { scenario, frame, monitor, window, outcome };
        run.check_rules()?;
        Ok(run)
    }

    /// A misspelt rule would pass wherever nothing is expected of it.
    fn check_rules(&self) -> Result<(), Error> {
        for (index, (_, expectation)) in self.scenario.expectations.iter().enumerate() {
            let rules = expectation.alerts.iter().map(|alert| &alert.rule).chain(&expectation.rule);
            let is_known = |rule: &&String| {
                self.monitor.alert_engine().config().rules.iter().any(|known| known.name == **rule)
            };
            if let Some(rule) = rules.into_iter().find(|rule| !is_known(rule)) {
                let error = EntryError::UnknownRule { rule: crate::time::abbreviate(rule) };
                return Err(self.scenario.fault(format!("expectation {}", index + 1), error));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<RuleTestOutcome, Error> {
        let mut expectations = self.scenario.expectations.iter().peekable();
        for step in 0..self.scenario.steps {
            let assessment = self.step(step)?;
            while let Some((_, expectation)) = expectations.next_if(|(at, _)| *at == step) {
                self.compare(expectation, &assessment);
            }
        }
        Ok(self.outcome)
    }

    fn step(&mut self, step: usize) -> Result<FleetAssessment, Error> {
        let now = self.frame.step_length.end_of(self.scenario.start.plus(step as i64));
        self.window.ingest(&self.scenario.records(step)?, now)?;
        let mut forecast = self.monitor.forecast(&self.window, now)?;
        for (index, given) in self.scenario.forecasts.iter().enumerate() {
            if given.at.contains(&step) && !self.give(given, Arc::make_mut(&mut forecast)) {
                return Err(self.scenario.fault(format!("forecast {}", index + 1), EntryError::NoValue));
            }
        }
        Ok(self.monitor.judge(&self.window, forecast, now))
    }

    /// Puts a given forecast in its place; returns whether there is one.
    fn give(&self, given: &GivenForecast, fleet: &mut FleetForecast) -> bool {
        let horizon = self.monitor.forecaster().horizon_steps();
        let levels = fleet.quantiles.clone();
        let found = fleet.servers.binary_search_by(|forecast| forecast.server.cmp(&given.server));
        let Ok(found) = found else { return false };
        let metrics = &mut fleet.servers[found].metrics;
        let Some(place) = metrics.iter_mut().find(|forecast| forecast.metric == given.metric) else {
            return false;
        };
        let range = &self.frame.schema.metrics()[given.metric];
        let values = given.values(horizon, &levels);
        *place = MetricForecast::new(given.metric, Method::Fallback, place.current, values, range);
        true
    }

    fn compare(&mut self, expectation: &Expectation, assessment: &FleetAssessment) {
        let resolved = assessment.transitions.iter().map(|transition| &transition.alert);
        let resolved = resolved.filter(|alert| alert.state == AlertState::Resolved);
        let found: Vec<&Alert> = assessment.alerts.iter().chain(resolved).collect();
        for expected in &expectation.alerts {
            let is_meant =
                |alert: &&&Alert| alert.rule == expected.rule && alert.server.as_str() == expected.server;
            // A rule that resolves and begins again at one step counts by what it is then.
            let alert = found.iter().find(is_meant).copied();
            let alert = alert.filter(|alert| is_listed(expected.state, alert.state));
            self.check(expectation.at, (&expected.rule, &expected.server), difference(expected, alert));
        }
        if !expectation.exact {
            return;
        }
        let is_expected = |alert: &Alert| {
            let mut expected = expectation.alerts.iter();
            expected.any(|expected| expected.rule == alert.rule && expected.server == alert.server.as_str())
        };
        let is_concerned = |alert: &&Alert| expectation.rule.as_ref().is_none_or(|rule| *rule == alert.rule);
        for alert in assessment.alerts.iter().filter(is_concerned).filter(|alert| !is_expected(alert)) {
            let names = (alert.rule.as_str(), alert.server.as_str());
            self.check(expectation.at, names, Some(unexpected(alert)));
        }
    }

    fn check(&mut self, at: DurationMs, (rule, server): (&str, &str), difference: Option<(String, String)>) {
        self.outcome.checks += 1;
        let failure = |(expected, got)| {
            let (rule, server) = (rule.to_owned(), server.to_owned());
            RuleTestFailure { at, rule, server, expected, got }
        };
        self.outcome.failures.extend(difference.map(failure));
    }
}

impl GivenForecast {
    /// Returns all quantiles, `[horizon, levels]`.
    fn values(&self, horizon: usize, levels: &QuantileLevels) -> Array2<f32> {
        Array2::from_shape_fn((horizon, levels.len()), |(ahead, level)| {
            self.value(ahead, levels.as_slice()[level].level()) as f32
        })
    }

    /// Interpolates between the paths around a level.
    fn value(&self, ahead: usize, level: f64) -> f64 {
        let at = |index: usize| {
            let (level, path) = &self.paths[index];
            (*level, path.get(ahead).or(path.last()).copied().unwrap_or(f64::NAN))
        };
        let above = self.paths.partition_point(|(given, _)| *given <= level);
        let (Some(below), true) = (above.checked_sub(1), above < self.paths.len()) else {
            return at(above.min(self.paths.len() - 1)).1;
        };
        let ((from_level, from), (to_level, to)) = (at(below), at(above));
        from + (to - from) * (level - from_level) / (to_level - from_level)
    }
}

/// Whether an alert is there where nothing, or something else, may be expected: one that has just been resolved is not.
fn is_listed(expected: super::ExpectedState, state: AlertState) -> bool {
    expected != super::ExpectedState::None || state != AlertState::Resolved
}
