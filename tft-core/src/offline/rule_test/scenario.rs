//! A test with all of its texts read and checked.

use std::collections::{BTreeMap, HashSet};
use std::error::Error as StdError;
use std::ops::RangeInclusive;

use super::file::{Expectation, InputForecast, InputSeries, InputStatus, RuleTest, RuleTestFile};
use crate::error::{Error, ErrorKind};
use crate::forecast::Quantile;
use crate::offline::series::parse_series;
use crate::schema::{Profile, Schema, SchemaConfig, ServerName, Status};
use crate::time::{DurationMs, Step, StepLength, Timestamp};
use crate::window::Record;

/// What all tests of a file share.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) schema: Schema,
    pub(super) step_length: StepLength,
}

/// A test that can run.
#[derive(Debug)]
pub(super) struct Scenario<'f> {
    pub(super) name: &'f str,
    pub(super) start: Step,
    /// At least one.
    pub(super) steps: usize,
    pub(super) forecasts: Vec<GivenForecast>,
    /// In the order of their steps.
    pub(super) expectations: Vec<(usize, &'f Expectation)>,
    frame: Frame,
    /// By server: each metric with its values.
    series: SeriesByServer,
    statuses: Vec<(ServerName, RangeInclusive<usize>, Status)>,
    profiles: BTreeMap<ServerName, Profile>,
}

/// A forecast that takes the place of the one that is made.
#[derive(Debug)]
pub(super) struct GivenForecast {
    pub(super) server: ServerName,
    pub(super) metric: usize,
    pub(super) at: RangeInclusive<usize>,
    /// Levels with their paths, ascending; none is empty or has a missing value.
    pub(super) paths: Vec<(f64, Vec<f64>)>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum TestFileError {
    #[error("file has {count} tests, allowed are 1 to {}", RuleTestFile::TESTS_MAX)]
    TestCount { count: usize },
    #[error("step of the tests cannot be used")]
    Step { source: Error },
    #[error("metrics of the tests cannot be used")]
    Metrics { source: Error },
    #[error("tests have steps of {tests} ms, what forecasts them needs {forecaster} ms")]
    StepLength { tests: i64, forecaster: i64 },
    #[error("test `{test}` appears twice")]
    Duplicate { test: String },
    #[error(
        "test `{test}` has {count} entries of `{what}`, allowed are {min} to {}",
        RuleTestFile::ENTRIES_MAX
    )]
    EntryCount { test: String, what: &'static str, count: usize, min: usize },
    #[error("test `{test}` needs {cells} values in its window, allowed are at most {CELLS_MAX}")]
    TooLarge { test: String, cells: usize },
    #[error("test `{test}`: {entry} cannot be used")]
    Entry { test: String, entry: String, source: Box<dyn StdError + Send + Sync> },
}

/// What is wrong with one entry.
#[derive(Debug, thiserror::Error)]
pub(super) enum EntryError {
    #[error("the series appears twice")]
    RepeatedSeries,
    #[error("it has no values")]
    Empty,
    #[error("`{value}` is a time at which the test has no step: they are {step} apart, from 0s to {last}")]
    NoStep { value: DurationMs, step: DurationMs, last: DurationMs },
    #[error("`{label}` is no quantile such as `p50`")]
    Label { label: String },
    #[error("path `{label}` has a missing value")]
    Missing { label: String },
    #[error("there is no state `{status}`")]
    UnknownStatus { status: String },
    #[error("the server has no value up to then")]
    NoValue,
    #[error("there is no rule `{rule}`")]
    UnknownRule { rule: String },
}

/// The values of each metric, by its position, of each server.
type SeriesByServer = BTreeMap<ServerName, Vec<(usize, Vec<f64>)>>;

type Cause = Box<dyn StdError + Send + Sync>;

impl Frame {
    pub(super) fn new(file: &RuleTestFile) -> Result<Self, TestFileError> {
        let step_length = StepLength::from_millis(file.step.as_millis());
        let step_length = step_length.map_err(|source| TestFileError::Step { source })?;
        if file.metrics.is_empty() {
            return Ok(Self { schema: Schema::server_metrics(), step_length });
        }
        let schema = Schema::new(SchemaConfig { metrics: file.metrics.clone(), ..SchemaConfig::default() });
        Ok(Self { schema: schema.map_err(|source| TestFileError::Metrics { source })?, step_length })
    }
}

