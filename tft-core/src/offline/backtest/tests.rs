//! Backtests with answers that can be worked out by hand.

use super::{Backtest, BacktestConfig, BacktestReport, History, Incident};
use crate::alert::{AlertConfig, Condition, Rule, Severity};
use crate::forecast::{Forecaster, ForecasterConfig};
use crate::monitor::Monitor;
use crate::risk::Threshold;
use crate::schema::{Metric, MetricKind, Schema, SchemaConfig};
use crate::time::{DurationMs, StepLength, Timestamp};
use crate::window::Record;

const STEP_MS: i64 = 300_000;

fn schema() -> Schema {
    let metrics = vec![Metric::new("queue", MetricKind::Continuous)];
    Schema::new(SchemaConfig { metrics, ..SchemaConfig::default() }).unwrap()
}

fn rule(name: &str, warning: f64, critical: f64) -> Rule {
    let thresholds =
        [(Severity::Warning, Threshold::Value(warning)), (Severity::Critical, Threshold::Value(critical))];
    Rule::new(name, Condition::Observed { metric: "queue".to_owned() }, thresholds)
}

fn monitor() -> Monitor {
    let forecaster =
        Forecaster::without_model(StepLength::FIVE_MINUTES, ForecasterConfig::default()).unwrap();
    let mut monitor = Monitor::new(&schema(), forecaster).unwrap();
    let rules = vec![rule("long", 10.0, 20.0), rule("never", 1000.0, 2000.0)];
    monitor.set_rules(AlertConfig { rules, ..AlertConfig::default() }).unwrap();
    monitor
}

/// A day of quiet, with a queue at some steps of some servers.
fn history(loud: &[(&str, std::ops::Range<i64>, f64)], labelled: &[(&str, std::ops::Range<i64>)]) -> History {
    let (mut records, mut labels) = (Vec::new(), Vec::new());
    for server in ["a", "b"] {
        for step in 0..288 {
            let of = |(name, steps, value): &(&str, std::ops::Range<i64>, f64)| {
                (*name == server && steps.contains(&step)).then_some(*value)
            };
            let value = loud.iter().find_map(of).unwrap_or(1.0);
            let at = Timestamp::from_millis(step * STEP_MS);
            records.push(Record::new(&schema(), server, at).unwrap().with("queue", value).unwrap());
            labels.push(labelled.iter().any(|(name, steps)| *name == server && steps.contains(&step)));
        }
    }
    History::new(schema(), records, Some(labels))
}

fn run(history: &History, config: BacktestConfig) -> BacktestReport {
    let incidents = history.incidents().map(<[Incident]>::to_vec);
    Backtest::new(monitor(), config).unwrap().run(history, incidents.as_deref(), &mut |_, _| true).unwrap()
}

fn minutes(minutes: u32) -> DurationMs {
    DurationMs::from_minutes(minutes)
}

fn config() -> BacktestConfig {
    BacktestConfig { warm_up: minutes(60), early_window: minutes(30), ..BacktestConfig::default() }
}

