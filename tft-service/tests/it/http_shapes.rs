//! Requests whose length two readers could disagree about, and other shapes that HTTP/1.1 does not have.
//!
//! Where a request must be refused, what follows it on the connection must not be taken for another request.

use std::io::{Read, Write};
use std::time::Duration;

use crate::client::connect;
use crate::harness::{KEY, TestServer};

const BODY: &str = r#"{"records":[]}"#;
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Sends bytes and returns the status of every reply until the server closes the connection or falls silent.
fn statuses(server: &TestServer, bytes: &[u8]) -> Vec<u16> {
    let mut stream = connect(server.address);
    stream.write_all(bytes).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut replies = Vec::new();
    let mut part = [0; 4096];
    while let Ok(length) = stream.read(&mut part) {
        if length == 0 {
            break;
        }
        replies.extend_from_slice(&part[..length]);
    }
    let text = String::from_utf8_lossy(&replies);
    text.match_indices("HTTP/1.").filter_map(|(at, _)| text[at + 9..at + 12].parse().ok()).collect()
}

fn feed(version: &str, headers: &str, rest: &str) -> Vec<u8> {
    format!(
        "POST /feed/data HTTP/{version}\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\
         Content-Type: application/json\r\n{headers}\r\n\r\n{rest}"
    )
    .into_bytes()
}

#[test]
fn a_request_of_doubtful_length_is_refused_with_what_follows_it() {
    let server = TestServer::start();
    let plain = format!("{BODY}{SMUGGLED}");
    let none = format!("0\r\n\r\n{SMUGGLED}");
    let shapes = [
        ("Content-Length: 4\r\nTransfer-Encoding: chunked", none.as_str()),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", &none),
        ("Content-Length: 14\r\nContent-Length: 2", &plain),
        ("Content-Length: 14, 14", &plain),
        ("Content-Length: +14", &plain),
        ("Content-Length: -1", &plain),
        ("Content-Length: 0xe", &plain),
        ("Content-Length: 99999999999999999999", &plain),
        ("Transfer-Encoding: xchunked", &none),
        ("Transfer-Encoding: chunked, identity", &none),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", &none),
        ("Transfer-Encoding : chunked", &none),
        ("Transfer-Encoding:\x0bchunked", &none),
        ("Transfer-Encoding:\r\n chunked", &none),
        ("Transfer-Encoding: \"chunked\"", &none),
        ("Transfer-Encoding: chunked;q=1", &none),
        ("Transfer-Encoding: identity", &plain),
        ("Transfer-Encoding: ", &plain),
        ("Transfer-Encoding: chun\0ked", &none),
        ("Transfer_Encoding: x\r\nContent-Length: 14\r\nContent-Length : 2", &plain),
        ("Content-Length: 14\r\n\tContent-Length: 2", &plain),
        ("Content-Length:", &plain),
        ("Content-Length: 14 2", &plain),
        ("Content-Length: 1_4", &plain),
        ("Content-Length: \u{ff11}\u{ff14}", &plain),
        ("Content-Length: 18446744073709551630", &plain),
        ("\u{0}Content-Length: 14", &plain),
    ];
    for (headers, rest) in shapes {
        assert_eq!(statuses(&server, &feed("1.1", headers, rest)), [400], "{headers:?}");
    }
    assert_eq!(statuses(&server, &feed("1.0", "Transfer-Encoding: chunked", &none)), [400]);
}

#[test]
fn chunks_that_are_none_are_refused_with_what_follows_them() {
    let server = TestServer::start();
    let chunked = |rest: &str| statuses(&server, &feed("1.1", "Transfer-Encoding: chunked", rest));
    assert_eq!(chunked("fffffffffffffffff\r\nabc"), [400]);
    assert_eq!(chunked(&format!("e\r\n{BODY}XX0\r\n\r\n{SMUGGLED}")), [400]);
    assert_eq!(chunked(&format!("e\n{BODY}\r\n0\r\n\r\n{SMUGGLED}")), [400]);
    assert_eq!(chunked(&format!("-e\r\n{BODY}\r\n0\r\n\r\n{SMUGGLED}")), [400]);
    for size in ["0xe", "+e", "e ", " e", "", "g", "e\0", "1000000000000000e"] {
        let replies = chunked(&format!("{size}\r\n{BODY}\r\n0\r\n\r\n"));
        assert!(replies == [400] || replies == [200] && size.trim() == "e", "{size:?}: {replies:?}");
    }
    assert_eq!(chunked(&format!("e\r\n{BODY}0\r\n\r\n{SMUGGLED}")), [400]);
    assert_eq!(chunked(&format!("e;a=\"\n\"\r\n{BODY}\r\n0\r\n\r\n{SMUGGLED}")), [400]);
    assert_eq!(chunked(&format!("e;{}\r\n{BODY}\r\n0\r\n\r\n{SMUGGLED}", "a".repeat(64 << 10))), [400]);
    let trailers = "a: b\r\n".repeat(20_000);
    assert_eq!(chunked(&format!("e\r\n{BODY}\r\n0\r\n{trailers}\r\n{SMUGGLED}")), [400]);
    // Extensions and trailers are allowed, and a trailer is not a header.
    assert_eq!(chunked(&format!("e;a=b\r\n{BODY}\r\n0\r\n\r\n")), [200]);
    assert_eq!(chunked(&format!("e\r\n{BODY}\r\n0\r\nX-API-Key: other\r\n\r\n")), [200]);
}

