//! What browsers may do.

use serde::{Deserialize, Serialize};

use super::values::set;
use crate::config::{AllowedOrigins, Config, ConfigError};

/// `[browsers]`: which pages may call.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BrowserSettings {
    /// Browser origins that may call, separated by commas [default: `http://localhost:8501`]
    #[arg(long, env = "CORS_ORIGINS", value_name = "ORIGINS")]
    pub cors_origins: Option<String>,
}

impl BrowserSettings {
    /// Checks what is given and sets it.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        set(&mut config.cors_origins, self.cors_origins.as_deref(), AllowedOrigins::parse)
    }
}
