//! What the program makes, prints and refuses of certificates.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use rustls::version::TLS13;

use super::{Client, Pair, chmod, start};
use crate::process::{Process, command, fails};

fn run(directory: &Path, args: &[&str]) -> Output {
    command(directory).args(args).stdout(Stdio::piped()).output().unwrap()
}

/// The exit code and what was printed.
fn result(output: &Output) -> (i32, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// Writes a certificate that ends in so many days, and an hour.
fn write_ending_in(directory: &Path, days: i64) -> String {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = rcgen::CertificateParams::new(vec!["tft.example.com".to_owned()]).unwrap();
    let hour = std::time::Duration::from_hours(1);
    let seconds = now.as_secs() as i64 + days * 86_400;
    params.not_before = epoch + now - 400 * 24 * hour;
    params.not_after = epoch + std::time::Duration::from_secs(seconds as u64) + hour;
    let key = rcgen::KeyPair::generate().unwrap();
    let path = directory.join(format!("{days}.crt"));
    std::fs::write(&path, params.self_signed(&key).unwrap().pem()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_exit_code_tells_how_long_a_certificate_lasts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for (days, expected) in [(90, 0), (31, 0), (30, 1), (8, 1), (7, 2), (0, 2), (-2, 2)] {
        let file = write_ending_in(path, days);
        let (code, text) = result(&run(path, &["cert", "status", "--cert", &file]));
        assert_eq!(code, expected, "{days}: {text}");
        assert!(text.contains(&format!("days left   {days}")), "{text}");
        assert!(text.contains("names       tft.example.com"), "{text}");
    }
    let (code, text) = result(&run(path, &["cert", "status", "--cert", "none.crt"]));
    assert_eq!(code, 2);
    assert!(text.contains("certificate file `none.crt` cannot be read: No such file"), "{text}");
    let output =
        command(path).args(["cert", "status"]).env("TLS_CERT_FILE", write_ending_in(path, 90)).output();
    assert_eq!(output.unwrap().status.code(), Some(0));
}

#[test]
fn a_handshake_from_outside_tells_whether_to_trust() {
    let (server, _) = start(|_| ());
    let (other, _) = start(|_| ());
    let path = server.directory.path();
    let target = format!("https://127.0.0.1:{}/", server.address.port());
    let ca = path.join("tls.crt").to_str().unwrap().to_owned();
    let (code, text) = result(&run(path, &["cert", "test", "--url", &target, "--ca", &ca]));
    assert_eq!(code, 0, "{text}");
    for expected in
        ["version     TLSv1_3", "alpn        h2", "verdict     trusted", "names       localhost, 127.0.0.1"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let other_ca = other.directory.path().join("tls.crt").to_str().unwrap().to_owned();
    let named = ["--server-name", "evil.com"];
    for more in [&["--ca", &other_ca][..], &[], &[&["--ca", &ca], &named[..]].concat()] {
        let args = [&["cert", "test", "--connect", &target][..], more].concat();
        let (code, text) = result(&run(path, &args));
        assert_eq!(code, 1, "{more:?}: {text}");
        assert!(text.contains("verdict     NOT trusted: "), "{text}");
    }
    let plain = crate::harness::TestServer::start();
    let (code, text) = result(&run(path, &["cert", "test", "--connect", &plain.address.to_string()]));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("no handshake"), "{text}");
}

#[test]
fn a_self_signed_certificate_is_made_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let start = || {
        let process = Process::start_with(path, |command| {
            command.args(["--tls-self-signed", "--tls-self-signed-san", "dash.local"]);
        });
        let pem = std::fs::read_to_string(path.join("tft-self-signed.crt")).unwrap();
        let client = Client::trusting_pem(&pem, &[&TLS13], &[]);
        assert_eq!(client.get(process.address, "/health").status, 200);
        pem
    };
    let first = start();
    assert_eq!(start(), first);
    let mode = std::fs::metadata(path.join("tft-self-signed.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (code, text) = result(&run(path, &["cert", "status", "--cert", "tft-self-signed.crt"]));
    assert_eq!(code, 0);
    assert!(text.contains("names       localhost, 127.0.0.1, ::1, dash.local"), "{text}");
}

#[test]
fn tls_that_cannot_be_had_does_not_become_plain_http() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let files = Pair::new().write(path);
    let (certificate, key) = (files.certificate.to_str().unwrap(), files.key.to_str().unwrap());
    let refused = |args: &[&str]| fails(command(path).args(["--port", "0"]).args(args));
    let line = refused(&["--tls-cert-file", certificate]);
    assert!(line.contains("needs TLS_KEY_FILE"), "{line}");
    let line = refused(&["--tls-cert-file", "none.crt", "--tls-key-file", key]);
    assert_eq!(
        line,
        "tft-service: the certificate file `none.crt` cannot be read: No such file or directory (os error 2)"
    );
    let line = refused(&["--tls-required"]);
    assert!(line.contains("TLS_REQUIRED needs a certificate"), "{line}");
    let line = refused(&["--tls-redirect-port", "0"]);
    assert!(line.contains("TLS_REDIRECT_PORT needs a certificate"), "{line}");
    chmod(&files.key, 0o644);
    let line = refused(&["--tls-cert-file", certificate, "--tls-key-file", key]);
    assert!(line.contains("is open to all users (mode 0644)"), "{line}");
    std::fs::write(&files.key, Pair::new().key).unwrap();
    chmod(&files.key, 0o600);
    let line = refused(&["--tls-cert-file", certificate, "--tls-key-file", key]);
    assert!(line.contains("was not made for the key"), "{line}");
}

#[test]
fn a_health_check_speaks_tls_and_a_check_reads_the_files() {
    let (server, _) = start(|_| ());
    let path = server.directory.path();
    let port = server.address.port().to_string();
    let url = format!("https://localhost:{port}/health");
    let (code, text) = result(&run(path, &["healthcheck", "--url", &url]));
    assert_eq!(code, 0, "{text}");
    let by_settings = command(path).arg("healthcheck").env("PORT", &port).env("TLS_CERT_FILE", "a").output();
    assert_eq!(by_settings.unwrap().status.code(), Some(0));
    let (code, text) = result(&run(path, &["healthcheck", "--port", &port]));
    assert_eq!(code, 1, "{text}");
    let args = ["check", "--tls-cert-file", "tls.crt", "--tls-key-file", "tls.key"];
    let (code, text) = result(&run(path, &args));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("tls               tls.crt"), "{text}");
    chmod(&path.join("tls.key"), 0o644);
    let (code, text) = result(&run(path, &args));
    assert_eq!(code, 1, "{text}");
    let (code, text) = result(&run(path, &["check", "--tls-self-signed", "--tls-self-signed-dir", "made"]));
    assert_eq!((code, path.join("made").exists()), (0, false), "{text}");
}

#[test]
fn an_expired_certificate_is_served_with_a_loud_warning() {
    let directory = tempfile::tempdir().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let files = Pair { certificate, key: key.serialize_pem() }.write(directory.path());
    let process = Process::start_with(directory.path(), |command| {
        command.env("TLS_CERT_FILE", &files.certificate).env("TLS_KEY_FILE", &files.key);
    });
    assert!(process.start.iter().any(|line| line.contains("has EXPIRED")), "{:?}", process.start);
    let pem = std::fs::read_to_string(&files.certificate).unwrap();
    let refused = Client::trusting_pem(&pem, &[&TLS13], &[]).connect(process.address).unwrap_err();
    assert!(refused.to_string().contains("certificate expired"), "{refused}");
}
