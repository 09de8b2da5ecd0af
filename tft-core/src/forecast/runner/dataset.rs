//! Runs all targets of each server together, encoded as the data set of an imported model.

use std::hash::{DefaultHasher, Hash, Hasher};

use ndarray::{Array2, Array3, Axis, s};

use super::Found;
use super::assembly::{AssembledRows, Assembly, Span};
use super::blocks::run_blocks;
use super::fleet::FleetHistory;
use crate::error::{Error, ErrorKind};
use crate::forecast::executor::{Executor, Keeping, WindowPlace};
use crate::forecast::{FleetForecast, ForecasterConfig, Method, MetricForecast, NetworkTrace};
use crate::model::{DatasetEncoding, EncodedRows, Model, NetworkOutput};
use crate::quantile::QuantileLevels;
use crate::schema::{Schema, ServerName};
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
    pub(super) fn new(model: Model, encoding: DatasetEncoding, cache_bytes: usize) -> Result<Self, Error> {
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
        let reals = encoding.reals.iter().map(|column| !encoding.depends_on_window(column)).collect();
        let executor = Executor::new(&model, 1, Keeping { bytes_max: cache_bytes, reals })?;
        Ok(Self { model, quantiles, positions, executor, encoding })
    }

    pub(super) fn kept_bytes(&self) -> usize {
        self.executor.kept_bytes()
    }

    pub(super) fn check_schema(&self, schema: &Schema) -> Result<(), Error> {
        Assembly::new(&self.encoding, schema).map(|_| ())
    }

    /// Forecasts every server that the model takes.
    pub(super) fn run(
        &self,
        window: &RollingWindow,
        config: &ForecasterConfig,
        fleet: &FleetForecast,
    ) -> Result<Vec<Vec<Found>>, Error> {
        let assembly = Assembly::new(&self.encoding, window.schema())?;
        let span = self.span(fleet.origin, fleet.step_length);
        let statistics = assembly.fleet_history(window, span);
        let servers: Vec<_> = window.servers().enumerate().collect();
        let share = servers.len().div_ceil(config.threads).max(1);
        let blocks: Vec<_> = servers.chunks(config.block_windows.min(share)).collect();
        let found = run_blocks(config.threads, blocks.len(), |output: &mut NetworkOutput, block| {
            self.run_block(window, &assembly, (blocks[block], &statistics, span), output)
        });
        self.executor.forget_unused();
        found
    }

    /// Forecasts one server, if the model takes it. Neither uses nor changes what is kept of series, so that a
    /// changed history costs the next forecast of the fleet nothing.
    pub(super) fn run_one(
        &self,
        window: &RollingWindow,
        view: &ServerView<'_>,
        fleet: &FleetForecast,
    ) -> Result<Vec<Found>, Error> {
        let assembly = Assembly::new(&self.encoding, window.schema())?;
        let span = self.span(fleet.origin, fleet.step_length);
        let statistics = assembly.fleet_history(window, span);
        let assembled = assembly.rows(window, &[(0, *view)], &statistics, span)?;
        let (taken, encoded) = self.encoding.encode_series(&assembled.rows, &assembled.series)?;
        let mut output = NetworkOutput::default();
        self.executor.predict(&encoded.batch, &mut output)?;
        self.decode(window, &assembly, &assembled, (&taken, &encoded), &output)
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
        output: &mut NetworkOutput,
    ) -> Result<Vec<Found>, Error> {
        let assembled = assembly.rows(window, servers, statistics, span)?;
        let (taken, encoded) = self.encoding.encode_series(&assembled.rows, &assembled.series)?;
        let places: Vec<_> = taken
            .iter()
            .zip(&encoded.batch.encoder_lengths)
            .map(|(&place, &length)| {
                let (_, view) = assembled.servers[place];
                let first_step = span.origin.plus(1 - length as i64).0;
                WindowPlace { series: number_of(view.name()), first_step }
            })
            .collect();
        self.executor.follow(&encoded.batch, &places, output)?;
        self.decode(window, assembly, &assembled, (&taken, &encoded), output)
    }

    /// Turns outputs into forecasts; `taken` are the encoded servers by their places among the assembled ones.
    fn decode(
        &self,
        window: &RollingWindow,
        assembly: &Assembly<'_>,
        assembled: &AssembledRows<'_>,
        (taken, encoded): (&[usize], &EncodedRows),
        output: &NetworkOutput,
    ) -> Result<Vec<Found>, Error> {
        let predictions = encoded.predictions(output)?;
        let mut found = Vec::new();
        for (target, (values, &metric)) in predictions.iter().zip(&assembly.target_metrics).enumerate() {
            for (position, &place) in taken.iter().enumerate() {
                let (server, view) = assembled.servers[place];
                let mut newest = [f32::NAN];
                view.copy_filled_history(metric, assembled.origin, &mut newest);
                let values = self.shared_quantiles(values, target, position);
                let range = &window.schema().metrics()[metric];
                found.push((server, MetricForecast::new(metric, Method::Tft, newest[0], values, range)));
            }
        }
        Ok(found)
    }

    /// One window's prediction, `[horizon, shared quantiles]`.
    fn shared_quantiles(&self, values: &Array3<f32>, target: usize, window: usize) -> Array2<f32> {
        let of_window = values.slice(s![window, .., ..]);
        of_window.select(Axis(1), &self.positions[target])
    }
}

/// A number that stands for a server, the same in every run.
fn number_of(server: &ServerName) -> u64 {
    let mut hasher = DefaultHasher::new();
    server.as_str().hash(&mut hasher);
    hasher.finish()
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
