//! Whom alerts are told to: a file of receivers, or variables for one receiver of each type.

use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::values::{flag, given, set};
use crate::config::{Config, ConfigError, NotifyConfig, Secrets};

/// `[notify]`: receivers of alerts. What may be secret of them has no flag: `ALERT_WEBHOOK_URL`, `ALERT_WEBHOOK_SECRET`,
/// `ALERT_SLACK_WEBHOOK_URL`, `ALERTMANAGER_URL`, `PAGERDUTY_ROUTING_KEY` and `SMTP_PASSWORD` are variables only, each
/// or a file with it.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NotifySettings {
    /// TOML file with receivers of alerts, which the variables below are in place of [default: none]
    #[arg(long, env = "TFT_NOTIFY_CONFIG", value_name = "FILE")]
    pub notify_config: Option<String>,
    /// Address under which people reach the service, for links in messages [default: none]
    #[arg(long, env = "ALERT_PUBLIC_URL", value_name = "URL")]
    pub alert_public_url: Option<String>,
    /// File with the address of a webhook, in place of `ALERT_WEBHOOK_URL`
    #[arg(long, env = "ALERT_WEBHOOK_URL_FILE", value_name = "FILE")]
    pub alert_webhook_url_file: Option<String>,
    /// File with the secret that webhooks are signed with, in place of `ALERT_WEBHOOK_SECRET`
    #[arg(long, env = "ALERT_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    pub alert_webhook_secret_file: Option<String>,
    /// File with the address of a Slack-compatible webhook, in place of `ALERT_SLACK_WEBHOOK_URL`
    #[arg(long, env = "ALERT_SLACK_WEBHOOK_URL_FILE", value_name = "FILE")]
    pub alert_slack_webhook_url_file: Option<String>,
    /// File with the address of an Alertmanager, in place of `ALERTMANAGER_URL`
    #[arg(long, env = "ALERTMANAGER_URL_FILE", value_name = "FILE")]
    pub alertmanager_url_file: Option<String>,
    /// File with the routing key of PagerDuty, in place of `PAGERDUTY_ROUTING_KEY`
    #[arg(long, env = "PAGERDUTY_ROUTING_KEY_FILE", value_name = "FILE")]
    pub pagerduty_routing_key_file: Option<String>,
    /// Addresses that mail goes to, separated by commas [default: none]
    #[arg(long, env = "ALERT_EMAIL_TO", value_name = "ADDRESSES")]
    pub alert_email_to: Option<String>,
    /// Address that mail comes from
    #[arg(long, env = "ALERT_EMAIL_FROM", value_name = "ADDRESS")]
    pub alert_email_from: Option<String>,
    /// Host of the server that takes mail
    #[arg(long, env = "SMTP_HOST", value_name = "HOST")]
    pub smtp_host: Option<String>,
    /// Its port [default: 587, with `implicit` 465, with `none` 25]
    #[arg(long, env = "SMTP_PORT", value_name = "PORT")]
    pub smtp_port: Option<String>,
    /// How the connection is encrypted: `starttls`, `implicit`, or `none` on loopback [default: starttls]
    #[arg(long, env = "SMTP_TLS", value_name = "MODE")]
    pub smtp_tls: Option<String>,
    /// Name to log in with [default: no log-in]
    #[arg(long, env = "SMTP_USERNAME", value_name = "NAME")]
    pub smtp_username: Option<String>,
    /// File with the password, in place of `SMTP_PASSWORD`
    #[arg(long, env = "SMTP_PASSWORD_FILE", value_name = "FILE")]
    pub smtp_password_file: Option<String>,
    /// PEM file of authorities to trust besides the public ones, for these receivers [default: none]
    #[arg(long, env = "ALERT_CA_FILE", value_name = "FILE")]
    pub alert_ca_file: Option<String>,
    /// Send to these receivers by plain HTTP, too [default: false]
    #[arg(long, env = "ALERT_ALLOW_HTTP", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub alert_allow_http: Option<String>,
}

