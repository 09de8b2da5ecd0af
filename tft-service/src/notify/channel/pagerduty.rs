//! PagerDuty's Events API, version 2: one incident per group of alerts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tft_core::alert::Severity;

use super::{Builder, Built, Reply, Sending, post};
use crate::notify::failure::Failure;
use crate::notify::http_client::HttpClient;
use crate::notify::message::{Message, one_line, shortened};
use crate::notify::secret::{Secret, Source};

/// A service at PagerDuty.
#[derive(Debug)]
pub(crate) struct PagerDuty {
    client: HttpClient,
    routing_key: Secret,
}

/// The settings of a receiver of type `pagerduty`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PagerDutySettings {
    /// The address of the API, for the European region and for programs that speak the same.
    url: Option<String>,
    routing_key_env: Option<String>,
    routing_key_file: Option<String>,
}

#[derive(Debug, Serialize)]
#[allow(clippy::struct_field_names, reason = "the names are those of the interface")]
struct Event<'a> {
    routing_key: &'a str,
    event_action: &'static str,
    dedup_key: String,
    client: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_url: Option<String>,
    payload: Payload,
}

#[derive(Debug, Serialize)]
struct Payload {
    summary: String,
    source: String,
    severity: &'static str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    custom_details: Details,
}

#[derive(Debug, Serialize)]
struct Details {
    labels: BTreeMap<String, String>,
    alerts: Vec<String>,
    alerts_not_listed: usize,
}

impl PagerDuty {
    pub(super) fn build(settings: PagerDutySettings, builder: &mut Builder<'_>) -> Built<Self> {
        let url = settings.url.unwrap_or_else(|| DEFAULT_URL.to_owned());
        let endpoint = builder.endpoint(&Source { text: Some(url), ..Source::default() });
        let source =
            Source { text: None, variable: settings.routing_key_env, file: settings.routing_key_file };
        let routing_key = builder.required("routing_key", &source);
        let endpoint = endpoint?.join("/v2/enqueue");
        Some(Self { client: builder.client(endpoint)?, routing_key: routing_key? })
    }

    pub(super) fn client(&self) -> &HttpClient {
        &self.client
    }

    pub(super) async fn send(&self, message: &Message<'_>, sending: &Sending) -> Result<Reply, Failure> {
        let body = render(message, self.routing_key.expose());
        post(&self.client, (Vec::new(), body), None, &[&self.routing_key], sending).await
    }
}

fn render(message: &Message<'_>, routing_key: &str) -> String {
    let notification = message.notification;
    let shared = message.common_labels();
    let source = shared.get("server").cloned().unwrap_or_else(|| "tft-service".to_owned());
    let mut lines = Vec::new();
    let mut bytes = 0;
    for line in message.lines() {
        let line = shortened(&line, LINE_CHARS_MAX);
        bytes += line.len();
        if bytes > LINES_BYTES_MAX {
            break;
        }
        lines.push(line);
    }
    let event = Event {
        routing_key,
        event_action: if notification.is_resolved() { "resolve" } else { "trigger" },
        dedup_key: message.thread(),
        client: "tft-monitor",
        client_url: message.link(),
        payload: Payload {
            summary: shortened(&message.title(), SUMMARY_CHARS_MAX),
            source: one_line(&source),
            severity: severity(message.severity()),
            timestamp: notification.at.to_string(),
            component: shared.get("metric").cloned(),
            group: shared.get("profile").cloned(),
            custom_details: Details {
                alerts_not_listed: notification.alerts.len() - lines.len() + notification.truncated_count,
                alerts: lines,
                labels: notification.group_labels.clone(),
            },
        },
    };
    super::to_json(&event)
}

/// PagerDuty knows `critical`, `error`, `warning` and `info`.
fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "error",
        Severity::Warning => "warning",
        _ => "info",
    }
}

const DEFAULT_URL: &str = "https://events.pagerduty.com";

/// Most characters of a summary, as PagerDuty has it.
const SUMMARY_CHARS_MAX: usize = 1024;

/// Most characters about one alert.
const LINE_CHARS_MAX: usize = 500;

/// Most bytes about all alerts; escaped in JSON and with the labels this stays below PagerDuty's 512 KiB.
const LINES_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::tests::{alert, notification};

    fn rendered(alerts: Vec<tft_core::alert::Alert>) -> serde_json::Value {
        let notification = notification(alerts);
        let message = Message { notification: &notification, public_url: Some("https://tft.example.com") };
        serde_json::from_str(&render(&message, "ROUTING-KEY")).unwrap()
    }

    #[test]
    fn a_group_is_an_incident() {
        let body = rendered(vec![alert("db-1", "critical", "firing"), alert("db-1", "warning", "resolved")]);
        insta::assert_json_snapshot!(body, @r#"
        {
          "client": "tft-monitor",
          "client_url": "https://tft.example.com/alerts/active",
          "dedup_key": "d4886c7805f8979247fcc0cc673a05c7ccd0ca21512bf8e96b9b61a5d7e9e90a",
          "event_action": "trigger",
          "payload": {
            "component": "mem_used_pct",
            "custom_details": {
              "alerts": [
                "[critical] mem_used_pct_high on db-1: mem_used_pct of db-1 is forecast (P50) to be above 90 % in 30 minutes.",
                "[resolved] mem_used_pct_high on db-1: mem_used_pct of db-1 is forecast (P50) to be above 90 % in 30 minutes."
              ],
              "alerts_not_listed": 0,
              "labels": {
                "profile": "database"
              }
            },
            "group": "database",
            "severity": "critical",
            "source": "db-1",
            "summary": "[FIRING:1] mem_used_pct_high on db-1",
            "timestamp": "2026-01-05T12:00:00Z"
          },
          "routing_key": "ROUTING-KEY"
        }
        "#);
        let resolved = rendered(vec![alert("db-1", "critical", "resolved")]);
        assert_eq!(
            (&resolved["event_action"], &resolved["dedup_key"]),
            (&"resolve".into(), &body["dedup_key"])
        );
    }

    #[test]
    fn an_event_stays_below_the_limit() {
        let mut long = alert("db-1", "critical", "firing");
        long.message = "\u{1}\"\\".repeat(10_000);
        let body = rendered(vec![long; 10_000]);
        assert!(body.to_string().len() < 512 << 10, "{}", body.to_string().len());
        let details = &body["payload"]["custom_details"];
        let listed = details["alerts"].as_array().unwrap().len() as u64;
        assert_eq!(listed + details["alerts_not_listed"].as_u64().unwrap(), 10_000);
    }
}
