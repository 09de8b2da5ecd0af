//! Certificates that change while connections come in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tft_service::tls::TlsSource;

use super::client::{Client, der};
use super::{Pair, chmod};
use crate::harness::TestServer;
use crate::process::Process;

fn start(pair: &Pair) -> TestServer {
    let directory = tempfile::tempdir().unwrap();
    let files = pair.write(directory.path());
    TestServer::in_directory(directory, |config| {
        config.tls.source = Some(TlsSource::Files(files));
        config.tls.reload_interval = Duration::from_millis(20);
    })
}

fn wait_until_shown(client: &Client, address: std::net::SocketAddr, pair: &Pair) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while client.certificate(address).unwrap() != der(pair) {
        assert!(Instant::now() < deadline, "the new certificate was not shown in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_new_certificate_is_shown_and_no_request_fails() {
    let (old, new) = (Pair::new(), Pair::new());
    let server = start(&old);
    let client = Client::trusting(&[&old, &new]);
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (client, address) = (client.clone(), server.address);
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let reply = client.try_get(address, "/health", "localhost").unwrap();
                    assert_eq!(reply.status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut held = client.connect(server.address).unwrap();
    for pair in [&new, &old, &new] {
        let before = answered.load(Ordering::Relaxed);
        pair.write(server.directory.path());
        wait_until_shown(&client, server.address, pair);
        while answered.load(Ordering::Relaxed) < before + 20 {
            std::thread::yield_now();
        }
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().unwrap();
    }
    // What was connected before goes on with its keys.
    std::io::Write::write_all(&mut held, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let reply = crate::client::read_reply(&mut std::io::BufReader::new(&mut held), false);
    assert_eq!(reply.status, 200);
}

#[test]
fn what_cannot_be_served_leaves_the_old_certificate_in_use() {
    let (old, new) = (Pair::new(), Pair::new());
    let directory = tempfile::tempdir().unwrap();
    let files = old.write(directory.path());
    let process = Process::start_with(directory.path(), |command| {
        command.env("TLS_CERT_FILE", &files.certificate).env("TLS_KEY_FILE", &files.key);
    });
    let client = Client::trusting(&[&old, &new]);
    let told = |process: &Process| process.wait_for_log("the certificate was not reloaded");
    std::fs::write(&files.certificate, &new.certificate).unwrap();
    process.signal("HUP");
    assert!(told(&process).contains("was not made for the key"));
    assert_eq!(client.certificate(process.address).unwrap(), der(&old));
    std::fs::remove_file(&files.key).unwrap();
    process.signal("HUP");
    assert!(told(&process).contains("cannot be read"));
    assert_eq!(client.certificate(process.address).unwrap(), der(&old));
    new.write(directory.path());
    chmod(&files.key, 0o644);
    process.signal("HUP");
    assert!(told(&process).contains("is open to all users"));
    chmod(&files.key, 0o600);
    process.signal("HUP");
    process.wait_for_log("new connections see the new certificate");
    assert_eq!(client.certificate(process.address).unwrap(), der(&new));
    assert_eq!(process.stop("TERM").0, Some(0));
}
