//! Rate limits: exactly as many calls as they say, per client, with headers that tell what is left.

use std::time::Duration;

use tft_service::config::{RateLimits, WindowLimit};

use crate::client::Reply;
use crate::harness::{KEY, TestServer};

const A: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const B: &str = "7c6b5a4938271605f4e3d2c1b0a99887";

fn alerts(server: &TestServer, key: &str) -> Reply {
    server.request("GET", "/alerts/active").header("X-API-Key", key).send()
}

fn quota(reply: &Reply) -> (u16, [u64; 3]) {
    let number = |name: &str| reply.header(&format!("X-RateLimit-{name}")).unwrap().parse().unwrap();
    (reply.status, [number("Limit"), number("Remaining"), number("Reset")])
}

#[test]
fn each_class_passes_its_limit_and_not_one_more() {
    let server = TestServer::start();
    let feed = || server.feed("{}");
    let predictions = || server.get("/predictions/current");
    for (limit, passed, call) in
        [(60, 400, &feed as &dyn Fn() -> Reply), (30, 200, &predictions), (30, 200, &|| alerts(&server, KEY))]
    {
        for count in 1..=limit {
            let reset = 1_767_614_580;
            assert_eq!(quota(&call()), (passed, [limit, limit - count, reset]));
        }
        let refused = call();
        assert_eq!(quota(&refused), (429, [limit, 0, 1_767_614_580]));
        assert_eq!(refused.header("Retry-After"), Some("60"));
        let detail = &refused.json()["detail"];
        assert_eq!((&detail["limit"], &detail["window"]), (&limit.into(), &"60s".into()));
    }
    server.clock.advance(Duration::from_millis(59_999));
    let refused = alerts(&server, KEY);
    assert_eq!((refused.status, refused.header("Retry-After")), (429, Some("1")));
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(alerts(&server, KEY).status, 200);
}

#[test]
fn keys_have_limits_of_their_own() {
    let server = TestServer::with(|config| config.auth.keys.api_keys = Some(format!("a:{A},b:{B}")));
    for key in [A, B] {
        let passed = (0..40).filter(|_| alerts(&server, key).status == 200).count();
        assert_eq!(passed, 30);
    }
}

#[test]
fn all_calls_together_can_be_limited_too() {
    let server = TestServer::with(|config| {
        config.rate_limits.all = WindowLimit::new(40, Duration::from_secs(10));
    });
    let passed = (0..40).filter(|_| alerts(&server, KEY).status == 200).count();
    assert_eq!(passed, 30);
    let passed = (0..40).filter(|_| server.get("/predictions/current").status == 200).count();
    assert_eq!(passed, 10);
    let refused = server.get("/predictions/current");
    assert_eq!((refused.status, refused.header("Retry-After")), (429, Some("10")));
    assert_eq!(
        (refused.json()["detail"]["limit"].as_u64(), &refused.json()["detail"]["window"]),
        (Some(40), &"10s".into())
    );
    assert_eq!(server.request("GET", "/status").send().status, 200);
}

#[test]
fn a_tier_takes_the_place_of_the_limits() {
    let server = TestServer::with(|config| {
        config.auth.keys.api_keys = Some(format!("a:{A}:read:gold"));
        config.rate_limits.tiers = RateLimits::parse_tiers("gold=2/s:50").unwrap();
    });
    let passed = (0..60).filter(|_| alerts(&server, A).status == 200).count();
    assert_eq!(passed, 50);
    let refused = alerts(&server, A);
    assert_eq!((refused.header("Retry-After"), quota(&refused).1[0]), (Some("1"), 50));
    server.clock.advance(Duration::from_millis(1500));
    let passed = (0..10).filter(|_| alerts(&server, A).status == 200).count();
    assert_eq!(passed, 3);
    assert_eq!(alerts(&server, KEY).status, 200);
}

#[test]
fn wrong_keys_are_limited_by_address_and_a_valid_key_always_passes() {
    let server = TestServer::start();
    for _ in 0..30 {
        assert_eq!(alerts(&server, A).status, 403);
    }
    let refused = alerts(&server, A);
    assert_eq!((refused.status, refused.header("Retry-After")), (429, Some("60")));
    assert_eq!(alerts(&server, KEY).status, 200);
    server.clock.advance(Duration::from_mins(1));
    assert_eq!(alerts(&server, A).status, 403);
}
