//! `model.json`: everything about a model beside its weights.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::architecture::Architecture;
use super::calibration::Calibration;
use super::encoding::Encoding;
use crate::error::{Error, ErrorKind};
use crate::problems::Problems;
use crate::time::StepLength;

/// The plain form of `model.json`, format version 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDocument {
    /// The version of this format: [`ModelDocument::FORMAT_VERSION`].
    pub format_version: u32,
    /// A short name that identifies the model in replies and logs.
    pub id: String,
    /// The length of a step.
    pub step_ms: StepLength,
    /// SHA-256 of the weight file, in hexadecimal; not checked if absent.
    #[serde(default)]
    pub weights_sha256: Option<String>,
    /// The shape of the network.
    pub architecture: Architecture,
    /// How history becomes tensors, and outputs become predictions.
    pub encoding: Encoding,
    /// Corrections of the quantiles, found on data that the training did not see.
    #[serde(default)]
    pub calibration: Option<Calibration>,
    /// Free remarks on data and training, for people.
    #[serde(default)]
    pub training: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, thiserror::Error)]
enum DocumentError {
    #[error("`{file}` is not a model description: {reason}")]
    Unreadable { file: String, reason: String },
    #[error("`{file}`: format_version is {found}, this version reads {}", ModelDocument::FORMAT_VERSION)]
    FormatVersion { file: String, found: u32 },
}

impl ModelDocument {
    /// The version of the format that this crate reads and writes.
    pub const FORMAT_VERSION: u32 = 1;

    /// Largest `model.json`, in bytes.
    pub const FILE_BYTES_MAX: u64 = 64 << 20;

    /// Parses and checks a description; `file` names it in errors.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] naming every field and value at fault.
    pub fn parse(text: &[u8], file: &str) -> Result<Self, Error> {
        let unreadable = |reason: String| DocumentError::Unreadable { file: file.to_owned(), reason };
        if text.len() as u64 > Self::FILE_BYTES_MAX {
            let reason = format!("it has {} bytes, allowed are {}", text.len(), Self::FILE_BYTES_MAX);
            return Err(unreadable(reason).into());
        }
        let document: Self = serde_json::from_slice(text).map_err(|error| unreadable(error.to_string()))?;
        document.validate(file)?;
        Ok(document)
    }

    /// Checks all parts against each other; `file` names the description in errors.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] naming every field and value at fault.
    pub(crate) fn validate(&self, file: &str) -> Result<(), Error> {
        if self.format_version != Self::FORMAT_VERSION {
            let found = self.format_version;
            return Err(DocumentError::FormatVersion { file: file.to_owned(), found }.into());
        }
        let mut problems = Problems::default();
        let id_is_valid =
            (1..=100).contains(&self.id.len()) && self.id.bytes().all(|byte| byte.is_ascii_graphic());
        if !id_is_valid {
            let id = crate::time::abbreviate(&self.id);
            problems.push(format!("id `{id}` must be 1 to 100 printable ASCII characters"));
        }
        self.architecture.check(&mut problems);
        if problems.is_empty() {
            self.encoding.check(&self.architecture, &mut problems);
            if let Some(calibration) = &self.calibration {
                calibration.check(&self.architecture, &mut problems);
            }
        }
        problems.into_result(ErrorKind::InvalidModel, format!("`{file}` is not usable"))
    }
}

impl From<DocumentError> for Error {
    fn from(error: DocumentError) -> Self {
        Self::new(ErrorKind::InvalidModel, error)
    }
}
