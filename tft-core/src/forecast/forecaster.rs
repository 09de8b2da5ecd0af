//! The forecaster: windows in, forecasts of every server out.
//!
//! Owns which method forecasts which metric, and the batching of windows for the model. Never fails because
//! of one server: what the model cannot take goes to the fallback, and the forecast says so.

use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};

use super::runner::ModelRunner;
use super::{FleetForecast, Forecast, Method, MetricForecast, QuantileLevels, fallback_forecast};
use crate::error::{Error, ErrorKind};
use crate::model::History;
#[cfg(feature = "burn")]
use crate::model::{Encoding, Model};
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
/// Blocks of 32 windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForecasterConfig {
    /// Most windows that run through the network together; bounds the memory of one run. 1 to
    /// [`ForecasterConfig::BLOCK_WINDOWS_MAX`].
    pub block_windows: usize,
}

/// Series that wait for the model: which they are, and their histories end to end.
#[derive(Debug, Default)]
struct Pending {
    series: Vec<(usize, usize)>,
    histories: Vec<f32>,
}

#[derive(Debug, thiserror::Error)]
enum ForecasterError {
    #[error("forecaster.block_windows is {value}, allowed are 1 to {}", ForecasterConfig::BLOCK_WINDOWS_MAX)]
    BlockWindows { value: usize },
    #[cfg(feature = "burn")]
    #[error("model `{id}` reads rows of a data set; use DatasetEncoding::encode_last, not a rolling window")]
    DatasetEncoding { id: String },
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
    /// model cannot forecast from a window.
    #[cfg(feature = "burn")]
    pub fn new(model: Model, config: ForecasterConfig) -> Result<Self, Error> {
        config.validate()?;
        let Encoding::Univariate(encoding) = &model.document().encoding else {
            return Err(ForecasterError::DatasetEncoding { id: model.id().to_owned() }.into());
        };
        let encoding = encoding.clone();
        Ok(Self {
            step_length: model.document().step_ms,
            horizon_steps: encoding.prediction_length,
            history_steps: encoding.history_steps(),
            history_steps_min: encoding.history_steps_min,
            quantiles: QuantileLevels::new(&model.document().architecture.quantiles[0])?,
            runner: Some(ModelRunner::new(model, encoding)),
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

    /// Forecasts every server of the window from its newest closed step at `now`.
    ///
    /// A metric goes to the model if it has at least [`history_steps_min`](Self::history_steps_min) steps of
    /// history and no unfilled gap in the encoder; otherwise to the fallback. A metric without any value in
    /// the window is left out. The result is empty for a window without data.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the window's steps differ from the model's or it keeps too few.
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
            servers: Vec::with_capacity(window.server_count()),
        };
        let mut pending = Pending::default();
        for view in window.servers() {
            fleet.servers.push(Forecast::empty(&view));
            self.forecast_server(&view, window.schema(), &mut fleet, &mut pending)?;
        }
        self.run_pending(window.schema(), &mut fleet, &mut pending)?;
        for forecast in &mut fleet.servers {
            forecast.metrics.sort_by_key(|forecast| forecast.metric);
        }
        Ok(fleet)
    }

    /// Returns the model's name, if there is a model.
    pub fn model_id(&self) -> Option<&str> {
        self.runner.as_ref().map(ModelRunner::model_id)
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

    /// Forecasts what the fallback takes at once and lets the rest wait for the model.
    fn forecast_server(
        &mut self,
        view: &ServerView<'_>,
        schema: &Schema,
        fleet: &mut FleetForecast,
        pending: &mut Pending,
    ) -> Result<(), Error> {
        let server = fleet.servers.len() - 1;
        let mut history = vec![f32::NAN; self.history_steps];
        for (metric, range) in schema.metrics().iter().enumerate() {
            view.copy_filled_history(metric, fleet.origin, &mut history);
            let Some(&current) = history.iter().rfind(|value| !value.is_nan()) else { continue };
            if self.runner.as_ref().is_some_and(|runner| runner.takes(&history)) {
                pending.series.push((server, metric));
                pending.histories.extend_from_slice(&history);
                if pending.series.len() == self.config.block_windows {
                    self.run_pending(schema, fleet, pending)?;
                }
                continue;
            }
            let per_day = self.step_length.steps_per_day();
            let values = fallback_forecast(&history, per_day, self.horizon_steps, &self.quantiles);
            let values = values.unwrap_or_else(|| self.unchanged(current));
            let forecast = MetricForecast::new(metric, Method::Fallback, current, values, range);
            fleet.servers[server].metrics.push(forecast);
        }
        Ok(())
    }

    fn unchanged(&self, current: f32) -> Array2<f32> {
        Array2::from_elem((self.horizon_steps, self.quantiles.len()), current)
    }

    /// Runs the waiting series through the model and hands their forecasts out.
    fn run_pending(
        &mut self,
        schema: &Schema,
        fleet: &mut FleetForecast,
        pending: &mut Pending,
    ) -> Result<(), Error> {
        let Some(runner) = self.runner.as_ref().filter(|_| !pending.series.is_empty()) else { return Ok(()) };
        let origin = self.step_length.start_of(fleet.origin);
        let histories: Vec<History<'_>> = pending
            .series
            .iter()
            .zip(pending.histories.chunks_exact(self.history_steps))
            .map(|(&(_, metric), values)| History { values, origin, kind: schema.metrics()[metric].kind })
            .collect();
        let quantiles = runner.run(&histories, self.step_length)?;
        for (window, (&(server, metric), history)) in pending.series.iter().zip(&histories).enumerate() {
            let values = quantiles.index_axis(Axis(0), window).mapv(|value| value as f32);
            let current = history.values[history.values.len() - 1];
            let range = &schema.metrics()[metric];
            let forecast = MetricForecast::new(metric, Method::Tft, current, values, range);
            fleet.servers[server].metrics.push(forecast);
        }
        pending.series.clear();
        pending.histories.clear();
        Ok(())
    }
}

impl ForecasterConfig {
    /// Most windows that may run through the network together.
    pub const BLOCK_WINDOWS_MAX: usize = 4096;

    fn validate(&self) -> Result<(), Error> {
        if (1..=Self::BLOCK_WINDOWS_MAX).contains(&self.block_windows) {
            return Ok(());
        }
        Err(ForecasterError::BlockWindows { value: self.block_windows }.into())
    }
}

impl Default for ForecasterConfig {
    fn default() -> Self {
        Self { block_windows: 32 }
    }
}

impl From<ForecasterError> for Error {
    fn from(error: ForecasterError) -> Self {
        let kind = match error {
            #[cfg(feature = "burn")]
            ForecasterError::DatasetEncoding { .. } => ErrorKind::InvalidModel,
            _ => ErrorKind::InvalidConfig,
        };
        Self::new(kind, error)
    }
}
