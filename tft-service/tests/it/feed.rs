//! What `POST /feed/data` answers.

use serde_json::json;

use crate::harness::{TestServer, history};

#[test]
fn accepted_records_are_counted() {
    let server = TestServer::start();
    let reply = server.feed(json!({ "records": history("ppdb001", 3, |_| 20.0) }).to_string());
    assert_eq!(reply.status, 200);
    insta::assert_snapshot!(reply.body, @r#"{"status":"accepted","tick":1,"window_size":3,"servers_tracked":1,"servers_ready":0,"warmup_complete":false,"accepted":3,"rejected":0}"#);
}

#[test]
fn good_records_are_kept_and_bad_ones_are_listed() {
    let server = TestServer::start();
    let reply = server.feed(
        r#"{"records":[
            {"timestamp":"2026-01-05T12:00:00Z","server_name":"ppdb001","cpu_user":25.3,"colour":"blue"},
            {"timestamp":"2026-01-05T12:00:00Z","server_name":"ppdb002","cpu_user":250.3},
            {"timestamp":"2026-01-05T12:00:00Z","server_name":"pp db","cpu_user":25.3},
            {"timestamp":"2026-01-05T13:00:00Z","server_name":"ppdb003","cpu_user":25.3}]}"#,
    );
    assert_eq!(reply.status, 200);
    let reply = reply.json();
    assert_eq!((&reply["accepted"], &reply["rejected"]), (&json!(1), &json!(3)));
    assert_eq!((&reply["servers_tracked"], &reply["unknown_fields"]), (&json!(1), &json!(1)));
    let errors = reply["errors"].as_array().unwrap();
    let fields: Vec<_> = errors.iter().map(|error| (&error["index"], &error["field"])).collect();
    assert_eq!(
        fields,
        [
            (&json!(1), &json!("cpu_user")),
            (&json!(2), &json!("server_name")),
            (&json!(3), &json!("timestamp"))
        ]
    );
}

#[test]
fn a_batch_of_bad_records_is_unprocessable() {
    let server = TestServer::start();
    let reply = server.feed(
        r#"{"records":[{"timestamp":"2026-01-05T12:00:00Z","server_name":"ppdb001","cpu_user":"high"}]}"#,
    );
    assert_eq!(reply.status, 422);
    let reply = reply.json();
    assert_eq!((&reply["status"], &reply["detail"]), (&json!("rejected"), &json!("no record was accepted")));
    assert_eq!(reply["errors"][0]["field"], "cpu_user");
    assert_eq!(server.status()["window_size"], 0);
}

#[test]
fn an_empty_batch_is_ignored() {
    let server = TestServer::start();
    let reply = server.feed(r#"{"records":[]}"#);
    assert_eq!(reply.status, 200);
    insta::assert_snapshot!(reply.body, @r#"{"status":"ignored","reason":"empty batch"}"#);
    assert_eq!(server.status()["tick_count"], 0);
}

#[test]
fn feeding_twice_changes_nothing() {
    let server = TestServer::start();
    let records = history("ppdb001", 2, f64::from);
    server.feed_records(&records);
    let reply = server.feed_records(&records);
    assert_eq!((&reply["window_size"], &reply["duplicates"]), (&json!(2), &json!(2)));
}

#[test]
fn a_new_server_does_not_take_readiness_from_the_fleet() {
    let server = TestServer::start();
    for name in ["ppdb001", "ppdb002"] {
        server.feed_records(&history(name, 1200, |step| 20.0 + f64::from(step % 7)));
    }
    let status = server.status();
    assert_eq!(status["warmup"]["is_warmed_up"], true, "{status}");
    let reply = server.feed_records(&history("ppdb003", 2, |_| 20.0));
    assert_eq!((&reply["servers_tracked"], &reply["servers_ready"]), (&json!(3), &json!(2)));
    assert_eq!(reply["warmup_complete"], true);
    assert_eq!(server.status()["warmup"]["message"], "Model ready - using TFT predictions");
}
