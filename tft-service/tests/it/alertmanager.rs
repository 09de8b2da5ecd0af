//! Alerts to a real Alertmanager, which is a Debian package.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::client::Request;
use crate::test_alert::test_alert;

/// An Alertmanager of the test's own; killed when dropped.
pub(crate) struct Alertmanager {
    child: Child,
    pub(crate) address: SocketAddr,
    _directory: TempDir,
}

impl Alertmanager {
    /// Starts one on a port that was free; none where there is no such program.
    pub(crate) fn start() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
        std::fs::write(directory.path().join("config.yml"), config).unwrap();
        let spawn = |program: &str| {
            let mut command = Command::new(program);
            command.args(["--config.file=config.yml", "--storage.path=data", "--cluster.listen-address="]);
            command.arg(format!("--web.listen-address={address}")).current_dir(directory.path());
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
        };
        let Some(child) = ["prometheus-alertmanager", "alertmanager"].into_iter().find_map(spawn) else {
            eprintln!("skipped: there is no prometheus-alertmanager to send alerts to");
            return None;
        };
        let alertmanager = Self { child, address, _directory: directory };
        let deadline = Instant::now() + Duration::from_mins(1);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "Alertmanager did not start in time");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(alertmanager)
    }

    /// The alerts that it holds to be firing.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        let reply = Request::new(self.address, "GET", "/api/v2/alerts").send_to_redirect();
        assert_eq!(reply.status, 200, "{}", reply.body);
        serde_json::from_str(&reply.body).unwrap()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_test_fires_and_is_resolved() {
    let Some(alertmanager) = Alertmanager::start() else { return };
    let directory = tempfile::tempdir().unwrap();
    let (code, out, log) = test_alert(directory.path(), |command| {
        command.env("ALERTMANAGER_URL", format!("http://{}/", alertmanager.address));
        command.env("ALERT_PUBLIC_URL", "https://tft.example.com/");
    });
    assert_eq!(code, Some(0), "{out}{log}");
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].contains(") firing: 200 (") && lines[1].contains(") resolved: 200 ("), "{out}");
    assert!(alertmanager.alerts().is_empty(), "the test is over");
}
