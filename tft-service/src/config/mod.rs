//! What an operator can set, and what combinations are refused.
//!
//! Owns the [`Config`]: plain data whose parts are valid by construction. [`Config::check`] refuses unsafe
//! combinations and runs once, when the server starts. Where values come from is in [`settings`].

pub mod args;
mod encryption;
mod history;
mod host;
mod origin;
mod secrets;
pub mod settings;
mod ssl_config;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

pub use history::{HistoryKeeping, HistoryPlace};
pub use host::HostPattern;
use ipnet::IpNet;
pub use origin::{AllowedOrigins, Origin};
pub use secrets::Secrets;
use tft_core::store::StoreConfig;

use crate::audit::AuditTarget;
pub use crate::auth::{
    ApiKey, AuthConfig, FailureStatus, KeySources, Scope, Scopes, SecretError, TokenSources,
};
pub use crate::limits::{RateLimits, RedisLimits, Tier, WindowLimit};
pub use crate::notify::{NotifyConfig, NotifyConfigError};
pub use crate::stream::StreamConfig;
use crate::tls::TlsConfig;

/// Everything that an operator can set.
///
/// # Defaults
/// Loopback, port 8000, plain HTTP, no key (development mode), the origin `http://localhost:8501`, the built-in model, a
/// checkpoint named `inference_rolling_window.parquet` in the working directory, its log synced every 200 ms.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 lets the system choose.
    pub port: u16,
    /// Ports besides, on which the same is served.
    pub extra_ports: Vec<u16>,
    /// The certificate; none is plain HTTP.
    pub tls: TlsConfig,
    /// Who may call.
    pub auth: AuthConfig,
    /// Serve without a key on an address that others can reach.
    pub insecure_no_auth: bool,
    /// The names that clients may call the service by. Empty means any with a key, and without one those of the
    /// loopback address, so that a page elsewhere cannot reach in by a name of its own.
    pub allowed_hosts: Vec<HostPattern>,
    /// The proxies whose word about the client counts.
    pub trusted_proxies: Vec<IpNet>,
    /// The clients that are served; empty means all.
    pub allowed_clients: Vec<IpNet>,
    /// The browser origins that may call.
    pub cors_origins: AllowedOrigins,
    /// The checkpoint of the rolling window; none means that nothing is kept.
    pub persistence_file: Option<PathBuf>,
    /// When a feed counts as kept, and how large the log beside the checkpoint may become.
    pub store: StoreConfig,
    /// For how long steps are kept, and servers that have no newer ones; none means as long as there is room.
    pub retention: Option<Duration>,
    /// What happened to alerts and how the fleet was, and for how long that is kept.
    pub history: HistoryKeeping,
    /// A model directory; none means the built-in model.
    pub model_dir: Option<PathBuf>,
    /// The directory that holds one directory per model that can be changed to while the service runs; none means that
    /// none can.
    pub models_dir: Option<PathBuf>,
    /// The file of the rules; none means the preset `tft`.
    pub rules_file: Option<PathBuf>,
    /// How often a client may call.
    pub rate_limits: RateLimits,
    /// Bounds on what a client can hold on to.
    pub limits: Limits,
    /// Bounds on live streams.
    pub stream: StreamConfig,
    /// How often the work in the background runs.
    pub intervals: Intervals,
    /// Where one line per request goes.
    pub audit: AuditTarget,
    /// Answer `GET /metrics` without a key.
    pub metrics_open: bool,
    /// Whom alerts are told to.
    pub notify: NotifyConfig,
}

/// Bounds on what a client can hold on to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a request's body.
    pub body_bytes_max: usize,
    /// Most bytes of a request's line and headers.
    pub header_bytes_max: usize,
    /// Most bytes of all bodies that are being read; beyond them clients are told to come back.
    pub body_bytes_total_max: usize,
    /// Most feeds that are being taken or wait for it; beyond them clients are told to come back.
    pub feeds_waiting_max: usize,
    /// Most connections at a time; others wait in the system's queue.
    pub connections_max: usize,
    /// From a request's first byte to the end of its headers.
    pub header_timeout: Duration,
    /// From the end of a request's headers to the end of its body.
    pub body_timeout: Duration,
    /// From the end of a request's body to the beginning of its reply.
    pub handler_timeout: Duration,
    /// From the beginning of a reply until it is delivered; a reply has a second more per
    /// [`Limits::REPLY_BYTES_PER_S`].
    pub reply_timeout: Duration,
    /// Between one request and the next on the same connection.
    pub idle_timeout: Duration,
    /// Without progress while a reply is written.
    pub write_stall_timeout: Duration,
    /// From the signal to stop until open connections are cut.
    pub drain_timeout: Duration,
}

/// How often the work in the background runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// Between looks at whether the window's origin has advanced.
    pub inference: Duration,
    /// Between checkpoints of a window that has changed, at least; sooner when the log has grown, see
    /// [`Store::is_checkpoint_due`](tft_core::store::Store::is_checkpoint_due).
    pub checkpoint: Duration,
    /// Between syncs of the log in [`SyncMode::Interval`](tft_core::store::SyncMode::Interval): what a loss of
    /// power may take.
    pub sync: Duration,
}