impl NotifySettings {
    /// Checks what is given and sets it.
    pub(crate) fn apply(&self, config: &mut Config, secrets: &Secrets) -> Result<(), ConfigError> {
        let variable = |name: &str| secrets.variable(name);
        let receivers = self.receivers(secrets)?;
        let file = given(self.notify_config.as_deref());
        let (key, parsed) = match file {
            Some(_) if !receivers.is_empty() => {
                let reason =
                    "and variables of single receivers are both given: put all receivers into the file";
                let value = file.unwrap_or_default().to_owned();
                return Err(ConfigError::Value { key: "TFT_NOTIFY_CONFIG", value, reason });
            }
            Some(path) => ("TFT_NOTIFY_CONFIG", NotifyConfig::from_file(Path::new(path), &variable)),
            None => {
                let mut table = Table::new();
                table.insert("receivers".into(), Value::Array(receivers));
                insert(&mut table, "public_url", self.alert_public_url.as_deref());
                ("ALERT_… and SMTP_…", NotifyConfig::from_table(table, &variable))
            }
        };
        config.notify = parsed.map_err(|source| ConfigError::Notify { key, source })?;
        Ok(())
    }

    /// Returns the receivers that variables describe, as a file would have them.
    fn receivers(&self, secrets: &Secrets) -> Result<Vec<Value>, ConfigError> {
        let mut allow_http = false;
        set(&mut allow_http, self.alert_allow_http.as_deref(), |text| flag("ALERT_ALLOW_HTTP", text))?;
        let tables = [
            self.over_http("webhook", ("url", "ALERT_WEBHOOK_URL", &self.alert_webhook_url_file), secrets),
            self.over_http(
                "slack",
                ("url", "ALERT_SLACK_WEBHOOK_URL", &self.alert_slack_webhook_url_file),
                secrets,
            ),
            self.over_http("alertmanager", ("url", "ALERTMANAGER_URL", &self.alertmanager_url_file), secrets),
            self.over_http(
                "pagerduty",
                ("routing_key", "PAGERDUTY_ROUTING_KEY", &self.pagerduty_routing_key_file),
                secrets,
            ),
            self.email(secrets)?,
        ];
        let tables = tables.into_iter().flatten().map(|mut table| {
            if allow_http {
                table.insert("allow_http".into(), Value::Boolean(true));
            }
            insert(&mut table, "ca_file", self.alert_ca_file.as_deref());
            Value::Table(table)
        });
        Ok(tables.collect())
    }

    /// A receiver over HTTP, if its secret is given as a variable or a file.
    fn over_http(
        &self,
        kind: &str,
        (setting, variable, file): (&str, &str, &Option<String>),
        secrets: &Secrets,
    ) -> Option<Table> {
        let mut table = named(kind);
        if !insert_secret(&mut table, setting, (variable, file.as_deref()), secrets) {
            return None;
        }
        if kind == "webhook" {
            let file = self.alert_webhook_secret_file.as_deref();
            insert_secret(&mut table, "secret", ("ALERT_WEBHOOK_SECRET", file), secrets);
        }
        Some(table)
    }

    fn email(&self, secrets: &Secrets) -> Result<Option<Table>, ConfigError> {
        let Some(to) = given(self.alert_email_to.as_deref()) else { return Ok(None) };
        let mut table = named("email");
        let addresses = to.split(',').map(|address| Value::String(address.trim().to_owned()));
        table.insert("to".into(), Value::Array(addresses.collect()));
        for (name, text) in [
            ("from", &self.alert_email_from),
            ("host", &self.smtp_host),
            ("tls", &self.smtp_tls),
            ("username", &self.smtp_username),
        ] {
            insert(&mut table, name, text.as_deref());
        }
        let mut port = None;
        set(&mut port, self.smtp_port.as_deref(), |text| {
            let number = super::number("SMTP_PORT", text, 1..=u16::MAX, "is not a port number, 1 to 65535")?;
            Ok(Some(number))
        })?;
        if let Some(port) = port {
            table.insert("port".into(), Value::Integer(port.into()));
        }
        insert_secret(&mut table, "password", ("SMTP_PASSWORD", self.smtp_password_file.as_deref()), secrets);
        Ok(Some(table))
    }
}

