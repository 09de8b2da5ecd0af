//! What an administrator reads and changes: models and servers.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tft_core::Model;
use tft_core::schema::Schema;
use tft_core::window::WindowConfig;

use crate::harness::{TestServer, history};

fn lenient(config: &mut tft_service::Config) {
    config.rate_limits.other = 10_000;
    config.rate_limits.predictions = 10_000;
    config.rate_limits.alerts = 10_000;
}

/// The files of the built-in model.
fn built_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tft-core/models/default")
}

/// Writes the built-in model under another id, after a change of its description.
fn write_model(directory: &Path, id: &str, change: impl FnOnce(&mut Value)) {
    std::fs::create_dir_all(directory).unwrap();
    let text = std::fs::read(built_in().join(Model::DOCUMENT_FILE)).unwrap();
    let mut document: Value = serde_json::from_slice(&text).unwrap();
    document["id"] = id.into();
    change(&mut document);
    std::fs::write(directory.join(Model::DOCUMENT_FILE), document.to_string()).unwrap();
    std::fs::copy(built_in().join(Model::WEIGHTS_FILE), directory.join(Model::WEIGHTS_FILE)).unwrap();
}

fn with_models() -> TestServer {
    let directory = tempfile::tempdir().unwrap();
    let models = directory.path().join("models");
    write_model(&models.join("good"), "second", |_| ());
    write_model(&models.join("torn"), "torn", |document| document["weights_sha256"] = "0".repeat(64).into());
    write_model(&models.join("hourly"), "hourly", |document| document["step_ms"] = 3_600_000.into());
    TestServer::in_directory(directory, |config| {
        lenient(config);
        config.models_dir = Some(models);
    })
}

#[test]
fn servers_are_listed_a_page_at_a_time() {
    let server = TestServer::with(lenient);
    assert_eq!(server.get("/servers").json(), json!({ "total": 0, "servers": [], "next": null }));
    for name in ["ppweb003", "ppdb001", "ppdb002"] {
        server.feed_records(&history(name, 3, |_| 20.0));
    }
    let page = server.get("/servers?limit=2").json();
    assert_eq!((&page["total"], &page["next"]), (&json!(3), &json!("ppdb002")));
    assert_eq!(
        page["servers"][0],
        json!({
            "name": "ppdb001", "profile": "database", "readiness": "warming_up", "history_steps": 2,
            "last_seen": "2026-01-05T12:00:00Z", "steps": 3, "samples_accepted": 3,
        })
    );
    let rest = server.get("/servers?limit=2&after=ppdb002").json();
    assert_eq!((&rest["servers"][0]["name"], &rest["next"]), (&json!("ppweb003"), &json!(null)));
    for query in ["limit=0", "limit=1001", "limit=x"] {
        assert_eq!(server.get(&format!("/servers?{query}")).status, 400, "{query}");
    }
}

#[test]
fn an_export_has_everything_in_each_format() {
    let server = TestServer::with(lenient);
    server.feed_records(&history("ppdb001", 30, f64::from));
    server.feed_records(&history("ppdb002", 3, f64::from));
    let export = server.get("/servers/ppdb001/export").json();
    assert_eq!(export["samples"].as_array().unwrap().len(), 30);
    let csv = server.get("/servers/ppdb001/export?format=csv");
    assert_eq!(csv.header("Content-Disposition"), Some("attachment; filename=\"ppdb001.csv\""));
    let lines: Vec<_> = csv.body.split("\r\n").collect();
    assert_eq!(lines.len(), 32);
    assert!(lines[0].starts_with("timestamp,server_name,profile,status,cpu_user_pct,"), "{}", lines[0]);
    assert!(lines[30].starts_with("2026-01-05T12:00:00Z,ppdb001,database,healthy,29,"), "{}", lines[30]);
    let columns = lines[0].split(',').count();
    assert!(lines[1..31].iter().all(|line| line.split(',').count() == columns));
    let parquet = server.get("/servers/ppdb001/export?format=parquet");
    assert_eq!(parquet.header("Content-Type"), Some("application/vnd.apache.parquet"));
    let loaded = tft_core::store::decode(parquet.bytes, Schema::server_metrics(), WindowConfig::default());
    let (window, report) = loaded.unwrap();
    assert_eq!((window.server_count(), window.step_count(), report.rows_dropped), (1, 30, 0));
    assert_eq!(
        window.server("ppdb001").unwrap().value(0, window.server("ppdb001").unwrap().newest_step()),
        Some(29.0)
    );
    assert_eq!(server.get("/servers/ppdb001/export?format=xml").status, 406);
    assert_eq!(server.get("/servers/nobody/export").status, 404);
}

