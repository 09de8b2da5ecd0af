//! Settings of TLS from files and variables.

use serde_json::json;

use super::client::Client;
use super::{Pair, start};
use crate::process::{Process, command, fails};

#[test]
fn the_same_is_served_on_every_port() {
    let (server, client) = start(|config| config.extra_ports = vec![0, 0]);
    assert_eq!(server.addresses.len(), 3);
    for &address in &server.addresses {
        assert_eq!(client.get(address, "/health").status, 200);
    }
}

#[test]
fn ssl_config_names_the_certificate_and_variables_beat_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let pair = Pair::new();
    let files = pair.write(path);
    let config = json!({
        "domain": "localhost", "use_letsencrypt": true, "staging": false,
        "cert_file": files.certificate, "key_file": "/elsewhere/tls.key",
        "https_port_api": 0, "https_port_frontend": 0, "wss_port_streaming": 0,
        "enable_hsts": false, "enable_csp": true, "auto_renew": true,
    });
    std::fs::write(path.join("ssl-config.json"), config.to_string()).unwrap();
    let process = Process::start_with(path, |command| {
        command.args(["--ssl-config", "ssl-config.json"]).env("MFC_SSL_KEY_FILE", &files.key);
    });
    assert_eq!(Client::trusting(&[&pair]).get(process.address, "/health").status, 200);
    assert!(
        process.start.iter().any(|line| line.contains("certbot obtains and renews")),
        "{:?}",
        process.start
    );
    let line = fails(command(path).args(["--ssl-config", "ssl-config.json", "--port", "0"]));
    assert!(line.contains("the key file `/elsewhere/tls.key` cannot be read"), "{line}");
}

#[test]
fn ssl_config_that_is_wrong_or_incomplete_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("a.json"), r#"{"domian": "example.com"}"#).unwrap();
    let line = fails(command(path).args(["--ssl-config", "a.json"]));
    assert!(line.contains("the configuration `a.json` cannot be used: unknown field `domian`"), "{line}");
    let line = fails(command(path).env("MFC_HTTPS_API_PORT", "0"));
    assert!(line.contains("TLS_REQUIRED needs a certificate"), "{line}");
}
