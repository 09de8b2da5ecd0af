//! How history becomes tensors, and network outputs become predictions.
//!
//! Owns the two encodings that a model can name in `model.json`: that of a pytorch-forecasting
//! `TimeSeriesDataSet` ([`DatasetEncoding`]) and that of the built-in model ([`UnivariateEncoding`]).

mod categorical;
mod dataset;
mod normalizer;
#[cfg(feature = "parquet")]
mod record_batch;
mod rows;
mod source;
mod univariate;

use serde::{Deserialize, Serialize};

pub use categorical::CategoricalEncoder;
pub use dataset::{
    DatasetEncoding, EncodedRows, FillValue, GroupWindows, TargetNormalizer, TargetScaleLookup,
};
pub use normalizer::{
    CenterScale, EncoderFit, FitLength, GroupKey, GroupNorm, GroupTable, MissingNorm, Normalizer,
    ScaleWithoutCenter, Transformation,
};
pub use rows::{Column, Rows};
pub use source::{ClockFeature, FleetStatistic, Source};
pub use univariate::{EncodedHistories, History, UnivariateEncoding};

use super::architecture::Architecture;
use crate::problems::Problems;

/// How history becomes tensors, and network outputs become predictions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Encoding {
    /// One window per group of a pytorch-forecasting data set.
    PytorchForecasting(Box<DatasetEncoding>),
    /// One window per metric of a server, scaled by its own history.
    Univariate(UnivariateEncoding),
}

impl Encoding {
    /// Returns the most steps of history that a window reads.
    pub fn history_steps(&self) -> usize {
        match self {
            Self::PytorchForecasting(encoding) => encoding.max_encoder_length + encoding.max_lag(),
            Self::Univariate(encoding) => encoding.history_steps(),
        }
    }

    /// Returns the fewest steps of history that make a window.
    pub fn history_steps_min(&self) -> usize {
        match self {
            Self::PytorchForecasting(encoding) => encoding.history_steps_min(),
            Self::Univariate(encoding) => encoding.history_steps_min,
        }
    }

    /// Returns the number of steps that are forecast.
    pub fn horizon_steps(&self) -> usize {
        match self {
            Self::PytorchForecasting(encoding) => encoding.max_prediction_length,
            Self::Univariate(encoding) => encoding.prediction_length,
        }
    }

    /// Collects what is wrong with an encoding for a network whose own shape is in order.
    pub(super) fn check(&self, architecture: &Architecture, problems: &mut Problems) {
        match self {
            Self::PytorchForecasting(encoding) => encoding.check(architecture, problems),
            Self::Univariate(encoding) => encoding.check(architecture, problems),
        }
    }
}
