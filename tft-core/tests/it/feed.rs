//! What a feed costs when it is wrong: its record, or the whole request, and never the window.

use tft_core::schema::Schema;
use tft_core::time::Timestamp;
use tft_core::{Error, Feed, FeedLimits, IngestReport, RollingWindow, WindowConfig};

const GOOD: &str = r#"{"timestamp":"2026-01-05T12:00:00Z","server_name":"ppdb001","cpu_user":25.5}"#;

fn parse(body: &str) -> Result<Feed, Error> {
    Feed::from_json(body.as_bytes(), &Schema::server_metrics(), &FeedLimits::default())
}

fn ingest(body: &str) -> (RollingWindow, IngestReport) {
    let mut window = RollingWindow::new(Schema::server_metrics(), WindowConfig::default()).unwrap();
    let now = Timestamp::parse("2026-01-05T12:00:00Z").unwrap();
    let report = window.ingest_feed(parse(body).unwrap(), now).unwrap();
    (window, report)
}

/// Feeds a good record with `fields` in place of its metric, after one that is good as it is.
fn reason(fields: &str) -> String {
    let bad = GOOD.replace(r#""cpu_user":25.5"#, fields);
    let (window, report) = ingest(&format!(r#"{{"records":[{GOOD},{bad}]}}"#));
    assert_eq!((report.accepted, report.rejected, report.errors.len()), (1, 1, 1), "{fields}");
    assert_eq!((window.step_count(), window.tick_count()), (1, 1));
    assert_eq!(window.server("ppdb001").unwrap().samples_accepted(), 1);
    report.errors[0].to_string()
}

fn refusal(body: &str) -> String {
    let error = parse(body).unwrap_err();
    assert!(error.is_malformed(), "{error}");
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[test]
fn a_bad_metric_costs_its_record_and_is_named() {
    insta::assert_snapshot!(reason(r#""cpu_user":NaN"#), @"record 1: cpu_user `NaN` is not a number");
    insta::assert_snapshot!(reason(r#""cpu_user":-Infinity"#), @"record 1: cpu_user `-Infinity` is not a number");
    insta::assert_snapshot!(reason(r#""cpu_user":1e999"#), @"record 1: cpu_user `1e999` is not a finite single-precision number");
    insta::assert_snapshot!(reason(r#""net_rx":1e39"#), @"record 1: net_rx `1e39` is not a finite single-precision number");
    insta::assert_snapshot!(reason(r#""cpu_user":100.51"#), @"record 1: cpu_user `100.51` is above the largest valid value 100");
    insta::assert_snapshot!(reason(r#""load":-1"#), @"record 1: load `-1` is below the smallest valid value 0");
    insta::assert_snapshot!(reason(r#""cpu_user":"25.3""#), @r#"record 1: cpu_user `"25.3"` is not a number"#);
    insta::assert_snapshot!(reason(r#""cpu_user":true"#), @"record 1: cpu_user `true` is not a number");
    insta::assert_snapshot!(reason(r#""cpu_user":[1, {"a":2}]"#), @r#"record 1: cpu_user `[1, {"a":2}]` is not a number"#);
}

#[test]
fn a_bad_field_costs_its_record_and_is_named() {
    insta::assert_snapshot!(reason(r#""cpu_user":1,"status":"asleep""#), @r#"record 1: status `"asleep"` is not a known status"#);
    insta::assert_snapshot!(reason(r#""cpu_user":1,"state":3"#), @"record 1: state `3` is not text");
    insta::assert_snapshot!(reason(r#""cpu_user":1,"profile":"a b""#), @r#"record 1: profile `"a b"` must be 1 to 64 characters of [A-Za-z0-9_-]"#);
    insta::assert_snapshot!(reason(r#""notes":"no metric""#), @"record 1: record has neither a metric value nor a status");
}

#[test]
fn a_known_field_may_appear_once_under_whichever_name() {
    insta::assert_snapshot!(reason(r#""cpu_user":1,"cpu_user":1"#), @"record 1: cpu_user appears more than once in the record");
    insta::assert_snapshot!(reason(r#""cpu_user":1,"cpu_user_pct":null"#), @"record 1: cpu_user_pct appears more than once in the record");
    insta::assert_snapshot!(reason(r#""cpu_user":1,"hostname":"b""#), @"record 1: hostname appears more than once in the record");
    insta::assert_snapshot!(reason(r#""cpu_user":1,"timestamp":1"#), @"record 1: timestamp appears more than once in the record");
    insta::assert_snapshot!(reason(r#""status":"OK","state":"OK""#), @"record 1: state appears more than once in the record");
    insta::assert_snapshot!(reason(r#""cpu_user":1,"cpu\u005fuser":1"#), @"record 1: cpu_user appears more than once in the record");
}

#[test]
fn a_record_needs_a_time_and_a_name() {
    let (_, report) = ingest(
        r#"{"records":[
        {"server_name":"a","load":1},
        {"timestamp":null,"server_name":"a","load":1},
        {"timestamp":"yesterday","server_name":"a","load":1},
        {"timestamp":"9999-12-01T00:00:00Z","server_name":"a","load":1},
        {"timestamp":"10000-01-01T00:00:00Z","server_name":"a","load":1},
        {"timestamp":1e300,"server_name":"a","load":1},
        {"timestamp":1767614400,"load":1},
        {"timestamp":1767614400,"server_name":"","load":1},
        {"timestamp":1767614400,"server_name":"../etc","load":1},
        {"timestamp":1767614400,"server_name":7,"load":1},
        {"timestamp":1767614400,"server_name":"\ud800","load":1},
        {"\ud800":1},
        [1], 3, "x", null]}"#,
    );
    assert_eq!((report.accepted, report.rejected), (0, 16));
    let reasons = report.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(reasons, @r#"
    record 0: timestamp is missing
    record 1: timestamp `null` is not a time in the years 1 to 9999: RFC 3339, a date and time without offset, Unix seconds or milliseconds
    record 2: timestamp `"yesterday"` is not a time in the years 1 to 9999: RFC 3339, a date and time without offset, Unix seconds or milliseconds
    record 3: timestamp `9999-12-01T00:00:00Z` is more than 300000 ms after 2026-01-05T12:00:00Z
    record 4: timestamp `"10000-01-01T00:00:00Z"` is not a time in the years 1 to 9999: RFC 3339, a date and time without offset, Unix seconds or milliseconds
    record 5: timestamp `1e300` is not a time in the years 1 to 9999: RFC 3339, a date and time without offset, Unix seconds or milliseconds
    record 6: server_name is missing
    record 7: server_name `""` must be 1 to 100 characters of [A-Za-z0-9._:-]
    record 8: server_name `"../etc"` must be 1 to 100 characters of [A-Za-z0-9._:-]
    record 9: server_name `7` is not text
    record 10: server_name `"\ud800"` is not text
    record 11: record cannot be read: unexpected end of hex escape at line 1 column 9
    record 12: record `[1]` is not an object
    record 13: record `3` is not an object
    record 14: record `"x"` is not an object
    record 15: record `null` is not an object
    "#);
}

#[test]
fn a_null_metric_is_missing_and_an_unknown_field_is_counted() {
    let (window, report) = ingest(
        r#"{"source":"agent","records":[{"timestamp":1767614400000,"hostname":"ppdb001","cpu_user":null,
        "load":2.5,"problem_child":false,"notes":{"a":[1]},"gpu":3,"disks":[{"sda":1}],"profile":null,
        "state":"maint"}]}"#,
    );
    assert_eq!((report.accepted, report.unknown_fields), (1, 3));
    let server = window.server("ppdb001").unwrap();
    let step = server.newest_step();
    assert_eq!((server.value(0, step), server.value(12, step)), (None, Some(2.5)));
    assert_eq!(server.status().map(|status| window.schema().statuses().name(status)), Some("maintenance"));
}

#[test]
fn a_status_alone_is_a_sample() {
    let (window, report) =
        ingest(r#"{"records":[{"timestamp":1767614400,"server_name":"ppdb001","status":"DOWN"}]}"#);
    assert_eq!((report.accepted, window.step_count()), (1, 1));
}

#[test]
fn a_body_of_another_form_is_refused_as_a_whole() {
    let bodies = [
        "",
        "[]",
        r#"{"record":[]}"#,
        r#"{"records":{}}"#,
        r#"{"records":[{]}"#,
        r#"{"records":[]} x"#,
        r#"{"records":[],"records":[]}"#,
        r#"{"a":1,"records":[],"a":1}"#,
    ];
    insta::assert_snapshot!(bodies.map(refusal).join("\n"), @r"
    feed is not a JSON object with a list `records`: EOF while parsing a value at line 1 column 0
    feed is not a JSON object with a list `records`: invalid type: sequence, expected an object with a list `records` at line 1 column 0
    feed is not a JSON object with a list `records`: missing field `records` at line 1 column 13
    feed is not a JSON object with a list `records`: invalid type: map, expected a list of records at line 1 column 11
    feed is not a JSON object with a list `records`: key must be a string at line 1 column 14
    feed is not a JSON object with a list `records`: trailing characters at line 1 column 16
    feed is not a JSON object with a list `records`: key `records` appears twice at line 1 column 27
    feed is not a JSON object with a list `records`: key `a` appears twice at line 1 column 26
    ");
    let error = Feed::from_json(b"{\"\xff\":1}", &Schema::server_metrics(), &FeedLimits::default());
    let error = error.unwrap_err();
    assert!(error.is_malformed());
    insta::assert_snapshot!(error, @"feed is not UTF-8 from byte 2 on");
}

#[test]
fn nesting_is_limited_wherever_it_is() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let in_notes = |depth: usize| format!(r#"{{"records":[{{"notes":{}}}]}}"#, nested(depth));
    let bodies = [nested(100_000), format!(r#"{{"x":{},"records":[]}}"#, nested(32)), in_notes(30)];
    insta::assert_snapshot!(bodies.map(|body| refusal(&body)).join("\n"), @r"
    feed nests lists and objects deeper than 32 levels at byte 32
    feed nests lists and objects deeper than 32 levels at byte 36
    feed nests lists and objects deeper than 32 levels at byte 50
    ");
    assert_eq!(parse(&in_notes(29)).unwrap().rejected(), 1);
}

#[test]
fn ten_thousand_records_are_the_limit() {
    let body = |count: usize| format!(r#"{{"records":[{}]}}"#, vec![GOOD; count].join(","));
    assert_eq!(parse(&body(10_000)).unwrap().records().len(), 10_000);
    let error = parse(&body(10_001)).unwrap_err();
    assert!(error.is_limit_exceeded());
    insta::assert_snapshot!(error, @"feed has 10001 records, allowed are at most 10000");
}

#[test]
fn an_empty_feed_is_told_apart_from_a_refused_one() {
    assert!(parse(r#"{"records":[]}"#).unwrap().is_empty());
    assert!(!parse(r#"{"records":[{}]}"#).unwrap().is_empty());
}
