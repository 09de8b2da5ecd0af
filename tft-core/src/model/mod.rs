//! Models: weights, architecture, and everything needed to turn history into tensors and back.
//!
//! Owns the model directory (`model.json` and `model.safetensors`), the checks on it, and the network. A
//! [`Model`] is checked data and needs no executor; a [`Network`] runs it with burn.

pub(crate) mod architecture;
mod batch;
mod calibration;
mod document;
mod encoding;
#[cfg(any(feature = "burn", feature = "engine"))]
pub(crate) mod interpolation;
#[cfg(feature = "burn")]
mod network;
mod predictions;
mod reference_files;
pub(crate) mod state_dict;
#[cfg(any(feature = "burn", feature = "engine"))]
mod verification;
pub(crate) mod weights;

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

pub use architecture::Architecture;
pub use batch::{NetworkOutput, TensorBatch};
pub use calibration::Calibration;
pub use document::ModelDocument;
pub use encoding::{
    CategoricalEncoder, CenterScale, ClockFeature, Column, DatasetEncoding, EncodedHistories, EncodedRows,
    EncoderFit, Encoding, FillValue, FitLength, FleetStatistic, GroupKey, GroupNorm, GroupTable,
    GroupWindows, History, MissingNorm, Normalizer, Rows, ScaleWithoutCenter, Source, TargetNormalizer,
    TargetScaleLookup, Transformation, UnivariateEncoding,
};
#[cfg(feature = "burn")]
pub use network::{Network, default_device};
#[cfg(any(feature = "burn", feature = "engine"))]
pub use verification::{Executor, OutputDifference, Tolerance, Verification};

use self::weights::Weights;
use crate::error::{Error, ErrorKind};

/// A checked model; cheap to clone.
#[derive(Debug, Clone)]
pub struct Model(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    document: ModelDocument,
    weights: Weights,
}

#[derive(Debug, thiserror::Error)]
enum ModelError {
    #[error("cannot read `{file}`")]
    Io { file: String, source: std::io::Error },
    #[error("`{file}` has {bytes} bytes, allowed are {max}")]
    TooLarge { file: String, bytes: u64, max: u64 },
    #[error("weights `{file}` have the SHA-256 {found}, model.json says {expected}")]
    Checksum { file: String, found: String, expected: String },
}

impl Model {
    /// The file that describes a model.
    pub const DOCUMENT_FILE: &str = "model.json";
    /// The file of a model's weights.
    pub const WEIGHTS_FILE: &str = "model.safetensors";

    /// Loads the model that is embedded in this crate: any metric, five-minute steps, eight hours ahead.
    ///
    /// # Errors
    /// None in a build whose tests pass: the embedded files are checked like any others.
    #[cfg(feature = "default-model")]
    pub fn built_in() -> Result<Self, Error> {
        const DOCUMENT: &[u8] = include_bytes!("../../models/default/model.json");
        const WEIGHTS: &[u8] = include_bytes!("../../models/default/model.safetensors");
        Self::from_bytes(DOCUMENT, WEIGHTS, "built-in model")
    }

    /// Loads a model directory: `model.json` and `model.safetensors`, or what a pytorch-forecasting model
    /// and its data set are dumped to, `hparams.json`, `dataset_parameters.json` and `model.safetensors`.
    ///
    /// A dump does not say how long a step is: it is taken for five minutes.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if a file cannot be read, [`ErrorKind::InvalidModel`] naming everything that is
    /// missing, unexpected, of a wrong shape, not finite or not supported.
    pub fn from_dir(directory: impl AsRef<Path>) -> Result<Self, Error> {
        let directory = directory.as_ref();
        let origin = directory.display().to_string();
        let weights = |max| read_file(&directory.join(Self::WEIGHTS_FILE), max);
        let document = directory.join(Self::DOCUMENT_FILE);
        if !document.exists() && directory.join(reference_files::NETWORK_FILE).exists() {
            let parts = [reference_files::NETWORK_FILE, reference_files::DATA_SET_FILE]
                .map(|file| read_file(&directory.join(file), ModelDocument::FILE_BYTES_MAX));
            let [network, data_set] = parts;
            let (network, data_set) = (network?, data_set?);
            let weights = weights(Weights::FILE_BYTES_MAX)?;
            let document = reference_files::document(&network, &data_set, &weights, &origin)?;
            return Self::new(document, &weights, &origin);
        }
        let document = read_file(&document, ModelDocument::FILE_BYTES_MAX)?;
        Self::from_bytes(&document, &weights(Weights::FILE_BYTES_MAX)?, &origin)
    }

    /// Loads a model from the bytes of its two files; `origin` names it in errors.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] as [`from_dir`](Self::from_dir).
    pub fn from_bytes(document: &[u8], weights: &[u8], origin: &str) -> Result<Self, Error> {
        let document = ModelDocument::parse(document, &format!("{origin}/{}", Self::DOCUMENT_FILE))?;
        Self::new(document, weights, origin)
    }

    fn new(document: ModelDocument, weights: &[u8], origin: &str) -> Result<Self, Error> {
        let file = format!("{origin}/{}", Self::WEIGHTS_FILE);
        if let Some(expected) = &document.weights_sha256 {
            check_sha256(weights, expected, &file)?;
        }
        let weights = Weights::parse(weights, &file, &document.architecture)?;
        Ok(Self(Arc::new(Inner { document, weights })))
    }

    /// Returns the model's short name.
    pub fn id(&self) -> &str {
        &self.0.document.id
    }

    /// Returns how many steps of history a forecast reads.
    pub fn history_steps(&self) -> usize {
        self.0.document.encoding.history_steps()
    }

    /// Returns everything but the weights.
    pub fn document(&self) -> &ModelDocument {
        &self.0.document
    }

    /// Returns the number of distinct parameters.
    pub fn parameters(&self) -> usize {
        self.0.weights.parameters()
    }

    #[cfg(feature = "engine")]
    pub(crate) fn weights(&self) -> &Weights {
        &self.0.weights
    }

    /// Builds the network of this model on a device.
    #[cfg(feature = "burn")]
    pub fn network(&self, device: &burn::tensor::Device) -> Network {
        Network::new(&self.0.document.architecture, &self.0.weights, device)
    }
}

impl From<ModelError> for Error {
    fn from(error: ModelError) -> Self {
        let kind = match error {
            ModelError::Io { .. } => ErrorKind::Io,
            ModelError::TooLarge { .. } => ErrorKind::LimitExceeded,
            ModelError::Checksum { .. } => ErrorKind::InvalidModel,
        };
        Self::new(kind, error)
    }
}

/// Reads a file, refusing what is too large before it takes memory.
fn read_file(path: &Path, max: u64) -> Result<Vec<u8>, Error> {
    let io = |source| ModelError::Io { file: path.display().to_string(), source };
    let bytes = std::fs::metadata(path).map_err(io)?.len();
    if bytes > max {
        return Err(ModelError::TooLarge { file: path.display().to_string(), bytes, max }.into());
    }
    Ok(std::fs::read(path).map_err(io)?)
}

fn check_sha256(weights: &[u8], expected: &str, file: &str) -> Result<(), Error> {
    let found = format!("{:x}", Sha256::digest(weights));
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    let (file, expected) = (file.to_owned(), crate::time::abbreviate(expected));
    Err(ModelError::Checksum { file, found, expected }.into())
}