/// Reads all tests of a file.
pub(super) fn read<'f>(file: &'f RuleTestFile, frame: &Frame) -> Result<Vec<Scenario<'f>>, TestFileError> {
    let count = file.tests.len();
    if !(1..=RuleTestFile::TESTS_MAX).contains(&count) {
        return Err(TestFileError::TestCount { count });
    }
    let mut names = HashSet::new();
    if let Some(test) = file.tests.iter().find(|test| !names.insert(test.name.as_str())) {
        return Err(TestFileError::Duplicate { test: test.name.clone() });
    }
    file.tests.iter().map(|test| Reader { test, frame }.read()).collect()
}

struct Reader<'f, 'a> {
    test: &'f RuleTest,
    frame: &'a Frame,
}

impl<'f> Reader<'f, '_> {
    fn read(&self) -> Result<Scenario<'f>, TestFileError> {
        let test = self.test;
        self.check_counts()?;
        let start = Timestamp::parse(&test.start).map_err(|error| self.entry("`start`", error))?;
        let series = self.series()?;
        let lengths = series.values().flatten().map(|(_, values)| values.len());
        let steps = lengths.max().unwrap_or(0);
        let cells = steps.saturating_mul(series.len()).saturating_mul(self.frame.schema.metrics().len());
        if cells > CELLS_MAX {
            return Err(TestFileError::TooLarge { test: test.name.clone(), cells });
        }
        let mut expectations = self.each("expectation", &test.expect, |expectation| {
            Ok((self.step(expectation.at, steps)?, expectation))
        })?;
        expectations.sort_by_key(|(step, _)| *step);
        Ok(Scenario {
            name: &test.name,
            start: self.frame.step_length.step_at(start),
            steps,
            forecasts: self.each("forecast", &test.forecast, |given| self.forecast(given, steps))?,
            expectations,
            frame: self.frame.clone(),
            series,
            statuses: self.each("status", &test.status, |given| self.status(given, steps))?,
            profiles: self.each("profile", &test.profiles, read_profile)?.into_iter().collect(),
        })
    }

    fn check_counts(&self) -> Result<(), TestFileError> {
        let test = self.test;
        for (what, count, min) in [
            ("series", test.series.len(), 1),
            ("expect", test.expect.len(), 1),
            ("status", test.status.len(), 0),
            ("profiles", test.profiles.len(), 0),
            ("forecast", test.forecast.len(), 0),
        ] {
            if !(min..=RuleTestFile::ENTRIES_MAX).contains(&count) {
                return Err(TestFileError::EntryCount { test: test.name.clone(), what, count, min });
            }
        }
        Ok(())
    }

    fn series(&self) -> Result<SeriesByServer, TestFileError> {
        let mut series = SeriesByServer::new();
        for (index, given) in self.test.series.iter().enumerate() {
            let InputSeries { server, metric, .. } = given;
            let entry = || format!("series {} (`{server}` `{metric}`)", index + 1);
            let (server, metric, values) =
                self.one_series(given).map_err(|cause| self.entry(entry(), cause))?;
            let of_server = series.entry(server).or_default();
            if of_server.iter().any(|(known, _)| *known == metric) {
                return Err(self.entry(entry(), EntryError::RepeatedSeries));
            }
            of_server.push((metric, values));
        }
        Ok(series)
    }

    fn one_series(&self, given: &InputSeries) -> Result<(ServerName, usize, Vec<f64>), Cause> {
        let schema = &self.frame.schema;
        let server = ServerName::new(&given.server)?;
        let metric = schema.require_metric(&given.metric)?;
        let values = parse_series(&given.values, RuleTestFile::STEPS_MAX)?;
        if values.is_empty() {
            return Err(EntryError::Empty.into());
        }
        // Ranges are checked here, so that a message names the series.
        let mut record = Record::for_server(schema, server.clone(), Timestamp::from_millis(0));
        values.iter().filter(|value| !value.is_nan()).try_for_each(|&value| record.set(metric, value))?;
        Ok((server, metric, values))
    }

    fn forecast(&self, given: &InputForecast, steps: usize) -> Result<GivenForecast, Cause> {
        let at = self.step(given.at, steps)?..=self.step(given.until.unwrap_or(given.at), steps)?;
        let path = |(label, text): (&String, &String)| -> Result<(f64, Vec<f64>), Cause> {
            let values = parse_series(text, RuleTestFile::STEPS_MAX)?;
            if values.is_empty() {
                return Err(EntryError::Empty.into());
            }
            if values.iter().any(|value| value.is_nan()) {
                return Err(EntryError::Missing { label: label.clone() }.into());
            }
            Ok((level(label)?, values))
        };
        let mut paths = given.paths.iter().map(path).collect::<Result<Vec<_>, _>>()?;
        paths.sort_by(|a, b| a.0.total_cmp(&b.0));
        if paths.is_empty() {
            return Err(EntryError::Empty.into());
        }
        let metric = self.frame.schema.require_metric(&given.metric)?;
        Ok(GivenForecast { server: ServerName::new(&given.server)?, metric, at, paths })
    }

    fn status(
        &self,
        given: &InputStatus,
        steps: usize,
    ) -> Result<(ServerName, RangeInclusive<usize>, Status), Cause> {
        let unknown = || EntryError::UnknownStatus { status: given.status.clone() };
        let status = self.frame.schema.statuses().parse(&given.status).ok_or_else(unknown)?;
        let until = given.until.map_or(Ok(steps - 1), |until| self.step(until, steps))?;
        Ok((ServerName::new(&given.server)?, self.step(given.from, steps)?..=until, status))
    }

    /// Returns the step at a time of the test.
    fn step(&self, at: DurationMs, steps: usize) -> Result<usize, EntryError> {
        let step_ms = self.frame.step_length.as_millis();
        let index = usize::try_from(at.as_millis() / step_ms).unwrap_or(usize::MAX);
        if at.as_millis() % step_ms == 0 && index < steps {
            return Ok(index);
        }
        let duration =
            |steps: i64| DurationMs::from_millis(step_ms.saturating_mul(steps)).unwrap_or(DurationMs::MAX);
        Err(EntryError::NoStep { value: at, step: duration(1), last: duration(steps as i64 - 1) })
    }

    /// Reads every entry of a list; a message names the first that cannot be used by its number.
    fn each<I: IntoIterator, T>(
        &self,
        what: &str,
        entries: I,
        read: impl Fn(I::Item) -> Result<T, Cause>,
    ) -> Result<Vec<T>, TestFileError> {
        let entries = entries.into_iter().enumerate();
        entries
            .map(|(index, entry)| {
                read(entry).map_err(|cause| self.entry(format!("{what} {}", index + 1), cause))
            })
            .collect()
    }

    fn entry(&self, entry: impl Into<String>, source: impl Into<Cause>) -> TestFileError {
        TestFileError::Entry { test: self.test.name.clone(), entry: entry.into(), source: source.into() }
    }
}

