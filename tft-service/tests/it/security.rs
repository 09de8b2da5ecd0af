//! The acceptance tests of the original's security guide: key, origins, limits.

use tft_service::config::{AllowedOrigins, AuthConfig};

use crate::harness::{KEY, TestServer};

const DASHBOARD: &str = "http://localhost:8501";

#[test]
fn a_key_is_required_and_enough() {
    let server = TestServer::start();
    for request in [
        server.request("GET", "/predictions/current"),
        server.request("GET", "/predictions/current").header("X-API-Key", "wrong-key-of-some-length"),
        server.request("GET", "/predictions/current").header("X-API-Key", ""),
        server.request("GET", "/predictions/current?X-API-Key=3f0a5c7e91b24d68a7c0e2f4961b8d35"),
    ] {
        let reply = request.send();
        assert_eq!(reply.status, 403);
        insta::allow_duplicates! {
            insta::assert_snapshot!(reply.body, @r#"{"detail":"Invalid or missing API key. Set TFT_API_KEY environment variable."}"#);
        }
    }
    assert_eq!(server.get("/predictions/current").status, 200);
}

#[test]
fn a_line_break_after_the_key_is_harmless_on_either_side() {
    let server = TestServer::with(|config| config.auth = AuthConfig::with_key(&format!("{KEY}\n")));
    assert_eq!(server.get("/alerts/active").status, 200);
    let padded = server.request("GET", "/alerts/active").header("X-API-Key", &format!("  {KEY} \t"));
    assert_eq!(padded.send().status, 200);
}

#[test]
fn without_a_configured_key_everyone_may_call() {
    let server = TestServer::with(|config| config.auth = AuthConfig::default());
    assert_eq!(server.request("GET", "/predictions/current").send().status, 200);
    let other_site = server.request("GET", "/predictions/current").header("Origin", "https://evil.com");
    assert_eq!(other_site.send().status, 403);
}

#[test]
fn exactly_thirty_of_a_hundred_predictions_pass() {
    let server = TestServer::start();
    let replies: Vec<_> = (0..100).map(|_| server.get("/predictions/current")).collect();
    let passed = replies.iter().take_while(|reply| reply.status == 200).count();
    assert_eq!(passed, 30);
    assert!(replies[30..].iter().all(|reply| reply.status == 429));
    assert_eq!(replies[0].header("X-RateLimit-Limit"), Some("30"));
    assert_eq!(replies[29].header("X-RateLimit-Remaining"), Some("0"));
    let refused = &replies[30];
    insta::assert_snapshot!(refused.body, @r#"{"detail":{"error":"Rate limit exceeded","limit":30,"window":"60s","retry_after":60}}"#);
    assert_eq!(refused.header("Retry-After"), Some("60"));
    // 2026-01-05T12:03:00Z.
    assert_eq!(refused.header("X-RateLimit-Reset"), Some("1767614580"));
    server.clock.advance(std::time::Duration::from_mins(1));
    assert_eq!(server.get("/predictions/current").status, 200);
}

#[test]
fn limits_are_counted_per_class_and_probes_are_free() {
    let server = TestServer::with(|config| config.rate_limits.alerts = 1);
    assert_eq!(server.get("/alerts/active").status, 200);
    assert_eq!(server.get("/alerts/active").status, 429);
    assert_eq!(server.get("/predictions/current").status, 200);
    for _ in 0..100 {
        assert_eq!(server.request("GET", "/health").send().status, 200);
        assert_eq!(server.request("GET", "/status").send().status, 200);
    }
}

#[test]
fn guessing_keys_is_slowed_down_and_a_valid_key_still_passes() {
    let server = TestServer::start();
    let guess = || server.request("GET", "/alerts/active").header("X-API-Key", "guess").send().status;
    let statuses: Vec<_> = (0..40).map(|_| guess()).collect();
    assert!(statuses[..30].iter().all(|&status| status == 403));
    assert!(statuses[30..].iter().all(|&status| status == 429));
    assert_eq!(server.get("/alerts/active").status, 200);
}

#[test]
fn pages_of_other_sites_are_refused_on_the_server() {
    let server = TestServer::start();
    for origin in ["https://evil.com", "null", "http://localhost:8501.evil.com", "http://localhost:85010"] {
        let reply = server.with_key("GET", "/predictions/current").header("Origin", origin).send();
        assert_eq!(reply.status, 403, "{origin}");
        assert_eq!(reply.body, r#"{"detail":"CORS origin not allowed"}"#);
        assert_eq!(reply.header("Access-Control-Allow-Origin"), None);
        assert_eq!(reply.header("Vary"), Some("Origin"));
    }
    let feed = server.with_key("POST", "/feed/data").header("Origin", "https://evil.com");
    let feed = feed.json(r#"{"records":[{"timestamp":"2026-01-05T12:00:00Z","server_name":"a1","load":1}]}"#);
    assert_eq!(feed.send().status, 403);
    assert_eq!(server.status()["window_size"], 0);
}

#[test]
fn allowed_pages_get_the_headers_that_let_them_read_the_reply() {
    let server = TestServer::with(|config| config.rate_limits.predictions = 2);
    let get = || server.with_key("GET", "/predictions/current").header("Origin", DASHBOARD).send();
    let without_key = || server.request("GET", "/predictions/current").header("Origin", DASHBOARD).send();
    for (reply, status) in [(get(), 200), (without_key(), 403), (get(), 200), (get(), 429)] {
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("Access-Control-Allow-Origin"), Some(DASHBOARD));
        assert_eq!(reply.header("Access-Control-Allow-Credentials"), Some("true"));
        assert!(reply.header("Access-Control-Expose-Headers").unwrap().contains("X-RateLimit-Remaining"));
        assert_eq!(reply.header("Vary"), Some("Origin"));
    }
    let own = format!("http://{}", server.address);
    let reply = server.request("GET", "/status").header("Origin", &own).send();
    assert_eq!(reply.header("Access-Control-Allow-Origin"), Some(own.as_str()));
}

#[test]
fn preflights_are_answered_without_a_key() {
    let server = TestServer::start();
    let preflight = |origin: &str, target: &str| {
        let request = server.request("OPTIONS", target).header("Origin", origin);
        request.header("Access-Control-Request-Method", "POST").send()
    };
    let reply = preflight(DASHBOARD, "/feed/data");
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert_eq!(reply.header("Access-Control-Allow-Origin"), Some(DASHBOARD));
    assert_eq!(reply.header("Access-Control-Allow-Methods"), Some("GET, POST"));
    assert_eq!(reply.header("Access-Control-Allow-Headers"), Some("Content-Type, X-API-Key"));
    assert_eq!(preflight("https://evil.com", "/feed/data").status, 403);
    assert_eq!(preflight(DASHBOARD, "/nothing").status, 404);
}

#[test]
fn any_origin_never_comes_with_credentials() {
    let server = TestServer::with(|config| {
        config.auth = AuthConfig::default();
        config.cors_origins = AllowedOrigins::parse("*").unwrap();
    });
    let reply = server.request("GET", "/alerts/active").header("Origin", "https://anything.example").send();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("Access-Control-Allow-Origin"), Some("*"));
    assert_eq!(reply.header("Access-Control-Allow-Credentials"), None);
}
