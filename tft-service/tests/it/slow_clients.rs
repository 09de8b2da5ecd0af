//! Clients that hold on to a connection without using it.

use std::io::{BufReader, Read, Write};
use std::time::{Duration, Instant};

use crate::client::{connect, read_reply};
use crate::harness::{KEY, TestServer};

fn quick_server() -> TestServer {
    TestServer::with(|config| {
        config.limits.header_timeout = Duration::from_millis(200);
        config.limits.body_timeout = Duration::from_millis(200);
        config.limits.idle_timeout = Duration::from_millis(600);
        config.limits.drain_timeout = Duration::from_millis(300);
    })
}

/// Returns how long it takes until the server closes the connection.
fn time_until_closed(stream: &mut impl Read) -> Duration {
    let started = Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    started.elapsed()
}

#[test]
fn a_header_that_trickles_in_is_cut() {
    let server = quick_server();
    let mut stream = connect(server.address);
    let started = Instant::now();
    let mut writes = 0;
    // One byte at a time keeps the connection busy, but not beyond the deadline.
    while stream.write_all(b"G").is_ok() && started.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
        writes += 1;
    }
    assert!(writes > 3 && started.elapsed() < Duration::from_secs(5), "{writes} {:?}", started.elapsed());
}

#[test]
fn a_body_that_does_not_come_is_a_timeout() {
    let server = quick_server();
    let stream = connect(server.address);
    write!(&stream, "POST /feed/data HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\n").unwrap();
    write!(&stream, "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{").unwrap();
    let mut reader = BufReader::new(stream);
    let reply = read_reply(&mut reader, false);
    assert_eq!((reply.status, reply.header("Connection")), (408, Some("close")));
    assert!(time_until_closed(&mut reader) < Duration::from_secs(5));
}

#[test]
fn an_idle_connection_outlives_the_header_deadline_and_then_ends() {
    let server = quick_server();
    let stream = connect(server.address);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for _ in 0..2 {
        write!(&stream, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(read_reply(&mut reader, false).status, 200);
        std::thread::sleep(Duration::from_millis(350));
    }
    assert!(time_until_closed(&mut reader) < Duration::from_secs(5));
}

#[test]
fn oversized_headers_are_refused() {
    let server = TestServer::start();
    let reply = server.request("GET", "/health").header("X-Padding", &"x".repeat(60_000)).send();
    assert_eq!(reply.status, 200);
    let reply = server.request("GET", "/health").header("X-Padding", &"x".repeat(70_000)).send();
    assert_eq!(reply.status, 431);
}

#[test]
fn connections_beyond_the_limit_wait_for_a_free_slot() {
    let server = TestServer::with(|config| {
        config.limits.connections_max = 2;
        config.limits.idle_timeout = Duration::from_millis(500);
    });
    let held: Vec<_> = (0..2).map(|_| connect(server.address)).collect();
    std::thread::sleep(Duration::from_millis(100));
    let started = Instant::now();
    assert_eq!(server.request("GET", "/health").send().status, 200);
    assert!(started.elapsed() >= Duration::from_millis(200), "{:?}", started.elapsed());
    drop(held);
}

#[test]
fn stopping_does_not_wait_for_idle_or_stuck_clients() {
    let server = quick_server();
    let idle = connect(server.address);
    let stuck = connect(server.address);
    write!(&stuck, "POST /feed/data HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let started = Instant::now();
    server.stop();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    drop((idle, stuck));
}
