//! Runs each metric of each server as a series of its own.

use ndarray::Axis;

use crate::error::Error;
use crate::forecast::{FleetForecast, Method, MetricForecast};
use crate::model::{History, Model, Network, UnivariateEncoding, default_device};
use crate::quantile::QuantileLevels;
use crate::schema::Schema;
use crate::window::RollingWindow;

/// A network of single series and their encoding.
#[derive(Debug)]
pub(in crate::forecast) struct UnivariateRunner {
    pub(super) model: Model,
    pub(super) quantiles: QuantileLevels,
    network: Network,
    encoding: UnivariateEncoding,
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
        Ok(Self { network: model.network(&default_device()), quantiles, model, encoding })
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
        let histories: Vec<History<'_>> = pending
            .series
            .iter()
            .zip(pending.histories.chunks_exact(self.encoding.history_steps()))
            .map(|(&(_, metric), values)| History { values, origin, kind: schema.metrics()[metric].kind })
            .collect();
        let encoded = self.encoding.encode(&histories, fleet.step_length)?;
        let output = self.network.forward(&encoded.batch)?;
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
