//! Versions and protocols, and clients that do not get as far.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::{Client, Pair, start};
use crate::client::{connect, read_reply};
use crate::harness::{KEY, TestServer};
use crate::http2;

#[test]
fn tls_1_2_and_1_3_are_spoken() {
    let pair = Pair::new();
    let directory = tempfile::tempdir().unwrap();
    let files = pair.write(directory.path());
    let server = TestServer::in_directory(directory, |config| {
        config.tls.source = Some(tft_service::tls::TlsSource::Files(files));
    });
    for (version, expected) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let client = Client::with(&[&pair], &[version], &[]);
        let stream = client.connect(server.address).unwrap();
        assert_eq!(stream.conn.protocol_version(), Some(expected));
        assert_eq!(client.get(server.address, "/health").status, 200);
    }
    let stranger = Client::trusting(&[&Pair::new()]);
    assert!(stranger.connect(server.address).is_err());
}

/// A greeting of a client that knows nothing newer than a version, with extensions.
fn old_hello(minor: u8, extensions: &[u8]) -> Vec<u8> {
    let mut hello = vec![3, minor];
    hello.extend([7; 32]);
    // No session; RSA and ECDHE with AES in CBC mode; no compression.
    hello.extend([0, 0, 8, 0xc0, 0x13, 0xc0, 0x09, 0x00, 0x2f, 0x00, 0x35, 1, 0]);
    hello.extend(extensions);
    let length = hello.len() as u8;
    let handshake = [&[1, 0, 0, length][..], &hello].concat();
    [&[22, 3, minor, 0, length + 4][..], &handshake].concat()
}

#[test]
fn older_versions_are_refused() {
    let (server, _) = start(|_| ());
    // Signature algorithms, which clients of then do not send: ECDSA on P-256 with SHA-256.
    let algorithms = [0, 8, 0, 13, 0, 4, 0, 2, 4, 3];
    for minor in [0, 1, 2] {
        // A fatal alert and nothing else: no agreement, or, to those who get as far, the version.
        for (extensions, expected) in [(&[][..], 40), (&algorithms[..], 70)] {
            let mut stream = connect(server.address);
            stream.write_all(&old_hello(minor, extensions)).unwrap();
            let mut reply = Vec::new();
            let _ = stream.read_to_end(&mut reply);
            assert_eq!((reply[0], &reply[5..]), (21, &[2, expected][..]), "3.{minor}: {reply:?}");
        }
    }
}

#[test]
fn http2_is_agreed_on_and_spoken() {
    let pair = Pair::new();
    let directory = tempfile::tempdir().unwrap();
    let files = pair.write(directory.path());
    let server = TestServer::in_directory(directory, |config| {
        config.tls.source = Some(tft_service::tls::TlsSource::Files(files));
    });
    let mut stream = Client::with(&[&pair], &[&TLS13], &["http/1.1", "h2"]).connect(server.address).unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    let settings = http2::frame(4, 0, 0, &[]);
    stream.write_all(&[http2::PREFACE, &settings, &http2::get_health(1)].concat()).unwrap();
    let body = http2::read_until(&mut stream, 0).unwrap();
    assert!(String::from_utf8(body).unwrap().contains("\"running\":true"));
    let other = Client::with(&[&pair], &[&TLS13], &["h3"]).connect(server.address);
    assert!(other.unwrap_err().to_string().contains("NoApplicationProtocol"));
}

#[test]
fn a_connection_is_used_again_and_keys_count() {
    let (server, client) = start(|_| ());
    let mut stream = client.connect(server.address).unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    for (key, expected) in [(KEY, 200), ("a-wrong-secret-key", 403), (KEY, 200)] {
        write!(stream, "GET /alerts/active HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\r\n").unwrap();
        let reply = read_reply(&mut std::io::BufReader::new(&mut stream), false);
        assert_eq!(reply.status, expected, "{}", reply.body);
    }
}

#[test]
fn plain_http_gets_no_http() {
    let (server, _) = start(|_| ());
    let mut stream = connect(server.address);
    write!(stream, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    assert!(!reply.windows(4).any(|window| window == b"HTTP"), "{reply:?}");
}

#[test]
fn half_a_handshake_is_dropped_and_holds_up_nobody() {
    let (server, client) = start(|config| config.tls.handshake_timeout = Duration::from_millis(300));
    let mut held: Vec<_> = (0..20).map(|_| connect(server.address)).collect();
    for stream in held.iter_mut().skip(10) {
        stream.write_all(&[22, 3, 1, 0, 200, 1]).unwrap();
    }
    assert_eq!(client.get(server.address, "/health").status, 200);
    for mut stream in held {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{rest:?}");
    }
}

#[test]
fn a_dropped_handshake_gives_its_slot_back() {
    let (server, client) = start(|config| {
        config.tls.handshake_timeout = Duration::from_millis(300);
        config.limits.connections_max = 2;
    });
    let held: Vec<_> = (0..2).map(|_| connect(server.address)).collect();
    assert_eq!(client.get(server.address, "/health").status, 200);
    drop(held);
}

#[test]
fn stopping_does_not_wait_for_handshakes() {
    let (server, _) = start(|_| ());
    let held = connect(server.address);
    // The server has it once a later one is being served.
    let (other, client) = (server.address, Client::trusting(&[]));
    assert!(client.connect(other).is_err());
    let started = Instant::now();
    server.stop();
    assert!(started.elapsed() < Duration::from_secs(5));
    drop(held);
}

#[test]
fn a_client_that_stops_reading_over_tls_is_dropped() {
    let (server, client) = start(|config| {
        config.limits.connections_max = 1;
        config.limits.write_stall_timeout = Duration::from_millis(300);
        config.limits.idle_timeout = Duration::from_mins(10);
        config.rate_limits.alerts = 100_000;
    });
    let mut stream = client.connect(server.address).unwrap();
    let request = format!("GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\r\n");
    stream.sock.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // Asks without reading, until the replies fill every buffer on the way.
    for _ in 0..100_000 {
        if stream.write_all(request.as_bytes()).is_err() {
            break;
        }
    }
    // The only slot is free again.
    assert_eq!(client.get(server.address, "/health").status, 200);
}

#[test]
fn browsers_are_told_to_stay_with_https_but_not_for_their_own_machine() {
    let (server, client) = start(|config| config.tls.enable_hsts = true);
    let hsts = |client: &Client, server: &TestServer, host| {
        let reply = client.try_get(server.address, "/health", host).unwrap();
        reply.header("Strict-Transport-Security").map(str::to_owned)
    };
    let expected = Some("max-age=31536000; includeSubDomains".to_owned());
    assert_eq!(hsts(&client, &server, "tft.example.com:8443"), expected);
    for host in ["localhost", "localhost:8443", "dash.localhost", "127.0.0.1:8443", "[::1]"] {
        assert_eq!(hsts(&client, &server, host), None, "{host}");
    }
    let (server, client) = start(|config| config.tls.enable_hsts = false);
    assert_eq!(hsts(&client, &server, "tft.example.com"), None);
    let plain = TestServer::start();
    let reply = crate::client::Request::with_host(plain.address, "GET", "/health", "tft.example.com").send();
    assert_eq!(reply.header("Strict-Transport-Security"), None);
}
