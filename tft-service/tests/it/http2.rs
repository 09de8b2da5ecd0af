//! HTTP/2 on the same port, and what a client may do to it.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::client::connect;
use crate::harness::TestServer;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of HTTP/2 (RFC 9113, section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET /health` with the static table's entries: method, scheme, and literals for path and authority.
pub(crate) fn get_health(stream: u32) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    for (name_index, value) in [(0x04, &b"/health"[..]), (0x01, b"localhost")] {
        block.extend([name_index, value.len() as u8]);
        block.extend(value);
    }
    // END_STREAM and END_HEADERS.
    frame(1, 0x5, stream, &block)
}

/// Reads frames until one of a kind, or the end of the connection.
pub(crate) fn read_until(stream: &mut impl Read, kind: u8) -> Option<Vec<u8>> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).ok()?;
        if head[3] == kind {
            return Some(payload);
        }
    }
}

#[test]
fn requests_are_answered_over_http2() {
    let server = TestServer::start();
    let mut stream = connect(server.address);
    stream.write_all(&[PREFACE, &frame(4, 0, 0, &[]), &get_health(1)].concat()).unwrap();
    let body = read_until(&mut stream, 0).unwrap();
    assert!(String::from_utf8(body).unwrap().contains("\"running\":true"));
}

#[test]
fn a_client_that_resets_what_it_asks_for_is_sent_away() {
    let server = TestServer::start();
    let mut stream = connect(server.address);
    stream.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat()).unwrap();
    // Rapid reset: each request is cancelled before it can be answered.
    let storm: Vec<u8> = (0..20_000_u32)
        .flat_map(|at| [get_health(2 * at + 1), frame(3, 0, 2 * at + 1, &8_u32.to_be_bytes())].concat())
        .collect();
    let sent = stream.write_all(&storm);
    let told_to_go = read_until(&mut stream, 7);
    assert!(sent.is_err() || told_to_go.is_some());
    assert_eq!(server.request("GET", "/health").send().status, 200);
}

#[test]
fn a_connection_without_requests_ends_after_the_idle_time() {
    let server = TestServer::with(|config| config.limits.idle_timeout = Duration::from_millis(300));
    let mut stream = connect(server.address);
    stream.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat()).unwrap();
    let started = Instant::now();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[test]
fn half_a_preface_is_no_request() {
    let server = TestServer::with(|config| config.limits.header_timeout = Duration::from_millis(200));
    let mut stream = connect(server.address);
    stream.write_all(&PREFACE[..7]).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&rest));
}
