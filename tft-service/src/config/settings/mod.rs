//! Settings as they are given: flags, environment variables and a TOML file.
//!
//! A flag beats its variable, which beats the file, which beats the default. Values are text until here, whatever
//! they come from, so that every message names the setting and its value in the same way. Secrets have no flag,
//! because other users can see a process's arguments.

mod alerts;
mod browsers;
mod history;
mod keys;
mod limits;
mod log;
mod network;
mod notify;
mod rates;
mod storage;
mod stream;
mod tls;
mod values;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use alerts::AlertSettings;
pub use browsers::BrowserSettings;
pub use history::HistorySettings;
pub(crate) use keys::minutes;
pub use keys::{KeySettings, TokenSettings};
pub use limits::LimitSettings;
pub use log::LogSettings;
pub use network::NetworkSettings;
pub(crate) use network::parse_port;
pub use notify::NotifySettings;
pub use rates::RateSettings;
pub use storage::StorageSettings;
pub use stream::StreamSettings;
pub use tls::TlsSettings;
pub(crate) use values::{number, set};

use super::ssl_config::SslConfig;
use super::{Config, ConfigError, Secrets};

/// Every setting of the service; one table of the configuration file per field.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// `[network]`
    #[command(flatten)]
    pub network: NetworkSettings,
    /// `[storage]`
    #[command(flatten)]
    pub storage: StorageSettings,
    /// `[history]`
    #[command(flatten)]
    pub history: HistorySettings,
    /// `[tls]`
    #[command(flatten)]
    pub tls: TlsSettings,
    /// `[browsers]`
    #[command(flatten)]
    pub browsers: BrowserSettings,
    /// `[keys]`
    #[command(flatten)]
    pub keys: KeySettings,
    /// `[tokens]`
    #[command(flatten)]
    pub tokens: TokenSettings,
    /// `[rates]`
    #[command(flatten)]
    pub rates: RateSettings,
    /// `[limits]`
    #[command(flatten)]
    pub limits: LimitSettings,
    /// `[stream]`
    #[command(flatten)]
    pub stream: StreamSettings,
    /// `[alerts]`
    #[command(flatten)]
    pub alerts: AlertSettings,
    /// `[log]`
    #[command(flatten)]
    pub log: LogSettings,
    /// `[notify]`
    #[command(flatten)]
    pub notify: NotifySettings,
}

impl Settings {
    /// Puts these settings over those of a TOML file.
    ///
    /// # Errors
    /// [`ConfigError::File`] if the file cannot be read, is no TOML, or has a table or key that does not exist.
    pub fn over_file(&self, path: &Path) -> Result<Self, ConfigError> {
        let refused =
            |reason: String| ConfigError::File { path: path.to_owned(), reason: reason.trim().to_owned() };
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        self.over(&text).map_err(refused)
    }

    /// Puts these settings over those of a TOML text.
    fn over(&self, text: &str) -> Result<Self, String> {
        let file: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut merged = text_of_tables(file)?;
        // Refuses what does not exist before anything can hide it.
        serde_json::from_value::<Self>(Value::Object(merged.clone())).map_err(|error| error.to_string())?;
        let given = serde_json::to_value(self).map_err(|error| error.to_string())?;
        if let Value::Object(sections) = given {
            sections.into_iter().for_each(|(section, values)| overlay(&mut merged, section, values));
        }
        serde_json::from_value(Value::Object(merged)).map_err(|error| error.to_string())
    }

