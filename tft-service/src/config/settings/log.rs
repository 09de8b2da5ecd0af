//! What is written about requests, and where.

use serde::{Deserialize, Serialize};

use super::values::set;
use crate::audit::AuditTarget;
use crate::config::{Config, ConfigError};

/// `[log]`: the audit lines.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LogSettings {
    /// Where one line per request goes: `stdout`, `off` or a file, which is opened anew on SIGHUP [default: stdout]
    #[arg(long, env = "AUDIT_FILE", value_name = "TARGET")]
    pub audit_file: Option<String>,
}

impl LogSettings {
    /// Sets what is given; a service that runs by itself writes audit lines unless told otherwise.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        config.audit = AuditTarget::Stdout;
        set(&mut config.audit, self.audit_file.as_deref(), |text| Ok(AuditTarget::parse(text)))
    }
}
