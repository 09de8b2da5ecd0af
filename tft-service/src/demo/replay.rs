//! The replay: records in, forecasts at regular steps, and a score once their values are known.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tft_core::FleetAssessment;
use tft_core::forecast::{FleetForecast, Forecast};
use tft_core::quality::{ForecastScorer, ScoredForecast, ScorerConfig, seasonal_naive};
use tft_core::schema::{Schema, ServerName};
use tft_core::time::{StepLength, Timestamp};
use tft_core::window::{Record, RollingWindow};

use super::closing_time;
use super::excerpt::{Excerpt, Row};
use super::incidents::IncidentTally;
use super::report::{Facts, Report, Standing};
use crate::engine::Engine;
use crate::error::ServiceError;

/// A replay under way.
pub(super) struct Replay {
    engine: Engine,
    window: RollingWindow,
    schema: Schema,
    step_length: StepLength,
    every_steps: usize,
    scorer: ForecastScorer,
    incidents: IncidentTally,
    /// Each server's judgement with the highest risk; the first of equals.
    worst: BTreeMap<ServerName, Standing>,
    steps: usize,
    newest: Timestamp,
    judgements: usize,
    inference: Duration,
}

impl Replay {
    /// Days of history before the first forecast.
    const HISTORY_DAYS: usize = 3;

    pub(super) fn new(excerpt: &Excerpt, engine: Engine, every_steps: usize) -> Result<Self, ServiceError> {
        let window = engine.empty_window()?;
        let step_length = window.config().step;
        let scorer = ForecastScorer::new(ScorerConfig { step_length, ..ScorerConfig::default() })?;
        Ok(Self {
            schema: window.schema().clone(),
            engine,
            window,
            step_length,
            every_steps,
            scorer,
            incidents: IncidentTally::default(),
            worst: BTreeMap::new(),
            steps: 0,
            newest: excerpt.rows.first().map_or(Timestamp::MIN, |row| row.at),
            judgements: 0,
            inference: Duration::ZERO,
        })
    }

    /// Takes all samples of one moment, and judges the fleet if it is time.
    pub(super) fn step(&mut self, rows: &[Row]) -> Result<(), ServiceError> {
        let records: Result<Vec<_>, ServiceError> = rows.iter().map(|row| self.record(row)).collect();
        self.newest = rows[0].at;
        self.window.ingest(&records?, self.newest)?;
        for row in rows {
            self.realise(row);
        }
        self.steps += 1;
        let warm_up_steps = Self::HISTORY_DAYS * self.step_length.steps_per_day();
        let since = self.steps.checked_sub(warm_up_steps);
        if since.is_some_and(|since| since.is_multiple_of(self.every_steps)) {
            self.judge(since == Some(0))?;
        }
        Ok(())
    }

    /// The moment up to which everything was fed, and every step of it is closed.
    pub(super) fn now(&self) -> Timestamp {
        closing_time(self.step_length, self.newest)
    }

    /// Judges the fleet as it is at the end, and sums up.
    pub(super) fn report(&mut self, elapsed: Duration) -> Result<Report, ServiceError> {
        let facts = Facts {
            steps: self.steps,
            samples: self.window.servers().map(|server| server.samples_accepted()).sum(),
            every_steps: self.every_steps,
            judgements: self.judgements,
            inference_s: self.inference.as_secs_f64(),
            elapsed_s: elapsed.as_secs_f64(),
        };
        let view = self.engine.view(&self.window, self.now())?;
        Ok(Report::new(facts, &view, &self.worst, &self.scorer, self.incidents.counts()))
    }

    pub(super) fn into_parts(self) -> (Engine, RollingWindow) {
        (self.engine, self.window)
    }

    fn record(&self, row: &Row) -> Result<Record, ServiceError> {
        let mut record = Record::for_server(&self.schema, row.server.clone(), row.at);
        for (metric, &value) in row.values.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            record.set(metric, f64::from(value))?;
        }
        Ok(record)
    }

    fn realise(&mut self, row: &Row) {
        let step = self.step_length.step_at(row.at);
        for (metric, &value) in row.values.iter().enumerate() {
            self.scorer.record_realised(&row.server, metric, step, f64::from(value));
        }
        self.incidents.sample(row);
    }

    fn judge(&mut self, is_first: bool) -> Result<(), ServiceError> {
        let started = Instant::now();
        let assessment = self.engine.view(&self.window, self.now())?.assessment;
        self.inference += started.elapsed();
        self.judgements += 1;
        self.incidents.judged(&assessment);
        self.remember_worst(&assessment);
        for server in &assessment.forecast.servers {
            self.score(&assessment.forecast, server, is_first)?;
        }
        Ok(())
    }

    fn remember_worst(&mut self, assessment: &FleetAssessment) {
        for (server, standing) in Standing::all(assessment) {
            let known = self.worst.get(&server).map_or(f64::NEG_INFINITY, |worst| worst.risk);
            if standing.risk > known {
                self.worst.insert(server, standing);
            }
        }
    }

    /// Hands a server's forecasts to the scorer, beside what "the same as a day before" says.
    fn score(
        &mut self,
        fleet: &FleetForecast,
        server: &Forecast,
        is_first: bool,
    ) -> Result<(), ServiceError> {
        let steps_per_day = self.step_length.steps_per_day();
        let mut history = vec![f32::NAN; Self::HISTORY_DAYS * steps_per_day];
        let Some(view) = self.window.server(server.server.as_str()) else { return Ok(()) };
        for forecast in &server.metrics {
            view.copy_history(forecast.metric, fleet.origin, &mut history);
            if is_first {
                self.scorer.add_series(&server.server, forecast.metric, &history)?;
            }
            self.scorer.record_forecast(&ScoredForecast {
                server: &server.server,
                origin: fleet.origin,
                forecast,
                levels: &fleet.quantiles,
                seasonal_naive: &seasonal_naive(&history, steps_per_day, forecast.horizon()),
            })?;
        }
        Ok(())
    }
}
