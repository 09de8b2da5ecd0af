//! The plain listener beside https.

use std::io::{Read, Write};

use tft_service::config::HostPattern;
use tft_service::tls::Redirect;

use super::start;
use crate::client::{Request, connect};
use crate::harness::KEY;

#[test]
fn pages_are_sent_to_https_and_keys_are_refused() {
    let (server, client) = start(|config| config.tls.redirect = Some(Redirect::new(0, None)));
    let address = server.redirect.unwrap();
    let port = server.address.port();
    let request = |method, target, host| Request::with_host(address, method, target, host);
    let reply = request("GET", "/status?x=1", "tft.example.com").send();
    let expected = format!("https://tft.example.com:{port}/status?x=1");
    assert_eq!((reply.status, reply.header("Location")), (308, Some(expected.as_str())));
    assert_eq!(request("HEAD", "/", "localhost").send().status, 308);
    assert_eq!(request("GET", "/", "evil.com").send().status, 400);
    let refused = request("GET", "/status", "localhost").header("X-API-Key", KEY).send();
    assert_eq!(refused.status, 403);
    assert!(refused.json()["detail"].as_str().unwrap().contains("sent in clear text"), "{}", refused.body);
    assert!(!refused.body.contains(KEY));
    assert_eq!(request("POST", "/feed/data", "localhost").json("{}").send().status, 403);
    assert_eq!(client.get(server.address, "/health").status, 200);
}

#[test]
fn configured_names_count_more_than_the_certificates() {
    let (server, _) = start(|config| {
        config.tls.redirect = Some(Redirect::new(0, Some(443)));
        config.allowed_hosts = vec![HostPattern::parse("*.internal").unwrap()];
    });
    let address = server.redirect.unwrap();
    let get = |host| Request::with_host(address, "GET", "/", host).send();
    assert_eq!(get("tft.internal").header("Location"), Some("https://tft.internal/"));
    assert_eq!(get("tft.example.com").status, 400);
    let (server, _) = start(|config| {
        config.tls.redirect = Some(Redirect::new(0, Some(443)));
        config.tls.domain = Some("tft.example.com".into());
    });
    let address = server.redirect.unwrap();
    assert_eq!(Request::with_host(address, "GET", "/", "localhost").send().status, 400);
    assert_eq!(Request::with_host(address, "GET", "/", "tft.example.com").send().status, 308);
}

#[test]
fn clients_that_talk_for_long_are_cut_short() {
    let (server, _) = start(|config| config.tls.redirect = Some(Redirect::new(0, None)));
    let mut stream = connect(server.redirect.unwrap());
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Padding: {}\r\n\r\n", "x".repeat(100_000));
    let _ = stream.write_all(long.as_bytes());
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    assert!(reply.is_empty() || reply.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&reply));
}
