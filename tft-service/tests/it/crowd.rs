//! Hundreds of clients that hold on to what they can, and one that only wants to know whether the service is well.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::connect;
use crate::harness::{KEY, TestServer, history};

/// Clients of each kind.
const CROWD: usize = 100;

/// Opens connections that each send the beginning of something and no more.
fn crowd(server: &TestServer, beginning: &str) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = connect(server.address);
        stream.write_all(beginning.as_bytes()).unwrap();
        stream
    };
    (0..CROWD).map(open).collect()
}

/// A service with enough to say that a reply does not fit into the buffers of the system.
fn talkative() -> TestServer {
    let server = TestServer::with(|config| {
        config.rate_limits.predictions = 100_000;
        config.limits.header_timeout = Duration::from_secs(2);
        config.limits.body_timeout = Duration::from_secs(2);
        config.limits.reply_timeout = Duration::from_secs(2);
        config.limits.write_stall_timeout = Duration::from_secs(2);
    });
    let records: Vec<_> = (0..300).flat_map(|at| history(&format!("server{at}"), 1, |_| 20.0)).collect();
    server.feed_records(&records);
    server.predictions_of(300);
    server
}

fn health_times(server: &TestServer, calls: usize) -> Vec<Duration> {
    let mut times: Vec<_> = (0..calls)
        .map(|_| {
            let started = Instant::now();
            assert_eq!(server.request("GET", "/health").send().status, 200);
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

#[test]
fn health_is_answered_beside_a_crowd_and_the_crowd_is_sent_away() {
    let server = talkative();
    let feed = format!(
        "POST /feed/data HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n"
    );
    let slow_headers = crowd(&server, "GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    let slow_bodies = crowd(&server, &format!("{feed}Content-Length: 1000\r\n\r\n{{"));
    let ask = format!("GET /predictions/current HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\n");
    let stalled = crowd(&server, &format!("{ask}\r\n").repeat(20));
    let ranges = crowd(&server, &format!("{ask}Range: bytes=0-0,1-1,2-2,3-3,4-4\r\n\r\n"));
    let times = health_times(&server, 200);
    let p99 = times[times.len() * 99 / 100];
    eprintln!("/health beside {} slow clients: p50 {:?}, p99 {p99:?}", 4 * CROWD, times[times.len() / 2]);
    assert!(p99 < Duration::from_millis(100), "{p99:?}");
    // Every slow connection ends by the service's deadlines, not by its own will.
    for mut stream in slow_headers.into_iter().chain(slow_bodies) {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
    }
    drop((stalled, ranges));
    assert_eq!(server.request("GET", "/health").send().status, 200);
}
