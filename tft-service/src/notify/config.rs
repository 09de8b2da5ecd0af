//! Whom alerts are told to: the file of receivers, and the variables for one receiver of each type.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use tft_core::alert::{Notifier, NotifierConfig, Receiver as Plan};

use super::receiver::Receiver;
use super::secret::Environment;

/// Whom alerts are told to.
///
/// # Defaults
/// Nobody.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct NotifyConfig {
    pub(crate) receivers: Vec<Arc<Receiver>>,
    /// What each of them is told, and when.
    pub(crate) plan: NotifierConfig,
    pub(crate) public_url: Option<String>,
}

/// Everything that is wrong with receivers, one problem after the other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct NotifyConfigError(Vec<String>);

impl NotifyConfig {
    /// Reads receivers from a TOML text; `environment` reads the variables that the text names.
    ///
    /// # Errors
    /// [`NotifyConfigError`] with everything that is wrong.
    pub fn parse(
        text: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, NotifyConfigError> {
        let table = toml::from_str(text).map_err(|error| NotifyConfigError::of(&error.to_string().trim()))?;
        Self::from_table(table, &environment)
    }

    /// Reads receivers from a file in TOML.
    ///
    /// # Errors
    /// [`NotifyConfigError`] if the file cannot be read, and as [`parse`](Self::parse).
    pub(crate) fn from_file(path: &Path, environment: Environment<'_>) -> Result<Self, NotifyConfigError> {
        let text = crate::auth::read_text("TFT_NOTIFY_CONFIG", path)
            .map_err(|error| NotifyConfigError::of(&error))?;
        Self::parse(&text, environment)
    }

    pub(crate) fn from_table(
        mut table: toml::Table,
        environment: Environment<'_>,
    ) -> Result<Self, NotifyConfigError> {
        let mut problems = Vec::new();
        let public_url = match table.remove("public_url").as_ref().map(public_url).transpose() {
            Ok(url) => url,
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
        let (receivers, plans) = receivers(table.remove("receivers"), environment, &mut problems);
        let plan = plan(table, plans).map_err(|problem| problems.push(problem)).unwrap_or_default();
        if !problems.is_empty() {
            return Err(NotifyConfigError(problems));
        }
        Ok(Self { receivers, plan, public_url })
    }

    /// Returns the names of the receivers.
    pub fn receiver_names(&self) -> impl Iterator<Item = &str> {
        self.receivers.iter().map(|receiver| receiver.name.as_str())
    }

    /// Returns each receiver's name with where messages go, without what is secret of it.
    pub(crate) fn receivers(&self) -> impl Iterator<Item = String> {
        self.receivers.iter().map(|receiver| {
            let (kind, target) = (receiver.channel.kind(), receiver.channel.target());
            format!("{} ({kind}, {target})", receiver.name)
        })
    }

    /// Returns whether nobody is told.
    pub fn is_empty(&self) -> bool {
        self.receivers.is_empty()
    }
}

impl NotifyConfigError {
    fn of(problem: &impl ToString) -> Self {
        Self(vec![problem.to_string()])
    }
}

fn receivers(
    value: Option<toml::Value>,
    environment: Environment<'_>,
    problems: &mut Vec<String>,
) -> (Vec<Arc<Receiver>>, Vec<Plan>) {
    let tables = match value {
        None => Vec::new(),
        Some(toml::Value::Array(tables)) => tables,
        Some(_) => {
            problems.push("`receivers` is not a list of tables like `[[receivers]]`".into());
            Vec::new()
        }
    };
    if tables.len() > RECEIVERS_MAX {
        problems.push(format!("there are {} receivers, allowed are at most {RECEIVERS_MAX}", tables.len()));
        return (Vec::new(), Vec::new());
    }
    let mut receivers = Vec::new();
    let mut plans: Vec<Plan> = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let toml::Value::Table(table) = table else {
            problems.push(format!("receiver {} is not a table", index + 1));
            continue;
        };
        match Receiver::parse(index, table, environment) {
            Ok((_, plan)) if plans.iter().any(|known| known.name == plan.name) => {
                problems.push(format!("receiver `{}` appears twice", plan.name));
            }
            Ok((receiver, plan)) => {
                receivers.push(Arc::new(receiver));
                plans.push(plan);
            }
            Err(more) => problems.extend(more),
        }
    }
    (receivers, plans)
}

/// Reads what is left of the file, which is the notifier's, and has the notifier check all of it.
fn plan(table: toml::Table, receivers: Vec<Plan>) -> Result<NotifierConfig, String> {
    let config = NotifierConfig::deserialize(table).map_err(|error| error.to_string().trim().to_owned())?;
    let config = NotifierConfig { receivers, ..config };
    Notifier::new(config.clone()).map(|_| config).map_err(|error| crate::error::in_one_line(&error))
}

fn public_url(value: &toml::Value) -> Result<String, String> {
    let text = value.as_str().unwrap_or_default().trim().trim_end_matches('/');
    let has_scheme = text.starts_with("https://") || text.starts_with("http://");
    let is_url =
        has_scheme && text.len() <= URL_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_url { Ok(text.to_owned()) } else { Err("`public_url` is not an address like https://host".into()) }
}

/// Most receivers; each has a queue and labels in the metrics.
const RECEIVERS_MAX: usize = 32;

/// Most bytes of the address at which people reach the service.
const URL_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NotifyConfig, String> {
        let environment = |name: &str| match name {
            "HOOK" => Some("https://hooks.example.com/services/T/TOKEN123".to_owned()),
            "KEY" => Some("0123456789abcdef0123456789abcdef".to_owned()),
            "PLAIN" => Some("http://10.1.2.3/TOKEN123".to_owned()),
            _ => None,
        };
        NotifyConfig::parse(text, environment).map_err(|error| error.to_string())
    }

