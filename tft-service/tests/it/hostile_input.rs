//! Bodies that are too large, not JSON, or not what they say; each leaves the window unchanged.

use crate::harness::{TestServer, history};

const RECORD: &str = r#"{"timestamp":"2026-01-05T12:00:00Z","server_name":"ppdb001","cpu_user":25.3}"#;

/// Feeds a body to a service that holds some data, and checks that it stays as it was.
fn refused(server: &TestServer, body: impl Into<Vec<u8>>, status: u16, why: &str) {
    let before = server.status();
    let reply = server.feed(body);
    assert_eq!(reply.status, status, "{why}: {}", reply.body);
    assert!(reply.json()["detail"].is_string(), "{why}: {}", reply.body);
    assert_eq!(server.status(), before, "{why}");
}

fn server_with_data() -> TestServer {
    let server = TestServer::with(|config| config.limits.body_bytes_max = 2 << 20);
    server.feed_records(&history("ppdb001", 3, |_| 20.0));
    server
}

#[test]
fn the_body_limit_itself_passes_and_one_byte_more_does_not() {
    let server = server_with_data();
    let body = |bytes: usize| {
        let start = format!("{{\"records\":[{RECORD}]");
        format!("{start}{}}}", " ".repeat(bytes - start.len() - 1))
    };
    assert_eq!(server.feed(body(2 << 20)).status, 200);
    refused(&server, body((2 << 20) + 1), 413, "one byte over the limit");
}

#[test]
fn a_large_declared_length_is_refused_before_it_is_sent() {
    let server = server_with_data();
    let request = server.with_key("POST", "/feed/data").header("Content-Type", "application/json");
    let reply = request.header("Content-Length", "99999999999").send();
    assert_eq!((reply.status, reply.header("Connection")), (413, Some("close")));
}

#[test]
fn a_refusal_reaches_a_client_that_writes_everything_first() {
    let server = TestServer::start();
    for _ in 0..20 {
        let body = vec![b' '; 8 << 20];
        let no_key = server.request("POST", "/feed/data").json(body.clone()).send();
        assert_eq!(no_key.status, 403);
        let other_path = server.with_key("POST", "/feed").json(body).send();
        assert_eq!(other_path.status, 404);
    }
    let too_large = server.feed(vec![b' '; (8 << 20) + 1]);
    assert_eq!(too_large.status, 413);
}

#[test]
fn other_types_are_refused() {
    let server = server_with_data();
    let body = format!("{{\"records\":[{RECORD}]}}");
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let request = server.with_key("POST", "/feed/data").header("Content-Type", content_type);
        assert_eq!(request.body(body.clone()).send().status, 415, "{content_type}");
    }
    assert_eq!(server.with_key("POST", "/feed/data").body(body.clone()).send().status, 415);
    let compressed = server.with_key("POST", "/feed/data").header("Content-Encoding", "gzip").json(body);
    assert_eq!(compressed.send().status, 415);
}

#[test]
fn what_is_not_json_of_the_expected_form_is_malformed() {
    let server = server_with_data();
    for body in
        ["", "{", "[]", "null", "{\"records\":{}}", "{\"rows\":[]}", "{\"records\":[1,]}", "\u{feff}{}x"]
    {
        refused(&server, body, 400, body);
    }
    refused(&server, b"{\"records\":[\xff]}".to_vec(), 400, "not UTF-8");
    refused(&server, format!("{{\"records\":[{RECORD}],\"records\":[]}}"), 400, "the same key twice");
    let nested = format!("{{\"records\":[{{\"notes\":{}{}}}]}}", "[".repeat(100_000), "]".repeat(100_000));
    refused(&server, nested, 400, "deep nesting");
}

#[test]
fn values_that_no_metric_can_have_are_refused() {
    let server = server_with_data();
    for value in ["NaN", "Infinity", "1e999", "-1e999", "1e39", "120", "-3", "\"25\"", "true", "[1]", "{}"] {
        let body = RECORD.replace("25.3", value);
        refused(&server, format!("{{\"records\":[{body}]}}"), 422, value);
    }
    for time in ["9999-12-31T23:59:59Z", "2026-01-05T12:30:00Z", "yesterday", "", "+999999-01-01T00:00:00Z"] {
        let body = RECORD.replace("2026-01-05T12:00:00Z", time);
        refused(&server, format!("{{\"records\":[{body}]}}"), 422, time);
    }
    for name in ["", "a b", "../../etc/passwd", &"x".repeat(101)] {
        let body = RECORD.replace("ppdb001", name);
        refused(&server, format!("{{\"records\":[{body}]}}"), 422, name);
    }
    let twice = RECORD.replace("\"cpu_user\"", "\"cpu_user_pct\":1,\"cpu_user\"");
    refused(&server, format!("{{\"records\":[{twice}]}}"), 422, "one metric under two names");
}

#[test]
fn ten_thousand_records_pass_and_one_more_does_not() {
    let server = server_with_data();
    let record = r#"{"timestamp":"2026-01-05T12:00:00Z","server_name":"ppdb001","load":1}"#;
    let body = |count: usize| format!("{{\"records\":[{}]}}", vec![record; count].join(","));
    refused(&server, body(10_001), 413, "10,001 records");
    assert_eq!(server.feed(body(10_000)).status, 200);
}

#[test]
fn queries_that_make_no_sense_are_refused() {
    let server = TestServer::with(|config| config.rate_limits.predictions = 100);
    for query in [
        "horizon=0",
        "horizon=-1",
        "horizon=9999",
        "horizon=x",
        "metrics=nothing",
        "quantiles=0.123",
        "server=%ff",
    ] {
        assert_eq!(server.get(&format!("/predictions/current?{query}")).status, 400, "{query}");
    }
    assert_eq!(server.get("/predictions/current?server=nobody").status, 404);
    assert_eq!(server.get("/predictions/current?format=csv").status, 406);
    assert_eq!(server.get("/predictions/current?_=1234&horizon=").status, 200);
}
