//! Labels to class codes, as pytorch-forecasting's `NaNLabelEncoder` does.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// The classes of a categorical.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CategoricalEncoder {
    /// Whether unknown labels become class 0 instead of an error.
    pub add_nan: bool,
    /// Label and code of each class, in the order in which they were fitted.
    pub classes: Vec<(String, u32)>,
    #[serde(skip)]
    codes: OnceLock<HashMap<String, u32>>,
}

impl CategoricalEncoder {
    /// Creates an encoder of fitted classes.
    pub fn new(add_nan: bool, classes: Vec<(String, u32)>) -> Self {
        Self { add_nan, classes, codes: OnceLock::new() }
    }

    /// Returns the code of a label if it is a known class.
    pub fn known_code(&self, label: &str) -> Option<u32> {
        let codes = self.codes.get_or_init(|| self.classes.iter().cloned().collect());
        codes.get(label).copied()
    }

    /// Returns the code of a label; none for an unknown one without a class for unknown ones.
    pub fn code(&self, label: &str) -> Option<u32> {
        self.known_code(label).or(self.add_nan.then_some(0))
    }

    /// Returns the largest code plus one.
    pub(super) fn class_count(&self) -> usize {
        self.classes.iter().map(|&(_, code)| code as usize + 1).max().unwrap_or(0)
    }
}

impl PartialEq for CategoricalEncoder {
    fn eq(&self, other: &Self) -> bool {
        self.add_nan == other.add_nan && self.classes == other.classes
    }
}
