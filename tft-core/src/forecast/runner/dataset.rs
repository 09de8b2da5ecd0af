//! Runs all targets of each server together, encoded as the data set of an imported model.

use ndarray::{Array2, Array3, Axis, s};

use super::assembly::{Assembly, Span};
use super::fleet::FleetHistory;
use crate::error::{Error, ErrorKind};
use crate::forecast::executor::Executor;
use crate::forecast::{FleetForecast, Method, MetricForecast, NetworkTrace};
use crate::model::{DatasetEncoding, Model};
use crate::quantile::QuantileLevels;
use crate::schema::Schema;
use crate::time::{Step, StepLength};
use crate::window::{RollingWindow, ServerView};

/// An imported network and the encoding of its data set.
#[derive(Debug)]
pub(in crate::forecast) struct DatasetRunner {
    pub(super) model: Model,
    /// The levels that all targets have, ascending.
    pub(super) quantiles: QuantileLevels,
    /// For each target the positions of these levels among its outputs.
    positions: Vec<Vec<usize>>,
    executor: Executor,
    encoding: DatasetEncoding,
}

#[derive(Debug, thiserror::Error)]
#[error("the targets of model `{id}` share no quantile, and the forecasts of a fleet need one")]
struct NoSharedQuantile {
    id: String,
}

impl DatasetRunner {
    pub(super) fn new(model: Model, encoding: DatasetEncoding, threads: usize) -> Result<Self, Error> {
        let levels = &model.document().architecture.quantiles;
        let shared = shared_levels(levels);
        if shared.is_empty() {
            let error = NoSharedQuantile { id: model.id().to_owned() };
            return Err(Error::new(ErrorKind::InvalidModel, error));
        }
        let place = |of: &[f64], level: f64| of.iter().position(|&other| same(other, level)).unwrap_or(0);
        let positions =
            levels.iter().map(|of| shared.iter().map(|&level| place(of, level)).collect()).collect();
        let quantiles = QuantileLevels::new(&shared)?;
        Ok(Self { executor: Executor::new(&model, threads)?, quantiles, positions, model, encoding })
    }

    pub(super) fn check_schema(&self, schema: &Schema) -> Result<(), Error> {
        Assembly::new(&self.encoding, schema).map(|_| ())
    }

    pub(super) fn run(
        &self,
        window: &RollingWindow,
        block_windows: usize,
        fleet: &mut FleetForecast,
    ) -> Result<(), Error> {
        let assembly = Assembly::new(&self.encoding, window.schema())?;
        let span = self.span(fleet.origin, fleet.step_length);
        let statistics = assembly.fleet_history(window, span);
        let servers: Vec<_> = window.servers().enumerate().collect();
        for block in servers.chunks(block_windows) {
            self.run_block(window, &assembly, (block, &statistics, span), fleet)?;
        }
        Ok(())
    }

    /// Runs one server, if the model takes it: one window of all targets.
    pub(super) fn trace(
        &self,
        window: &RollingWindow,
        view: &ServerView<'_>,
        origin: Step,
    ) -> Result<NetworkTrace, Error> {
        let assembly = Assembly::new(&self.encoding, window.schema())?;
        let span = self.span(origin, window.config().step);
        let statistics = assembly.fleet_history(window, span);
        let assembled = assembly.rows(window, &[(0, *view)], &statistics, span)?;
        let (taken, encoded) = self.encoding.encode_series(&assembled.rows, &assembled.series)?;
        let output = self.executor.explain(&encoded.batch)?;
        let windows = taken.iter().map(|_| assembly.target_metrics.clone()).collect();
        Ok(NetworkTrace { windows, batch: encoded.batch, output })
    }

    fn span(&self, origin: Step, step_length: StepLength) -> Span {
        Span {
            origin,
            step_length,
            history_steps: self.encoding.max_encoder_length + self.encoding.max_lag(),
            horizon_steps: self.encoding.max_prediction_length,
        }
    }

    /// Forecasts a block of servers; leaves out those whose history the encoding cannot take.
    fn run_block<'w>(
        &self,
        window: &'w RollingWindow,
        assembly: &Assembly<'_>,
        (servers, statistics, span): (&[(usize, ServerView<'w>)], &FleetHistory, Span),
        fleet: &mut FleetForecast,
    ) -> Result<(), Error> {
        let assembled = assembly.rows(window, servers, statistics, span)?;
        let (taken, encoded) = self.encoding.encode_series(&assembled.rows, &assembled.series)?;
        let output = self.executor.predict(&encoded.batch)?;
        let predictions = encoded.predictions(&output)?;
        for (target, (values, &metric)) in predictions.iter().zip(&assembly.target_metrics).enumerate() {
            for (position, &place) in taken.iter().enumerate() {
                let (server, view) = assembled.servers[place];
                let mut newest = [f32::NAN];
                view.copy_filled_history(metric, fleet.origin, &mut newest);
                let values = self.shared_quantiles(values, target, position);
                let range = &window.schema().metrics()[metric];
                let forecast = MetricForecast::new(metric, Method::Tft, newest[0], values, range);
                fleet.servers[server].metrics.push(forecast);
            }
        }
        Ok(())
    }

    /// One window's prediction, `[horizon, shared quantiles]`.
    fn shared_quantiles(&self, values: &Array3<f32>, target: usize, window: usize) -> Array2<f32> {
        let of_window = values.slice(s![window, .., ..]);
        of_window.select(Axis(1), &self.positions[target])
    }
}

/// The levels that all targets have, ascending.
fn shared_levels(levels: &[Vec<f64>]) -> Vec<f64> {
    let mut shared = levels[0].clone();
    shared.retain(|&level| levels.iter().all(|of| of.iter().any(|&other| same(other, level))));
    shared.sort_by(f64::total_cmp);
    shared
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}
