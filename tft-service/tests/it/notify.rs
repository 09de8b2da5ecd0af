//! Alerts of fed servers reach receivers, once, and their end does too.

use std::time::{Duration, Instant};

use serde_json::json;
use tft_service::NotifyConfig;

use crate::alertmanager::Alertmanager;
use crate::harness::{TestServer, history};
use crate::hook::Hook;

fn start(receivers: &str) -> TestServer {
    let parsed = NotifyConfig::parse(receivers, |_| None).unwrap();
    TestServer::with(|config| config.notify = parsed)
}

/// A receiver of everything, in one group and at once.
fn webhook(hook: &Hook) -> String {
    let address = hook.address;
    format!(
        "[[receivers]]
        name = 'ops'
        type = 'webhook'
        url = 'http://{address}/'
        retry_first_ms = 10
        group_by = []
        group_wait_ms = 0
        group_interval_ms = 1000
        "
    )
}

/// Feeds one more step, five minutes after the last, and has that much time pass.
fn feed_step(server: &TestServer, name: &str, step: i64, busy: f64) {
    server.clock.advance(Duration::from_mins(5));
    let noon = tft_core::time::Timestamp::parse("2026-01-05T12:00:00Z").unwrap();
    let record = json!({
        "timestamp": noon.plus_millis(300_000 * step).to_string(), "server_name": name, "status": "OK",
        "cpu_user_pct": busy, "cpu_idle_pct": 100.0 - busy, "mem_used_pct": 60.0, "load_average": 4.0,
    });
    server.feed_records(&[record]);
}

fn sample(server: &TestServer, name: &str) -> Option<f64> {
    let text = server.get("/metrics").body;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn an_alert_and_its_end_are_told_once() {
    let hook = Hook::answering(&["500 Oops", "200 OK"]);
    let server = start(&webhook(&hook));
    server.feed_records(&history("ppdb001", 30, |_| 99.0));
    let (refused, taken) = (hook.next(), hook.next());
    assert_eq!(refused.header("webhook-id"), taken.header("webhook-id"));
    let body = taken.json();
    assert_eq!((&body["status"], &body["receiver"]), (&"firing".into(), &"ops".into()));
    let alerts = body["alerts"].as_array().unwrap();
    let is_busy = |alert: &&serde_json::Value| alert["labels"]["alertname"] == "cpu_user_pct_high";
    let alert = alerts.iter().find(is_busy).unwrap_or_else(|| panic!("{body}"));
    assert_eq!((&alert["labels"]["server"], &alert["status"]), (&"ppdb001".into(), &"firing".into()));
    assert_eq!(alert["labels"]["severity"], "critical");
    for step in 1..40 {
        feed_step(&server, "ppdb001", step, 5.0);
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline {
            let Some(posted) = hook.try_next() else {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            if posted.json()["status"] == "resolved" {
                let sent = sample(&server, "tft_notifications_total{receiver=\"ops\",result=\"sent\"}");
                assert!(sent.is_some_and(|count| count >= 1.0), "{sent:?}");
                let failures = sample(&server, "tft_notification_failures_total{receiver=\"ops\"}");
                assert_eq!(failures, Some(1.0));
                return;
            }
        }
    }
    panic!("the end of the alert was not told");
}

#[test]
fn an_alertmanager_holds_what_fires() {
    let Some(alertmanager) = Alertmanager::start() else { return };
    let url = format!("http://{}", alertmanager.address);
    let server = start(&format!("[[receivers]]\nname = 'am'\ntype = 'alertmanager'\nurl = '{url}'"));
    // Alertmanager tells the time by itself, and would take alerts of long ago for resolved.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    let start = tft_core::time::Timestamp::parse(crate::harness::NOW).unwrap();
    let started = Duration::from_millis(start.as_millis().try_into().unwrap());
    server.clock.advance(now.checked_sub(started).unwrap());
    let step_ms = 300_000;
    let shift_ms = (now.as_millis() as i64 - start.as_millis()) / step_ms * step_ms;
    let records: Vec<_> = history("ppdb001", 30, |_| 99.0)
        .into_iter()
        .map(|mut record| {
            let at = tft_core::time::Timestamp::parse(record["timestamp"].as_str().unwrap()).unwrap();
            record["timestamp"] = at.plus_millis(shift_ms).to_string().into();
            record
        })
        .collect();
    server.feed_records(&records);
    let deadline = Instant::now() + Duration::from_mins(1);
    let alert = loop {
        let alerts = alertmanager.alerts();
        let busy = alerts.into_iter().find(|alert| alert["labels"]["alertname"] == "cpu_user_pct_high");
        if let Some(alert) = busy {
            break alert;
        }
        assert!(Instant::now() < deadline, "no alert in time");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(
        (&alert["labels"]["server"], &alert["status"]["state"]),
        (&"ppdb001".into(), &"active".into())
    );
    let ends = tft_core::time::Timestamp::parse(alert["endsAt"].as_str().unwrap()).unwrap();
    assert!(ends.as_millis() > now.as_millis() as i64 + 240_000, "{alert}");
}

#[test]
fn a_stop_tries_once_more_before_it_saves() {
    let hook = Hook::answering(&["503 Later", "200 OK"]);
    // A pause that is longer than the test.
    let receivers = webhook(&hook).replace("retry_first_ms = 10", "retry_first_ms = 60000");
    let server = start(&receivers);
    server.feed_records(&history("ppdb001", 30, |_| 99.0));
    let first = hook.next();
    let deadline = Instant::now() + Duration::from_mins(1);
    while sample(&server, "tft_notification_queue_length{receiver=\"ops\"}") != Some(1.0) {
        assert!(Instant::now() < deadline, "the message does not wait");
        std::thread::sleep(Duration::from_millis(10));
    }
    server.stop();
    let at_stop = hook.next();
    assert_eq!(first.header("webhook-id"), at_stop.header("webhook-id"));
}
