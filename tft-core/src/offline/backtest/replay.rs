//! The replay: samples in, rules judged step by step, figures out.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::episode::{Episodes, merged};
use super::figures::{Reaches, Scope};
use super::{BacktestReport, History, Incident};
use crate::error::{Error, ErrorKind};
use crate::monitor::{FleetAssessment, Monitor};
use crate::schema::ServerName;
use crate::time::{DurationMs, Step, StepLength, Timestamp};
use crate::window::{Record, RollingWindow, WindowConfig};

/// A backtest under way: a monitor with the rules in question, and a window.
#[derive(Debug)]
pub struct Backtest {
    monitor: Monitor,
    window: RollingWindow,
    config: BacktestConfig,
}

/// How a backtest judges.
///
/// # Defaults
/// At every step, after three days that only fill the window, and two hours before an incident count for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BacktestConfig {
    /// Steps from one judgement to the next; 1 to [`BacktestConfig::EVERY_STEPS_MAX`]. With more than 1, what `for` and
    /// its like count is coarser than in production.
    pub every_steps: usize,
    /// From the first sample until rules are judged.
    pub warm_up: DurationMs,
    /// For how long before an incident an alert counts as an early warning of it.
    pub early_window: DurationMs,
}

#[derive(Debug, thiserror::Error)]
enum BacktestError {
    #[error("backtest.every_steps is {value}, allowed are 1 to {}", BacktestConfig::EVERY_STEPS_MAX)]
    EverySteps { value: usize },
    #[error("history has no sample after the first {warm_up}, which only fill the window")]
    TooShort { warm_up: DurationMs },
    #[error("history covers {steps} steps, allowed are at most {STEPS_MAX}")]
    TooLong { steps: i64 },
}

/// What is counted while rules are judged.
#[derive(Debug)]
struct Tally {
    episodes: Episodes,
    first: Option<Timestamp>,
    last: Timestamp,
    judgements: usize,
    servers: BTreeSet<ServerName>,
    /// Judgements of servers, each of which stands for the time to the next.
    judged: u64,
    /// Those outside of the reaches of incidents.
    quiet: u64,
}

impl Backtest {
    /// Takes a monitor with the rules in question.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming the key that is out of range, or if the model asks for more than a window
    /// can keep.
    pub fn new(monitor: Monitor, config: BacktestConfig) -> Result<Self, Error> {
        if !(1..=BacktestConfig::EVERY_STEPS_MAX).contains(&config.every_steps) {
            return Err(BacktestError::EverySteps { value: config.every_steps }.into());
        }
        let forecaster = monitor.forecaster();
        let defaults = WindowConfig::default();
        // A step is closed as soon as the next one begins.
        let window = WindowConfig {
            step: forecaster.step_length(),
            steps_per_server: forecaster.history_steps() + defaults.gap_fill_steps_max,
            grace_steps: 0,
            ..defaults
        };
        let window = RollingWindow::new(monitor.schema().clone(), window)?;
        Ok(Self { monitor, window, config })
    }

    /// Feeds a history without judging: what came before the one that [`run`](Self::run) is given.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if it covers too many steps.
    pub fn warm_up(&mut self, history: &History) -> Result<(), Error> {
        for step in steps(history.records(), self.step_length())? {
            self.feed(step.records, self.step_length().end_of(step.step))?;
        }
        Ok(())
    }

