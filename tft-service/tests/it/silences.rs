//! Silences and acknowledgements: what they do to alerts, who may set them, and what is refused.

use std::time::Duration;

use serde_json::{Value, json};
use tft_service::config::AuthConfig;

use crate::client::Reply;
use crate::harness::{KEY, TestServer, history};

const READER: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
/// How the service calls the key that has no name.
const KEY_ID: &str = "key-bb190d49";
const FEEDER: &str = "7c6b5a4938271605f4e3d2c1b0a99887";

fn lenient(config: &mut tft_service::Config) {
    config.rate_limits.other = 10_000;
    config.rate_limits.predictions = 10_000;
    config.rate_limits.alerts = 10_000;
}

/// A service with two servers in trouble.
fn in_trouble() -> TestServer {
    let server = TestServer::with(lenient);
    server.feed_records(&history("ppdb001", 100, |_| 99.0));
    server.feed_records(&history("ppweb003", 100, |_| 99.0));
    server.predictions_of(200);
    server
}

fn alerts(server: &TestServer, query: &str) -> Vec<Value> {
    let reply = server.get(&format!("/alerts/active{query}"));
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["alerts"].as_array().unwrap().clone()
}

fn set(server: &TestServer, body: &Value) -> Reply {
    server.with_key("POST", "/alerts/silences").json(body.to_string()).send()
}

fn of_database() -> Value {
    json!({ "matchers": ["server=~\"ppdb.*\""], "ends_at": "2026-01-05T14:00:00Z", "comment": "new disk" })
}

#[test]
fn a_silence_shows_at_the_alerts_that_it_covers_from_its_beginning_to_its_end() {
    let server = in_trouble();
    let all = alerts(&server, "").len();
    assert!(alerts(&server, "").iter().all(|alert| alert["silenced_by"] == json!([])));
    let reply = set(&server, &of_database());
    assert_eq!(reply.status, 200, "{}", reply.body);
    let mut silence = reply.json();
    silence["starts_at"].take();
    assert_eq!(
        silence,
        json!({
            "id": "s00000001", "state": "active", "matchers": ["server=~\"ppdb.*\""], "starts_at": null,
            "ends_at": "2026-01-05T14:00:00Z", "created_by": KEY_ID, "comment": "new disk",
        })
    );
    for alert in alerts(&server, "") {
        let expected = if alert["server"] == "ppdb001" { json!(["s00000001"]) } else { json!([]) };
        assert_eq!(alert["silenced_by"], expected);
    }
    let (silenced, others) = (alerts(&server, "?silenced=true"), alerts(&server, "?silenced=false"));
    assert!(!silenced.is_empty() && silenced.len() + others.len() == all);
    assert!(silenced.iter().all(|alert| alert["server"] == "ppdb001"));
    assert_eq!(alerts(&server, "?server=ppweb003&state=firing,pending,no_data"), others);
    assert_eq!(server.get("/alerts/active?state=resolved").status, 400);
    assert_eq!(server.get("/alerts/active?silenced=maybe").status, 400);
    assert_eq!(server.get("/alerts/silences").json()["silences"][0]["state"], "active");
    server.clock.advance(Duration::from_hours(2));
    assert!(alerts(&server, "?silenced=true").is_empty(), "it is over without a new forecast");
    assert_eq!(server.get("/alerts/silences").json()["silences"][0]["state"], "expired");
}

#[test]
fn a_silence_is_changed_and_ended_by_its_id() {
    let server = in_trouble();
    let mut body = of_database();
    body["created_by"] = "ann".into();
    let id = set(&server, &body).json()["id"].clone();
    body["id"] = id.clone();
    body["matchers"] = json!(["server=ppweb003"]);
    let changed = set(&server, &body).json();
    assert_eq!((&changed["id"], &changed["created_by"]), (&id, &json!("ann")));
    assert!(alerts(&server, "?silenced=true").iter().all(|alert| alert["server"] == "ppweb003"));
    let ended = server.with_key("DELETE", "/alerts/silences/s00000001").send();
    assert_eq!((ended.status, &ended.json()["state"]), (200, &json!("expired")));
    assert!(alerts(&server, "?silenced=true").is_empty());
    assert_eq!(set(&server, &body).status, 409, "one that is over cannot be changed");
    assert_eq!(server.with_key("DELETE", "/alerts/silences/s00000002").send().status, 404);
    assert_eq!(server.get("/alerts/silences").json()["count"], 1);
}

