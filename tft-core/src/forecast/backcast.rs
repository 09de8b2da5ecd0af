//! Predictions of steps that are known, to be compared with what happened.
//!
//! This is the predict mode of pytorch-forecasting's `TimeSeriesDataSet`: the last rows of each group are the
//! decoder. A [`Forecaster`](super::Forecaster) starts after the last row instead.

use ndarray::{Array3, Axis};

use super::ForecasterConfig;
use super::executor::{Executor, Keeping};
use crate::error::{Error, ErrorKind};
use crate::model::{Encoding, Model, NetworkOutput, Rows};

/// The predictions of the last steps of every group.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Backcast {
    /// The columns that tell groups apart.
    pub group_ids: Vec<String>,
    /// The values of these columns for each window, in the reference's order.
    pub groups: Vec<Vec<String>>,
    /// The time index of each window's first predicted step.
    pub first_prediction_idx: Vec<i64>,
    /// The predictions, by target.
    pub targets: Vec<BackcastTarget>,
}

/// The predictions of one target.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackcastTarget {
    /// The target's column.
    pub name: String,
    /// The quantile levels, in the model's order.
    pub quantiles: Vec<f64>,
    /// `[windows, steps, quantiles]` in the target's unit, as the network gives them: quantiles may cross.
    pub values: Array3<f32>,
}

#[derive(Debug, thiserror::Error)]
enum BackcastError {
    #[error("model `{id}` reads series of a rolling window; use Forecaster::forecast_from")]
    Univariate { id: String },
}

/// Predicts the last `max_prediction_length` steps of every group from the steps before them, exactly as
/// pytorch-forecasting's `TemporalFusionTransformer.predict` does on a data set in predict mode.
///
/// # Errors
/// [`ErrorKind::InvalidModel`] if the model reads no rows, [`ErrorKind::InvalidInput`] naming every column,
/// group and value that cannot be encoded, [`ErrorKind::InvalidConfig`] if the configuration is out of range.
///
/// # Performance
/// Memory for tensors is bounded by [`ForecasterConfig::block_windows`].
pub fn backcast(model: &Model, rows: &Rows, config: &ForecasterConfig) -> Result<Backcast, Error> {
    config.validate()?;
    let Encoding::PytorchForecasting(encoding) = &model.document().encoding else {
        return Err(BackcastError::Univariate { id: model.id().to_owned() }.into());
    };
    let executor = Executor::new(model, config.threads, Keeping::default())?;
    let mut output = NetworkOutput::default();
    let windows = encoding.last_windows(rows)?;
    let mut backcast = Backcast::empty(model, encoding.group_ids.clone(), &encoding.targets);
    for start in (0..windows.len()).step_by(config.block_windows) {
        let block = windows.encode(start..windows.len().min(start + config.block_windows))?;
        executor.predict(&block.batch, &mut output)?;
        let predictions = block.predictions(&output)?;
        backcast.append(block.groups, block.first_prediction_idx, &predictions);
    }
    Ok(backcast)
}

impl Backcast {
    fn empty(model: &Model, group_ids: Vec<String>, targets: &[String]) -> Self {
        let steps = model.document().encoding.horizon_steps();
        let levels = &model.document().architecture.quantiles;
        let target = |(name, levels): (&String, &Vec<f64>)| BackcastTarget {
            name: name.clone(),
            quantiles: levels.clone(),
            values: Array3::zeros((0, steps, levels.len())),
        };
        Self {
            group_ids,
            groups: Vec::new(),
            first_prediction_idx: Vec::new(),
            targets: targets.iter().zip(levels).map(target).collect(),
        }
    }

    fn append(&mut self, groups: Vec<Vec<String>>, first_idx: Vec<i64>, predictions: &[Array3<f32>]) {
        self.groups.extend(groups);
        self.first_prediction_idx.extend(first_idx);
        for (target, values) in self.targets.iter_mut().zip(predictions) {
            let appended = target.values.append(Axis(0), values.view());
            appended.expect("invariant: every block has the steps and quantiles of its model");
        }
    }
}

impl From<BackcastError> for Error {
    fn from(error: BackcastError) -> Self {
        Self::new(ErrorKind::InvalidModel, error)
    }
}