impl Scenario<'_> {
    /// Returns what comes in at a step.
    pub(super) fn records(&self, step: usize) -> Result<Vec<Record>, Error> {
        let at = self.frame.step_length.start_of(self.start.plus(step as i64));
        let mut records = Vec::with_capacity(self.series.len());
        for (server, series) in &self.series {
            let mut record = Record::for_server(&self.frame.schema, server.clone(), at);
            let mut has_any = false;
            for (metric, values) in series {
                if let Some(&value) = values.get(step).filter(|value| !value.is_nan()) {
                    record.set(*metric, value)?;
                    has_any = true;
                }
            }
            let status = self.statuses.iter().rfind(|(of, at, _)| of == server && at.contains(&step));
            if let Some((.., status)) = status {
                record = record.with_status(self.frame.schema.statuses().name(*status))?;
                has_any = true;
            }
            if let Some(profile) = self.profiles.get(server) {
                record = record.with_profile(profile.clone());
            }
            records.extend(has_any.then_some(record));
        }
        Ok(records)
    }

    /// Builds the error of an entry that only a run finds.
    pub(super) fn fault(&self, entry: impl Into<String>, source: EntryError) -> Error {
        let source = source.into();
        TestFileError::Entry { test: self.name.to_owned(), entry: entry.into(), source }.into()
    }
}

impl From<TestFileError> for Error {
    fn from(error: TestFileError) -> Self {
        Self::new(ErrorKind::InvalidConfig, error)
    }
}

fn read_profile((server, profile): (&String, &String)) -> Result<(ServerName, Profile), Cause> {
    Ok((ServerName::new(server)?, Profile::new(profile)?))
}

/// Reads the label of a quantile.
fn level(label: &str) -> Result<f64, EntryError> {
    let percent = label.strip_prefix('p').and_then(|percent| percent.parse::<f64>().ok());
    let level = percent.and_then(|percent| Quantile::new(percent / 100.0).ok());
    level.map(Quantile::level).ok_or_else(|| EntryError::Label { label: crate::time::abbreviate(label) })
}

/// Most values of a test's window, a quarter of a gigabyte.
const CELLS_MAX: usize = 64 << 20;