#[test]
fn a_deleted_server_is_nowhere() {
    let server = TestServer::with(lenient);
    server.feed_records(&history("ppdb001", 100, |_| 99.0));
    server.feed_records(&history("ppweb003", 100, |_| 99.0));
    server.clock.advance(std::time::Duration::from_secs(1));
    server.predictions_of(200);
    let reply = server.with_key("DELETE", "/servers/ppdb001").send();
    assert_eq!(reply.status, 200, "{}", reply.body);
    let mut deleted = reply.json();
    assert!(deleted["history_rows"].take().as_u64().unwrap() > 0);
    insta::assert_snapshot!(deleted, @r#"{"files_set_aside":0,"history_rows":null,"is_confirmed":true,"is_forecast_renewed":true,"server":"ppdb001","status":"deleted"}"#);
    let predictions = server.get("/predictions/current").json();
    assert_eq!(predictions["predictions"].as_object().unwrap().keys().collect::<Vec<_>>(), ["ppweb003"]);
    let alerts = server.get("/alerts/active").json();
    let alerts = alerts["alerts"].as_array().unwrap();
    assert!(!alerts.is_empty() && alerts.iter().all(|alert| alert["server"] == "ppweb003"), "{alerts:?}");
    assert_eq!(server.get("/servers").json()["total"], 1);
    assert_eq!(server.get("/servers/ppdb001/export").status, 404);
    assert_eq!(server.with_key("DELETE", "/servers/ppdb001").send().status, 404);
    assert_eq!(server.with_key("DELETE", "/servers/a%20b").send().status, 404);
    let loaded =
        tft_core::store::load(&server.checkpoint(), Schema::server_metrics(), WindowConfig::default());
    assert!(loaded.unwrap().0.server("ppdb001").is_none());
    let directory = server.stop();
    let restarted = TestServer::in_directory(directory, lenient);
    assert_eq!(restarted.get("/servers").json()["total"], 1);
}

#[test]
fn files_that_were_set_aside_are_discarded_on_demand() {
    let directory = tempfile::tempdir().unwrap();
    let beside = |name: &str| directory.path().join(name);
    std::fs::write(beside("window.parquet"), "no checkpoint, but it names ppdb001").unwrap();
    std::fs::write(beside("window.pkl.migrated"), "ppdb001").unwrap();
    std::fs::write(beside("window.parquet.corrupt-notes"), "of somebody else").unwrap();
    let server = TestServer::in_directory(directory, lenient);
    server.feed_records(&history("ppdb001", 3, |_| 20.0));
    assert_eq!(server.with_key("DELETE", "/servers/ppdb001").send().json()["files_set_aside"], 2);
    assert_eq!(server.request("DELETE", "/admin/set-aside").send().status, 403);
    let reply = server.with_key("DELETE", "/admin/set-aside").send();
    insta::assert_snapshot!(reply.body, @r#"{"status":"discarded","files":["window.parquet.corrupt-20260105T120200Z","window.pkl.migrated"]}"#);
    assert_eq!(server.with_key("DELETE", "/admin/set-aside").send().json()["files"], json!([]));
    let directory = server.stop();
    let names = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().contains("corrupt")).collect();
    assert_eq!(left, ["window.parquet.corrupt-notes"]);
}

#[test]
fn a_deletion_is_in_the_audit_log() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("audit.log");
    let server = TestServer::in_directory(directory, |config| {
        config.audit = tft_service::audit::AuditTarget::File(log.clone());
    });
    server.feed_records(&history("ppdb001", 3, |_| 20.0));
    server.with_key("DELETE", "/servers/ppdb001").send();
    let directory = server.stop();
    let text = std::fs::read_to_string(directory.path().join("audit.log")).unwrap();
    let line = text.lines().find(|line| line.contains("DELETE")).unwrap();
    assert!(line.contains(r#""status_code":200,"reason":"server `ppdb001` deleted""#), "{line}");
}

#[test]
fn a_model_is_described() {
    let server = TestServer::with(lenient);
    let info = server.get("/admin/model-info").json();
    assert_eq!((&info["source"], &info["encoding"]), (&json!(null), &json!("univariate")));
    assert_eq!(info["id"], server.get("/predictions/current").json()["metadata"]["model_id"]);
    assert_eq!((&info["step_seconds"], &info["horizon_steps"]), (&json!(300), &json!(96)));
    assert_eq!(info["readiness_threshold_steps"], server.status()["warmup"]["required_size"]);
    assert_eq!(server.get("/admin/models").json(), json!({ "current": null, "models": [] }));
}

#[test]
fn a_model_is_changed_and_alerts_go_on() {
    let server = with_models();
    assert_eq!(server.get("/admin/models").json()["models"], json!(["good", "hourly", "torn"]));
    server.feed_records(&history("ppdb001", 100, |_| 99.0));
    let before = server.predictions_of(100);
    let first_seen = before["alerts"][0]["first_seen"].clone();
    server.clock.advance(std::time::Duration::from_secs(7));
    let reply = server.with_key("POST", "/admin/reload-model").json(r#"{"model_dir":"good"}"#).send();
    assert_eq!(reply.status, 200, "{}", reply.body);
    let reply = reply.json();
    assert_eq!((&reply["model_id"], &reply["source"]), (&json!("second"), &json!("good")));
    assert_eq!(reply["previous_model_id"], before["metadata"]["model_id"]);
    let after = server.get("/predictions/current").json();
    assert_eq!(after["metadata"]["model_id"], "second");
    assert_eq!(after["alerts"][0]["first_seen"], first_seen);
    assert_ne!(after["timestamp"], before["timestamp"]);
    assert_eq!(server.get("/admin/model-info").json()["id"], "second");
    assert_eq!(server.get("/admin/models").json()["current"], "good");
    let back = server.with_key("POST", "/admin/reload-model").send().json();
    assert_eq!((&back["model_id"], &back["source"]), (&before["metadata"]["model_id"], &json!(null)));
}

#[test]
fn a_model_that_cannot_be_used_changes_nothing() {
    let server = with_models();
    server.feed_records(&history("ppdb001", 30, |_| 20.0));
    let before = server.predictions_of(30)["metadata"]["model_id"].clone();
    let reload = |body: &str| server.with_key("POST", "/admin/reload-model").json(body).send();
    for (name, why) in [("torn", "SHA-256"), ("hourly", "steps of 300000 ms")] {
        let reply = reload(&json!({ "model_dir": name }).to_string());
        assert_eq!(reply.status, 422, "{name}: {}", reply.body);
        assert!(reply.body.contains(why), "{}", reply.body);
    }
    for name in ["missing", "../good", "/etc", "", ".", "good/../good", "a b", "\u{0}"] {
        let reply = reload(&json!({ "model_dir": name }).to_string());
        assert_eq!(reply.status, 404, "{name}: {}", reply.body);
    }
    for body in ["[", "{\"model\":\"good\"}", "{\"model_dir\":1}", "[]x"] {
        assert_eq!(reload(body).status, 400, "{body}");
    }
    assert_eq!(reload(&" ".repeat(5000)).status, 413);
    let other_type = server.with_key("POST", "/admin/reload-model").header("Content-Type", "text/plain");
    assert_eq!(other_type.body("x").send().status, 415);
    assert_eq!(server.get("/admin/model-info").json()["id"], before);
    assert_eq!(server.get("/predictions/current").json()["metadata"]["model_id"], before);
}

#[test]
fn what_is_older_than_its_retention_is_forgotten() {
    let server = TestServer::with(|config| {
        lenient(config);
        config.retention = Some(std::time::Duration::from_hours(24));
        config.intervals.checkpoint = std::time::Duration::from_millis(10);
    });
    server.feed_records(&history("ppdb001", 30, |_| 20.0));
    server.predictions_of(30);
    server.clock.advance(std::time::Duration::from_hours(23));
    assert_eq!(server.get("/servers").json()["total"], 1);
    server.clock.advance(std::time::Duration::from_hours(2));
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while server.get("/servers").json()["total"] != 0 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(server.predictions_of(0)["predictions"], json!({}));
}
