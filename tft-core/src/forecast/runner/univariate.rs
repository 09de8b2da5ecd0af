//! Runs each metric of each server as a series of its own.

use ndarray::Axis;

use super::Found;
use super::blocks::run_blocks;
use crate::error::Error;
use crate::forecast::executor::{Executor, Keeping};
use crate::forecast::{FleetForecast, ForecasterConfig, Method, MetricForecast, NetworkTrace};
use crate::model::{History, Model, NetworkOutput, UnivariateEncoding};
use crate::quantile::QuantileLevels;
use crate::schema::Schema;
use crate::time::{Step, Timestamp};
use crate::window::{RollingWindow, ServerView};

/// A network of single series and their encoding.
#[derive(Debug)]
pub(in crate::forecast) struct UnivariateRunner {
    pub(super) model: Model,
    pub(super) quantiles: QuantileLevels,
    executor: Executor,
    encoding: UnivariateEncoding,
}

/// What a thread works with.
#[derive(Default)]
struct Block {
    pending: Pending,
    history: Vec<f32>,
    output: NetworkOutput,
}

/// Series that wait for the network: which they are, and their histories end to end.
#[derive(Debug, Default)]
struct Pending {
    series: Vec<(usize, usize)>,
    histories: Vec<f32>,
}

impl UnivariateRunner {
    pub(super) fn new(model: Model, encoding: UnivariateEncoding) -> Result<Self, Error> {
        let quantiles = QuantileLevels::new(&model.document().architecture.quantiles[0])?;
        // Every input is scaled by its window, so that nothing can be kept from one step to the next.
        let executor = Executor::new(&model, 1, Keeping::default())?;
        Ok(Self { model, quantiles, executor, encoding })
    }

    /// Forecasts every series that the model takes.
    pub(super) fn run(
        &self,
        window: &RollingWindow,
        config: &ForecasterConfig,
        fleet: &FleetForecast,
    ) -> Result<Vec<Vec<Found>>, Error> {
        let servers: Vec<_> = window.servers().enumerate().collect();
        let metrics = window.schema().metrics().len().max(1);
        let share = servers.len().div_ceil(config.threads);
        let blocks: Vec<_> = servers.chunks((config.block_windows / metrics).min(share).max(1)).collect();
        run_blocks(config.threads, blocks.len(), |own: &mut Block, block| {
            own.pending.series.clear();
            own.pending.histories.clear();
            for &(server, view) in blocks[block] {
                self.collect(server, &view, metrics, fleet.origin, own);
            }
            self.run_pending(window.schema(), config.block_windows, own, fleet)
        })
    }

    /// Forecasts the series of one server that the model takes.
    pub(super) fn run_one(
        &self,
        window: &RollingWindow,
        view: &ServerView<'_>,
        config: &ForecasterConfig,
        fleet: &FleetForecast,
    ) -> Result<Vec<Found>, Error> {
        let mut block = Block::default();
        self.collect(0, view, window.schema().metrics().len(), fleet.origin, &mut block);
        self.run_pending(window.schema(), config.block_windows, &mut block, fleet)
    }

    /// Adds the series of a server that the model takes.
    fn collect(&self, server: usize, view: &ServerView<'_>, metrics: usize, origin: Step, block: &mut Block) {
        block.history.resize(self.encoding.history_steps(), f32::NAN);
        for metric in 0..metrics {
            view.copy_filled_history(metric, origin, &mut block.history);
            if self.takes(&block.history) {
                block.pending.series.push((server, metric));
                block.pending.histories.extend_from_slice(&block.history);
            }
        }
    }

    /// Returns whether a history is long enough and has no gap in the encoder.
    fn takes(&self, history: &[f32]) -> bool {
        let (older, encoder) = history.split_at(history.len() - self.encoding.encoder_length);
        let first_known = older.iter().position(|value| !value.is_nan()).unwrap_or(older.len());
        history.len() - first_known >= self.encoding.history_steps_min
            && encoder.iter().all(|value| !value.is_nan())
    }

    /// Runs the metrics of one server that the model takes, one window each.
    pub(super) fn trace(
        &self,
        window: &RollingWindow,
        view: &ServerView<'_>,
        origin: Step,
    ) -> Result<NetworkTrace, Error> {
        let mut block = Block::default();
        self.collect(0, view, window.schema().metrics().len(), origin, &mut block);
        let pending = block.pending;
        let (step_length, schema) = (window.config().step, window.schema());
        let histories = self.histories(&pending, schema, step_length.start_of(origin));
        let batch = self.encoding.encode(&histories, step_length)?.batch;
        let output = self.executor.explain(&batch)?;
        let windows = pending.series.iter().map(|&(_, metric)| vec![metric]).collect();
        Ok(NetworkTrace { windows, batch, output })
    }

    fn histories<'p>(&self, pending: &'p Pending, schema: &Schema, origin: Timestamp) -> Vec<History<'p>> {
        let values = pending.histories.chunks_exact(self.encoding.history_steps());
        let kind = |metric: usize| schema.metrics()[metric].kind;
        let series = pending.series.iter().zip(values);
        series.map(|(&(_, metric), values)| History { values, origin, kind: kind(metric) }).collect()
    }

    /// Runs the series that were collected.
    fn run_pending(
        &self,
        schema: &Schema,
        block_windows: usize,
        block: &mut Block,
        fleet: &FleetForecast,
    ) -> Result<Vec<Found>, Error> {
        let Block { pending, output, .. } = block;
        let mut found = Vec::with_capacity(pending.series.len());
        let origin = fleet.step_length.start_of(fleet.origin);
        let histories = self.histories(pending, schema, origin);
        for (series, histories) in pending.series.chunks(block_windows).zip(histories.chunks(block_windows)) {
            let encoded = self.encoding.encode(histories, fleet.step_length)?;
            self.executor.predict(&encoded.batch, output)?;
            let quantiles = encoded.predictions(output, self.model.document().calibration.as_ref())?;
            for (window, (&(server, metric), history)) in series.iter().zip(histories).enumerate() {
                let current = history.values[history.values.len() - 1];
                let mut values = quantiles.index_axis(Axis(0), window).mapv(|value| value as f32);
                if is_constant(history.values) {
                    values.fill(current);
                }
                let range = &schema.metrics()[metric];
                found.push((server, MetricForecast::new(metric, Method::Tft, current, values, range)));
            }
        }
        Ok(found)
    }
}

/// Returns whether all known values are equal. Such a series goes on as it is: its scale is rounding, and so is what the
/// network says in terms of it, which would be above everything that the series ever was.
fn is_constant(values: &[f32]) -> bool {
    let mut known = values.iter().filter(|value| !value.is_nan());
    let first = known.next();
    known.all(|value| Some(value) == first)
}
