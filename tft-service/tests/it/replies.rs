//! The JSON that clients know.

use serde_json::{Value, json};

use crate::harness::{TestServer, history};

/// The keys of an object, sorted.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn health_is_the_originals() {
    let server = TestServer::start();
    insta::assert_snapshot!(server.request("GET", "/health").send().body, @r#"{"status":"healthy","service":"tft_inference_daemon","running":true}"#);
    insta::assert_snapshot!(server.request("GET", "/health/live").send().body, @r#"{"status":"alive"}"#);
}

#[test]
fn ready_follows_the_first_forecast() {
    let server = TestServer::start();
    server.predictions_of(0);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while server.request("GET", "/health/ready").send().status != 200 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    insta::assert_snapshot!(server.request("GET", "/health/ready").send().body, @r#"{"status":"ready"}"#);
}

#[test]
fn status_tells_how_far_the_window_has_come() {
    let server = TestServer::start();
    assert_eq!(server.status()["warmup"]["message"], "Waiting for data...");
    server.feed_records(&history("ppdb001", 3, |_| 20.0));
    let mut status = server.status();
    let (required, percent) = (&status["warmup"]["required_size"], &status["warmup"]["progress_percent"]);
    assert!(required.as_u64().unwrap() > 3 && percent.as_u64().unwrap() < 3, "{status}");
    for model_dependent in ["required_size", "progress_percent"] {
        status["warmup"][model_dependent].take();
    }
    insta::assert_json_snapshot!(status, @r#"
    {
      "running": true,
      "tick_count": 1,
      "warmup": {
        "current_size": 2,
        "is_warmed_up": false,
        "message": "Warming up: 0/1 servers ready",
        "progress_percent": null,
        "required_size": null,
        "threshold": 150
      },
      "window_size": 3
    }
    "#);
}

#[test]
fn nothing_fed_gives_empty_predictions_and_not_an_error() {
    let server = TestServer::start();
    let reply = server.get("/predictions/current").json();
    assert_eq!((&reply["predictions"], &reply["alerts"]), (&json!({}), &json!([])));
    assert_eq!(reply["summary"]["total_servers"], 0);
    assert_eq!(server.get("/alerts/active").json()["count"], 0);
}

#[test]
fn predictions_have_the_known_shape() {
    let server = TestServer::with(|config| config.rate_limits.predictions = 10_000);
    server.feed_records(&history("ppdb001", 30, |step| 20.0 + f64::from(step % 7)));
    let reply = server.predictions_of(30);
    assert_eq!(keys(&reply), ["alerts", "environment", "metadata", "predictions", "summary", "timestamp"]);
    let entry = &reply["predictions"]["ppdb001"];
    assert_eq!(
        keys(entry),
        [
            "alert",
            "cpu_idle_pct",
            "cpu_user_pct",
            "display_metrics",
            "load_average",
            "mem_used_pct",
            "profile",
            "readiness",
            "risk_level",
            "risk_score"
        ]
    );
    assert_eq!(keys(&entry["cpu_user_pct"]), ["current", "method", "p10", "p50", "p90", "trend"]);
    assert_eq!(entry["profile"], "database");
    assert_eq!(
        entry["alert"],
        json!({ "level": "healthy", "score": 0.0, "color": "#44ff44", "emoji": "🟢", "label": "Healthy" })
    );
    assert!(reply["predictions"]["ppdb001"].to_string().contains(r#""risk_score":0.0"#));
    assert_eq!(keys(&entry["display_metrics"]), ["cpu", "load", "memory"]);
    assert_eq!(keys(&entry["display_metrics"]["cpu"]), ["current", "delta", "predicted", "trend", "unit"]);
    insta::assert_snapshot!(keys(&reply["environment"]).join(" "), @"expected_breaches_30m expected_breaches_8h fleet_health high_risk_servers incident_probability_30m incident_probability_8h p_any_breach_30m p_any_breach_8h prob_30m prob_8h total_servers");
    insta::assert_snapshot!(keys(&reply["summary"]).join(" "), @"avg_risk_score critical_count degrading_count healthy_count max_risk_score top_5_risks total_servers warning_count watch_count");
}

#[test]
fn the_forecast_starts_after_the_newest_closed_step() {
    let server = TestServer::with(|config| config.rate_limits.predictions = 10_000);
    server.feed_records(&history("ppdb001", 30, |_| 20.0));
    let reply = server.predictions_of(30);
    let metadata = &reply["metadata"];
    assert_eq!(metadata["method"], json!({ "ppdb001": "fallback" }));
    assert_eq!((&metadata["step_seconds"], &metadata["quantiles"]), (&json!(300), &json!([0.1, 0.5, 0.9])));
    // It is 12:02 and the sample of 12:00 is in a step that still takes samples.
    assert_eq!(metadata["forecast_start"], "2026-01-05T12:00:00Z");
    let horizon = metadata["horizon_steps"].as_u64().unwrap() as usize;
    assert_eq!(reply["predictions"]["ppdb001"]["cpu_user_pct"]["p50"].as_array().unwrap().len(), horizon);
}

#[test]
fn every_server_that_was_fed_appears_and_says_what_made_its_forecast() {
    let server = TestServer::with(|config| config.rate_limits.predictions = 10_000);
    server.feed_records(&history("ppweb003", 1200, |step| 30.0 + 10.0 * f64::from(step % 288) / 288.0));
    server.feed_records(&history("ppdb001", 1, |_| 20.0));
    server.clock.advance(std::time::Duration::from_secs(1));
    let points = server.status()["window_size"].as_u64().unwrap();
    let reply = server.predictions_of(points);
    assert_eq!(keys(&reply["predictions"]), ["ppdb001", "ppweb003"]);
    assert_eq!(reply["metadata"]["method"]["ppdb001"], "fallback");
    assert_eq!(reply["metadata"]["method"]["ppweb003"], "tft");
    assert!(reply["predictions"]["ppweb003"]["cpu_user_pct"].get("method").is_none());
}

#[test]
fn a_selection_is_a_part_of_the_whole() {
    let server = TestServer::with(|config| config.rate_limits.predictions = 10_000);
    for name in ["ppdb001", "ppdb002", "ppdb003"] {
        server.feed_records(&history(name, 30, |step| 20.0 + f64::from(step % 7)));
        server.clock.advance(std::time::Duration::from_secs(1));
    }
    let whole = server.predictions_of(90);
    let query = "server=ppdb003,ppdb001&metrics=cpu_user,mem_used_pct&horizon=2&quantiles=p50,0.9";
    let part = server.get(&format!("/predictions/current?{query}")).json();
    assert_eq!(keys(&part["predictions"]), ["ppdb001", "ppdb003"]);
    assert_eq!(keys(&part["metadata"]["method"]), ["ppdb001", "ppdb003"]);
    assert_eq!(
        (&part["metadata"]["horizon_steps"], &part["metadata"]["quantiles"]),
        (&json!(2), &json!([0.5, 0.9]))
    );
    let (entry, full) = (&part["predictions"]["ppdb003"], &whole["predictions"]["ppdb003"]);
    assert!(entry.get("load_average").is_none() && entry["cpu_user_pct"].get("p10").is_none());
    assert_eq!(
        entry["mem_used_pct"]["p90"].as_array().unwrap()[..],
        full["mem_used_pct"]["p90"].as_array().unwrap()[..2]
    );
    assert_eq!(part["summary"], whole["summary"]);
}

#[test]
fn a_server_that_is_full_has_alerts() {
    let server = TestServer::with(|config| config.rate_limits.predictions = 10_000);
    server.feed_records(&history("ppdb001", 100, |_| 99.0));
    let reply = server.predictions_of(100);
    let entry = &reply["predictions"]["ppdb001"];
    assert!(entry["risk_score"].as_f64().unwrap() > 40.0, "{}", entry["risk_score"]);
    let alerts = server.get("/alerts/active").json();
    assert_eq!(alerts["count"].as_u64().unwrap() as usize, alerts["alerts"].as_array().unwrap().len());
    assert_eq!(alerts["alerts"], reply["alerts"]);
    let alert = &alerts["alerts"][0];
    assert_eq!((&alert["server"], &alert["state"]), (&json!("ppdb001"), &json!("firing")), "{alerts}");
    for key in
        ["metric", "severity", "predicted_value", "threshold", "steps_ahead", "minutes_ahead", "message"]
    {
        assert!(alert.get(key).is_some(), "{key}: {alert}");
    }
}