/// A setting that is refused, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// One value is not acceptable.
    #[error("{key} `{value}` {reason}")]
    Value {
        /// The setting's name, as the environment spells it.
        key: &'static str,
        /// The value, or `…` for a secret.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An address that others can reach, and no key.
    #[error(
        "TFT_API_KEY is not set and TFT_HOST `{host}` is not a loopback address: set a key, or give --insecure-no-auth"
    )]
    OpenToOthers {
        /// The address.
        host: IpAddr,
    },
    /// A file with a key of the store cannot be used.
    #[cfg(feature = "encryption")]
    #[error("{key} cannot be used")]
    KeyFile {
        /// The setting's name, as the environment spells it.
        key: &'static str,
        /// What is wrong with the file.
        source: tft_core::Error,
    },
    /// A key is given to a build that cannot encrypt.
    #[cfg(not(feature = "encryption"))]
    #[error("{key} is set, and this build cannot encrypt: it lacks the feature `encryption`")]
    NoEncryption {
        /// The setting's name, as the environment spells it.
        key: &'static str,
    },
    /// A key, or a secret for tokens, cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Keys are asked for, and there are none.
    #[error(
        "API_KEY_ENABLED is true and there is no key: set TFT_API_KEY or API_KEYS (`tft-service gen-key` makes one)"
    )]
    KeysMissing,
    /// Keys are given, and are not to be used.
    #[error("API_KEY_ENABLED is false and there are keys: remove them, or leave the setting out")]
    KeysUnexpected,
    /// Everyone could call where that is not allowed.
    #[error(
        "TFT_REQUIRE_AUTH is set and there are no keys or tokens: set TFT_API_KEY, API_KEYS or JWT_ENABLED"
    )]
    AuthRequired,
    /// Receivers of alerts cannot be used.
    #[error("{key} cannot be used")]
    Notify {
        /// The setting that they come from, as the environment spells it.
        key: &'static str,
        /// Everything that is wrong with them.
        source: NotifyConfigError,
    },
    /// The configuration file cannot be used.
    #[error("the configuration `{path}` cannot be used: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What only makes sense with a certificate.
    #[error("{key} needs a certificate: set TLS_CERT_FILE and TLS_KEY_FILE, or give --tls-self-signed")]
    NoCertificate {
        /// The setting's name, as the environment spells it.
        key: &'static str,
    },
    /// Any origin would be allowed where that is not safe.
    #[error("CORS_ORIGINS `*` is for development on a loopback address without a key only")]
    AnyOrigin,
}

impl Limits {
    /// The slowest pace at which a long reply may be read, in bytes per second.
    pub const REPLY_BYTES_PER_S: u64 = 64 << 10;
}

impl Config {
    /// Refuses unsafe combinations.
    ///
    /// # Errors
    /// Those of keys that do not go together; [`ConfigError::OpenToOthers`] without a key on an address that is not loopback, unless
    /// [`insecure_no_auth`](Self::insecure_no_auth); [`ConfigError::AnyOrigin`] for `*` with a key or beyond
    /// loopback; [`ConfigError::NoCertificate`] for a redirect to nowhere.
    pub fn check(&self) -> Result<(), ConfigError> {
        let is_loopback = self.host.is_loopback();
        self.auth.check(self.host, self.insecure_no_auth)?;
        if self.cors_origins.is_any() && (!self.auth.is_development_mode() || !is_loopback) {
            return Err(ConfigError::AnyOrigin);
        }
        if self.tls.source.is_none() && self.tls.redirect.is_some() {
            return Err(ConfigError::NoCertificate { key: "TLS_REDIRECT_PORT" });
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8000,
            extra_ports: Vec::new(),
            tls: TlsConfig::default(),
            auth: AuthConfig::default(),
            insecure_no_auth: false,
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            allowed_clients: Vec::new(),
            cors_origins: AllowedOrigins::default(),
            persistence_file: Some(PathBuf::from("inference_rolling_window.parquet")),
            store: StoreConfig::default(),
            retention: None,
            history: HistoryKeeping::default(),
            model_dir: None,
            models_dir: None,
            rules_file: None,
            rate_limits: RateLimits::default(),
            limits: Limits::default(),
            stream: StreamConfig::default(),
            intervals: Intervals::default(),
            audit: AuditTarget::default(),
            metrics_open: false,
            notify: NotifyConfig::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 8 << 20,
            header_bytes_max: 64 << 10,
            body_bytes_total_max: 256 << 20,
            feeds_waiting_max: 64,
            connections_max: 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            handler_timeout: Duration::from_secs(30),
            reply_timeout: Duration::from_mins(1),
            idle_timeout: Duration::from_mins(1),
            write_stall_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl Default for Intervals {
    fn default() -> Self {
        Self {
            inference: Duration::from_secs(5),
            checkpoint: Duration::from_mins(15),
            sync: Duration::from_millis(200),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> AuthConfig {
        AuthConfig::with_key("0f1e2d3c4b5a69788796a5b4c3d2e1f0")
    }

    #[test]
    fn a_reachable_address_needs_a_key_or_an_explicit_word() {
        let mut config = Config { host: IpAddr::V4(Ipv4Addr::UNSPECIFIED), ..Config::default() };
        insta::assert_snapshot!(config.check().unwrap_err(), @"TFT_API_KEY is not set and TFT_HOST `0.0.0.0` is not a loopback address: set a key, or give --insecure-no-auth");
        config.insecure_no_auth = true;
        assert!(config.check().is_ok());
        config = Config { auth: key(), insecure_no_auth: false, ..config };
        assert!(config.check().is_ok());
    }

    #[test]
    fn any_origin_is_for_development_only() {
        let mut config = Config { cors_origins: AllowedOrigins::parse("*").unwrap(), ..Config::default() };
        assert!(config.check().is_ok());
        config.auth = key();
        assert!(matches!(config.check(), Err(ConfigError::AnyOrigin)));
        config = Config {
            host: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            insecure_no_auth: true,
            auth: AuthConfig::default(),
            ..config
        };
        assert!(matches!(config.check(), Err(ConfigError::AnyOrigin)));
    }
}
