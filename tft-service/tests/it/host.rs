//! Which names the service is called by, and who is calling behind a proxy.

use tft_service::config::{AuthConfig, HostPattern};

use crate::client::Request;
use crate::harness::{KEY, TestServer};

fn with_host(server: &TestServer, target: &str, host: &str) -> u16 {
    Request::with_host(server.address, "GET", target, host).header("X-API-Key", KEY).send().status
}

#[test]
fn only_the_configured_names_are_answered_and_probes_always() {
    let server = TestServer::with(|config| {
        config.allowed_hosts = vec![HostPattern::parse("*.example.com").unwrap()];
    });
    assert_eq!(with_host(&server, "/status", "tft.example.com"), 200);
    assert_eq!(with_host(&server, "/status", "tft.example.com:8000"), 200);
    for host in ["example.com", "evil.org", "tft.example.com.evil.org", "127.0.0.1"] {
        assert_eq!(with_host(&server, "/status", host), 400, "{host}");
        assert_eq!(with_host(&server, "/alerts/active", host), 400, "{host}");
        assert_eq!(with_host(&server, "/health", host), 200, "{host}");
    }
}

#[test]
fn without_a_key_only_the_loopback_names_are_answered() {
    let server = TestServer::with(|config| config.auth = AuthConfig::default());
    for host in ["localhost", "127.0.0.1:8000", "[::1]"] {
        assert_eq!(with_host(&server, "/alerts/active", host), 200, "{host}");
    }
    assert_eq!(with_host(&server, "/alerts/active", "rebound.evil.org"), 400);
}

#[test]
fn with_a_key_and_no_list_every_name_is_answered() {
    let server = TestServer::start();
    assert_eq!(with_host(&server, "/alerts/active", "tft.example.com"), 200);
    for host in ["", "a b", "a\"b", "a/b"] {
        assert_eq!(with_host(&server, "/alerts/active", host), 400, "{host:?}");
    }
}

#[test]
fn a_proxy_is_believed_only_if_it_is_trusted() {
    let call = |server: &TestServer, client: &str| {
        let request = server.request("GET", "/alerts/active").header("X-Forwarded-For", client);
        request.header("X-API-Key", "not-the-key-not-the-key-not-the-key").send().status
    };
    let trusting = TestServer::with(|config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        config.allowed_clients = vec!["192.0.2.0/24".parse().unwrap(), "198.51.100.7/32".parse().unwrap()];
    });
    // Wrong keys are limited by the client's address, not by the proxy's.
    for _ in 0..30 {
        assert_eq!(call(&trusting, "6.6.6.6, 192.0.2.1"), 403);
    }
    assert_eq!(call(&trusting, "192.0.2.1"), 429);
    assert_eq!(call(&trusting, "198.51.100.7"), 403);
    let denied = trusting.with_key("GET", "/alerts/active").header("X-Forwarded-For", "203.0.113.1").send();
    assert_eq!((denied.status, denied.json()["detail"].as_str()), (403, Some("this network is not served")));

    let doubting = TestServer::start();
    for at in 0..30 {
        assert_eq!(call(&doubting, &format!("192.0.2.{at}")), 403);
    }
    assert_eq!(call(&doubting, "192.0.2.99"), 429);
}
