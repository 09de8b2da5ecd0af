//! Arrow in and out: batches are taken as the JSON feed is, and no stream of bytes can do harm.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tft_core::arrow::array::types::{Int8Type, Int32Type, UInt64Type};
use tft_core::arrow::array::{
    ArrayRef, DictionaryArray, Float32Array, Float64Array, Int64Array, LargeStringArray, NullArray,
    RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt8Array,
};
use tft_core::arrow::ipc::writer::StreamWriter;
use tft_core::schema::Schema;
use tft_core::time::Timestamp;
use tft_core::{ErrorKind, Feed, FeedLimits, RollingWindow, WindowConfig, store};

const NOON_MS: i64 = 1_767_614_400_000;

fn now() -> Timestamp {
    Timestamp::from_millis(NOON_MS + 3_600_000)
}

fn window() -> RollingWindow {
    RollingWindow::new(
        Schema::server_metrics(),
        WindowConfig { samples_per_step_max: 2, ..Default::default() },
    )
    .unwrap()
}

/// One row: its time in seconds after noon, and what its cells say; null where none.
#[derive(Debug, Clone)]
struct Row {
    seconds: i64,
    server: Option<&'static str>,
    profile: Option<&'static str>,
    status: Option<&'static str>,
    busy: Option<f64>,
    load: Option<f64>,
}

fn row() -> impl Strategy<Value = Row> {
    let text = |good: &'static [&'static str], bad: &'static [&'static str]| {
        proptest::option::weighted(
            0.9,
            prop_oneof![9 => prop::sample::select(good), 1 => prop::sample::select(bad)],
        )
    };
    let number =
        || proptest::option::weighted(0.8, (-4_i32..820).prop_map(|value| f64::from(2 * value + 1) / 16.0));
    (
        -2_000_i64..4_500,
        text(&["ppdb001", "web-2", "x"], &["a b", "", "naïve"]),
        text(&["database", "other"], &["not one"]),
        text(&["OK", "offline", "WARN"], &["asleep"]),
        number(),
        number(),
    )
        .prop_map(|(seconds, server, profile, status, busy, load)| Row {
            seconds,
            server,
            profile,
            status,
            busy,
            load,
        })
}

fn as_json(rows: &[Row]) -> Vec<u8> {
    let record = |row: &Row| {
        let mut record = Map::new();
        record.insert("timestamp".into(), json!(NOON_MS + 1000 * row.seconds));
        record.insert("server_name".into(), json!(row.server));
        record.insert("profile".into(), json!(row.profile));
        record.insert("state".into(), json!(row.status));
        record.insert("cpu_user".into(), json!(row.busy));
        record.insert("load_average".into(), json!(row.load));
        record.insert("colour".into(), Value::Null);
        record.insert("notes".into(), json!("n"));
        Value::Object(record)
    };
    serde_json::to_vec(&json!({ "records": rows.iter().map(record).collect::<Vec<_>>() })).unwrap()
}

fn texts(kind: u8, cells: Vec<Option<&str>>) -> ArrayRef {
    match kind % 6 {
        0 => Arc::new(StringArray::from(cells)),
        1 => Arc::new(LargeStringArray::from(cells)),
        2 => Arc::new(StringViewArray::from(cells)),
        3 => Arc::new(cells.into_iter().collect::<DictionaryArray<Int8Type>>()),
        4 => Arc::new(cells.into_iter().collect::<DictionaryArray<UInt64Type>>()),
        _ => Arc::new(cells.into_iter().collect::<DictionaryArray<Int32Type>>()),
    }
}

fn times(kind: u8, rows: &[Row]) -> ArrayRef {
    let seconds = rows.iter().map(|row| NOON_MS / 1000 + row.seconds);
    match kind % 7 {
        0 => Arc::new(TimestampSecondArray::from_iter_values(seconds)),
        1 => Arc::new(
            TimestampMillisecondArray::from_iter_values(seconds.map(|at| at * 1000)).with_timezone("UTC"),
        ),
        2 => Arc::new(
            TimestampMicrosecondArray::from_iter_values(seconds.map(|at| at * 1_000_000 + 999))
                .with_timezone("Europe/Berlin"),
        ),
        3 => Arc::new(TimestampNanosecondArray::from_iter_values(seconds.map(|at| at * 1_000_000_000))),
        4 => Arc::new(Int64Array::from_iter_values(seconds.map(|at| at * 1000))),
        5 => Arc::new(Float64Array::from_iter_values(seconds.map(|at| at as f64))),
        _ => {
            let texts = seconds.map(|at| Timestamp::from_millis(at * 1000).to_string());
            Arc::new(StringArray::from_iter_values(texts))
        }
    }
}

