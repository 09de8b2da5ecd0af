//! Flags and environment variables, and how they become a [`Config`].
//!
//! A flag beats its variable, which beats the default. Values are read as text here, so that every message
//! names the setting and its value in the same way; the key has no flag, because other users can see a
//! process's arguments.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use tft_core::store::SyncMode;

use super::{AllowedOrigins, ApiKey, Config, ConfigError, RateLimits, encryption};

/// The settings of `serve`, as given.
#[derive(Debug, Clone, Default, clap::Args)]
#[non_exhaustive]
pub struct ServeArgs {
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, env = "TFT_HOST", value_name = "ADDRESS")]
    pub host: Option<String>,
    /// Port to listen on; 0 lets the system choose [default: 8000]
    #[arg(long, env = "PORT", value_name = "PORT")]
    pub port: Option<String>,
    /// Directory of the model [default: the built-in model]
    #[arg(long = "model", env = "TFT_MODEL_DIR", value_name = "DIR")]
    pub model_dir: Option<String>,
    /// Checkpoint of the rolling window; where there is none, the original system's pickle beside it is taken over
    /// [default: `inference_rolling_window.parquet`]
    #[arg(long, env = "PERSISTENCE_FILE", value_name = "FILE")]
    pub persistence_file: Option<String>,
    /// When the log is synced: `always` before a reply, at an `interval`, or `never` [default: interval]
    #[arg(long, env = "TFT_SYNC", value_name = "MODE")]
    pub sync: Option<String>,
    /// Milliseconds between syncs of the log in mode `interval` [default: 200]
    #[arg(long, env = "TFT_SYNC_INTERVAL_MS", value_name = "MS")]
    pub sync_interval_ms: Option<String>,
    /// File with the key that the checkpoint and its log are encrypted with: 32 bytes, or 64 hexadecimal characters;
    /// only in builds with the feature `encryption` [default: not encrypted]
    #[arg(long, env = "TFT_ENCRYPTION_KEY_FILE", value_name = "FILE")]
    pub encryption_key_file: Option<String>,
    /// File with the key before that one, for the first start with a new key
    #[arg(long, env = "TFT_ENCRYPTION_PREVIOUS_KEY_FILE", value_name = "FILE")]
    pub encryption_previous_key_file: Option<String>,
    /// Browser origins that may call, separated by commas [default: `http://localhost:8501`]
    #[arg(long, env = "CORS_ORIGINS", value_name = "ORIGINS")]
    pub cors_origins: Option<String>,
    /// Feeds per minute and client [default: 60]
    #[arg(long, env = "RATE_LIMIT_FEED", value_name = "N")]
    pub rate_limit_feed: Option<String>,
    /// Reads of predictions per minute and client [default: 30]
    #[arg(long, env = "RATE_LIMIT_PREDICTIONS", value_name = "N")]
    pub rate_limit_predictions: Option<String>,
    /// Reads of alerts per minute and client [default: 30]
    #[arg(long, env = "RATE_LIMIT_ALERTS", value_name = "N")]
    pub rate_limit_alerts: Option<String>,
    /// Serve without a key even where others can reach the service
    #[arg(long)]
    pub insecure_no_auth: bool,
}

/// The settings of `demo`, as given.
#[derive(Debug, Clone, Default, clap::Args)]
#[non_exhaustive]
pub struct DemoArgs {
    /// Steps between two forecasts of the replay; 12 is an hour [default: 12]
    #[arg(long, value_name = "N")]
    pub every_steps: Option<String>,
    /// Exit after the summary instead of serving the replayed state
    #[arg(long)]
    pub once: bool,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
    /// Port to serve the replayed state on; 0 lets the system choose [default: 8000]
    #[arg(long, env = "PORT", value_name = "PORT")]
    pub port: Option<String>,
    /// Directory of the model [default: the built-in model]
    #[arg(long = "model", env = "TFT_MODEL_DIR", value_name = "DIR")]
    pub model_dir: Option<String>,
}

/// The settings of `migrate`, as given.
#[derive(Debug, Clone, Default, clap::Args)]
#[non_exhaustive]
pub struct MigrateArgs {
    /// The pickle [default: the checkpoint's name with the extension `pkl`]
    #[arg(long, value_name = "FILE")]
    pub from: Option<String>,
    /// The checkpoint, which must not exist yet [default: `inference_rolling_window.parquet`]
    #[arg(long, env = "PERSISTENCE_FILE", value_name = "FILE")]
    pub to: Option<String>,
    /// Directory of the model that says how much history is kept [default: the built-in model]
    #[arg(long = "model", env = "TFT_MODEL_DIR", value_name = "DIR")]
    pub model_dir: Option<String>,
}

