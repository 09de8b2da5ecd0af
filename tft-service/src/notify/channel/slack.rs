//! Slack's incoming webhooks, and those of programs that understand them.
//!
//! A text with one attachment per alert, in the older form, because Mattermost and Rocket.Chat know no blocks. Lengths
//! are within what Slack shows; what comes from servers' names and labels cannot mention anybody or make a link.

use serde::{Deserialize, Serialize};
use tft_core::alert::{Alert, AlertState, Severity};

use super::{Builder, Built, Reply, Sending, post};
use crate::notify::failure::Failure;
use crate::notify::http_client::HttpClient;
use crate::notify::message::{Message, heading, one_line, shortened, text};
use crate::notify::secret::Source;

/// A receiver in a chat.
#[derive(Debug)]
pub(crate) struct Slack {
    client: HttpClient,
    channel: Option<String>,
}

/// The settings of a receiver of type `slack`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SlackSettings {
    url_env: Option<String>,
    url_file: Option<String>,
    /// For programs that let a webhook choose; Slack itself does not.
    channel: Option<String>,
}

#[derive(Debug, Serialize)]
struct Body<'a> {
    text: String,
    attachments: Vec<Attachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Attachment {
    fallback: String,
    color: &'static str,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title_link: Option<String>,
    text: String,
    /// Unix seconds.
    ts: i64,
}

impl Slack {
    pub(super) fn build(settings: SlackSettings, builder: &mut Builder<'_>) -> Built<Self> {
        let source = Source { text: None, variable: settings.url_env, file: settings.url_file };
        let endpoint = builder.endpoint(&source)?;
        Some(Self { client: builder.client(endpoint)?, channel: settings.channel })
    }

    pub(super) fn client(&self) -> &HttpClient {
        &self.client
    }

    pub(super) async fn send(&self, message: &Message<'_>, sending: &Sending) -> Result<Reply, Failure> {
        let body = self.render(message);
        post(&self.client, (Vec::new(), body), None, &[], sending).await
    }

    fn render(&self, message: &Message<'_>) -> String {
        let alerts = &message.notification.alerts;
        let mut text = escaped(&message.title(), TEXT_CHARS_MAX);
        let unlisted = alerts.len().saturating_sub(ATTACHMENTS_MAX) + message.notification.truncated_count;
        if unlisted > 0 {
            text = format!("{text}\n{unlisted} more alerts are not listed.");
        }
        let attachments =
            alerts.iter().take(ATTACHMENTS_MAX).map(|alert| attachment(alert, message)).collect();
        super::to_json(&Body { text, attachments, channel: self.channel.as_deref() })
    }
}

fn attachment(alert: &Alert, message: &Message<'_>) -> Attachment {
    let color = match (alert.state, alert.severity) {
        (AlertState::Resolved, _) => "#2eb67d",
        (_, Severity::High | Severity::Critical) => "#d00000",
        _ => "#daa038",
    };
    let text = escaped(text(alert), TEXT_CHARS_MAX);
    let heading = escaped(&heading(alert), TITLE_CHARS_MAX);
    Attachment {
        fallback: heading.clone(),
        color,
        title: heading,
        title_link: message.link(),
        text,
        ts: alert.since.as_millis().div_euclid(1000),
    }
}

/// Escapes the three characters that Slack asks for, which also takes `<!channel>` its meaning, and breaks `@all` as
/// other programs read it. Cuts before that, so that no escape is cut.
fn escaped(text: &str, chars_max: usize) -> String {
    let text = shortened(&one_line(text), chars_max);
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('@', "@\u{200b}")
}

/// Most attachments of a message, as Slack recommends.
const ATTACHMENTS_MAX: usize = 20;

/// Most characters of a text before escaping: all escaped, it is still below the 8,000 at which Slack folds attachments.
const TEXT_CHARS_MAX: usize = 1500;

/// Most characters of a title before escaping.
const TITLE_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::tests::{alert, notification};

    fn slack() -> Slack {
        Slack { client: super::super::tests::client(), channel: None }
    }

    fn rendered(alerts: Vec<Alert>) -> serde_json::Value {
        let notification = notification(alerts);
        let message = Message { notification: &notification, public_url: Some("https://tft.example.com") };
        serde_json::from_str(&slack().render(&message)).unwrap()
    }

    #[test]
    fn a_message_has_an_attachment_per_alert() {
        let body = rendered(vec![alert("db-1", "critical", "firing"), alert("db-2", "warning", "resolved")]);
        insta::assert_json_snapshot!(body, @r##"
        {
          "attachments": [
            {
              "color": "#d00000",
              "fallback": "[critical] mem_used_pct_high on db-1",
              "text": "mem_used_pct of db-1 is forecast (P50) to be above 90 % in 30 minutes.",
              "title": "[critical] mem_used_pct_high on db-1",
              "title_link": "https://tft.example.com/alerts/active",
              "ts": 1767614400
            },
            {
              "color": "#2eb67d",
              "fallback": "[resolved] mem_used_pct_high on db-2",
              "text": "mem_used_pct of db-2 is forecast (P50) to be above 90 % in 30 minutes.",
              "title": "[resolved] mem_used_pct_high on db-2",
              "title_link": "https://tft.example.com/alerts/active",
              "ts": 1767614400
            }
          ],
          "text": "[FIRING:1] mem_used_pct_high on db-1"
        }
        "##);
    }

    #[test]
    fn names_cannot_mention_anybody_or_make_links() {
        let mut odd = alert("db-1", "warning", "firing");
        odd.message = "<!channel> & <https://evil|x> @all\nsecond".into();
        let body = rendered(vec![odd]);
        let text = body["attachments"][0]["text"].as_str().unwrap();
        assert_eq!(text, "&lt;!channel&gt; &amp; &lt;https://evil|x&gt; @\u{200b}all second");
    }

    #[test]
    fn lengths_are_within_what_slack_takes() {
        let mut long = alert("db-1", "warning", "firing");
        long.message = "<".repeat(100_000);
        let body = rendered(vec![long; 50]);
        let attachments = body["attachments"].as_array().unwrap();
        assert_eq!(attachments.len(), ATTACHMENTS_MAX);
        assert!(
            body["text"].as_str().unwrap().ends_with("30 more alerts are not listed."),
            "{}",
            body["text"]
        );
        let text = attachments[0]["text"].as_str().unwrap();
        assert!(text.len() < 8000 && text.ends_with("&lt;…"), "{}", text.len());
    }
}
