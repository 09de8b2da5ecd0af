//! The forecaster: windows in, forecasts of every server out.
//!
//! Owns which method forecasts which metric, and the batching of windows for the model. Never fails because
//! of one server: what the model cannot take goes to the fallback, and the forecast says so.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

#[cfg(any(feature = "burn", feature = "engine"))]
use super::NetworkTrace;
use super::runner::ModelRunner;
use super::{FleetForecast, Forecast, Method, MetricForecast, QuantileLevels, fallback_forecast};
use crate::error::{Error, ErrorKind};
#[cfg(any(feature = "burn", feature = "engine"))]
use crate::model::Model;
use crate::schema::Schema;
use crate::time::{Step, StepLength, Timestamp};
use crate::window::{RollingWindow, ServerView};

/// Forecasts every server of a window.
#[derive(Debug)]
pub struct Forecaster {
    runner: Option<ModelRunner>,
    step_length: StepLength,
    horizon_steps: usize,
    history_steps: usize,
    history_steps_min: usize,
    quantiles: QuantileLevels,
    config: ForecasterConfig,
}

/// How a [`Forecaster`] works.
///
/// # Defaults
/// Blocks of 32 windows, one thread, 64 MiB kept of series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForecasterConfig {
    /// Most windows that run through the network together; bounds the memory of one run. 1 to
    /// [`ForecasterConfig::BLOCK_WINDOWS_MAX`].
    pub block_windows: usize,
    /// Threads that share the servers, block by block; 1 to [`ForecasterConfig::THREADS_MAX`]. Results do not
    /// depend on it.
    pub threads: usize,
    /// Most bytes that are kept of servers from one forecast to the next; any number, 0 for nothing. Results do
    /// not depend on it. With an imported model the next step of a server of which enough is kept is computed
    /// several times faster; the built-in model scales every input by its window, so nothing of it can be kept.
    pub cache_bytes: usize,
}

#[derive(Debug, thiserror::Error)]
enum ForecasterError {
    #[error("forecaster.block_windows is {value}, allowed are 1 to {}", ForecasterConfig::BLOCK_WINDOWS_MAX)]
    BlockWindows { value: usize },
    #[error("forecaster.threads is {value}, allowed are 1 to {}", ForecasterConfig::THREADS_MAX)]
    Threads { value: usize },
    #[error("window has steps of {window} ms, the model needs {model} ms")]
    StepLength { window: i64, model: i64 },
    #[error("window keeps {window} steps per server, the model needs at least {model}")]
    WindowTooShort { window: usize, model: usize },
}

impl Forecaster {
    /// Quantiles of a forecaster without a model.
    const FALLBACK_QUANTILES: [f64; 7] = [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98];
    /// Steps ahead that a forecaster without a model forecasts: eight hours of five minutes.
    const FALLBACK_HORIZON_STEPS: usize = 96;
    /// Days of history that the fallback looks at.
    const FALLBACK_HISTORY_DAYS: usize = 3;

    /// Prepares a model for execution.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the configuration is out of range, [`ErrorKind::InvalidModel`] if the
    /// model's targets have no quantile in common.
    #[cfg(any(feature = "burn", feature = "engine"))]
    pub fn new(model: Model, config: ForecasterConfig) -> Result<Self, Error> {
        config.validate()?;
        let document = model.document();
        let encoding = &document.encoding;
        let (step_length, horizon_steps) = (document.step_ms, encoding.horizon_steps());
        let (history_steps, history_steps_min) = (encoding.history_steps(), encoding.history_steps_min());
        let runner = ModelRunner::new(model, &config)?;
        let quantiles = runner.quantiles().clone();
        Ok(Self {
            runner: Some(runner),
            step_length,
            horizon_steps,
            history_steps,
            history_steps_min,
            quantiles,
            config,
        })
    }

