//! How history becomes tensors, and network outputs become predictions.
//!
//! Owns the two encodings that a model can name in `model.json`: that of a pytorch-forecasting
//! `TimeSeriesDataSet` ([`DatasetEncoding`]) and that of the built-in model ([`UnivariateEncoding`]).

mod categorical;
mod dataset;
mod normalizer;
mod rows;
mod univariate;

use serde::{Deserialize, Serialize};

pub use categorical::CategoricalEncoder;
pub use dataset::{DatasetEncoding, EncodedRows};
pub use normalizer::{GroupNorm, Normalizer, Transformation};
pub use rows::{Column, Rows};
pub use univariate::{EncodedHistories, History, UnivariateEncoding};

use super::architecture::Architecture;
use crate::error::Error;

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
    pub(super) fn history_steps(&self) -> usize {
        match self {
            Self::PytorchForecasting(encoding) => encoding.max_encoder_length,
            Self::Univariate(encoding) => encoding.history_steps(),
        }
    }

    pub(super) fn validate(&self, architecture: &Architecture) -> Result<(), Error> {
        match self {
            Self::PytorchForecasting(encoding) => encoding.validate(architecture),
            Self::Univariate(encoding) => encoding.validate(architecture),
        }
    }
}
