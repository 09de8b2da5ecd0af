//! Forecasts: what a server's metrics will do over the next hours, as quantiles.
//!
//! Owns the [`Forecast`] itself, the statistical [fallback](fallback_forecast) and the [`Forecaster`] that
//! asks the model where it can and the fallback where it cannot. Every reply says which method made it.

#[cfg(any(feature = "burn", feature = "engine"))]
mod backcast;
#[cfg(any(feature = "burn", feature = "engine"))]
mod executor;
mod fallback;
mod forecaster;
mod runner;

use ndarray::{Array2, ArrayView1, ArrayView2};

#[cfg(any(feature = "burn", feature = "engine"))]
pub use backcast::{Backcast, BackcastTarget, backcast};

pub use crate::quantile::{Quantile, QuantileLevels};
pub use fallback::fallback_forecast;
pub(crate) use fallback::sample_quantile;
pub use forecaster::{Forecaster, ForecasterConfig};

use crate::schema::{Profile, ServerName};
use crate::time::{Step, StepLength};

/// The forecasts of all servers of a window, made at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FleetForecast {
    /// The newest closed step; every forecast starts at the step after it.
    pub origin: Step,
    /// The length of a step.
    pub step_length: StepLength,
    /// The quantile levels of every forecast, ascending.
    pub quantiles: QuantileLevels,
    /// One forecast per server, in the order of their names.
    pub servers: Vec<Forecast>,
}

/// The forecast of one server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Forecast {
    /// The server.
    pub server: ServerName,
    /// The server's profile.
    pub profile: Profile,
    /// The metrics for which there is any history, in schema order.
    pub metrics: Vec<MetricForecast>,
}

/// The forecast of one metric of one server.
///
/// # Shapes
/// `values` is `[horizon, quantiles]`: row `h` is the step `origin + 1 + h`.
///
/// # Units
/// Those of the metric. Values lie in its valid range and never decrease along a row.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MetricForecast {
    /// The metric's position in the schema.
    pub metric: usize,
    /// What made this forecast.
    pub method: Method,
    /// The newest observed value at or before the origin.
    pub current: f32,
    values: Array2<f32>,
}

/// What a network saw of one server and what it answered, before anything is scaled back or sorted.
#[cfg(any(feature = "burn", feature = "engine"))]
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NetworkTrace {
    /// The metrics that each window forecasts, by their positions in the schema: one each with the built-in
    /// model, all targets with an imported one.
    pub windows: Vec<Vec<usize>>,
    /// The encoded windows.
    pub batch: crate::model::TensorBatch,
    /// The network's answer, with its attention and its variable selection weights.
    pub output: crate::model::NetworkOutput,
}

/// What made a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// The Temporal Fusion Transformer.
    Tft,
    /// The statistical fallback: too little history, or a metric that the model does not know.
    Fallback,
}

impl FleetForecast {
    /// Builds the forecast of no server, for rules that need none.
    ///
    /// # Panics
    /// Never: the median is a valid level.
    pub fn without_servers(origin: Step, step_length: StepLength) -> Self {
        let quantiles = QuantileLevels::new(&[0.5]).expect("invariant: 0.5 lies between 0 and 1");
        Self { origin, step_length, quantiles, servers: Vec::new() }
    }

    /// Returns the forecast of a server by name.
    pub fn server(&self, name: &str) -> Option<&Forecast> {
        let found = self.servers.binary_search_by(|forecast| forecast.server.as_str().cmp(name));
        found.ok().map(|index| &self.servers[index])
    }
}

impl Forecast {
    fn empty(view: &crate::window::ServerView<'_>) -> Self {
        Self { server: view.name().clone(), profile: view.profile().clone(), metrics: Vec::new() }
    }

    /// Returns the forecast of a metric by its position in the schema.
    pub fn metric(&self, metric: usize) -> Option<&MetricForecast> {
        self.metrics.iter().find(|forecast| forecast.metric == metric)
    }

    /// Returns [`Method::Tft`] if the model made the forecast of any metric.
    pub fn method(&self) -> Method {
        let from_model = self.metrics.iter().any(|forecast| forecast.method == Method::Tft);
        if from_model { Method::Tft } else { Method::Fallback }
    }
}

impl MetricForecast {
    /// Builds a forecast from raw quantiles: clamps each to the metric's range and sorts each row, so that
    /// quantiles never cross. A non-finite value becomes the current one.
    pub fn new(
        metric: usize,
        method: Method,
        current: f32,
        values: Array2<f32>,
        range: &crate::schema::Metric,
    ) -> Self {
        let mut values = values;
        let in_range = |value: &f32| {
            let finite = if value.is_finite() { *value } else { current };
            range.clamp(f64::from(finite)) as f32
        };
        for mut row in values.rows_mut() {
            let mut sorted: Vec<f32> = row.iter().map(in_range).collect();
            sorted.sort_unstable_by(f32::total_cmp);
            row.iter_mut().zip(sorted).for_each(|(value, in_order)| *value = in_order);
        }
        Self { metric, method, current, values }
    }

    /// Returns all quantiles, `[horizon, quantiles]`.
    pub fn values(&self) -> ArrayView2<'_, f32> {
        self.values.view()
    }

    /// Returns the path of the quantile at a position of [`FleetForecast::quantiles`], `[horizon]`.
    ///
    /// # Panics
    /// If `quantile_index` is not below the number of quantiles.
    pub fn path(&self, quantile_index: usize) -> ArrayView1<'_, f32> {
        self.values.column(quantile_index)
    }

    /// Returns the number of steps forecast.
    pub fn horizon(&self) -> usize {
        self.values.nrows()
    }
}

impl Method {
    /// Returns the method's name on the wire: `tft` or `fallback`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tft => "tft",
            Self::Fallback => "fallback",
        }
    }
}
