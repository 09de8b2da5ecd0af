//! Models as pytorch-forecasting's own parameters, without a `model.json`.
//!
//! `hparams.json` holds the hyperparameters of a `TemporalFusionTransformer`, `dataset_parameters.json` those
//! of its `TimeSeriesDataSet`; both under the library's names.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::document::ModelDocument;
use super::encoding::Encoding;
use crate::error::{Error, ErrorKind};
use crate::time::StepLength;

/// The hyperparameters of the network.
pub(super) const NETWORK_FILE: &str = "hparams.json";
/// The parameters of the data set.
pub(super) const DATA_SET_FILE: &str = "dataset_parameters.json";

#[derive(Debug, thiserror::Error)]
#[error("`{origin}/{file}` does not describe a supported model: {reason}")]
struct Unreadable {
    origin: String,
    file: &'static str,
    reason: String,
}

/// Puts the parts together; the model's name is made from its weights' checksum.
pub(super) fn document(
    network: &[u8],
    data_set: &[u8],
    weights: &[u8],
    origin: &str,
) -> Result<ModelDocument, Error> {
    let checksum = format!("{:x}", Sha256::digest(weights));
    let document = ModelDocument {
        format_version: ModelDocument::FORMAT_VERSION,
        id: format!("pytorch-forecasting-{}", &checksum[..12]),
        step_ms: StepLength::FIVE_MINUTES,
        weights_sha256: Some(checksum),
        architecture: parse(network, NETWORK_FILE, origin)?,
        encoding: Encoding::PytorchForecasting(parse(data_set, DATA_SET_FILE, origin)?),
        calibration: None,
        training: BTreeMap::new(),
    };
    document.validate(origin)?;
    Ok(document)
}

fn parse<T: DeserializeOwned>(text: &[u8], file: &'static str, origin: &str) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|error| {
        let (origin, reason) = (origin.to_owned(), error.to_string());
        Error::new(ErrorKind::InvalidModel, Unreadable { origin, file, reason })
    })
}
