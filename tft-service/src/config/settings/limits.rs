//! How much a client may hold on to.

use serde::{Deserialize, Serialize};

use super::values::{number, seconds, set};
use crate::config::{Config, ConfigError};

/// `[limits]`: what a client can hold on to.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LimitSettings {
    /// Most bytes of a request's body [default: 8388608]
    #[arg(long, env = "TFT_BODY_BYTES_MAX", value_name = "BYTES")]
    pub body_bytes_max: Option<String>,
    /// Most connections at a time [default: 1024]
    #[arg(long, env = "TFT_CONNECTIONS_MAX", value_name = "N")]
    pub connections_max: Option<String>,
    /// Seconds from the signal to stop until open connections are cut [default: 10]
    #[arg(long, env = "TFT_DRAIN_TIMEOUT_S", value_name = "S")]
    pub drain_timeout_s: Option<String>,
}

impl LimitSettings {
    /// Checks what is given and sets it.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        let limits = &mut config.limits;
        set(&mut limits.body_bytes_max, self.body_bytes_max.as_deref(), |text| {
            let reason = "is not a number of bytes, 1024 to 1073741824";
            number("TFT_BODY_BYTES_MAX", text, 1 << 10..=1 << 30, reason)
        })?;
        set(&mut limits.connections_max, self.connections_max.as_deref(), |text| {
            number("TFT_CONNECTIONS_MAX", text, 1..=100_000, "is not a number of connections, 1 to 100000")
        })?;
        set(&mut limits.drain_timeout, self.drain_timeout_s.as_deref(), |text| {
            seconds("TFT_DRAIN_TIMEOUT_S", text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_setting_and_the_value() {
        let settings = LimitSettings { connections_max: Some("0".into()), ..Default::default() };
        let refused = settings.apply(&mut Config::default()).unwrap_err();
        insta::assert_snapshot!(refused, @"TFT_CONNECTIONS_MAX `0` is not a number of connections, 1 to 100000");
    }
}
