//! Cascades and drift over the wire.

use serde_json::{Value, json};

use crate::harness::{TestServer, history};

fn keys(value: &Value) -> String {
    value.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Five servers with noise, of which the first four leave it in the last two closed steps, the first one a step before.
fn cascading() -> TestServer {
    let server = TestServer::with(|config| config.rate_limits.predictions = 10_000);
    let mut records = Vec::new();
    for (at, name) in ["ppdb001", "ppdb002", "ppweb001", "ppweb002", "ppml001"].into_iter().enumerate() {
        let onset = match at {
            0 => 36,
            4 => 99,
            _ => 37,
        };
        records.extend(history(name, 40, |step| {
            let noise = f64::from((step * 7 + at as u32 * 3) % 5);
            20.0 + noise + if step >= onset { 60.0 } else { 0.0 }
        }));
    }
    server.feed_records(&records);
    server.predictions_of(200);
    server
}

#[test]
fn a_cascade_has_the_known_shape_and_names_who_was_first() {
    let server = cascading();
    let reply = server.get("/cascade/status").json();
    insta::assert_snapshot!(keys(&reply), @"current_status event_count recent_events thresholds tracking");
    let status = &reply["current_status"];
    insta::assert_snapshot!(keys(status), @"anomaly_rate cascade_detected cascades correlation_score metrics servers_with_anomalies severity timestamp total_servers");
    assert_eq!((&status["cascade_detected"], &status["total_servers"]), (&json!(true), &json!(5)), "{reply}");
    let cascade = &status["cascades"][0];
    insta::assert_snapshot!(keys(cascade), @"affected_servers end id is_over lead_server metric server_count servers severity share_max start timestamp");
    assert_eq!(cascade["metric"], "cpu_user_pct", "{reply}");
    assert_eq!(
        (&cascade["severity"], &cascade["lead_server"]),
        (&json!("critical"), &json!("ppdb001")),
        "{reply}"
    );
    assert_eq!(cascade["server_count"], 4, "{reply}");
    assert_eq!(
        reply["thresholds"],
        json!({ "correlation": 0.7, "cascade_servers": 3, "anomaly_z_score": 2.0 })
    );
    assert_eq!(reply["tracking"]["metrics_tracked"].as_array().unwrap().len(), 5);

    let health = server.get("/cascade/health").json();
    insta::assert_snapshot!(keys(&health), @"anomalous_servers anomaly_rate cascade_detected cascade_risk correlation_score health_score status total_servers");
    assert_eq!((&health["anomalous_servers"], &health["total_servers"]), (&json!(4), &json!(5)), "{health}");
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("tft_cascades{severity=\"critical\"} 1\n"), "{metrics}");
}

#[test]
fn nothing_fed_is_no_cascade_and_no_drift() {
    let server = TestServer::start();
    let status = server.get("/cascade/status").json();
    assert_eq!(status["current_status"]["cascade_detected"], false);
    assert_eq!((&status["event_count"], &status["current_status"]["timestamp"]), (&json!(0), &json!(null)));
    assert!((server.get("/cascade/health").json()["health_score"].as_f64().unwrap() - 100.0).abs() < 1e-9);
    let drift = server.get("/drift/status").json();
    assert_eq!((&drift["verdict"], &drift["drift_detected"]), (&json!("unknown"), &json!(false)));
    assert_eq!(server.get("/drift/report").json()["overall_health"], "unknown");
}

#[test]
fn forecasts_meet_their_values_step_by_step() {
    let server = TestServer::with(|config| {
        config.rate_limits.predictions = 10_000;
        config.rate_limits.feed = 10_000;
    });
    let records = history("ppdb001", 60, |step| 30.0 + f64::from((step * 7) % 11));
    for (fed, record) in records.iter().enumerate() {
        server.feed_records(std::slice::from_ref(record));
        if fed >= 20 {
            server.predictions_of(fed as u64 + 1);
        }
    }
    let status = server.get("/drift/status").json();
    assert!(status["values"].as_u64().unwrap() > 30, "{status}");
    assert_eq!((&status["method"], &status["servers_tracked"]), (&json!("fallback"), &json!(1)), "{status}");
    insta::assert_snapshot!(keys(&status), @"auto_retrain_enabled drift_detected drifting_metrics last_retrain method metrics servers_tracked thresholds timestamp total_servers values verdict");
    let report = server.get("/drift/report").json();
    insta::assert_snapshot!(keys(&report), @"auto_retrain expectation feature_drift methods metrics model_id needs_retraining overall_health recommendations report_timestamp servers_tracked total_servers values values_constant values_missing verdict");
    let metric = &report["methods"]["fallback"]["metrics"]["cpu_user_pct"];
    let horizon = &metric["horizons"][0];
    assert_eq!((&horizon["steps"], &horizon["verdict"]), (&json!(1), &json!("unknown")), "{report}");
    let coverage = horizon["coverage"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&coverage) && horizon["values"].as_u64().unwrap() > 20, "{report}");
    assert_eq!(metric["profiles"]["database"]["horizons"], metric["horizons"]);
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("tft_drift_coverage{method=\"fallback\",metric=\"cpu_user_pct\"}"), "{metrics}");
    assert!(!metrics.contains("tft_drift_detected"), "{metrics}");
}
