//! The real program: how it starts, stops and what it tells about it.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::Request;
use crate::harness::{KEY, history};

/// A running `tft-service`; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    /// The log until the program listened.
    pub(crate) start: Vec<String>,
    log: mpsc::Receiver<String>,
}

pub(crate) fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tft-service"));
    command.env_clear().current_dir(directory).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

impl Process {
    pub(crate) fn start(directory: &Path) -> Self {
        Self::start_with(directory, |_| ())
    }

    /// Starts the program with a command that a test has changed.
    pub(crate) fn start_with(directory: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = command(directory);
        command.args(["serve", "--port", "0"]).env("TFT_API_KEY", format!("{KEY}\n"));
        change(&mut command);
        let mut child = command.env("PERSISTENCE_FILE", directory.join("kept.parquet")).spawn().unwrap();
        let log = lines_of(child.stderr.take().unwrap());
        let mut start = Vec::new();
        let address = loop {
            let line = log.recv_timeout(Duration::from_mins(1)).unwrap();
            if let Some((_, address)) = line.split_once("listening address=") {
                break address.trim().parse().unwrap();
            }
            start.push(line);
        };
        Self { child, address, start, log }
    }

    pub(crate) fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.address, method, target)
    }

    /// Ends the program without any warning.
    pub(crate) fn kill(&self) {
        self.signal("KILL");
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits for a line of the log that has a text.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        loop {
            let line = self.log.recv_timeout(Duration::from_mins(1)).unwrap();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends a signal by name, waits for the end and returns the exit code with the rest of the log.
    pub(crate) fn stop(mut self, signal: &str) -> (Option<i32>, Vec<String>) {
        self.signal(signal);
        let code = self.child.wait().unwrap().code();
        (code, self.log.iter().collect())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

/// Runs a command that must fail at start, with one line on standard error.
pub(crate) fn fails(command: &mut Command) -> String {
    let mut child = command.spawn().unwrap();
    let log = lines_of(child.stderr.take().unwrap());
    let deadline = Instant::now() + Duration::from_mins(1);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let log: Vec<_> = log.iter().collect();
    assert_eq!(status.code(), Some(1), "{log:?}");
    let lines: Vec<_> = log.iter().filter(|line| line.starts_with("tft-service: ")).collect();
    assert_eq!(lines.len(), 1, "{log:?}");
    lines[0].clone()
}

#[test]
fn a_stop_signal_saves_and_a_restart_has_the_data() {
    let directory = tempfile::tempdir().unwrap();
    for signal in ["TERM", "INT"] {
        let process = Process::start(directory.path());
        let now = tft_core::time::Timestamp::from_millis(
            std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64,
        );
        let record = json!({ "timestamp": now.to_string(), "server_name": signal, "load": 1.5 });
        let feed = process.request("POST", "/feed/data").header("X-API-Key", KEY);
        assert_eq!(feed.json(json!({ "records": [record] }).to_string()).send().status, 200);
        let (code, log) = process.stop(signal);
        assert_eq!(code, Some(0), "{log:?}");
        assert!(log.iter().any(|line| line.contains("saved the checkpoint")), "{log:?}");
    }
    let process = Process::start(directory.path());
    assert_eq!(process.request("GET", "/status").send().json()["window_size"], 2);
    let bytes = std::fs::read(directory.path().join("kept.parquet")).unwrap();
    assert_eq!((&bytes[..4], &bytes[bytes.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
}

#[test]
fn refusals_are_in_the_log_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path());
    process.request("GET", "/alerts/active").header("X-API-Key", "a-wrong-secret-key").send();
    let with_key = || process.request("GET", "/alerts/active").header("X-API-Key", KEY);
    with_key().header("Origin", "https://evil.com").send();
    for _ in 0..31 {
        with_key().send();
    }
    let (_, log) = process.stop("TERM");
    for expected in ["403 Forbidden: invalid or missing API key", "CORS", "429 Too Many Requests"] {
        assert!(log.iter().any(|line| line.contains(expected)), "{expected}: {log:?}");
    }
    assert!(!log.iter().any(|line| line.contains("secret-key") || line.contains(KEY)), "{log:?}");
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let line = fails(command(directory.path()).env("PORT", &port));
    assert!(line.starts_with(&format!("tft-service: cannot listen on 127.0.0.1:{port}: Address")), "{line}");
}

#[test]
fn flags_beat_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let line = fails(command(directory.path()).env("PORT", "0").args(["--port", "http"]));
    insta::assert_snapshot!(line, @"tft-service: PORT `http` is not a port number, 0 to 65535");
}

#[test]
fn what_is_unsafe_or_unusable_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let line = fails(command(path).args(["--host", "0.0.0.0"]));
    insta::assert_snapshot!(line, @"tft-service: TFT_API_KEY is not set and TFT_HOST `0.0.0.0` is not a loopback address: set a key, or give --insecure-no-auth");
    let line = fails(command(path).args(["--host", "0.0.0.0"]).env("TFT_API_KEY", " \n"));
    assert!(line.contains("TFT_API_KEY is not set"), "{line}");
    let line = fails(command(path).env("TFT_API_KEY", "short"));
    assert!(line.contains("TFT_API_KEY must be 32 to 512"), "{line}");
    let line = fails(command(path).env("TFT_API_KEY", KEY).env("CORS_ORIGINS", "*"));
    assert!(line.contains("CORS_ORIGINS `*`"), "{line}");
    let line = fails(command(path).env("PERSISTENCE_FILE", "no/such/folder/window.parquet"));
    assert!(line.contains("PERSISTENCE_FILE `no/such/folder/window.parquet` cannot be used: "), "{line}");
    let line = fails(command(path).args(["--model", "no/such/model"]));
    assert!(line.contains("no/such/model"), "{line}");
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_program_without_tls_does_not_become_plain_http_either() {
    let directory = tempfile::tempdir().unwrap();
    for args in [&["--tls-cert-file", "a.crt", "--tls-key-file", "a.key"][..], &["--tls-self-signed"]] {
        let line = fails(command(directory.path()).args(["--port", "0"]).args(args));
        let expected = "tft-service: TLS was asked for, and this program was built without the feature `tls`";
        assert_eq!(line, expected);
    }
}

#[test]
fn a_corrupt_checkpoint_is_moved_aside() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("kept.parquet"), "not a Parquet file").unwrap();
    let process = Process::start(directory.path());
    assert_eq!(process.request("GET", "/status").send().json()["window_size"], 0);
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name.to_string_lossy().contains(".corrupt-")), "{names:?}");
}

#[test]
fn a_server_within_a_test_stops_and_starts_with_its_data() {
    let server = crate::harness::TestServer::start();
    server.feed_records(&history("ppdb001", 30, f64::from));
    let path = server.checkpoint();
    let directory = server.stop();
    assert!(path.exists());
    let server = crate::harness::TestServer::in_directory(directory, |_| ());
    assert_eq!(server.status()["window_size"], 30);
}
