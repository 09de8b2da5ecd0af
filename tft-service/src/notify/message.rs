//! What all channels say about a group of alerts: titles, labels, links, identity.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use tft_core::alert::{Alert, AlertState, Notification, Severity};

use crate::auth::hex;

/// A notification with what is needed to write about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) notification: &'a Notification,
    /// Where people reach the service, without a `/` at its end.
    pub(crate) public_url: Option<&'a str>,
}

impl<'a> Message<'a> {
    /// Returns `firing` or `resolved`.
    pub(crate) fn status(&self) -> &'static str {
        if self.notification.is_resolved() { "resolved" } else { "firing" }
    }

    /// Returns the worst severity of what is not resolved, or of everything if all is.
    pub(crate) fn severity(&self) -> Severity {
        let unresolved = self.notification.unresolved().map(|alert| alert.severity).max();
        let worst = || self.notification.alerts.iter().map(|alert| alert.severity).max();
        unresolved.or_else(worst).unwrap_or(Severity::Warning)
    }

    /// Returns the status, how many alerts, and what they share, in one short line.
    pub(crate) fn title(&self) -> String {
        let unresolved = self.notification.unresolved().count();
        let (what, listed) = if unresolved == 0 {
            ("RESOLVED", self.notification.alerts.len())
        } else {
            ("FIRING", unresolved)
        };
        let count = listed + self.notification.truncated_count;
        let only = self.notification.alerts.first().filter(|_| count == 1);
        let about = match only {
            Some(alert) => format!("{} on {}", alert.rule, alert.server),
            None if self.notification.group_labels.is_empty() => "several servers".to_owned(),
            None => labelled(&self.notification.group_labels),
        };
        shortened(&one_line(&format!("[{what}:{count}] {about}")), TITLE_CHARS_MAX)
    }

    /// Returns a line per alert.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> + 'a {
        self.notification.alerts.iter().map(|alert| {
            let (what, text) = (heading(alert), one_line(text(alert)));
            format!("{what}: {text}")
        })
    }

    /// Returns a sentence about the alerts that are not listed; none if all are.
    #[cfg(feature = "email")]
    pub(crate) fn rest(&self) -> Option<String> {
        let count = self.notification.truncated_count;
        (count > 0).then(|| format!("{count} more alerts of this group are not listed."))
    }

    /// Returns the labels that every alert has in common, with those of its group.
    pub(crate) fn common_labels(&self) -> BTreeMap<String, String> {
        let mut alerts = self.notification.alerts.iter().map(labels);
        let mut common = alerts.next().unwrap_or_default();
        for other in alerts {
            common.retain(|name, value| other.get(name) == Some(value));
        }
        common
    }

    /// Returns a name of this message that is the same for every attempt to deliver it: 32 hexadecimal digits.
    pub(crate) fn id(&self) -> String {
        let Notification { receiver, group_key, at, alerts, .. } = self.notification;
        let mut digest = Sha256::new();
        for part in [receiver.as_str(), group_key, &at.to_string()] {
            digest.update(part);
            digest.update([0]);
        }
        for alert in alerts {
            digest.update(format!("{} {}\0", alert.fingerprint, alert.state.as_str()));
        }
        hex(&digest.finalize().into())[..32].to_owned()
    }

    /// Returns a name of the group that is the same for all messages about it: 64 hexadecimal digits.
    pub(crate) fn thread(&self) -> String {
        hex(&Sha256::digest(&self.notification.group_key).into())
    }

    /// Returns where the alerts can be seen; none if nobody said where the service is reached.
    pub(crate) fn link(&self) -> Option<String> {
        self.public_url.map(|url| format!("{url}/alerts/active"))
    }
}

/// Returns the severity, the rule and the server of an alert.
pub(crate) fn heading(alert: &Alert) -> String {
    let state = match alert.state {
        AlertState::Resolved => "resolved",
        AlertState::NoData => "no data",
        _ => alert.severity.as_str(),
    };
    one_line(&format!("[{state}] {} on {}", alert.rule, alert.server))
}

/// Returns what the rule says of an alert, and otherwise what was measured.
pub(crate) fn text(alert: &Alert) -> &str {
    alert.summary.as_ref().unwrap_or(&alert.message)
}

/// Returns the labels of an alert for other systems: its own, and `alertname`, `server`, `profile`, `metric` and
/// `severity`. Names are made of letters, digits and `_`; empty values are left out.
pub(crate) fn labels(alert: &Alert) -> BTreeMap<String, String> {
    let own = alert.labels.iter().map(|(name, value)| (label_name(name), value.as_str()));
    let known = ["alertname", "server", "profile", "metric", "severity"];
    let known = known.into_iter().filter_map(|name| Some((name.to_owned(), alert.label(name)?)));
    let all = own.chain(known).filter(|(_, value)| !value.is_empty());
    all.map(|(name, value)| (name, value.to_owned())).collect()
}

