//! How a receiver is told: one file per kind of channel, each with its settings, its payload and its limits.

mod alertmanager;
#[cfg(feature = "email")]
mod email;
mod pagerduty;
mod slack;
mod webhook;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tft_core::time::Timestamp;

use self::alertmanager::Alertmanager;
pub(crate) use self::alertmanager::REPEAT_MAX;
#[cfg(feature = "email")]
use self::email::Email;
use self::pagerduty::PagerDuty;
use self::slack::Slack;
use self::webhook::Webhook;
use super::failure::Failure;
use super::http_client::{HttpClient, Post, Timeouts};
use super::message::Message;
use super::secret::{Environment, Secret, Source};
use crate::outgoing::Endpoint;
use crate::tls::Connector;

/// A way to reach somebody.
#[derive(Debug)]
pub(crate) enum Channel {
    Webhook(Webhook),
    Slack(Slack),
    Alertmanager(Alertmanager),
    #[cfg(feature = "email")]
    Email(Box<Email>),
    PagerDuty(PagerDuty),
}

/// What differs from one attempt to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sending {
    /// The time of day.
    pub(crate) at: Timestamp,
}

/// What the other side said when it took a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) said: String,
    /// What some of those that it was for did not get, if so.
    pub(crate) refused: Option<String>,
}

/// What channels are built from beside their own settings. Collects what is wrong with them.
pub(super) struct Builder<'a> {
    pub(super) environment: Environment<'a>,
    pub(super) timeouts: Timeouts,
    pub(super) allow_http: bool,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) problems: Vec<String>,
}

/// A channel; none if there are problems.
pub(super) type Built<T> = Option<T>;

impl Channel {
    /// The kinds, as the configuration names them.
    pub(super) const KINDS: [&'static str; 5] = ["webhook", "slack", "alertmanager", "email", "pagerduty"];

    /// Builds a channel of a kind from a receiver's own settings.
    pub(super) fn build(kind: &str, settings: toml::Table, builder: &mut Builder<'_>) -> Built<Self> {
        match kind {
            "webhook" => Webhook::build(builder.settings(settings)?, builder).map(Self::Webhook),
            "slack" => Slack::build(builder.settings(settings)?, builder).map(Self::Slack),
            "alertmanager" => {
                Alertmanager::build(builder.settings(settings)?, builder).map(Self::Alertmanager)
            }
            #[cfg(feature = "email")]
            "email" => {
                Email::build(builder.settings(settings)?, builder).map(|email| Self::Email(Box::new(email)))
            }
            #[cfg(not(feature = "email"))]
            "email" => {
                builder.problem("this program was built without the feature `email`");
                None
            }
            "pagerduty" => PagerDuty::build(builder.settings(settings)?, builder).map(Self::PagerDuty),
            _ => {
                builder.problem(format!("`type` `{kind}` is none of {}", Self::KINDS.join(", ")));
                None
            }
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
            Self::Alertmanager(_) => "alertmanager",
            #[cfg(feature = "email")]
            Self::Email(_) => "email",
            Self::PagerDuty(_) => "pagerduty",
        }
    }

    /// Returns where messages go, without what is secret of it.
    pub(crate) fn target(&self) -> String {
        match self {
            Self::Webhook(channel) => channel.client().endpoint().to_string(),
            Self::Slack(channel) => channel.client().endpoint().to_string(),
            Self::Alertmanager(channel) => channel.client().endpoint().to_string(),
            #[cfg(feature = "email")]
            Self::Email(channel) => channel.target(),
            Self::PagerDuty(channel) => channel.client().endpoint().to_string(),
        }
    }

    /// Returns whether the other side remembers what fires until it is told that it is resolved.
    pub(crate) fn remembers(&self) -> bool {
        matches!(self, Self::Alertmanager(_) | Self::PagerDuty(_))
    }

    /// Makes one attempt to deliver a message.
    ///
    /// # Errors
    /// [`Failure`] unless the other side has said that it took the message.
    pub(crate) async fn send(&self, message: &Message<'_>, sending: &Sending) -> Result<Reply, Failure> {
        match self {
            Self::Webhook(channel) => channel.send(message, sending).await,
            Self::Slack(channel) => channel.send(message, sending).await,
            Self::Alertmanager(channel) => channel.send(message, sending).await,
            #[cfg(feature = "email")]
            Self::Email(channel) => channel.send(message, sending).await,
            Self::PagerDuty(channel) => channel.send(message, sending).await,
        }
    }
}

impl Sending {
    fn system_time(self) -> SystemTime {
        let since_epoch = Duration::from_millis(u64::try_from(self.at.as_millis()).unwrap_or_default());
        UNIX_EPOCH.checked_add(since_epoch).unwrap_or(UNIX_EPOCH)
    }
}

impl Builder<'_> {
    pub(super) fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Returns a value, or notes what is wrong with it.
    fn keep<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|problem| self.problems.push(problem)).ok()
    }

    fn settings<T: DeserializeOwned>(&mut self, table: toml::Table) -> Option<T> {
        let read = T::deserialize(table).map_err(|error| error.to_string().trim().to_owned());
        self.keep(read)
    }

    fn required(&mut self, name: &str, source: &Source) -> Option<Secret> {
        let read = source.require(name, self.environment);
        self.keep(read)
    }

    fn optional(&mut self, name: &str, source: &Source) -> Option<Secret> {
        let read = source.read(name, self.environment);
        self.keep(read).flatten()
    }

    fn endpoint(&mut self, source: &Source) -> Option<Endpoint> {
        let url = self.required("url", source)?;
        let parsed =
            Endpoint::parse(url.expose(), self.allow_http).map_err(|reason| format!("`url` {reason}"));
        self.keep(parsed)
    }

    fn client(&mut self, endpoint: Endpoint) -> Option<HttpClient> {
        let connector = if endpoint.is_tls() {
            let made =
                Connector::new(self.ca_file.as_deref()).map_err(|error| crate::error::in_one_line(&error));
            Some(self.keep(made)?)
        } else {
            None
        };
        Some(HttpClient::new(endpoint, connector, self.timeouts))
    }
}

/// Posts a body and reports the status.
async fn post(
    client: &HttpClient,
    (mut headers, body): (Vec<(&'static str, String)>, String),
    authorization: Option<&Secret>,
    secrets: &[&Secret],
    sending: &Sending,
) -> Result<Reply, Failure> {
    headers.extend(authorization.map(|value| ("authorization", value.expose().to_owned())));
    let secrets = secrets.iter().copied().chain(authorization).collect();
    let status = client.post(Post { headers, body, secrets, now: sending.system_time() }).await?;
    Ok(Reply { said: status.to_string(), refused: None })
}

fn to_json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("invariant: a body is strings, numbers and maps with strings as keys")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client for tests that send nothing.
    pub(super) fn client() -> HttpClient {
        let timeouts = Timeouts { connect: Duration::from_secs(1), total: Duration::from_secs(1) };
        HttpClient::new(Endpoint::parse("http://127.0.0.1/", false).unwrap(), None, timeouts)
    }
}
