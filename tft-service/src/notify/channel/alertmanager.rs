//! Alertmanager's `POST /api/v2/alerts`, which groups, silences and tells people by itself.
//!
//! Alertmanager forgets an alert at its `endsAt`, so what still fires must be sent again before that: a route to such a
//! receiver repeats at least every [`REPEAT_MAX`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tft_core::alert::{Alert, AlertState};
use tft_core::time::Timestamp;

use super::{Builder, Built, Reply, Sending, post};
use crate::notify::failure::Failure;
use crate::notify::http_client::HttpClient;
use crate::notify::message::{Message, annotations, labels};
use crate::notify::secret::{Secret, Source};

/// An Alertmanager.
#[derive(Debug)]
pub(crate) struct Alertmanager {
    client: HttpClient,
    authorization: Option<Secret>,
}

/// The settings of a receiver of type `alertmanager`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AlertmanagerSettings {
    url: Option<String>,
    url_env: Option<String>,
    url_file: Option<String>,
    authorization_env: Option<String>,
    authorization_file: Option<String>,
}

/// `postableAlert` of Alertmanager's OpenAPI document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PostableAlert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<String>,
}

impl Alertmanager {
    pub(super) fn build(settings: AlertmanagerSettings, builder: &mut Builder<'_>) -> Built<Self> {
        let AlertmanagerSettings { url, url_env, url_file, .. } = settings;
        let endpoint = builder.endpoint(&Source { text: url, variable: url_env, file: url_file });
        let variable = settings.authorization_env;
        let source = Source { text: None, variable, file: settings.authorization_file };
        let authorization = builder.optional("authorization", &source);
        Some(Self { client: builder.client(endpoint?.join("/api/v2/alerts"))?, authorization })
    }

    pub(super) fn client(&self) -> &HttpClient {
        &self.client
    }

    pub(super) async fn send(&self, message: &Message<'_>, sending: &Sending) -> Result<Reply, Failure> {
        let body = render(message, sending.at);
        post(&self.client, (Vec::new(), body), self.authorization.as_ref(), &[], sending).await
    }
}

fn render(message: &Message<'_>, now: Timestamp) -> String {
    let alerts = message.notification.alerts.iter().map(|alert| postable(alert, message, now));
    super::to_json(&alerts.collect::<Vec<_>>())
}

fn postable(alert: &Alert, message: &Message<'_>, now: Timestamp) -> PostableAlert {
    let ends_at = match alert.state {
        AlertState::Resolved => alert.since,
        _ => now.plus_millis(i64::try_from(EXPIRY.as_millis()).unwrap_or(i64::MAX)),
    };
    PostableAlert {
        labels: labels(alert),
        annotations: annotations(alert),
        starts_at: alert.first_seen.to_string(),
        ends_at: ends_at.to_string(),
        generator_url: message.link(),
    }
}

/// After how long an alert that is not sent again counts as resolved there: Alertmanager's own default.
pub(crate) const EXPIRY: Duration = Duration::from_mins(5);

/// At least how often what fires is sent again, so that a lost message or two do no harm.
pub(crate) const REPEAT_MAX: Duration = Duration::from_mins(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::tests::{alert, notification};

    #[test]
    fn what_fires_ends_later_and_what_is_resolved_has_ended() {
        let notification =
            notification(vec![alert("db-1", "critical", "firing"), alert("db-2", "warning", "resolved")]);
        let message = Message { notification: &notification, public_url: None };
        let body: serde_json::Value =
            serde_json::from_str(&render(&message, Timestamp::parse("2026-01-05T12:00:00Z").unwrap()))
                .unwrap();
        insta::assert_json_snapshot!(body, @r#"
        [
          {
            "annotations": {
              "current_value": "88.5",
              "minutes_ahead": "30",
              "predicted_value": "97.25",
              "state": "firing",
              "summary": "mem_used_pct of db-1 is forecast (P50) to be above 90 % in 30 minutes.",
              "threshold": "90"
            },
            "endsAt": "2026-01-05T12:05:00Z",
            "labels": {
              "alertname": "mem_used_pct_high",
              "metric": "mem_used_pct",
              "profile": "database",
              "run_book": "https://wiki/mem",
              "server": "db-1",
              "severity": "critical",
              "team": "storage"
            },
            "startsAt": "2026-01-05T11:55:00Z"
          },
          {
            "annotations": {
              "current_value": "88.5",
              "minutes_ahead": "30",
              "predicted_value": "97.25",
              "state": "resolved",
              "summary": "mem_used_pct of db-2 is forecast (P50) to be above 90 % in 30 minutes.",
              "threshold": "90"
            },
            "endsAt": "2026-01-05T12:00:00Z",
            "labels": {
              "alertname": "mem_used_pct_high",
              "metric": "mem_used_pct",
              "profile": "database",
              "run_book": "https://wiki/mem",
              "server": "db-2",
              "severity": "warning",
              "team": "storage"
            },
            "startsAt": "2026-01-05T11:55:00Z"
          }
        ]
        "#);
    }
}