    /// Replays a history and judges the rules.
    ///
    /// `progress` is told how many of how many steps are done, and says whether to go on; what was judged until then is
    /// reported otherwise.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the history is too short to judge anything or covers too many steps,
    /// [`ErrorKind::LimitExceeded`] if rules fire too often, and those of the forecaster.
    pub fn run(
        mut self,
        history: &History,
        incidents: Option<&[Incident]>,
        progress: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<BacktestReport, Error> {
        let step_length = self.step_length();
        let early_window_ms = self.config.early_window.as_millis();
        let reaches = Reaches::new(incidents.unwrap_or_default(), early_window_ms, step_length);
        let steps = steps(history.records(), step_length)?;
        let skipped = self.config.warm_up.as_millis().div_euclid(step_length.as_millis()) as usize;
        let mut tally = Tally::new();
        for (index, step) in steps.iter().enumerate() {
            let now = step_length.end_of(step.step);
            self.feed(step.records, now)?;
            let since = index.checked_sub(skipped);
            if since.is_some_and(|since| since.is_multiple_of(self.config.every_steps)) {
                tally.take(&self.monitor.assess(&self.window, now)?, &reaches)?;
            }
            if !progress(index + 1, steps.len()) {
                break;
            }
        }
        let first = tally.first.ok_or(BacktestError::TooShort { warm_up: self.config.warm_up })?;
        Ok(self.report(tally, first, (incidents, &reaches)))
    }

    fn step_length(&self) -> StepLength {
        self.window.config().step
    }

    fn feed(&mut self, records: &[Record], now: Timestamp) -> Result<(), Error> {
        let most = self.window.config().records_max;
        records.chunks(most).try_for_each(|records| self.window.ingest(records, now).map(drop))
    }

    fn report(
        &self,
        tally: Tally,
        first: Timestamp,
        (incidents, reaches): (Option<&[Incident]>, &Reaches),
    ) -> BacktestReport {
        let step_length = self.step_length();
        let interval_ms = step_length.as_millis().saturating_mul(self.config.every_steps as i64);
        // The newest judgement stands for the time up to the next one, which is not made.
        let end = tally.last.plus_millis(interval_ms);
        let judged_ms = |count: u64| i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(interval_ms);
        let began = |incident: &&Incident| incident.start >= first && incident.start < end;
        let scope = Scope {
            end,
            server_days: judged_ms(tally.judged) as f64 / StepLength::DAY_MS as f64,
            early_window_ms: self.config.early_window.as_millis(),
            incidents: incidents.map(|incidents| incidents.iter().filter(began).collect()),
            step_length,
            reaches,
            quiet_ms: judged_ms(tally.quiet),
        };
        let episodes = tally.episodes.finish();
        let rules = &self.monitor.alert_engine().config().rules;
        let figures = |rule: &str| scope.figures(rule, episodes.get(rule).map_or(&[][..], Vec::as_slice));
        BacktestReport {
            from: first,
            until: end,
            step_length,
            config: self.config.clone(),
            model_id: self.monitor.forecaster().model_id().map(str::to_owned),
            judgements: tally.judgements,
            servers: tally.servers.len(),
            server_days: scope.server_days,
            incidents: scope.incidents.as_ref().map(Vec::len),
            rules: rules.iter().map(|rule| figures(&rule.name)).collect(),
            any_rule: scope.figures("(any)", &merged(episodes.values().flatten())),
        }
    }
}

impl BacktestConfig {
    /// Most steps from one judgement to the next: a day of five minutes.
    pub const EVERY_STEPS_MAX: usize = 288;
}

impl Tally {
    fn new() -> Self {
        Self {
            episodes: Episodes::default(),
            first: None,
            last: Timestamp::MIN,
            judgements: 0,
            servers: BTreeSet::new(),
            judged: 0,
            quiet: 0,
        }
    }

    fn take(&mut self, assessment: &FleetAssessment, reaches: &Reaches) -> Result<(), Error> {
        let now = assessment.at;
        self.first.get_or_insert(now);
        self.last = now;
        self.judgements += 1;
        for forecast in &assessment.forecast.servers {
            if !self.servers.contains(&forecast.server) {
                self.servers.insert(forecast.server.clone());
            }
            self.judged += 1;
            self.quiet += u64::from(!reaches.contains(&forecast.server, now));
        }
        self.episodes.take(&assessment.transitions, now)
    }
}

impl Default for BacktestConfig {
    fn default() -> Self {
        let hours = |hours: u32| DurationMs::from_minutes(hours * 60);
        Self { every_steps: 1, warm_up: hours(72), early_window: hours(2) }
    }
}

/// The samples of one step; none if the fleet was silent.
#[derive(Debug)]
struct StepRecords<'h> {
    step: Step,
    records: &'h [Record],
}

/// Cuts samples, which are in the order of time, into steps without leaving one out.
fn steps(records: &[Record], step_length: StepLength) -> Result<Vec<StepRecords<'_>>, BacktestError> {
    let step_of = |record: &Record| step_length.step_at(record.timestamp());
    let (Some(first), Some(last)) = (records.first().map(step_of), records.last().map(step_of)) else {
        return Ok(Vec::new());
    };
    let count = last.since(first).saturating_add(1);
    if count > STEPS_MAX {
        return Err(BacktestError::TooLong { steps: count });
    }
    let mut rest = records;
    let cut = (0..count).map(|index| {
        let step = first.plus(index);
        let (now, later) = rest.split_at(rest.partition_point(|record| step_of(record) <= step));
        rest = later;
        StepRecords { step, records: now }
    });
    Ok(cut.collect())
}

impl From<BacktestError> for Error {
    fn from(error: BacktestError) -> Self {
        Self::new(ErrorKind::InvalidConfig, error)
    }
}

/// Almost ten years of five minutes.
const STEPS_MAX: i64 = 1_000_000;
