//! Alerts, silences and acknowledgements outlive the process, however it ends, and name no server that was removed.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{KEY, TestServer, history};
use crate::process::Process;

fn lenient(config: &mut tft_service::Config) {
    config.rate_limits.other = 10_000;
    config.rate_limits.predictions = 10_000;
    config.rate_limits.alerts = 10_000;
}

fn alerts(server: &TestServer) -> Vec<Value> {
    server.get("/alerts/active").json()["alerts"].as_array().unwrap().clone()
}

/// A service with two servers in trouble, of which one is silenced and the other's first alert acknowledged.
fn in_trouble(directory: TempDir) -> TestServer {
    let server = TestServer::in_directory(directory, lenient);
    server.feed_records(&history("ppdb001", 100, |_| 99.0));
    server.feed_records(&history("ppweb003", 100, |_| 99.0));
    server.predictions_of(200);
    let silence = json!({ "matchers": ["server=\"ppdb001\""], "ends_at": "2026-01-06T00:00:00Z" });
    assert_eq!(server.with_key("POST", "/alerts/silences").json(silence.to_string()).send().status, 200);
    let of_web = alerts(&server).into_iter().find(|alert| alert["server"] == "ppweb003").unwrap();
    let path = format!("/alerts/{}/acknowledge", of_web["fingerprint"].as_str().unwrap());
    let body = json!({ "by": "ops", "comment": "known" }).to_string();
    assert_eq!(server.with_key("POST", &path).json(body).send().status, 200);
    server
}

fn files_with(directory: &Path, needle: &str) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let has = |bytes: Vec<u8>| bytes.windows(needle.len()).any(|part| part == needle.as_bytes());
    let found = entries.filter(|path| path.is_file() && has(std::fs::read(path).unwrap()));
    found.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_restart_goes_on_with_alerts_and_what_people_said_of_them() {
    let server = in_trouble(tempfile::tempdir().unwrap());
    let (before, silences) = (alerts(&server), server.get("/alerts/silences").json()["silences"].clone());
    assert!(before.iter().any(|alert| alert["acknowledged"]["by"] == "ops"), "{before:?}");
    let server = TestServer::in_directory(server.stop(), lenient);
    // Were the alerts new, they would begin a minute later.
    server.clock.advance(Duration::from_mins(1));
    server.predictions_of(200);
    assert_eq!(server.get("/alerts/silences").json()["silences"], silences);
    let life = |alerts: &[Value]| -> Vec<Value> {
        let of = |alert: &Value| {
            json!([
                alert["fingerprint"],
                alert["first_seen"],
                alert["silenced_by"],
                alert["acknowledged"]["by"]
            ])
        };
        alerts.iter().map(of).collect()
    };
    assert_eq!(life(&alerts(&server)), life(&before));
}

#[test]
fn a_silence_that_was_acknowledged_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path());
    let silence = json!({ "matchers": ["severity=\"warning\""], "ends_at": "2999-01-01T00:00:00Z" });
    let request = process.request("POST", "/alerts/silences").header("X-API-Key", KEY);
    let kept = request.json(silence.to_string()).send();
    assert_eq!(kept.status, 422, "{}", kept.body);
    let ends_at = tft_core::time::Timestamp::from_millis(
        std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64 + 3_600_000,
    );
    let silence = json!({ "matchers": ["severity=\"warning\""], "ends_at": ends_at.to_string() });
    let request = process.request("POST", "/alerts/silences").header("X-API-Key", KEY);
    let kept = request.json(silence.to_string()).send();
    assert_eq!(kept.status, 200, "{}", kept.body);
    process.kill();
    drop(process);
    let process = Process::start(directory.path());
    let silences = process.request("GET", "/alerts/silences").header("X-API-Key", KEY).send().json();
    assert_eq!(silences["silences"].as_array().unwrap()[0], kept.json());
}

#[test]
fn a_removed_server_is_in_no_file() {
    let server = in_trouble(tempfile::tempdir().unwrap());
    assert!(!files_with(server.directory.path(), "ppweb003").is_empty());
    let reply = server.with_key("DELETE", "/servers/ppweb003").send().json();
    assert_eq!(reply["is_confirmed"], true, "{reply}");
    assert_eq!(files_with(server.directory.path(), "ppweb003"), [""; 0]);
    let directory = server.stop();
    assert_eq!(files_with(directory.path(), "ppweb003"), [""; 0]);
}

#[test]
fn a_damaged_file_is_moved_aside_and_the_service_starts() {
    let directory = in_trouble(tempfile::tempdir().unwrap()).stop();
    for name in ["alerts", "notifier"] {
        let path = directory.path().join(format!("window.parquet.doc-{name}"));
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let server = TestServer::in_directory(directory, lenient);
    server.predictions_of(200);
    assert_eq!(server.get("/alerts/silences").json()["silences"], json!([]));
    assert!(!alerts(&server).is_empty());
    let entries = std::fs::read_dir(server.directory.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains(".doc-") && name.contains(".corrupt-")).count(), 2);
}
