//! The commands beside `serve`: `check` and `healthcheck`.

use std::process::{Command, Stdio};

use crate::harness::{KEY, TestServer};
use crate::process::command;

pub(crate) fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.stdout(Stdio::piped()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn check_says_what_is_on_and_never_a_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tft.toml");
    std::fs::write(
        &file,
        "[network]\nport = 9000\nallowed_hosts = [\"tft.example.com\"]\n[rates]\nrate_limit_feed = 7\n",
    )
    .unwrap();
    let mut check = command(directory.path());
    check.args(["check", "--config", "tft.toml", "--rate-limit-alerts", "5"]);
    let (code, told, _) = run(check.env("TFT_API_KEY", KEY).env("RATE_LIMIT_ALERTS", "6"));
    assert_eq!(code, Some(0));
    assert!(told.contains("127.0.0.1:9000"), "{told}");
    assert!(told.contains("feed 7, predictions 30, alerts 5"), "{told}");
    assert!(told.contains("tft.example.com") && !told.contains(KEY), "{told}");
    // Nothing was started, so nothing was made.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn check_refuses_what_serve_would_refuse() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tft.toml"), "[network]\nprot = 9000\n").unwrap();
    let refused = |args: &[&str]| {
        let (code, _, log) = run(command(directory.path()).arg("check").args(args));
        (code, log.lines().last().unwrap_or_default().to_owned())
    };
    let (code, line) = refused(&["--config", "tft.toml"]);
    assert_eq!(code, Some(1));
    assert!(
        line.starts_with("tft-service: the configuration `tft.toml` cannot be used: unknown field `prot`"),
        "{line}"
    );
    let (code, line) = refused(&["--host", "0.0.0.0"]);
    assert_eq!(code, Some(1));
    assert!(line.contains("TFT_API_KEY is not set"), "{line}");
    assert_eq!(refused(&["--config", "missing.toml"]).0, Some(1));
}

#[test]
fn a_healthcheck_tells_a_running_service_from_none() {
    let server = TestServer::start();
    let directory = tempfile::tempdir().unwrap();
    let port = server.address.port().to_string();
    let check = |url: &str| run(command(directory.path()).args(["healthcheck", "--url", url])).0;
    assert_eq!(run(command(directory.path()).arg("healthcheck").env("PORT", &port)).0, Some(0));
    assert_eq!(check(&format!("http://127.0.0.1:{port}/health")), Some(0));
    assert_eq!(check(&format!("http://127.0.0.1:{port}/missing")), Some(1));
    assert_eq!(check("127.0.0.1"), Some(1));
    server.stop();
    assert_eq!(check(&format!("http://127.0.0.1:{port}/health")), Some(1));
}
