//! Certificates from a real authority: Pebble, the test server of Let's Encrypt, which is a Debian package.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};
use serde_json::json;
use tempfile::TempDir;
use tft_service::tls::{Acme, TlsSource};

use super::client::Client;
use super::{Pair, chmod};
use crate::harness::TestServer;

/// An authority, and the name server that leads it back to this machine; killed when dropped.
struct Pebble {
    children: Vec<Child>,
    address: SocketAddr,
    management: SocketAddr,
    pair: Pair,
    directory: TempDir,
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Pebble {
    /// Starts one that looks at `service_port` of every name; none where there is no such program.
    fn start(service_port: u16) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let pair = Pair::new();
        let files = pair.write(directory.path());
        chmod(&files.certificate, 0o644);
        let (address, management, names, unused) =
            (free_address(), free_address(), free_address(), free_address());
        let config = json!({ "pebble": {
            "listenAddress": address, "managementListenAddress": management,
            "certificate": files.certificate, "privateKey": files.key,
            "httpPort": unused.port(), "tlsPort": service_port,
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
        }});
        std::fs::write(directory.path().join("pebble.json"), config.to_string()).unwrap();
        let spawn = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).current_dir(directory.path()).env("PEBBLE_VA_NOSLEEP", "1");
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
        };
        let names = names.to_string();
        let Some(authority) = spawn("pebble", &["-config", "pebble.json", "-dnsserver", &names]) else {
            eprintln!("skipped: there is no pebble to ask for certificates");
            return None;
        };
        let management_of_names = unused.to_string();
        let name_server = spawn(
            "pebble-challtestsrv",
            &[
                "-defaultIPv6",
                "",
                "-dns01",
                &names,
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
                "-management",
                &management_of_names,
            ],
        );
        let children = vec![authority, name_server.expect("both come in one package")];
        let pebble = Self { children, address, management, pair, directory };
        for address in [address, management, unused] {
            let deadline = Instant::now() + Duration::from_mins(1);
            while TcpStream::connect(address).is_err() {
                assert!(Instant::now() < deadline, "pebble did not start in time");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Some(pebble)
    }

    fn source(&self, kept_in: PathBuf, names: &[&str]) -> TlsSource {
        let mut acme = Acme::new(kept_in, names.iter().map(ToString::to_string).collect());
        acme.directory_url = format!("https://{}/dir", self.address);
        acme.ca_file = Some(self.directory.path().join("tls.crt"));
        acme.contact = Some("ops@example.com".into());
        TlsSource::Acme(acme)
    }

    /// A client that trusts whom the authority vouches for.
    fn client(&self) -> Client {
        let root = Client::trusting(&[&self.pair]).get(self.management, "/roots/0");
        Client::trusting_pem(&root.body, &[&TLS13, &TLS12], &["http/1.1"])
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn wait_until_vouched_for(client: &Client, server: &TestServer, name: &str) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while let Err(error) = client.connect_as(server.address, name) {
        assert!(Instant::now() < deadline, "no certificate for {name} in time: {error}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_authority_gives_a_certificate_and_another_one_for_another_name() {
    let port = free_address().port();
    let Some(pebble) = Pebble::start(port) else { return };
    let client = pebble.client();
    let start = |directory: TempDir, names: &[&str]| {
        let source = pebble.source(directory.path().join("acme"), names);
        TestServer::in_directory(directory, |config| {
            config.port = port;
            config.tls.source = Some(source);
            config.tls.reload_interval = Duration::from_millis(20);
        })
    };
    let server = start(tempfile::tempdir().unwrap(), &["tft.example.com"]);
    wait_until_vouched_for(&client, &server, "tft.example.com");
    assert!(client.connect_as(server.address, "dash.example.com").is_err());
    let files = |directory: &TempDir| {
        let names = std::fs::read_dir(directory.path().join("acme")).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let directory = server.stop();
    let kept = files(&directory);
    assert_eq!(kept.len(), 3, "{kept:?}");
    // The account is used again, and what is there is served at once.
    let certificate = std::fs::read(directory.path().join("acme/tft-acme.crt")).unwrap();
    let server = start(directory, &["tft.example.com"]);
    client.connect_as(server.address, "tft.example.com").unwrap();
    let directory = server.stop();
    assert_eq!(std::fs::read(directory.path().join("acme/tft-acme.crt")).unwrap(), certificate);
    let server = start(directory, &["tft.example.com", "dash.example.com"]);
    wait_until_vouched_for(&client, &server, "dash.example.com");
    client.connect_as(server.address, "tft.example.com").unwrap();
    assert_eq!(files(&server.stop()), kept);
}

#[test]
fn without_an_authority_a_self_signed_certificate_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let mut acme = Acme::new(directory.path().join("acme"), vec!["localhost".into()]);
    acme.directory_url = format!("https://{}/dir", free_address());
    let server = TestServer::in_directory(directory, |config| {
        config.tls.source = Some(TlsSource::Acme(acme));
    });
    let certificate = std::fs::read_to_string(server.directory.path().join("acme/tft-acme.crt")).unwrap();
    let client = Client::trusting(&[&Pair { certificate, key: String::new() }]);
    assert_eq!(client.get(server.address, "/health").status, 200);
}
