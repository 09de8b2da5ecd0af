//! By which rules the fleet is judged.

use serde::{Deserialize, Serialize};

use super::values::set;
use crate::config::{Config, ConfigError};

/// `[alerts]`: the rules.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AlertSettings {
    /// File of the rules, TOML or, by its extension, JSON; read anew when it changes [default: the preset `tft`]
    #[arg(long = "rules", env = "TFT_RULES_FILE", value_name = "FILE")]
    pub rules_file: Option<String>,
}

impl AlertSettings {
    /// Sets what is given.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        set(&mut config.rules_file, self.rules_file.as_deref(), |text| Ok(Some(text.into())))
    }
}