#[test]
fn heads_that_are_no_http_are_refused() {
    let server = TestServer::start();
    let get = |head: &str| statuses(&server, format!("{head}\r\n\r\n").as_bytes());
    for head in [
        "GET /health HTTP/1.1\r\nHost: a\r\nX: a\0b",
        "GET /health HTTP/1.1\r\nHost: a\r\nX: a\rb",
        "GET /health HTTP/1.1\r\nHost: a\r\n: x",
        "GET /health HTTP/1.2\r\nHost: a",
        "GET /hea lth HTTP/1.1\r\nHost: a",
        "GET /health",
        "GET /health HTTP/1.1",
        "GET /health HTTP/1.1\r\nHost: a\r\nHost: b",
        "GET /health HTTP/1.1\r\nHost: a, b",
        "GET /health HTTP/1.1\r\nHost: a b",
        "GET /health HTTP/1.1\r\nHost: a/b",
        "GET /health HTTP/1.1\r\nHost: a@b",
        "GET /health HTTP/1.1\r\n Host: a",
        "GET /health HTTP/1.1\r\nHost : a",
        "GET /health HTTP/1.1\r\nHost",
        "GET /health HTTP/1.1\r\nHost: a\r\nX\u{7f}: b",
        "GET /health HTTP/1.1\r\nHost: a\r\nX: b\r\n folded",
        "GET /health HTTP/1.1 \r\nHost: a",
        "GET /health HTTP/1.1x\r\nHost: a",
        "GET /health http/1.1\r\nHost: a",
        "GET\t/health HTTP/1.1\r\nHost: a",
        "GET  /health HTTP/1.1\r\nHost: a",
        "GET /hea\0lth HTTP/1.1\r\nHost: a",
        "G ET /health HTTP/1.1\r\nHost: a",
        "G(T /health HTTP/1.1\r\nHost: a",
        " GET /health HTTP/1.1\r\nHost: a",
        "\u{fffd} /health HTTP/1.1\r\nHost: a",
        "GET /health HTTP/0.9\r\nHost: a",
        "GET /health HTTP/3.0\r\nHost: a",
    ] {
        assert_eq!(get(head), [400], "{head:?}");
    }
    let many = "X-Many: a\r\n".repeat(200);
    assert_eq!(get(&format!("GET /health HTTP/1.1\r\nHost: a\r\n{many}")), [431]);
}

#[test]
fn methods_that_there_are_not_are_refused() {
    let server = TestServer::start();
    let all = |line: &str| {
        let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        statuses(&server, head.as_bytes())
    };
    for method in ["PUT", "TRACE", "get", "PROPFIND", "X-METHOD"] {
        assert_eq!(all(&format!("{method} /health")), [405], "{method}");
    }
    for target in ["CONNECT localhost:80", "CONNECT /health", "OPTIONS *", "GET health", "GET *"] {
        let replies = all(target);
        assert!(matches!(replies[..], [400 | 404 | 405]), "{target}: {replies:?}");
    }
}

#[test]
fn what_http_allows_is_answered() {
    let server = TestServer::start();
    assert_eq!(statuses(&server, b"GET /health HTTP/1.0\r\n\r\n"), [200]);
    assert_eq!(statuses(&server, b"\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n"), [200]);
    assert_eq!(statuses(&server, b"GET http://a/health HTTP/1.1\r\nHost: b\r\n\r\n"), [200]);
    assert_eq!(statuses(&server, &b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3)), [200, 200, 200]);
    let expecting = feed("1.1", "Expect: 100-continue\r\nContent-Length: 14", BODY);
    assert_eq!(statuses(&server, &expecting), [100, 200]);
    let with_body =
        format!("GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len());
    assert_eq!(statuses(&server, with_body.as_bytes()), [200]);
}