    /// Builds a forecaster that has no model and answers with the fallback only.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the configuration is out of range.
    pub fn without_model(step_length: StepLength, config: ForecasterConfig) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self {
            runner: None,
            step_length,
            horizon_steps: Self::FALLBACK_HORIZON_STEPS,
            history_steps: Self::FALLBACK_HISTORY_DAYS * step_length.steps_per_day(),
            history_steps_min: 1,
            quantiles: QuantileLevels::new(&Self::FALLBACK_QUANTILES)?,
            config,
        })
    }

    /// Checks that a window of this schema has everything that the model reads.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming every column of an imported model that the schema lacks.
    pub fn check_schema(&self, schema: &Schema) -> Result<(), Error> {
        self.runner.as_ref().map_or(Ok(()), |runner| runner.check_schema(schema))
    }

    /// Forecasts every server of the window from its newest closed step at `now`.
    ///
    /// A metric goes to the model if it has at least [`history_steps_min`](Self::history_steps_min) steps of
    /// history and no unfilled gap in the encoder; otherwise to the fallback. An imported model takes all its
    /// columns of a server or none. A metric without any value in the window is left out. The result is empty
    /// for a window without data.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the window's steps differ from the model's, if it keeps too few, or
    /// naming everything that an imported model reads and the window's schema lacks.
    pub fn forecast(&mut self, window: &RollingWindow, now: Timestamp) -> Result<FleetForecast, Error> {
        let origin = window.origin(now).unwrap_or_else(|| self.step_length.step_at(now));
        self.forecast_from(window, origin)
    }

    /// Forecasts every server of the window from a given step, as if later steps were not known.
    ///
    /// # Errors
    /// As [`forecast`](Self::forecast).
    pub fn forecast_from(&mut self, window: &RollingWindow, origin: Step) -> Result<FleetForecast, Error> {
        self.check_window(window)?;
        let mut fleet = FleetForecast {
            origin,
            step_length: self.step_length,
            quantiles: self.quantiles.clone(),
            servers: window.servers().map(|view| Forecast::empty(&view)).collect(),
        };
        if let Some(runner) = &self.runner {
            runner.run(window, &self.config, &mut fleet)?;
        }
        let mut history = vec![f32::NAN; self.fallback_history_steps()];
        for (forecast, view) in fleet.servers.iter_mut().zip(window.servers()) {
            self.fall_back(&view, window.schema(), origin, &mut history, forecast);
            forecast.metrics.sort_by_key(|forecast| forecast.metric);
        }
        Ok(fleet)
    }

    /// Forecasts one server from a given step, as if later steps were not known; none if there is no such server.
    ///
    /// The result is that of [`forecast_from`](Self::forecast_from), up to the rounding of windows that run together.
    ///
    /// # Errors
    /// As [`forecast`](Self::forecast).
    pub fn forecast_server_from(
        &self,
        window: &RollingWindow,
        origin: Step,
        server: &str,
    ) -> Result<Option<Forecast>, Error> {
        self.check_window(window)?;
        let Some(view) = window.server(server) else { return Ok(None) };
        let mut fleet = FleetForecast {
            origin,
            step_length: self.step_length,
            quantiles: self.quantiles.clone(),
            servers: vec![Forecast::empty(&view)],
        };
        if let Some(runner) = &self.runner {
            runner.run_one(window, &view, &self.config, &mut fleet)?;
        }
        let mut history = vec![f32::NAN; self.fallback_history_steps()];
        let [forecast] = &mut fleet.servers[..] else { return Ok(None) };
        self.fall_back(&view, window.schema(), origin, &mut history, forecast);
        forecast.metrics.sort_by_key(|forecast| forecast.metric);
        Ok(fleet.servers.pop())
    }

    /// Runs one server from a given step and keeps what the network saw and answered, to be explained by
    /// [`Interpretation::of`](crate::explain::Interpretation::of).
    ///
    /// Without windows if the model takes nothing of the server; none if there is no such server or no model.
    ///
    /// # Errors
    /// As [`forecast`](Self::forecast).
    #[cfg(any(feature = "burn", feature = "engine"))]
    pub fn trace(
        &self,
        window: &RollingWindow,
        origin: Step,
        server: &str,
    ) -> Result<Option<NetworkTrace>, Error> {
        self.check_window(window)?;
        let (Some(runner), Some(view)) = (&self.runner, window.server(server)) else { return Ok(None) };
        runner.trace(window, &view, origin).map(Some)
    }

    /// Returns the model, if there is one.
    #[cfg(any(feature = "burn", feature = "engine"))]
    pub fn model(&self) -> Option<&Model> {
        self.runner.as_ref().map(ModelRunner::model)
    }

    /// Returns the model's name, if there is a model.
    pub fn model_id(&self) -> Option<&str> {
        self.runner.as_ref().map(|runner| runner.model().id())
    }

    /// Returns whether the model looks at one metric at a time, so that none has an effect on another; so does the
    /// fallback.
    pub fn is_univariate(&self) -> bool {
        self.runner.as_ref().is_none_or(ModelRunner::is_univariate)
    }

    /// Returns how many bytes are kept of servers from one forecast to the next; at most
    /// [`ForecasterConfig::cache_bytes`].
    pub fn kept_bytes(&self) -> usize {
        self.runner.as_ref().map_or(0, ModelRunner::kept_bytes)
    }

    /// Returns the length of a step, which the window must share.
    pub fn step_length(&self) -> StepLength {
        self.step_length
    }

    /// Returns how many steps ahead are forecast.
    pub fn horizon_steps(&self) -> usize {
        self.horizon_steps
    }

    /// Returns how many steps of history a forecast reads; a window that keeps fewer costs accuracy.
    pub fn history_steps(&self) -> usize {
        self.history_steps
    }

    /// Returns with how many steps of history the model starts to be used.
    pub fn history_steps_min(&self) -> usize {
        self.history_steps_min
    }

    /// Returns the quantile levels of every forecast.
    pub fn quantiles(&self) -> &QuantileLevels {
        &self.quantiles
    }

    fn check_window(&self, window: &RollingWindow) -> Result<(), Error> {
        let config = window.config();
        if config.step != self.step_length {
            let (window, model) = (config.step.as_millis(), self.step_length.as_millis());
            return Err(ForecasterError::StepLength { window, model }.into());
        }
        if config.steps_per_server < self.history_steps_min {
            let (window, model) = (config.steps_per_server, self.history_steps_min);
            return Err(ForecasterError::WindowTooShort { window, model }.into());
        }
        Ok(())
    }

    /// Forecasts with the fallback what the model did not take.
    fn fall_back(
        &self,
        view: &ServerView<'_>,
        schema: &Schema,
        origin: Step,
        history: &mut [f32],
        forecast: &mut Forecast,
    ) {
        for (metric, range) in schema.metrics().iter().enumerate() {
            if forecast.metric(metric).is_some() {
                continue;
            }
            view.copy_filled_history(metric, origin, history);
            let Some(&current) = history.iter().rfind(|value| !value.is_nan()) else { continue };
            let per_day = self.step_length.steps_per_day();
            let values = fallback_forecast(history, per_day, self.horizon_steps, &self.quantiles);
            let values = values.unwrap_or_else(|| self.unchanged(current));
            let fallback = MetricForecast::new(metric, Method::Fallback, current, values, range);
            forecast.metrics.push(fallback);
        }
    }

    /// The fallback looks at days even where a model reads less.
    fn fallback_history_steps(&self) -> usize {
        self.history_steps.max(Self::FALLBACK_HISTORY_DAYS * self.step_length.steps_per_day())
    }

    fn unchanged(&self, current: f32) -> Array2<f32> {
        Array2::from_elem((self.horizon_steps, self.quantiles.len()), current)
    }
}

impl ForecasterConfig {
    /// Most windows that may run through the network together.
    pub const BLOCK_WINDOWS_MAX: usize = 4096;
    /// Most threads.
    pub const THREADS_MAX: usize = 1024;

    pub(super) fn validate(&self) -> Result<(), Error> {
        if !(1..=Self::BLOCK_WINDOWS_MAX).contains(&self.block_windows) {
            return Err(ForecasterError::BlockWindows { value: self.block_windows }.into());
        }
        if !(1..=Self::THREADS_MAX).contains(&self.threads) {
            return Err(ForecasterError::Threads { value: self.threads }.into());
        }
        Ok(())
    }
}

impl Default for ForecasterConfig {
    fn default() -> Self {
        Self { block_windows: 32, threads: 1, cache_bytes: 64 << 20 }
    }
}

impl From<ForecasterError> for Error {
    fn from(error: ForecasterError) -> Self {
        Self::new(ErrorKind::InvalidConfig, error)
    }
}