/// Returns what an alert says beside its labels.
pub(crate) fn annotations(alert: &Alert) -> BTreeMap<&'static str, String> {
    let number = |value: Option<f64>| value.map(|value| value.to_string());
    let measured = || alert.summary.as_ref().map(|_| alert.message.clone());
    let values = [
        ("summary", Some(text(alert).to_owned())),
        ("description", alert.description.clone().or_else(measured)),
        ("state", Some(alert.state.as_str().to_owned())),
        ("threshold", number(alert.threshold)),
        ("current_value", number(alert.current_value)),
        ("predicted_value", number(alert.predicted_value)),
        ("minutes_ahead", number(alert.minutes_ahead)),
    ];
    values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Replaces everything that could begin a new line or move the cursor.
pub(crate) fn one_line(text: &str) -> String {
    let is_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.chars().map(|c| if is_break(c) { ' ' } else { c }).collect()
}

/// Cuts a text to so many characters, the last of which says that it was cut.
pub(crate) fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some(_) => text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

fn labelled(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(", ")
}

/// The names that Prometheus and Alertmanager know: `[a-zA-Z_][a-zA-Z0-9_]*`.
fn label_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() { format!("_{name}") } else { name }
}

/// Most characters of a title: what the subject of a mail can show.
const TITLE_CHARS_MAX: usize = 160;

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;
    use tft_core::time::Timestamp;

    use super::*;

    /// An alert about a server, for tests of rendering.
    pub(in crate::notify) fn alert(server: &str, severity: &str, state: &str) -> Alert {
        serde_json::from_value(json!({
            "server": server, "profile": "database", "rule": "mem_used_pct_high", "metric": "mem_used_pct",
            "severity": severity, "state": state, "since": 1_767_614_400_000_i64, "first_seen": 1_767_614_100_000_i64,
            "quantile": 0.5, "threshold": 90.0, "current_value": 88.5, "predicted_value": 97.25, "steps_ahead": 6,
            "minutes_ahead": 30.0, "message": format!("mem_used_pct of {server} is forecast (P50) to be above 90 % in 30 minutes."),
            "labels": {"team": "storage", "run-book": "https://wiki/mem", "empty": ""}, "fingerprint": "00f1a2b3c4d5e6f7",
        }))
        .unwrap()
    }

    /// A message of a group, at noon.
    pub(in crate::notify) fn notification(alerts: Vec<Alert>) -> Notification {
        let labels = BTreeMap::from([("profile".to_owned(), "database".to_owned())]);
        let at = Timestamp::parse("2026-01-05T12:00:00Z").unwrap();
        Notification::new(("ops", "{profile=\"database\"}"), labels, at, alerts)
    }

    fn message(notification: &Notification) -> Message<'_> {
        Message { notification, public_url: Some("https://tft.example.com") }
    }

    #[test]
    fn what_a_rule_says_comes_before_what_was_measured() {
        let mut alert = alert("ppdb001", "critical", "firing");
        let measured = alert.message.clone();
        assert_eq!((annotations(&alert)["summary"].as_str(), text(&alert)), (&*measured, &*measured));
        assert!(!annotations(&alert).contains_key("description"));
        alert.summary = Some("move a tenant".to_owned());
        let told = annotations(&alert);
        assert_eq!((&*told["summary"], &told["description"]), ("move a tenant", &measured));
        let group = notification(vec![alert]);
        assert!(message(&group).lines().all(|line| line.ends_with(": move a tenant")));
    }

    #[test]
    fn a_title_counts_and_names_what_is_shared() {
        let two = notification(vec![alert("db-1", "warning", "firing"), alert("db-2", "critical", "firing")]);
        assert_eq!(message(&two).title(), "[FIRING:2] profile=database");
        assert_eq!((message(&two).status(), message(&two).severity()), ("firing", Severity::Critical));
        let one = notification(vec![alert("db-1", "warning", "resolved")]);
        assert_eq!(message(&one).title(), "[RESOLVED:1] mem_used_pct_high on db-1");
        let mut long = notification(vec![alert("db-1", "warning", "firing")]);
        long.alerts[0].rule = "x\r\nBcc: evil@example.com ".repeat(20);
        let title = message(&long).title();
        assert!(title.chars().count() == TITLE_CHARS_MAX && !title.contains(['\r', '\n']), "{title}");
    }

    #[test]
    fn labels_are_such_as_prometheus_knows() {
        let labels = labels(&alert("db-1", "critical", "firing"));
        insta::assert_compact_json_snapshot!(labels, @r#"
        {
          "alertname": "mem_used_pct_high",
          "metric": "mem_used_pct",
          "profile": "database",
          "run_book": "https://wiki/mem",
          "server": "db-1",
          "severity": "critical",
          "team": "storage"
        }
        "#);
        assert_eq!(
            (label_name("9.a"), label_name(""), label_name("ä")),
            ("_9_a".into(), "_".into(), "_".into())
        );
    }

    #[test]
    fn an_identity_is_that_of_the_content_and_a_thread_that_of_the_group() {
        let first = notification(vec![alert("db-1", "warning", "firing")]);
        let mut later = notification(vec![alert("db-1", "warning", "resolved")]);
        assert_eq!(message(&first).id(), message(&first.clone()).id());
        assert_ne!(message(&first).id(), message(&later).id());
        assert_eq!(message(&first).thread(), message(&later).thread());
        later.group_key = "other".into();
        assert_ne!(message(&first).thread(), message(&later).thread());
    }
}