    #[cfg(feature = "tls")]
    #[test]
    fn receivers_of_every_type_are_read_and_show_no_secret() {
        let config = parse(
            "public_url = 'https://tft.example.com/'
            [[receivers]]
            name = 'hook'
            type = 'webhook'
            url_env = 'HOOK'
            secret_env = 'KEY'
            timeout_ms = 3000
            [[receivers]]
            name = 'chat'
            type = 'slack'
            url_env = 'HOOK'
            [[receivers]]
            name = 'am'
            type = 'alertmanager'
            url = 'http://127.0.0.1:9093'
            send_resolved = false
            [[receivers]]
            name = 'pager'
            type = 'pagerduty'
            routing_key_env = 'KEY'",
        );
        let config = config.unwrap();
        assert_eq!(config.receiver_names().collect::<Vec<_>>(), ["hook", "chat", "am", "pager"]);
        assert_eq!(config.public_url.as_deref(), Some("https://tft.example.com"));
        let targets: Vec<_> = config.receivers.iter().map(|receiver| receiver.channel.target()).collect();
        let expected = [
            "https://hooks.example.com",
            "https://hooks.example.com",
            "http://127.0.0.1:9093",
            "https://events.pagerduty.com",
        ];
        assert_eq!(targets, expected);
        let shown = format!("{config:?}");
        assert!(!shown.contains("TOKEN123") && !shown.contains("0123456789abcdef"), "{shown}");
    }

    #[test]
    fn all_problems_are_told_at_once_and_no_secret() {
        let problems = parse(
            "public_url = 'tft'
            route = 1
            [[receivers]]
            name = 'a b'
            type = 'slack'
            url_env = 'PLAIN'
            timeout_ms = 0
            [[receivers]]
            name = 'c'
            type = 'carrier pigeon'
            [[receivers]]
            type = 'webhook'
            url = 'http://127.0.0.1/'
            secrets = 'x'
            [[receivers]]
            name = 'd'
            type = 'pagerduty'
            url_env = 'NONE'
            [[receivers]]
            name = 'e'
            type = 'webhook'
            url = 'http://127.0.0.1/'
            [[receivers]]
            name = 'e'
            type = 'webhook'
            url = 'http://127.0.0.1/'
            secret_env = 'NONE'
            [[receivers]]
            name = 'e'
            type = 'webhook'
            url = 'http://127.0.0.1/'",
        );
        let problems = problems.unwrap_err();
        assert!(!problems.contains("TOKEN123"), "{problems}");
        insta::assert_snapshot!(problems.replace("; ", "\n"), @"
        `public_url` is not an address like https://host
        receiver `a b`: `name` is not 1 to 64 letters, digits, `-`, `_` or `.`
        receiver `a b`: `timeout_ms` 0 is not within 10 to 120000
        receiver `a b`: `url` is plain HTTP to another machine: use https, or set `allow_http`
        receiver `c`: `type` `carrier pigeon` is none of webhook, slack, alertmanager, email, pagerduty
        receiver 3: `name` is not 1 to 64 letters, digits, `-`, `_` or `.`
        receiver 3: unknown field `secrets`, expected one of `url`, `url_env`, `url_file`, `secret_env`, `secret_file`, `authorization_env`, `authorization_file`
        receiver `d`: unknown field `url_env`, expected one of `url`, `routing_key_env`, `routing_key_file`
        receiver `e`: `secret_env`: the variable NONE is not set
        receiver `e` appears twice
        unknown field `route`, expected one of `receivers`, `inhibit_rules`, `alerts_listed_max`, `delivery_ms_max`, `silences`
        ");
        assert!(parse("[[receivers").unwrap_err().contains("TOML parse error"));
        assert!(parse("receivers = 1").unwrap_err().contains("list of tables"));
        assert!(parse(&"[[receivers]]\n".repeat(33)).unwrap_err().contains("33 receivers"));
    }
}