/// The commands of `model`.
#[derive(Debug, Clone, clap::Subcommand)]
#[non_exhaustive]
pub enum ModelCommand {
    /// Print what a model forecasts from what: variables, targets, quantiles, scaling, groups
    Info {
        /// Directory of the model
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Run a model on the inputs recorded in its `expected.json` and compare what it computes
    ///
    /// Runs it on the engine, which forecasts use, and on burn. Prints the largest difference of each output from
    /// the recorded one, absolute and relative to max(1, |recorded|), and the tolerance. The exit code is 0 if all
    /// of both are within their tolerance, otherwise 1.
    Verify {
        /// Directory of the model, with `expected.json`
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

/// The checked settings of `demo`.
#[derive(Debug)]
pub(crate) struct DemoConfig {
    pub(crate) every_steps: usize,
    pub(crate) is_once: bool,
    pub(crate) is_json: bool,
    /// How to serve afterwards: on loopback, and nothing is kept.
    pub(crate) serve: Config,
}

impl MigrateArgs {
    /// Returns the pickle and the checkpoint, and the model's directory.
    pub(crate) fn into_paths(self) -> (Option<PathBuf>, PathBuf, Option<PathBuf>) {
        let path = |text: Option<String>| text.filter(|text| !text.trim().is_empty()).map(PathBuf::from);
        let to = path(self.to).or(Config::default().persistence_file).unwrap_or_default();
        (path(self.from), to, path(self.model_dir))
    }
}

impl DemoArgs {
    /// Checks the given settings and fills in defaults; `api_key` is the text of `TFT_API_KEY`.
    pub(crate) fn into_config(self, api_key: Option<&str>) -> Result<DemoConfig, ConfigError> {
        let mut serve = Config { persistence_file: None, ..Config::default() };
        serve.api_key = api_key.map_or(Ok(None), ApiKey::parse)?;
        set(&mut serve.port, self.port.as_deref(), parse_port)?;
        set(&mut serve.model_dir, self.model_dir.as_deref(), |text| Ok(Some(text.into())))?;
        let mut every_steps = 12;
        set(&mut every_steps, self.every_steps.as_deref(), parse_every_steps)?;
        Ok(DemoConfig { every_steps, is_once: self.once, is_json: self.json, serve })
    }
}

impl ServeArgs {
    /// Checks the given settings and fills in defaults; `api_key` is the text of `TFT_API_KEY`.
    ///
    /// An empty value counts as not given.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting and its value.
    pub fn into_config(self, api_key: Option<&str>) -> Result<Config, ConfigError> {
        let mut config = Config { insecure_no_auth: self.insecure_no_auth, ..Config::default() };
        config.api_key = api_key.map_or(Ok(None), ApiKey::parse)?;
        set(&mut config.host, self.host.as_deref(), parse_host)?;
        set(&mut config.port, self.port.as_deref(), parse_port)?;
        set(&mut config.cors_origins, self.cors_origins.as_deref(), AllowedOrigins::parse)?;
        let file = self.persistence_file.as_deref();
        set(&mut config.persistence_file, file, |text| Ok(Some(text.into())))?;
        set(&mut config.store.sync, self.sync.as_deref(), parse_sync)?;
        set(&mut config.intervals.sync, self.sync_interval_ms.as_deref(), parse_sync_interval)?;
        let (key, previous_key) = (&self.encryption_key_file, &self.encryption_previous_key_file);
        encryption::set_keys(&mut config.store, key.as_deref(), previous_key.as_deref())?;
        set(&mut config.model_dir, self.model_dir.as_deref(), |text| Ok(Some(text.into())))?;
        let limits = &mut config.rate_limits;
        let per_minute = |key| move |text: &str| parse_per_minute(key, text);
        set(&mut limits.feed, self.rate_limit_feed.as_deref(), per_minute("RATE_LIMIT_FEED"))?;
        let text = self.rate_limit_predictions;
        set(&mut limits.predictions, text.as_deref(), per_minute("RATE_LIMIT_PREDICTIONS"))?;
        set(&mut limits.alerts, self.rate_limit_alerts.as_deref(), per_minute("RATE_LIMIT_ALERTS"))?;
        config.check()?;
        Ok(config)
    }
}

fn set<T>(
    target: &mut T,
    text: Option<&str>,
    parse: impl Fn(&str) -> Result<T, ConfigError>,
) -> Result<(), ConfigError> {
    if let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) {
        *target = parse(text)?;
    }
    Ok(())
}

fn parse_host(text: &str) -> Result<IpAddr, ConfigError> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let reason = "is not an IP address or `localhost`";
    text.parse().map_err(|_| ConfigError::Value { key: "TFT_HOST", value: text.to_owned(), reason })
}

fn parse_port(text: &str) -> Result<u16, ConfigError> {
    let reason = "is not a port number, 0 to 65535";
    text.parse().map_err(|_| ConfigError::Value { key: "PORT", value: text.to_owned(), reason })
}

fn parse_sync(text: &str) -> Result<SyncMode, ConfigError> {
    let reason = "is not `always`, `interval` or `never`";
    SyncMode::parse(text).ok_or_else(|| ConfigError::Value {
        key: "TFT_SYNC",
        value: text.to_owned(),
        reason,
    })
}

fn parse_sync_interval(text: &str) -> Result<Duration, ConfigError> {
    let parsed = text.parse().ok().filter(|millis| (1..=SYNC_INTERVAL_MS_MAX).contains(millis));
    let (key, reason) = ("TFT_SYNC_INTERVAL_MS", "is not a number of milliseconds, 1 to 60000");
    parsed.map(Duration::from_millis).ok_or_else(|| ConfigError::Value {
        key,
        value: text.to_owned(),
        reason,
    })
}

fn parse_every_steps(text: &str) -> Result<usize, ConfigError> {
    let parsed = text.parse().ok().filter(|steps| (1..=EVERY_STEPS_MAX).contains(steps));
    let (value, reason) = (text.to_owned(), "is not a number of steps, 1 to 1152");
    parsed.ok_or(ConfigError::Value { key: "--every-steps", value, reason })
}

fn parse_per_minute(key: &'static str, text: &str) -> Result<u32, ConfigError> {
    let parsed = text.parse().ok().filter(|limit| (1..=RateLimits::PER_MINUTE_MAX).contains(limit));
    let reason = "is not a number of requests per minute, 1 to 100000";
    parsed.ok_or_else(|| ConfigError::Value { key, value: text.to_owned(), reason })
}

/// Beyond a minute a checkpoint comes first.
const SYNC_INTERVAL_MS_MAX: u64 = 60_000;

/// The steps of the demo's data after its first three days.
const EVERY_STEPS_MAX: usize = 1152;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_values_count_as_not_given() {
        let args = ServeArgs { port: Some(String::new()), host: Some(" ".into()), ..ServeArgs::default() };
        let config = args.into_config(Some("\n")).unwrap();
        assert_eq!((config.port, config.host.is_loopback(), config.api_key.is_none()), (8000, true, true));
    }

