//! The history over HTTP: what was there, in figures, as files, after a restart, and nothing of a removed server.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tft_core::time::Timestamp;

use crate::client::Reply;
use crate::harness::{KEY, TestServer, history};
use crate::process::Process;

fn lenient(config: &mut tft_service::Config) {
    config.rate_limits.other = 10_000;
    config.rate_limits.predictions = 10_000;
    config.rate_limits.alerts = 10_000;
}

/// A service with a fleet that has alerts: one server's processors are busy.
fn busy() -> TestServer {
    busy_in(tempfile::tempdir().unwrap())
}

fn busy_in(directory: tempfile::TempDir) -> TestServer {
    let server = TestServer::in_directory(directory, lenient);
    // Together, so that no forecast knows of one alone.
    let fleet = [history("ppdb001", 100, |_| 99.0), history("ppweb003", 100, |_| 20.0)];
    server.feed_records(&fleet.concat());
    server.clock.advance(Duration::from_secs(1));
    server.predictions_of(200);
    server
}

/// Waits until a request's reply has something.
fn wait_for(server: &TestServer, target: &str, has: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let reply = server.get(target);
        assert_eq!(reply.status, 200, "{}", reply.body);
        let reply = reply.json();
        if has(&reply) {
            return reply;
        }
        assert!(Instant::now() < deadline, "not in time: {reply}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn alerts(server: &TestServer) -> Vec<Value> {
    let reply = wait_for(server, "/historical/alerts", |reply| reply["count"] != 0);
    assert_eq!((&reply["success"], &reply["time_range"]), (&json!(true), &json!("1h")));
    reply["alerts"].as_array().unwrap().clone()
}

#[test]
fn transitions_and_snapshots_are_kept_and_found() {
    let server = busy();
    let alerts = alerts(&server);
    let active = server.get("/alerts/active").json();
    assert!(active["count"].as_u64().unwrap() > 0);
    for alert in active["alerts"].as_array().unwrap() {
        let kept = alerts.iter().find(|kept| kept["fingerprint"] == alert["fingerprint"]).unwrap();
        assert_eq!((&kept["server_name"], &kept["rule"]), (&alert["server"], &alert["rule"]));
        assert_eq!((&kept["event_type"], &kept["kind"]), (&json!("new_alert"), &json!("transition")));
        assert_eq!((&kept["new_level"], &kept["resolved_at"]), (&alert["severity"], &Value::Null));
        assert!(kept["risk_score"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(server.get("/historical/alerts?server=ppweb003").json()["count"], 0);
    let of_server = server.get("/historical/server/ppdb001").json();
    assert_eq!(of_server["stats"]["total_events"], alerts.len());
    let pages = server.get("/historical/alerts?limit=1").json();
    assert_eq!((&pages["count"], &pages["alerts"][0]), (&json!(1), &alerts[0]));

    let environment = wait_for(&server, "/historical/environment?range=1d", |reply| reply["count"] != 0);
    let snapshot = &environment["snapshots"][0];
    assert_eq!((&snapshot["total_servers"], &snapshot["top_risk_server"]), (&json!(2), &json!("ppdb001")));
    let summary = server.get("/historical/summary?time_range=8h").json();
    assert_eq!(summary["servers_affected"], 1);
    assert_eq!(summary["total_alerts"], summary["unresolved_count"]);
    assert!(summary["snapshots"].as_u64().unwrap() > 0);
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("tft_history_failures_total 0"), "{metrics}");
    assert!(metrics.lines().any(|line| line.starts_with("tft_history_rows ") && !line.ends_with(" 0")));
}

#[test]
fn what_cannot_be_asked_for_is_refused_by_name() {
    let server = TestServer::with(lenient);
    let detail = |query: &str| {
        let reply = server.get(&format!("/historical/{query}"));
        (reply.status, reply.json()["detail"].as_str().unwrap_or_default().to_owned())
    };
    insta::assert_debug_snapshot!(
        ["alerts?range=2h", "alerts?from=x", "alerts?from=2&to=1", "alerts?limit=0", "alerts?severity=bad", "alerts?kind=x", "export/logs", "export/alerts?format=xml"].map(detail),
        @r#"
    [
        (
            400,
            "range `2h` is not one of 30m, 1h, 8h, 1d, 1w, 1M",
        ),
        (
            400,
            "from: timestamp `x` is not RFC 3339, a date and time without offset, or Unix seconds or milliseconds",
        ),
        (
            400,
            "`from` is later than `to`",
        ),
        (
            400,
            "limit `0` is not a number, 1 to 10000",
        ),
        (
            400,
            "severity `bad` is not one of low, medium, warning, high, critical",
        ),
        (
            400,
            "kind `x` is not one of transition, acknowledged, unacknowledged, note, silence_set, silence_expired",
        ),
        (
            404,
            "there is no table `logs`, but alerts and environment",
        ),
        (
            406,
            "not acceptable, this path answers with `format=csv` and `format=parquet`",
        ),
    ]
    "#
    );
}

#[test]
fn without_a_history_there_is_none() {
    let server = TestServer::with(|config| {
        lenient(config);
        config.history.place = tft_service::config::HistoryPlace::Nowhere;
    });
    for path in ["summary", "alerts", "environment", "server/a", "export/alerts"] {
        assert_eq!(server.get(&format!("/historical/{path}")).status, 404, "{path}");
    }
    assert_eq!(
        std::fs::read_dir(server.directory.path())
            .unwrap()
            .filter(|entry| { entry.as_ref().unwrap().path().is_dir() })
            .count(),
        0
    );
}

#[test]
fn a_note_is_kept_and_shown_with_every_event_of_its_alert() {
    let server = busy();
    let alert = alerts(&server).remove(0);
    let fingerprint = alert["fingerprint"].as_str().unwrap();
    let target = format!("/alerts/{fingerprint}/notes");
    let note = |body: Value| server.with_key("POST", &target).json(body.to_string()).send();
    let reply = note(json!({ "note": "=HYPERLINK(\"x\") looking", "actor": "ada" }));
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(note(json!({ "note": "done" })).status, 200);
    assert_eq!(note(json!({ "note": "" })).status, 422);
    assert_eq!(note(json!({ "note": "x".repeat(5000) })).status, 422);
    assert_eq!(note(json!({ "text": "x" })).status, 400);
    let unknown = server.with_key("POST", "/alerts/0123456789abcdef/notes").json(r#"{"note":"x"}"#).send();
    assert_eq!(unknown.status, 404);

    let events = server.get(&format!("/historical/alerts?fingerprint={fingerprint}")).json();
    let events = events["alerts"].as_array().unwrap();
    assert_eq!((&events[0]["kind"], &events[0]["note"]), (&json!("note"), &json!("done")));
    assert!(events[0]["actor"].as_str().unwrap().starts_with("key-"), "{}", events[0]);
    for event in events {
        assert_eq!(event["notes"][0]["actor"], "ada");
        assert_eq!(event["notes"][1]["text"], "done");
    }
    let csv = server.get("/historical/export/alerts").body;
    assert!(csv.contains(r#","'=HYPERLINK(""x"") looking","#), "{csv}");

    let directory = server.stop();
    let restarted = restart(directory);
    let kept = restarted.get(&format!("/historical/alerts?fingerprint={fingerprint}")).json();
    assert!(kept["alerts"].as_array().unwrap().iter().any(|event| event["note"] == "done"));
    assert_eq!(note_after_restart(&restarted, &target), 200);
}

/// Starts another service, at a time when all that the first one did is over.
fn restart(directory: tempfile::TempDir) -> TestServer {
    let server = TestServer::in_directory(directory, lenient);
    server.clock.advance(Duration::from_mins(5));
    server
}

fn note_after_restart(server: &TestServer, target: &str) -> u16 {
    server.with_key("POST", target).json(r#"{"note":"after the restart"}"#).send().status
}

#[test]
fn exports_have_the_columns_of_the_files_and_go_on_where_one_ends() {
    let server = busy();
    let count = alerts(&server).len();
    let csv = server.get("/historical/export/alerts?range=1d");
    assert_eq!(csv.header("Content-Type"), Some("text/csv"));
    assert_eq!(csv.header("Content-Disposition"), Some("attachment; filename=\"history_alerts_1d.csv\""));
    let lines: Vec<_> = csv.body.split("\r\n").collect();
    assert!(lines[0].starts_with("sequence,timestamp,kind,server_name,profile,rule,metric,severity,"));
    assert_eq!(lines.len(), count + 2);
    assert_eq!(csv.header("X-History-Next"), None);
    let parquet = server.get("/historical/export/environment?format=parquet&limit=1");
    assert_eq!(parquet.header("Content-Type"), Some("application/vnd.apache.parquet"));
    assert!(parquet.bytes.starts_with(b"PAR1") && parquet.bytes.ends_with(b"PAR1"));

    let (mut before, mut parts) = (None, Vec::new());
    loop {
        let from = before.map(|before: String| format!("&before={before}")).unwrap_or_default();
        let part = server.get(&format!("/historical/export/alerts?limit=1{from}"));
        parts.extend(part.body.split("\r\n").skip(1).filter(|line| !line.is_empty()).map(str::to_owned));
        before = part.header("X-History-Next").map(str::to_owned);
        if before.is_none() {
            break;
        }
    }
    assert_eq!(parts, lines[1..=count]);
}

#[test]
fn a_restart_keeps_what_happened_before() {
    let server = busy();
    let before = alerts(&server);
    let directory = server.stop();
    let restarted = restart(directory);
    let after = restarted.get("/historical/alerts").json();
    let after = after["alerts"].as_array().unwrap();
    for event in &before {
        assert!(after.iter().any(|kept| kept["id"] == event["id"]), "{event}");
    }
}

#[test]
fn nothing_of_a_removed_server_is_left_in_the_history() {
    let server = busy();
    alerts(&server);
    wait_for(&server, "/historical/environment", |reply| reply["count"] != 0);
    let removed = server.with_key("DELETE", "/servers/ppdb001").send();
    assert_eq!(removed.status, 200, "{}", removed.body);
    let removed = removed.json();
    assert_eq!(removed["is_confirmed"], true);
    assert!(removed["history_rows"].as_u64().unwrap() > 1, "{removed}");
    assert_eq!(server.get("/historical/server/ppdb001").json()["stats"]["total_events"], 0);
    let environment = server.get("/historical/environment").json();
    assert!(!environment.to_string().contains("ppdb001"), "{environment}");
    let directory = server.stop();
    let kept = directory.path().join("window.history");
    let files: Vec<_> = std::fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() > 1);
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(7).any(|bytes| bytes == b"ppdb001"), "{}", file.display());
    }
}

/// Records of one busy server, every five minutes until now.
fn busy_until_now(server: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let record = |step: i64| {
        let at = Timestamp::from_millis(now - 300_000 * (99 - step));
        json!({ "timestamp": at.to_string(), "server_name": server, "cpu_user_pct": 99.0, "mem_used_pct": 99.5 })
    };
    json!({ "records": (0..100).map(record).collect::<Vec<_>>() }).to_string()
}

fn ask(process: &Process, method: &str, target: &str, body: Option<String>) -> Reply {
    let request = process.request(method, target).header("X-API-Key", KEY);
    match body {
        Some(body) => request.json(body).send(),
        None => request.send(),
    }
}

#[test]
fn a_killed_service_has_every_note_that_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path());
    assert_eq!(ask(&process, "POST", "/feed/data", Some(busy_until_now("ppdb001"))).status, 200);
    let deadline = Instant::now() + Duration::from_mins(1);
    let fingerprint = loop {
        let active = ask(&process, "GET", "/alerts/active", None).json();
        if let Some(fingerprint) = active["alerts"][0]["fingerprint"].as_str() {
            break fingerprint.to_owned();
        }
        assert!(Instant::now() < deadline, "no alert in time: {active}");
        // Fewer than 30 requests a minute.
        std::thread::sleep(Duration::from_millis(2500));
    };
    let target = format!("/alerts/{fingerprint}/notes");
    for number in 0..10 {
        let body = json!({ "note": format!("note {number}") }).to_string();
        assert_eq!(ask(&process, "POST", &target, Some(body)).status, 200);
    }
    process.kill();
    drop(process);
    let process = Process::start(directory.path());
    let kept = ask(&process, "GET", &format!("/historical/alerts?fingerprint={fingerprint}&kind=note"), None);
    let kept = kept.json();
    let notes: Vec<_> = kept["alerts"].as_array().unwrap().iter().rev().map(|event| &event["note"]).collect();
    let expected: Vec<_> = (0..10).map(|number| json!(format!("note {number}"))).collect();
    assert_eq!(notes, expected.iter().collect::<Vec<_>>());
}