#[test]
fn what_is_no_silence_is_refused() {
    let server = TestServer::with(lenient);
    let detail = |change: &dyn Fn(&mut Value)| {
        let mut body = of_database();
        change(&mut body);
        let reply = set(&server, &body);
        format!("{} {}", reply.status, reply.json()["detail"].as_str().unwrap())
    };
    insta::assert_snapshot!(detail(&|body| body["matchers"] = json!(["server=~("])), @"422 matcher `server=~(` has a pattern that cannot be used: unclosed group");
    insta::assert_snapshot!(detail(&|body| body["matchers"] = json!([])), @"422 silence has `matchers` 0, allowed are 1 to 16 matchers");
    insta::assert_snapshot!(detail(&|body| body["matchers"] = json!(["team!=x"])), @"422 silence has matchers that all match an empty label, and would match every alert that lacks it");
    insta::assert_snapshot!(detail(&|body| body["ends_at"] = "tomorrow".into()), @"422 timestamp `tomorrow` is not RFC 3339, a date and time without offset, or Unix seconds or milliseconds");
    insta::assert_snapshot!(detail(&|body| body["id"] = "s7".into()), @"404 there is no silence `s7`");
    assert!(detail(&|body| body["ends_at"] = "2026-01-05T11:00:00Z".into()).starts_with("422 "));
    assert!(detail(&|body| body["surprise"] = 1.into()).starts_with("400 "));
    assert!(detail(&|body| body["comment"] = "x".repeat(1025).into()).starts_with("422 "));
    assert!(detail(&|body| body["comment"] = "x".repeat(200_000).into()).starts_with("413 "));
    let as_text = server.with_key("POST", "/alerts/silences").header("Content-Type", "text/plain");
    assert_eq!(as_text.body("{}").send().status, 415);
    assert_eq!(server.get("/alerts/silences").json()["count"], 0);
}

#[test]
fn an_acknowledgement_shows_until_it_is_taken_back() {
    let server = in_trouble();
    let fingerprint = alerts(&server, "")[0]["fingerprint"].as_str().unwrap().to_owned();
    let path = format!("/alerts/{fingerprint}/acknowledge");
    let body = json!({ "comment": "on it" }).to_string();
    let noted = server.with_key("POST", &path).json(body).send();
    assert_eq!(noted.status, 200, "{}", noted.body);
    let acknowledged = alerts(&server, "?acknowledged=true");
    assert_eq!((acknowledged.len(), &acknowledged[0]["fingerprint"]), (1, &json!(fingerprint)));
    assert_eq!(acknowledged[0]["acknowledged"], noted.json()["acknowledged"]);
    assert_eq!(
        (&acknowledged[0]["acknowledged"]["by"], &acknowledged[0]["acknowledged"]["comment"]),
        (&json!(KEY_ID), &json!("on it"))
    );
    // Without a body, in place of the one before.
    assert_eq!(server.with_key("POST", &path).send().json()["acknowledged"]["comment"], "");
    assert_eq!(server.with_key("DELETE", &path).send().status, 200);
    assert!(alerts(&server, "?acknowledged=true").is_empty());
    assert_eq!(server.with_key("DELETE", &path).send().status, 404);
    assert_eq!(server.with_key("POST", "/alerts/0000000000000000/acknowledge").send().status, 404);
    let long = json!({ "by": "x".repeat(129) }).to_string();
    assert_eq!(server.with_key("POST", &path).json(long).send().status, 422);
}

#[test]
fn a_removed_server_takes_its_silences_and_acknowledgements_along() {
    let server = in_trouble();
    let body = json!({ "matchers": ["server=ppdb001"], "ends_at": "2026-01-05T14:00:00Z" });
    assert_eq!(set(&server, &body).status, 200);
    assert_eq!(server.with_key("DELETE", "/servers/ppdb001").send().status, 200);
    let silences = server.get("/alerts/silences");
    assert!(silences.json()["count"] == 0 && !silences.body.contains("ppdb001"), "{}", silences.body);
}

#[test]
fn only_administrators_hush_alerts() {
    let server = TestServer::with(|config| {
        lenient(config);
        config.auth = AuthConfig::default();
        config.auth.keys.api_keys = Some(format!("r:{READER}:read,w:{FEEDER}:write,ops:{KEY}:admin"));
    });
    let status = |method: &str, target: &str, key: &str| {
        let request = server.request(method, target).header("X-API-Key", key);
        request.json(of_database().to_string()).send().status
    };
    assert_eq!(status("GET", "/alerts/silences", READER), 200);
    for (method, target) in [
        ("POST", "/alerts/silences"),
        ("DELETE", "/alerts/silences/s00000001"),
        ("POST", "/alerts/0000000000000000/acknowledge"),
        ("DELETE", "/alerts/0000000000000000/acknowledge"),
    ] {
        for key in [READER, FEEDER] {
            assert_eq!(status(method, target, key), 403, "{method} {target}");
        }
    }
    assert_eq!(status("POST", "/alerts/silences", KEY), 200);
    assert_eq!(server.get("/alerts/silences").json()["silences"][0]["created_by"], "ops");
}

#[test]
fn pages_may_ask_for_delete() {
    let server = TestServer::start();
    for target in ["/alerts/silences/s00000001", "/alerts/0000000000000000/acknowledge"] {
        let request = server.request("OPTIONS", target).header("Origin", "http://localhost:8501");
        let reply = request.header("Access-Control-Request-Method", "DELETE").send();
        assert_eq!(reply.status, 204);
        assert_eq!(reply.header("Access-Control-Allow-Methods"), Some("GET, POST, DELETE"));
    }
}
