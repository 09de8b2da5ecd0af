//! A generic webhook: the body that Alertmanager sends to webhooks, signed.
//!
//! The body is Alertmanager's of version 4 with a further object `tft`, for the message and for each alert. Headers
//! and signature are those of Standard Webhooks: `webhook-id`, which is the same for every attempt, `webhook-timestamp`
//! in Unix seconds, and `webhook-signature`, `v1,` and the base64 of HMAC-SHA-256 over `id.timestamp.body`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use tft_core::alert::{Alert, AlertState};
use tft_core::time::Timestamp;

use super::{Builder, Built, Reply, Sending, post};
use crate::notify::failure::Failure;
use crate::notify::http_client::HttpClient;
use crate::notify::message::{Message, annotations, labels};
use crate::notify::secret::{Secret, Source};

/// A receiver of the generic webhook.
#[derive(Debug)]
pub(crate) struct Webhook {
    client: HttpClient,
    key: Option<SigningKey>,
    authorization: Option<Secret>,
}

/// Signs bodies; never shown.
struct SigningKey(hmac::Key);

/// The settings of a receiver of type `webhook`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WebhookSettings {
    url: Option<String>,
    url_env: Option<String>,
    url_file: Option<String>,
    secret_env: Option<String>,
    secret_file: Option<String>,
    authorization_env: Option<String>,
    authorization_file: Option<String>,
}

/// What is sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    version: &'static str,
    group_key: &'a str,
    truncated_alerts: usize,
    status: &'static str,
    receiver: &'a str,
    group_labels: &'a BTreeMap<String, String>,
    common_labels: BTreeMap<String, String>,
    common_annotations: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    alerts: Vec<BodyAlert<'a>>,
    tft: Extra,
}

/// What Alertmanager's format has no place for.
#[derive(Debug, Serialize)]
struct Extra {
    version: u8,
    id: String,
    at: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BodyAlert<'a> {
    status: &'static str,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: &'a str,
    /// The alert as `GET /alerts/active` knows it.
    tft: &'a Alert,
}

impl Webhook {
    pub(super) fn build(settings: WebhookSettings, builder: &mut Builder<'_>) -> Built<Self> {
        let WebhookSettings { url, url_env, url_file, .. } = settings;
        let endpoint = builder.endpoint(&Source { text: url, variable: url_env, file: url_file });
        let secret = Source { text: None, variable: settings.secret_env, file: settings.secret_file };
        let key = match builder.optional("secret", &secret) {
            Some(secret) => builder.keep(SigningKey::parse(&secret)),
            None => None,
        };
        let variable = settings.authorization_env;
        let source = Source { text: None, variable, file: settings.authorization_file };
        let authorization = builder.optional("authorization", &source);
        Some(Self { client: builder.client(endpoint?)?, key, authorization })
    }

    pub(super) fn client(&self) -> &HttpClient {
        &self.client
    }

    pub(super) async fn send(&self, message: &Message<'_>, sending: &Sending) -> Result<Reply, Failure> {
        let body = render(message);
        let id = format!("msg_{}", message.id());
        let timestamp = sending.at.as_millis().div_euclid(1000).to_string();
        let mut headers = Vec::new();
        if let Some(key) = &self.key {
            headers.push(("webhook-signature", key.sign(&id, &timestamp, &body)));
        }
        headers.push(("webhook-id", id));
        headers.push(("webhook-timestamp", timestamp));
        post(&self.client, (headers, body), self.authorization.as_ref(), &[], sending).await
    }
}