    #[test]
    fn errors_name_the_setting_and_the_value() {
        let message = |args: ServeArgs| args.into_config(None).unwrap_err().to_string();
        let some = |text: &str| Some(text.to_owned());
        insta::assert_snapshot!(message(ServeArgs { port: some("80a"), ..ServeArgs::default() }), @"PORT `80a` is not a port number, 0 to 65535");
        insta::assert_snapshot!(message(ServeArgs { host: some("example.com"), ..ServeArgs::default() }), @"TFT_HOST `example.com` is not an IP address or `localhost`");
        insta::assert_snapshot!(message(ServeArgs { rate_limit_feed: some("0"), ..ServeArgs::default() }), @"RATE_LIMIT_FEED `0` is not a number of requests per minute, 1 to 100000");
        insta::assert_snapshot!(message(ServeArgs { sync: some("often"), ..ServeArgs::default() }), @"TFT_SYNC `often` is not `always`, `interval` or `never`");
        insta::assert_snapshot!(message(ServeArgs { sync_interval_ms: some("0"), ..ServeArgs::default() }), @"TFT_SYNC_INTERVAL_MS `0` is not a number of milliseconds, 1 to 60000");
        insta::assert_snapshot!(message(ServeArgs { cors_origins: some("dash"), ..ServeArgs::default() }), @"CORS_ORIGINS `dash` is not an origin like `https://dashboard.example.com` or `http://localhost:8501`");
    }
}
