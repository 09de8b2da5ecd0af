//! The audit lines: one per request, whatever came of it, and never a secret.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tft_service::audit::AuditTarget;

use crate::harness::{KEY, TestServer};

fn audited(change: impl FnOnce(&mut tft_service::Config)) -> (TestServer, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let target = AuditTarget::File(path.clone());
    let server = TestServer::in_directory(directory, |config| {
        config.audit = target;
        change(config);
    });
    (server, path)
}

/// Waits until the log has `count` lines and returns what they say.
fn lines(path: &Path, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = std::fs::read_to_string(path).unwrap();
        if text.lines().count() >= count {
            let read = |line: &str| serde_json::from_str(line.strip_prefix("AUDIT: ").unwrap()).unwrap();
            return text.lines().map(read).collect();
        }
        assert!(Instant::now() < deadline, "{text}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn every_request_has_one_line_that_says_what_came_of_it() {
    let (server, path) = audited(|config| config.rate_limits.alerts = 1);
    let wrong = "a-wrong-key-that-must-not-be-in-any-log";
    let calls = [
        server.request("GET", "/health"),
        server.with_key("GET", "/alerts/active?secret=in-the-query"),
        server.with_key("GET", "/alerts/active"),
        server.request("GET", "/alerts/active"),
        server.request("GET", "/alerts/active").header("X-API-Key", wrong),
        server.with_key("GET", "/predictions/current").header("Origin", "https://evil.com"),
        server.with_key("GET", "/nothing"),
        server.with_key("POST", "/feed/data").json("{"),
    ];
    let replies: Vec<_> = calls.into_iter().map(crate::client::Request::send).collect();
    let lines = lines(&path, replies.len());
    assert_eq!(lines.len(), replies.len());
    let told = |name: &str| lines.iter().map(|line| line[name].clone()).collect::<Vec<_>>();
    assert_eq!(told("status_code"), [200, 200, 429, 403, 403, 403, 404, 400]);
    assert_eq!(told("method")[7], "POST");
    assert_eq!(told("path")[1], "/alerts/active");
    assert!(told("reason")[2].as_str().unwrap().contains("rate limit"), "{lines:?}");
    assert!(told("reason")[5].as_str().unwrap().contains("CORS"), "{lines:?}");
    assert_eq!((&lines[0]["key_id"], &lines[4]["key_id"]), (&"none".into(), &"invalid".into()));
    assert_eq!(lines[1]["key_id"], lines[7]["key_id"]);
    for (reply, line) in replies.iter().zip(&lines) {
        assert_eq!(reply.header("x-request-id"), line["request_id"].as_str());
        assert_eq!(line["client_ip"], "127.0.0.1");
        assert_eq!(line["timestamp"], crate::harness::NOW);
    }
    let text = std::fs::read_to_string(&path).unwrap();
    for secret in [KEY, wrong, "in-the-query"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn a_line_is_written_before_the_service_has_stopped() {
    let (server, path) = audited(|_| ());
    for _ in 0..50 {
        assert_eq!(server.request("GET", "/status").send().status, 200);
    }
    let _directory = server.stop();
    assert_eq!(lines(&path, 50).len(), 50);
}
