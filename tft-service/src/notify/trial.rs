//! One attempt per receiver to tell it of an alert that is none, to see whether it can be told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tft_core::alert::{Alert, Notification};
use tft_core::time::Timestamp;

use super::channel::{Reply, Sending};
use super::config::NotifyConfig;
use super::failure::Failure;
use super::message::Message;
use super::receiver::Receiver;

/// What became of one attempt.
#[derive(Debug)]
pub(crate) struct Trial {
    receiver: String,
    kind: &'static str,
    target: String,
    /// `firing` or `resolved`.
    status: &'static str,
    result: Result<Reply, Failure>,
    took: Duration,
}

/// Tells every receiver, or the one of a name, at the same time. Those that remember what fires are told at once that
/// it is resolved, too.
pub(crate) async fn try_receivers(config: &NotifyConfig, wanted: Option<&str>, at: Timestamp) -> Vec<Trial> {
    let chosen = config.receivers.iter().filter(|receiver| wanted.is_none_or(|name| receiver.name == name));
    let running: Vec<_> = chosen
        .map(|receiver| tokio::spawn(try_receiver(Arc::clone(receiver), config.public_url.clone(), at)))
        .collect();
    let mut trials = Vec::new();
    for trial in running {
        trials.extend(trial.await.unwrap_or_default());
    }
    trials
}

async fn try_receiver(receiver: Arc<Receiver>, public_url: Option<String>, at: Timestamp) -> Vec<Trial> {
    let states = if receiver.channel.remembers() { &["firing", "resolved"][..] } else { &["firing"] };
    let mut trials = Vec::new();
    for state in states {
        let Some(notification) = example(&receiver.name, state, at) else { continue };
        let message = Message { notification: &notification, public_url: public_url.as_deref() };
        let started = Instant::now();
        let result = receiver.channel.send(&message, &Sending { at }).await;
        trials.push(Trial {
            receiver: receiver.name.clone(),
            kind: receiver.channel.kind(),
            target: receiver.channel.target(),
            status: message.status(),
            result,
            took: started.elapsed(),
        });
    }
    trials
}

/// An alert that says that it is none.
fn example(receiver: &str, state: &str, at: Timestamp) -> Option<Notification> {
    let alert: Result<Alert, _> = serde_json::from_value(json!({
        "server": "tft-service", "profile": "generic", "rule": "test_alert", "metric": "test", "severity": "low",
        "state": state, "since": at, "first_seen": at, "quantile": 0.5, "threshold": null, "current_value": null,
        "predicted_value": null, "steps_ahead": null, "minutes_ahead": null,
        "message": "This is a test: nothing is wrong, and nobody has to do anything.",
        "labels": {"test": "true"}, "fingerprint": "0000000000000000",
    }));
    let alerts = vec![alert.ok()?];
    Some(Notification::new((receiver, "test-alert"), BTreeMap::new(), at, alerts))
}

impl Trial {
    /// Returns whether everybody behind the receiver was told.
    pub(crate) fn is_delivered(&self) -> bool {
        self.result.as_ref().is_ok_and(|reply| reply.refused.is_none())
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { receiver, kind, target, status, result, took } = self;
        let verdict = if self.is_delivered() { "ok" } else { "FAILED" };
        write!(f, "{verdict:<7}{receiver} ({kind}, {target}) {status}: ")?;
        match result {
            Ok(Reply { said, refused: None }) => write!(f, "{said}")?,
            Ok(Reply { said, refused: Some(refused) }) => write!(f, "{said}; {refused}")?,
            Err(failure) => write!(f, "{failure}")?,
        }
        write!(f, " ({} ms)", took.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_an_alert_in_either_state() {
        let at = Timestamp::parse("2026-01-05T12:00:00Z").unwrap();
        assert!(!example("ops", "firing", at).unwrap().is_resolved());
        assert!(example("ops", "resolved", at).unwrap().is_resolved());
    }
}
