//! Labels to class codes, as pytorch-forecasting's `NaNLabelEncoder` does.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// The classes of a categorical.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CategoricalEncoder {
    /// Whether unknown labels become class 0 instead of an error.
    pub add_nan: bool,
    /// Label and code of each class, ascending by label.
    pub classes: Vec<(String, u32)>,
}

#[derive(Debug, thiserror::Error)]
#[error("`{variable}` has the unknown class `{label}`, and its encoder has no class for unknown ones")]
struct UnknownClass {
    variable: String,
    label: String,
}

impl CategoricalEncoder {
    /// Returns the code of a label if it is a known class.
    pub fn known_code(&self, label: &str) -> Option<u32> {
        self.classes.iter().find(|(class, _)| class == label).map(|&(_, code)| code)
    }

    /// Returns the code of a label; `variable` names the categorical in errors.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an unknown label without a class for unknown ones.
    pub fn code(&self, variable: &str, label: &str) -> Result<u32, Error> {
        match self.known_code(label) {
            Some(code) => Ok(code),
            None if self.add_nan => Ok(0),
            None => {
                let label = crate::time::abbreviate(label);
                let error = UnknownClass { variable: variable.to_owned(), label };
                Err(Error::new(ErrorKind::InvalidInput, error))
            }
        }
    }

    /// Returns the largest code plus one.
    pub(super) fn class_count(&self) -> usize {
        self.classes.iter().map(|&(_, code)| code as usize + 1).max().unwrap_or(0)
    }
}