#[test]
fn figures_are_those_worked_out_by_hand() {
    // On `a`: an alert from 8:25 (the end of step 100) to 9:15 with an incident from 8:45, twenty minutes later; an alert
    // without an incident. On `b`: an incident half of which is over when the alert fires, and one without any.
    let history = history(
        &[("a", 100..110, 15.0), ("a", 200..206, 15.0), ("b", 55..60, 25.0)],
        &[("a", 105..120), ("b", 50..60), ("b", 250..255)],
    );
    let report = run(&history, config());
    insta::assert_snapshot!(report, @"
    1970-01-01T01:05:00Z to 1970-01-02T00:05:00Z
    2 servers, 1.9 server-days, judged 276 times, forecast by the statistical fallback
    3 incidents; an alert counts from 30m before one to its end

    rule   episodes  critical  open  servers  alert hours  min to resolve  precision  recall  early      lead min  false/server-day  quiet share
    long          3         1     0        2          1.8     30 (30..50)       0.67    0.67   0.33  20 (-30..20)              0.52        0.014
    never         0         0     0        0          0.0               -          -    0.00   0.00             -              0.00        0.000
    (any)         3         1     0        2          1.8     30 (30..50)       0.67    0.67   0.33  20 (-30..20)              0.52        0.014
    ");
    let long = &report.rules[0];
    let figures = long.incidents.as_ref().unwrap();
    assert_eq!(
        (long.episodes, long.critical_episodes, figures.true_episodes, figures.detected),
        (3, 1, 2, 2)
    );
    assert_eq!(long.minutes_to_resolve.map(|q| (q.min, q.p50, q.max)), Some((25.0, 30.0, 50.0)));
    assert_eq!(figures.lead_minutes.map(|q| (q.min, q.max)), Some((-30.0, 20.0)));
    // One false episode in two servers' 23 hours.
    assert!((figures.false_per_server_day - 24.0 / 46.0).abs() < 1e-9, "{}", figures.false_per_server_day);
    assert_eq!(report.any_rule.episodes, long.episodes);
}

#[test]
fn an_alert_that_was_on_before_the_early_window_leads_by_all_of_it() {
    let history = history(&[("a", 50..120, 15.0)], &[("a", 100..110)]);
    let report = run(&history, config());
    let figures = report.rules[0].incidents.as_ref().unwrap();
    assert_eq!(figures.lead_minutes.map(|q| q.p50), Some(30.0));
    // 70 steps of alert, 16 of them within the reach of the incident.
    let quiet_steps = 2.0 * 276.0 - 16.0;
    assert!((figures.quiet_share.unwrap() - 54.0 / quiet_steps).abs() < 1e-9, "{:?}", figures.quiet_share);
}

#[test]
fn an_alert_at_the_end_is_open_and_one_without_data_goes_on() {
    let mut samples = history(&[("a", 100..288, 15.0)], &[]).records().to_vec();
    samples.retain(|record| {
        let step = record.timestamp().as_millis() / STEP_MS;
        record.server().as_str() == "b" || !(150..190).contains(&step)
    });
    let report = run(&History::new(schema(), samples, None), config());
    let long = &report.rules[0];
    assert_eq!((long.episodes, long.unresolved, &long.incidents), (1, 1, &None));
    assert!((long.alert_hours - 188.0 / 12.0).abs() < 1e-9, "{}", long.alert_hours);
    assert!(!report.to_string().contains("precision"));
}

#[test]
fn judging_less_often_sees_the_same_coarser() {
    let history = history(&[("a", 100..112, 15.0)], &[]);
    let report = run(&history, BacktestConfig { every_steps: 6, ..config() });
    assert_eq!((report.judgements, report.rules[0].episodes), (46, 1));
    let refused = Backtest::new(monitor(), BacktestConfig { every_steps: 0, ..config() }).unwrap_err();
    insta::assert_snapshot!(refused, @"backtest.every_steps is 0, allowed are 1 to 288");
    let too_long = BacktestConfig { warm_up: minutes(60 * 48), ..config() };
    let refused =
        Backtest::new(monitor(), too_long).unwrap().run(&history, None, &mut |_, _| true).unwrap_err();
    insta::assert_snapshot!(refused, @"history has no sample after the first 2d, which only fill the window");
}

#[test]
fn a_history_before_is_fed_and_not_judged() {
    let before = history(&[("a", 200..288, 15.0)], &[]);
    let after = (288..300).map(|step| {
        Record::new(&schema(), "a", Timestamp::from_millis(step * STEP_MS))
            .unwrap()
            .with("queue", 15.0)
            .unwrap()
    });
    let mut backtest = Backtest::new(monitor(), BacktestConfig { warm_up: minutes(0), ..config() }).unwrap();
    backtest.warm_up(&before).unwrap();
    let report =
        backtest.run(&History::new(schema(), after.collect(), None), None, &mut |_, _| true).unwrap();
    assert_eq!((report.judgements, report.rules[0].episodes), (12, 1));
    assert_eq!(report.from, Timestamp::from_millis(289 * STEP_MS));
}

#[test]
fn incidents_are_read_as_times_or_as_rows() {
    let history = history(&[], &[]);
    let read = |text: &str| Incident::parse_list(text, &history);
    let by_rows =
        read(r#"[{"server_name":"a","first_test_row":1,"last_test_row":3,"metrics":["queue"]}]"#).unwrap();
    let by_times = read(r#"[{"server":"a","start":"1970-01-01T00:05:00Z","end":900}]"#).unwrap();
    assert_eq!(by_rows, by_times);
    let refused = [
        r#"{"a":1}"#,
        r#"[{"server":"a b","start":1,"end":2}]"#,
        r#"[{"server":"a","start":1}]"#,
        r#"[{"server":"a","start":"soon","end":2}]"#,
        r#"[{"server":"a","start":2,"end":1}]"#,
        r#"[{"server":"a","first_test_row":1,"last_test_row":288}]"#,
        r#"[{"server":"c","first_test_row":0,"last_test_row":0}]"#,
    ];
    let lines: Vec<_> = refused.iter().map(|text| read(text).unwrap_err().to_string()).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    incidents are no JSON list of objects
    incident 0 is about a server whose name cannot be used
    incident 0 needs `start` and `end`, or `first_test_row` and `last_test_row`
    incident 0 has a time `"soon"` that is neither RFC 3339 nor a Unix time
    incident 0 ends before it starts
    incident 0 is about row 288 of `a`, of which the history has 288
    incident 0 is about row 0 of `c`, of which the history has 0
    "#);
}

#[cfg(feature = "parquet")]
mod files {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, BooleanArray, Float32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
    };
    use parquet::arrow::ArrowWriter;

    use super::*;

    /// Samples of `a` and `b` in the order of servers: four each, of which the second and third of `a` are labelled.
    fn columns() -> Vec<(&'static str, ArrayRef)> {
        let times: Vec<i64> = (0..4).chain(0..4).map(|step| step * STEP_MS).collect();
        let names: Vec<_> = (0..8).map(|row| if row < 4 { "a" } else { "b" }).collect();
        let queue = vec![1.0, f32::NAN, 3.0, 900.0, 1.0, 1.0, 1.0, -5.0];
        vec![
            ("timestamp", Arc::new(TimestampMillisecondArray::from(times))),
            ("server_name", Arc::new(StringArray::from(names))),
            ("queue", Arc::new(Float32Array::from(queue))),
            (
                "busy",
                Arc::new(Int64Array::from(vec![
                    Some(1),
                    None,
                    Some(99),
                    Some(3),
                    Some(4),
                    Some(5),
                    Some(6),
                    Some(7),
                ])),
            ),
            ("note", Arc::new(StringArray::from(vec!["x"; 8]))),
            (
                "incident",
                Arc::new(BooleanArray::from(vec![false, true, true, false, false, false, false, false])),
            ),
        ]
    }

    fn written(directory: &Path, columns: Vec<(&'static str, ArrayRef)>) -> PathBuf {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let path = directory.join("history.parquet");
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        path
    }

    #[test]
    fn a_file_tells_its_metrics_and_its_incidents() {
        let directory = tempfile::tempdir().unwrap();
        let history = History::read(&written(directory.path(), columns()), None).unwrap();
        let kinds: Vec<_> =
            history.schema().metrics().iter().map(|metric| (metric.name.as_str(), metric.kind)).collect();
        assert_eq!(kinds, [("queue", MetricKind::Continuous), ("busy", MetricKind::Percentage)]);
        let order: Vec<_> = history.records().iter().map(|record| record.server().as_str()).collect();
        assert_eq!(order, ["a", "b", "a", "b", "a", "b", "a", "b"]);
        assert_eq!((history.records()[2].value(0), history.records()[2].value(1)), (None, None));
        let at = |step| Timestamp::from_millis(step * STEP_MS);
        let incidents: Vec<_> =
            history.incidents().unwrap().iter().map(|i| (i.server.as_str(), i.start, i.end)).collect();
        assert_eq!(incidents, [("a", at(1), at(2))]);
    }

    #[test]
    fn a_file_is_read_by_a_given_schema_too() {
        let directory = tempfile::tempdir().unwrap();
        let mut metrics = vec![Metric::new("queue", MetricKind::Count)];
        metrics[0].max = Some(100.0);
        let schema = Schema::new(SchemaConfig { metrics, ..SchemaConfig::default() }).unwrap();
        let unlabelled = columns().into_iter().filter(|(name, _)| *name != "incident").collect();
        let history = History::read(&written(directory.path(), unlabelled), Some(&schema)).unwrap();
        assert_eq!((history.incidents(), history.values_out_of_range()), (None, 2));
        let no_time = columns().into_iter().skip(1).collect();
        let path = written(directory.path(), no_time);
        let refused = History::read(&path, None).unwrap_err().to_string();
        assert!(refused.ends_with("has no column `timestamp`"), "{refused}");
        std::fs::write(&path, b"PAR1 and nothing of it").unwrap();
        assert!(History::read(&path, None).unwrap_err().is_corrupt());
        let texts_only =
            columns().into_iter().filter(|(name, _)| !["queue", "busy"].contains(name)).collect();
        let refused = History::read(&written(directory.path(), texts_only), None).unwrap_err();
        insta::assert_snapshot!(refused, @"");
    }
}