impl SigningKey {
    /// Reads `whsec_` and base64 as Standard Webhooks has it, or takes the text itself.
    fn parse(secret: &Secret) -> Result<Self, String> {
        let bytes = match secret.expose().strip_prefix(SECRET_PREFIX) {
            Some(encoded) => STANDARD
                .decode(encoded)
                .map_err(|_| format!("`secret` is not base64 after `{SECRET_PREFIX}`"))?,
            None => secret.expose().as_bytes().to_vec(),
        };
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(format!("`secret` has fewer than {SECRET_BYTES_MIN} bytes"));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    fn sign(&self, id: &str, timestamp: &str, body: &str) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [id, ".", timestamp, ".", body] {
            context.update(part.as_bytes());
        }
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

fn render(message: &Message<'_>) -> String {
    let notification = message.notification;
    let alerts = notification.alerts.iter().map(|alert| render_alert(alert, message)).collect();
    let body = Body {
        version: "4",
        group_key: &notification.group_key,
        truncated_alerts: notification.truncated_count,
        status: message.status(),
        receiver: &notification.receiver,
        group_labels: &notification.group_labels,
        common_labels: message.common_labels(),
        common_annotations: BTreeMap::from([("summary".to_owned(), message.title())]),
        external_url: message.public_url.unwrap_or_default(),
        alerts,
        tft: Extra { version: 1, id: format!("msg_{}", message.id()), at: notification.at.to_string() },
    };
    super::to_json(&body)
}

fn render_alert<'a>(alert: &'a Alert, message: &Message<'_>) -> BodyAlert<'a> {
    let is_resolved = alert.state == AlertState::Resolved;
    BodyAlert {
        status: if is_resolved { "resolved" } else { "firing" },
        labels: labels(alert),
        annotations: annotations(alert),
        starts_at: alert.first_seen.to_string(),
        // Go's zero time, by which Alertmanager says that there is no end yet.
        ends_at: if is_resolved { ended(alert.since) } else { "0001-01-01T00:00:00Z".into() },
        generator_url: message.link().unwrap_or_default(),
        fingerprint: &alert.fingerprint,
        tft: alert,
    }
}

fn ended(at: Timestamp) -> String {
    at.to_string()
}

/// What a secret of Standard Webhooks begins with.
const SECRET_PREFIX: &str = "whsec_";

/// Fewest bytes of a secret, as Standard Webhooks asks for.
const SECRET_BYTES_MIN: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::tests::{alert, notification};

    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        // The example of https://github.com/standard-webhooks/standard-webhooks.
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = r#"{"test": 2432232314}"#;
        let signature =
            SigningKey::parse(&secret).unwrap().sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn weak_secrets_are_refused_without_repeating_them() {
        let refused = |text: &str| SigningKey::parse(&Secret::new(text)).unwrap_err();
        assert_eq!(refused("whsec_?"), "`secret` is not base64 after `whsec_`");
        assert_eq!(refused("short"), "`secret` has fewer than 24 bytes");
        assert!(SigningKey::parse(&Secret::new("0f1e2d3c4b5a69788796a5b4c3d2e1f0")).is_ok());
    }

    #[test]
    fn the_body_is_that_of_alertmanager_and_more() {
        let notification =
            notification(vec![alert("db-1", "critical", "firing"), alert("db-2", "warning", "resolved")]);
        let body =
            render(&Message { notification: &notification, public_url: Some("https://tft.example.com") });
        let mut body: serde_json::Value = serde_json::from_str(&body).unwrap();
        for alert in body["alerts"].as_array_mut().unwrap() {
            assert_eq!(alert["tft"]["predicted_value"], 97.25);
            alert["tft"] = "the alert".into();
        }
        insta::assert_json_snapshot!(body, @r#"
        {
          "alerts": [
            {
              "annotations": {
                "current_value": "88.5",
                "minutes_ahead": "30",
                "predicted_value": "97.25",
                "state": "firing",
                "summary": "mem_used_pct of db-1 is forecast (P50) to be above 90 % in 30 minutes.",
                "threshold": "90"
              },
              "endsAt": "0001-01-01T00:00:00Z",
              "fingerprint": "00f1a2b3c4d5e6f7",
              "generatorURL": "https://tft.example.com/alerts/active",
              "labels": {
                "alertname": "mem_used_pct_high",
                "metric": "mem_used_pct",
                "profile": "database",
                "run_book": "https://wiki/mem",
                "server": "db-1",
                "severity": "critical",
                "team": "storage"
              },
              "startsAt": "2026-01-05T11:55:00Z",
              "status": "firing",
              "tft": "the alert"
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
              "fingerprint": "00f1a2b3c4d5e6f7",
              "generatorURL": "https://tft.example.com/alerts/active",
              "labels": {
                "alertname": "mem_used_pct_high",
                "metric": "mem_used_pct",
                "profile": "database",
                "run_book": "https://wiki/mem",
                "server": "db-2",
                "severity": "warning",
                "team": "storage"
              },
              "startsAt": "2026-01-05T11:55:00Z",
              "status": "resolved",
              "tft": "the alert"
            }
          ],
          "commonAnnotations": {
            "summary": "[FIRING:1] mem_used_pct_high on db-1"
          },
          "commonLabels": {
            "alertname": "mem_used_pct_high",
            "metric": "mem_used_pct",
            "profile": "database",
            "run_book": "https://wiki/mem",
            "team": "storage"
          },
          "externalURL": "https://tft.example.com",
          "groupKey": "{profile=\"database\"}",
          "groupLabels": {
            "profile": "database"
          },
          "receiver": "ops",
          "status": "firing",
          "tft": {
            "at": "2026-01-05T12:00:00Z",
            "id": "msg_223c91b5847e3f23e7a9d44770d8dd0f",
            "version": 1
          },
          "truncatedAlerts": 0,
          "version": "4"
        }
        "#);
    }
}
