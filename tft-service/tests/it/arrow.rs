//! Arrow streams in and out, over a socket.

use std::sync::Arc;

use serde_json::json;
use tft_core::arrow::array::cast::AsArray;
use tft_core::arrow::array::types::{Float32Type, Int32Type, TimestampMillisecondType};
use tft_core::arrow::array::{
    Array, ArrayRef, DictionaryArray, Float32Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use tft_core::arrow::ipc::reader::StreamReader;
use tft_core::arrow::ipc::writer::StreamWriter;
use tft_core::time::Timestamp;

use crate::client::Reply;
use crate::harness::{TestServer, history};

const ARROW: &str = "application/vnd.apache.arrow.stream";

fn batch(server: &str, steps: i64, busy: f32) -> RecordBatch {
    let noon = Timestamp::parse("2026-01-05T12:00:00Z").unwrap().as_millis();
    let times = (0..steps).map(|step| noon - 300_000 * (steps - 1 - step));
    let names: DictionaryArray<Int32Type> = (0..steps).map(|_| Some(server)).collect();
    let columns: [(&str, ArrayRef); 4] = [
        ("timestamp", Arc::new(TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC"))),
        ("server_name", Arc::new(names)),
        ("status", Arc::new(StringArray::from_iter_values((0..steps).map(|_| "OK")))),
        ("cpu_user_pct", Arc::new(Float32Array::from_iter_values((0..steps).map(|_| busy)))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), batches[0].schema_ref()).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

fn feed(server: &TestServer, body: Vec<u8>) -> Reply {
    server.with_key("POST", "/feed/data").header("Content-Type", ARROW).body(body).send()
}

fn table(reply: &Reply) -> Vec<RecordBatch> {
    assert_eq!((reply.status, reply.header("Content-Type")), (200, Some(ARROW)), "{}", reply.body);
    StreamReader::try_new(&reply.bytes[..], None).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_stream_of_batches_is_a_feed_that_survives() {
    let server = TestServer::start();
    let reply = feed(&server, stream(&[batch("ppdb001", 3, 20.0), batch("ppdb001", 4, 120.0)]));
    assert_eq!(reply.status, 200, "{}", reply.body);
    let told = reply.json();
    assert_eq!((&told["accepted"], &told["rejected"]), (&json!(3), &json!(4)));
    assert_eq!(told["errors"][0]["index"], 3);
    // What the files hold now is what a kill leaves.
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(server.directory.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            continue;
        }
        // One that is being replaced has another name a moment later.
        if let Err(error) = std::fs::copy(entry.path(), copy.path().join(entry.file_name())) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
    let restarted = TestServer::in_directory(copy, |_| ());
    assert_eq!(
        (&restarted.status()["tick_count"], &restarted.status()["window_size"]),
        (&json!(1), &json!(3))
    );
}

#[test]
fn an_empty_or_a_bad_stream_is_answered_as_json_is() {
    let server = TestServer::start();
    let reply = feed(&server, stream(&[batch("ppdb001", 0, 20.0)]));
    assert_eq!(reply.status, 200);
    insta::assert_snapshot!(reply.body, @r#"{"status":"ignored","reason":"empty batch"}"#);
    let reply = feed(&server, stream(&[batch("pp db", 2, 20.0)]));
    assert_eq!(reply.status, 422);
    let whole = stream(&[batch("ppdb001", 2, 20.0)]);
    let unnamed =
        RecordBatch::try_from_iter([("cpu_user_pct", Arc::new(Float32Array::from(vec![1.0])) as ArrayRef)]);
    for (body, expected) in [
        (b"{\"records\":[]}".to_vec(), "feed is not an Arrow stream"),
        (whole[..whole.len() / 2].to_vec(), "it ends within a message"),
        (Vec::new(), "it has no schema"),
        (stream(&[unnamed.unwrap()]), "feed has no column `timestamp`"),
    ] {
        let reply = feed(&server, body);
        assert_eq!(reply.status, 400);
        assert!(reply.body.contains(expected), "{}", reply.body);
    }
    let reply = feed(&server, stream(&[batch("ppdb001", 10_001, 20.0)]));
    assert_eq!(reply.status, 413, "{}", reply.body);
    assert_eq!(server.status()["window_size"], 0);
}

#[test]
fn the_table_has_the_numbers_of_the_json_reply() {
    let server = TestServer::start();
    server.feed_records(&history("ppdb001", 20, |step| 20.0 + f64::from(step)));
    server.feed_records(&history("web-2", 20, |_| 30.0));
    let json = server.predictions_of(40);
    for reply in [
        server.get("/predictions/current?format=arrow"),
        server.with_key("GET", "/predictions/current").header("Accept", ARROW).send(),
    ] {
        let batches = table(&reply);
        assert_eq!(batches.len(), 1);
        let batch = &batches[0];
        let fields: Vec<_> = batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(fields, ["server_name", "metric", "method", "timestamp", "step", "p10", "p50", "p90"]);
        let text = |column: &str, row: usize| {
            let column = batch.column_by_name(column).unwrap().as_any_dictionary();
            column.values().as_string::<i32>().value(column.normalized_keys()[row]).to_owned()
        };
        let start = Timestamp::parse(json["metadata"]["forecast_start"].as_str().unwrap()).unwrap();
        assert_eq!(
            batch.schema_ref().metadata()["forecast_start"],
            json["metadata"]["forecast_start"].as_str().unwrap()
        );
        for row in (0..batch.num_rows()).step_by(97) {
            let step = batch["step"].as_primitive::<Int32Type>().value(row);
            let at = batch["timestamp"].as_primitive::<TimestampMillisecondType>().value(row);
            assert_eq!(at, start.as_millis() + 300_000 * i64::from(step - 1));
            let expected = &json["predictions"][text("server_name", row)][text("metric", row)];
            for quantile in ["p10", "p50", "p90"] {
                let value = batch[quantile].as_primitive::<Float32Type>().value(row);
                let expected = expected[quantile][step as usize - 1].as_f64().unwrap();
                assert!((f64::from(value) - expected).abs() < 1e-6 * expected.abs().max(1.0));
            }
        }
    }
}

#[test]
fn a_table_can_be_a_part_and_is_a_table_without_data() {
    let server = TestServer::start();
    server.wait_until_ready();
    let reply = server.get("/predictions/current?format=arrow");
    assert!(table(&reply).is_empty());
    server.feed_records(&history("ppdb001", 20, |_| 20.0));
    server.predictions_of(20);
    let target = "/predictions/current?format=arrow&metrics=cpu_user&horizon=4&quantiles=p50&server=ppdb001";
    let batches = table(&server.get(target));
    assert_eq!((batches[0].num_rows(), batches[0].num_columns()), (4, 6));
    assert!(batches[0]["p50"].null_count() == 0);
    assert_eq!(server.get("/predictions/current?format=arrow&server=x").status, 404);
}