    /// Puts these settings over those of an `ssl-config.json` and of the `MFC_*` variables, if there are any, and
    /// returns what an operator should know about them.
    ///
    /// # Errors
    /// [`ConfigError::File`] if the file cannot be used, and [`ConfigError::Value`] for a variable.
    pub(crate) fn over_ssl_config(
        &self,
        path: Option<&Path>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<(Self, Vec<&'static str>), ConfigError> {
        let Some(lower) = SslConfig::load(path, variable)? else { return Ok((self.clone(), Vec::new())) };
        let mut settings = self.clone();
        settings.tls.fill_from(&lower);
        settings.network.fill_from(&lower);
        Ok((settings, lower.remarks()))
    }

    /// Checks the settings and fills in defaults.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting and its value.
    pub fn into_config(self, secrets: &Secrets) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        self.keys.apply(&mut config, secrets)?;
        self.tokens.apply(&mut config, secrets)?;
        self.rates.apply(&mut config, secrets)?;
        self.network.apply(&mut config)?;
        self.storage.apply(&mut config)?;
        self.history.apply(&mut config)?;
        // After the address and the checkpoint, which a self-signed certificate depends on.
        self.tls.apply(&mut config)?;
        self.browsers.apply(&mut config)?;
        self.limits.apply(&mut config)?;
        self.stream.apply(&mut config)?;
        self.alerts.apply(&mut config)?;
        self.log.apply(&mut config)?;
        self.notify.apply(&mut config, secrets)?;
        config.check()?;
        Ok(config)
    }
}

/// Turns the scalars of every table into text, and lists into text with commas.
fn text_of_tables(file: toml::Table) -> Result<Map<String, Value>, String> {
    let mut tables = Map::new();
    for (section, value) in file {
        let toml::Value::Table(values) = value else {
            return Err(format!("`{section}` must be a table, like `[{section}]`"));
        };
        let texts: Result<Map<_, _>, String> = values
            .into_iter()
            .map(|(key, value)| {
                let text = text_of(&value).ok_or_else(|| format!("`{section}.{key}` has no plain value"))?;
                Ok((key, Value::String(text)))
            })
            .collect();
        tables.insert(section, Value::Object(texts?));
    }
    Ok(tables)
}

fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(list) => {
            let texts: Option<Vec<_>> = list.iter().map(text_of).collect();
            Some(texts?.join(","))
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

/// Puts the values of one section that are given over those that are there.
fn overlay(merged: &mut Map<String, Value>, section: String, values: Value) {
    let Value::Object(values) = values else { return };
    let given =
        values.into_iter().filter(|(_, value)| value.as_str().is_some_and(|text| !text.trim().is_empty()));
    if let Value::Object(target) = merged.entry(section).or_insert_with(|| Value::Object(Map::new())) {
        target.extend(given);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(given: &Settings, file: &str) -> Result<Config, String> {
        given.over(file)?.into_config(&Secrets::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_given_beats_the_file_and_the_file_beats_the_default() {
        let given = Settings {
            network: NetworkSettings {
                port: Some("9001".into()),
                host: Some(" ".into()),
                ..Default::default()
            },
            ..Default::default()
        };
        let file = "[network]\nport = 9000\nhost = \"127.0.0.2\"\n[browsers]\ncors_origins = [\"http://a\", \"http://b\"]";
        let config = merged(&given, file).unwrap();
        assert_eq!((config.port, config.host.to_string().as_str()), (9001, "127.0.0.2"));
        let origin = |text| crate::config::Origin::parse(text).unwrap();
        assert!(config.cors_origins.allows(&origin("http://b")));
        assert!(!config.cors_origins.allows(&origin("http://localhost:8501")));
        assert_eq!(config.rate_limits.feed, 60);
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        let refused = |file| merged(&Settings::default(), file).unwrap_err();
        assert!(refused("[network]\nprot = 1").contains("unknown field `prot`"));
        assert!(refused("[netwrok]\nport = 1").contains("unknown field `netwrok`"));
        assert!(refused("port = 1").contains("must be a table"));
        assert!(refused("[network]\nport = 2026-01-05").contains("`network.port`"));
        assert!(refused("[network").contains("TOML parse error"));
        assert_eq!(refused("[network]\nport = 70000"), "PORT `70000` is not a port number, 0 to 65535");
    }
}