fn as_batch(rows: &[Row], kind: u8) -> RecordBatch {
    let numbers = |cells: Vec<Option<f64>>| -> ArrayRef {
        if kind.is_multiple_of(2) {
            Arc::new(Float64Array::from(cells))
        } else {
            // Sixteenths are the same number in single precision.
            Arc::new(cells.into_iter().map(|cell| cell.map(|value| value as f32)).collect::<Float32Array>())
        }
    };
    let text = |cell: fn(&Row) -> Option<&'static str>| texts(kind, rows.iter().map(cell).collect());
    // In the order in which the JSON has its fields: a record's first fault is told.
    let columns: [(&str, ArrayRef); 8] = [
        ("colour", Arc::new(NullArray::new(rows.len()))),
        ("cpu_user", numbers(rows.iter().map(|row| row.busy).collect())),
        ("load_average", numbers(rows.iter().map(|row| row.load).collect())),
        ("notes", Arc::new(UInt8Array::from_value(1, rows.len()))),
        ("profile", text(|row| row.profile)),
        ("server_name", text(|row| row.server)),
        ("state", text(|row| row.status)),
        ("timestamp", times(kind, rows)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn as_stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), batches[0].schema_ref()).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

fn feed_of(bytes: &[u8]) -> Result<Feed, tft_core::Error> {
    Feed::from_arrow_stream(bytes, &Schema::server_metrics(), &FeedLimits::default())
}

proptest! {
    #[test]
    fn json_and_arrow_make_the_same_window_and_the_same_report(rows in vec(row(), 1..40), kind: u8, cut in 0_usize..40) {
        let (mut from_json, mut from_batch, mut from_stream) = (window(), window(), window());
        let feed = Feed::from_json(&as_json(&rows), from_json.schema(), &FeedLimits::default()).unwrap();
        let expected = from_json.ingest_feed(feed, now()).unwrap();

        let batch = as_batch(&rows, kind);
        prop_assert_eq!(&from_batch.ingest_batch(&batch, now()).unwrap(), &expected);
        let cut = cut.min(rows.len());
        let bytes = as_stream(&[batch.slice(0, cut), batch.slice(cut, rows.len() - cut)]);
        prop_assert_eq!(&from_stream.ingest_feed(feed_of(&bytes).unwrap(), now()).unwrap(), &expected);

        let encoded = |window: &RollingWindow| store::encode(window, now()).unwrap();
        prop_assert_eq!(encoded(&from_batch), encoded(&from_json));
        prop_assert_eq!(encoded(&from_stream), encoded(&from_json));
    }

    #[test]
    fn what_a_window_gives_out_makes_the_same_closed_steps_again(rows in vec(row(), 1..60)) {
        let mut first = window();
        first.ingest_batch(&as_batch(&rows, 1), now()).unwrap();
        let names: Vec<_> = first.servers().map(|server| server.name().to_string()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let given = first.to_record_batch(&names, ..).unwrap();
        let mut second = window();
        prop_assert_eq!(second.ingest_batch(&given, now()).unwrap().accepted, given.num_rows());
        for server in second.servers() {
            let original = first.server(server.name().as_str()).unwrap();
            prop_assert_eq!(server.profile(), original.profile());
            for step in server.oldest_step().0..=server.newest_step().0 {
                let step = tft_core::time::Step(step);
                prop_assert_eq!(server.status_at(step), original.status_at(step));
                for metric in 0..first.schema().metrics().len() {
                    prop_assert_eq!(server.value(metric, step), original.value(metric, step));
                }
            }
        }
    }

    #[test]
    fn a_changed_stream_is_an_error_or_a_feed(rows in vec(row(), 1..8), kind: u8, changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = as_stream(&[as_batch(&rows, kind)]);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(feed) = feed_of(&bytes) {
            let _ = window().ingest_feed(feed, now());
        }
    }
}

#[test]
fn a_stream_may_end_nowhere_but_at_its_end() {
    let rows = [Row {
        seconds: 0,
        server: Some("x"),
        profile: None,
        status: Some("OK"),
        busy: Some(1.0),
        load: None,
    }];
    let bytes = as_stream(&[as_batch(&rows, 5)]);
    assert_eq!(feed_of(&bytes).unwrap().records().len(), 1);
    for length in 0..bytes.len() - 8 {
        // A stream without a batch is an empty feed, and one without the mark of its end a whole one.
        if let Err(error) = feed_of(&bytes[..length]) {
            assert_eq!(error.kind(), ErrorKind::Malformed, "{length}: {error}");
        } else {
            assert!(feed_of(&bytes[..length]).unwrap().records().len() <= 1);
        }
    }
    let error = feed_of(&[&bytes[..], b"more"].concat()).unwrap_err();
    insta::assert_snapshot!(error, @"feed is not an Arrow stream: it goes on after its end");
    insta::assert_snapshot!(feed_of(b"{\"records\":[]}").unwrap_err(), @"feed is not an Arrow stream: it ends within a message");
}

#[test]
fn columns_that_cannot_be_a_feed_are_named() {
    let names = || -> ArrayRef { Arc::new(StringArray::from(vec!["x"])) };
    let times = || -> ArrayRef { Arc::new(Int64Array::from(vec![NOON_MS])) };
    let message = |columns: Vec<(&str, ArrayRef)>| {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let error = window().ingest_batch(&batch, now()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        error.to_string()
    };
    insta::assert_snapshot!(message(vec![("timestamp", times())]), @"feed has no column `server_name`");
    insta::assert_snapshot!(message(vec![("server_name", names())]), @"feed has no column `timestamp`");
    insta::assert_snapshot!(message(vec![("timestamp", times()), ("server_name", times())]), @"column `server_name` of the feed has the type Int64, expected is text");
    insta::assert_snapshot!(message(vec![("timestamp", times()), ("server_name", names()), ("load", names())]), @"column `load` of the feed has the type Utf8, expected is a number");
    insta::assert_snapshot!(message(vec![("timestamp", times()), ("server_name", names()), ("hostname", names())]), @"feed has column `hostname`, which is another name of column `server_name`");
}

#[test]
fn rows_over_the_limit_are_refused_before_they_are_decoded() {
    let rows =
        vec![
            Row { seconds: 0, server: Some("x"), profile: None, status: None, busy: Some(1.0), load: None };
            11
        ];
    let bytes = as_stream(&[as_batch(&rows, 0), as_batch(&rows, 0)]);
    let limits = FeedLimits { records_max: 21, ..Default::default() };
    let error = Feed::from_arrow_stream(&bytes, &Schema::server_metrics(), &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    insta::assert_snapshot!(error, @"feed has 22 records, allowed are at most 21");
    // Columns without bytes let a small stream claim any number of rows.
    let nulls: ArrayRef = Arc::new(NullArray::new(usize::MAX >> 1));
    let huge = RecordBatch::try_from_iter_with_nullable([("timestamp", nulls, true)]).unwrap();
    assert_eq!(feed_of(&as_stream(&[huge])).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn nan_costs_its_row_and_single_precision_is_shown_as_such() {
    let busy: ArrayRef = Arc::new(Float32Array::from(vec![f32::NAN, 101.1, 7.5]));
    let columns: [(&str, ArrayRef); 3] = [
        ("timestamp", Arc::new(Int64Array::from(vec![NOON_MS; 3]))),
        ("server_name", texts(5, vec![Some("x"); 3])),
        ("cpu_user_pct", busy),
    ];
    let mut window = window();
    let report = window.ingest_batch(&RecordBatch::try_from_iter(columns).unwrap(), now()).unwrap();
    assert_eq!((report.accepted, report.rejected), (1, 2));
    insta::assert_snapshot!(report.errors[0], @"record 0: cpu_user_pct `NaN` is not a finite single-precision number");
    insta::assert_snapshot!(report.errors[1], @"record 1: cpu_user_pct `101.1` is above the largest valid value 100");
    let error = window.to_record_batch(&["y"], ..).unwrap_err();
    insta::assert_snapshot!(error, @"window has no server `y`");
}
