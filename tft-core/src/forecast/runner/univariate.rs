//! Runs each metric of each server as a series of its own.

use ndarray::Axis;

use crate::error::Error;
use crate::forecast::executor::Executor;
use crate::forecast::{FleetForecast, Method, MetricForecast, NetworkTrace};
use crate::model::{History, Model, UnivariateEncoding};
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

/// Series that wait for the network: which they are, and their histories end to end.
#[derive(Debug, Default)]
struct Pending {
    series: Vec<(usize, usize)>,
    histories: Vec<f32>,
}

impl UnivariateRunner {
    pub(super) fn new(model: Model, encoding: UnivariateEncoding, threads: usize) -> Result<Self, Error> {
        let quantiles = QuantileLevels::new(&model.document().architecture.quantiles[0])?;
        Ok(Self { executor: Executor::new(&model, threads)?, quantiles, model, encoding })
    }

    pub(super) fn run(
        &self,
        window: &RollingWindow,
        block_windows: usize,
        fleet: &mut FleetForecast,
    ) -> Result<(), Error> {
        let mut pending = Pending::default();
        let mut history = vec![f32::NAN; self.encoding.history_steps()];
        for (server, view) in window.servers().enumerate() {
            for metric in 0..window.schema().metrics().len() {
                view.copy_filled_history(metric, fleet.origin, &mut history);
                if !self.takes(&history) {
                    continue;
                }
                pending.series.push((server, metric));
                pending.histories.extend_from_slice(&history);
                if pending.series.len() == block_windows {
                    self.run_pending(window.schema(), &mut pending, fleet)?;
                }
            }
        }
        self.run_pending(window.schema(), &mut pending, fleet)
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
        let mut pending = Pending::default();
        let mut history = vec![f32::NAN; self.encoding.history_steps()];
        for metric in 0..window.schema().metrics().len() {
            view.copy_filled_history(metric, origin, &mut history);
            if self.takes(&history) {
                pending.series.push((0, metric));
                pending.histories.extend_from_slice(&history);
            }
        }
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

    /// Runs the waiting series and hands their forecasts out.
    fn run_pending(
        &self,
        schema: &Schema,
        pending: &mut Pending,
        fleet: &mut FleetForecast,
    ) -> Result<(), Error> {
        if pending.series.is_empty() {
            return Ok(());
        }
        let origin = fleet.step_length.start_of(fleet.origin);
        let histories = self.histories(pending, schema, origin);
        let encoded = self.encoding.encode(&histories, fleet.step_length)?;
        let output = self.executor.predict(&encoded.batch)?;
        let quantiles = encoded.predictions(&output, self.model.document().calibration.as_ref())?;
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