/// A receiver that is called as its type.
fn named(kind: &str) -> Table {
    ["name", "type"].map(|key| (key.to_owned(), Value::String(kind.to_owned()))).into_iter().collect()
}

fn insert(table: &mut Table, key: &str, text: Option<&str>) {
    if let Some(text) = given(text) {
        table.insert(key.into(), Value::String(text.to_owned()));
    }
}

/// Names every source of a secret that is given, and returns whether there is one; two are refused later.
fn insert_secret(
    table: &mut Table,
    setting: &str,
    (variable, file): (&str, Option<&str>),
    secrets: &Secrets,
) -> bool {
    let is_set = secrets.variable(variable).is_some();
    insert(table, &format!("{setting}_env"), Some(variable).filter(|_| is_set));
    insert(table, &format!("{setting}_file"), file);
    is_set || given(file).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(
        settings: &NotifySettings,
        variables: fn(&str) -> Option<std::ffi::OsString>,
    ) -> Result<Config, String> {
        let secrets = Secrets { variables: Some(variables), ..Secrets::default() };
        let mut config = Config::default();
        let applied = settings.apply(&mut config, &secrets);
        applied.map(|()| config).map_err(|error| crate::error::in_one_line(&error))
    }

    #[allow(clippy::unnecessary_wraps, reason = "settings are optional")]
    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn nobody_is_told_until_somebody_is_named() {
        assert!(applied(&NotifySettings::default(), |_| None).unwrap().notify.is_empty());
    }

    #[test]
    fn a_variable_makes_a_receiver() {
        let variables = |name: &str| match name {
            "ALERT_WEBHOOK_URL" | "ALERT_SLACK_WEBHOOK_URL" | "ALERTMANAGER_URL" => {
                Some("http://127.0.0.1:1/TOKEN123".into())
            }
            _ => None,
        };
        let config = applied(&NotifySettings::default(), variables).unwrap();
        let names: Vec<_> = config.notify.receiver_names().collect();
        assert_eq!(names, ["webhook", "slack", "alertmanager"]);
    }

    #[cfg(feature = "email")]
    #[test]
    fn mail_has_settings_of_its_own() {
        let mail = NotifySettings {
            alert_email_to: some("a@example.com, b@example.com"),
            alert_email_from: some("tft@example.com"),
            smtp_host: some("127.0.0.1"),
            smtp_port: some("2525"),
            smtp_tls: some("none"),
            ..NotifySettings::default()
        };
        let config = applied(&mail, |_| None).unwrap();
        assert_eq!(config.notify.receiver_names().collect::<Vec<_>>(), ["email"]);
        let error = applied(&NotifySettings { smtp_port: some("0"), ..mail }, |_| None).unwrap_err();
        assert_eq!(error, "SMTP_PORT `0` is not a port number, 1 to 65535");
    }

    #[test]
    fn problems_name_the_receiver_and_no_secret() {
        let variables = |name: &str| match name {
            "ALERT_WEBHOOK_URL" => Some("http://10.0.0.1/TOKEN123".into()),
            "ALERTMANAGER_URL" => Some("TOKEN123".into()),
            _ => None,
        };
        let error = applied(&NotifySettings::default(), variables).unwrap_err();
        insta::assert_snapshot!(error, @"ALERT_… and SMTP_… cannot be used: receiver `webhook`: `url` is plain HTTP to another machine: use https, or set `allow_http`; receiver `alertmanager`: `url` is not an address like https://host/path");
        let both = NotifySettings { notify_config: some("receivers.toml"), ..NotifySettings::default() };
        let error = applied(&both, variables).unwrap_err();
        insta::assert_snapshot!(error, @"TFT_NOTIFY_CONFIG `receivers.toml` and variables of single receivers are both given: put all receivers into the file");
    }
}
