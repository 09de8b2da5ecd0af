//! Tests of tests: what passes, what fails and how it is told, and what is refused.

use serde_json::{Value, json};

use super::RuleTestFile;
use crate::alert::{AlertConfig, Condition, Rule, Severity};
use crate::error::Error;
use crate::forecast::{Forecaster, ForecasterConfig};
use crate::monitor::Monitor;
use crate::risk::Threshold;
use crate::schema::Schema;
use crate::time::{DurationMs, StepLength};

fn monitor(schema: &Schema, step_length: StepLength) -> Result<Monitor, Error> {
    let thresholds =
        [(Severity::Warning, Threshold::Value(90.0)), (Severity::Critical, Threshold::Value(98.0))];
    let labels = [("team".to_owned(), "storage".to_owned())].into();
    let pending_for = DurationMs::from_minutes(10);
    let memory = Rule::new("memory", Condition::forecast("mem_used_pct"), thresholds);
    let memory = Rule { pending_for, labels, ..memory };
    let cpu = Rule::new("cpu", Condition::Observed { metric: "cpu_user_pct".to_owned() }, thresholds);
    let forecaster = Forecaster::without_model(step_length, ForecasterConfig::default())?;
    let mut monitor = Monitor::new(schema, forecaster)?;
    monitor.set_rules(AlertConfig { rules: vec![memory, cpu], ..AlertConfig::default() })?;
    Ok(monitor)
}

fn file(test: &Value) -> RuleTestFile {
    serde_json::from_value(json!({"rules": "rules.toml", "test": [test]})).unwrap()
}

fn told(test: &Value) -> String {
    file(test).run(monitor).unwrap().to_string()
}

fn refused(test: &Value) -> String {
    let error = file(test).run(monitor).unwrap_err();
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

fn series(values: &str) -> Value {
    json!([{"server": "ppdb001", "metric": "mem_used_pct", "values": values}])
}

#[test]
fn a_life_from_pending_to_resolved_passes() {
    let alert = |state: &str| json!({"rule": "memory", "server": "ppdb001", "state": state});
    let test = json!({
        "name": "memory fills up and is freed",
        "series": series("50x2 91x3 99 40x2"),
        "expect": [
            {"at": "10m", "alerts": []},
            {"at": "15m", "alerts": [{"rule": "memory", "server": "ppdb001", "state": "pending",
                "severity": "warning", "labels": {"team": "storage", "profile": "database"}}]},
            {"at": "25m", "alerts": [{"rule": "memory", "server": "ppdb001", "state": "firing",
                "severity": "critical",
                "message": "mem_used_pct of ppdb001 is at or above 98 %, 99 % at worst within 60 minutes."}]},
            {"at": "30m", "alerts": [alert("firing")]},
            {"at": "35m", "alerts": [alert("resolved"), {"rule": "cpu", "server": "ppdb001", "state": "none"}]},
        ],
    });
    insta::assert_snapshot!(told(&test), @"");
}

#[test]
fn every_failure_is_told_with_what_was_expected_and_what_was_there() {
    let test = json!({
        "name": "wrong in every way",
        "series": [
            {"server": "ppdb001", "metric": "mem_used_pct", "values": "91x3"},
            {"server": "ppweb001", "metric": "cpu_user_pct", "values": "99x3"},
        ],
        "expect": [
            {"at": "0m", "alerts": [
                {"rule": "memory", "server": "ppdb001", "state": "firing", "severity": "critical"},
                {"rule": "cpu", "server": "ppdb001", "state": "pending"},
            ]},
            {"at": "10m", "rule": "memory", "alerts": [
                {"rule": "memory", "server": "ppdb001", "state": "firing", "labels": {"team": "web"}},
            ]},
            {"at": "10m", "exact": false, "alerts": [
                {"rule": "memory", "server": "ppdb001", "state": "none"},
                {"rule": "cpu", "server": "ppweb001", "state": "firing", "message": "x"},
            ]},
        ],
    });
    insta::assert_snapshot!(told(&test), @"");
}

#[test]
fn a_given_forecast_takes_the_place_of_the_one_that_is_made() {
    let test = |paths: Value| {
        json!({
            "name": "forecast",
            "series": series("50x6"),
            "forecast": [{"server": "ppdb001", "metric": "mem_used_pct", "at": "5m", "until": "15m", "paths": paths}],
            "expect": [
                {"at": "0m", "alerts": []},
                {"at": "5m", "alerts": [{"rule": "memory", "server": "ppdb001", "state": "pending", "severity": "warning"}]},
                {"at": "15m", "alerts": [{"rule": "memory", "server": "ppdb001", "state": "firing"}]},
                {"at": "20m", "alerts": [{"rule": "memory", "server": "ppdb001", "state": "resolved"}]},
            ],
        })
    };
    let passes = |paths| file(&test(paths)).run(monitor).unwrap().is_passed();
    assert!(passes(json!({"p50": "80+1x11"})));
    // Between P10 and P90 the median lies halfway.
    assert!(passes(json!({"p10": "80x11", "p90": "100x11"})));
    assert!(!passes(json!({"p10": "80x11", "p90": "99x11"})));
    assert!(!passes(json!({"p50": "80+1x9"})));
}

#[test]
fn states_and_missing_values_count() {
    let alert = |state: &str| json!([{"rule": "cpu", "server": "web1", "state": state}]);
    let test = json!({
        "name": "maintenance and silence",
        "series": [
            {"server": "web1", "metric": "cpu_user_pct", "values": "99x5 _x20"},
            {"server": "web2", "metric": "cpu_user_pct", "values": "10x25"},
        ],
        "status": [{"server": "web1", "status": "MAINT", "from": "5m", "until": "10m"},
            {"server": "web1", "status": "OK", "from": "15m", "until": "15m"}],
        "expect": [
            {"at": "0m", "alerts": alert("firing")},
            {"at": "5m", "alerts": alert("resolved")},
            {"at": "10m", "alerts": []},
            {"at": "15m", "alerts": alert("firing")},
            {"at": "2h", "alerts": alert("no_data")},
        ],
    });
    assert_eq!(told(&test), "ok      maintenance and silence\n1 passed\n");
}

#[test]
fn errors_name_the_test_the_entry_and_the_position() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut test = json!({
            "name": "bad",
            "series": series("50x3"),
            "expect": [{"at": "5m", "alerts": []}],
        });
        change(&mut test);
        refused(&test)
    };
    let lines = [
        with(&|test| test["series"][0]["values"] = "50 6O".into()),
        with(&|test| test["series"][0]["values"] = "50 101".into()),
        with(&|test| test["series"][0]["metric"] = "mem".into()),
        with(&|test| test["series"][0]["server"] = "a b".into()),
        with(&|test| test["series"] = json!([test["series"][0], test["series"][0]])),
        with(&|test| test["series"] = json!([])),
        with(&|test| test["start"] = "Monday".into()),
        with(&|test| test["expect"][0]["at"] = "20m".into()),
        with(&|test| test["expect"][0]["at"] = "7m".into()),
        with(&|test| test["expect"][0]["rule"] = "memroy".into()),
        with(&|test| test["status"] = json!([{"server": "a", "status": "fine", "from": "0m"}])),
        with(&|test| {
            test["forecast"] =
                json!([{"server": "ppdb001", "metric": "mem_used_pct", "at": "0m", "paths": {"50": "1"}}]);
        }),
        with(&|test| {
            test["forecast"] =
                json!([{"server": "ppdb001", "metric": "mem_used_pct", "at": "0m", "paths": {"p50": "1 _"}}]);
        }),
        with(&|test| {
            test["forecast"] =
                json!([{"server": "other", "metric": "mem_used_pct", "at": "0m", "paths": {"p50": "1"}}]);
        }),
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    test `bad`: series 1 (`ppdb001` `mem_used_pct`) cannot be used: `6O` at character 4 is not a number, `_`, or one of them repeated as in `7x4`, `0+5x10`, `100-1x5`, `_x3`
    test `bad`: series 1 (`ppdb001` `mem_used_pct`) cannot be used: mem_used_pct `101` is above the largest valid value 100
    test `bad`: series 1 (`ppdb001` `mem`) cannot be used: schema has no metric `mem`
    test `bad`: series 1 (`a b` `mem_used_pct`) cannot be used: server name `a b` must be 1 to 100 characters of [A-Za-z0-9._:-]
    test `bad`: series 2 (`ppdb001` `mem_used_pct`) cannot be used: the series appears twice
    test `bad` has 0 entries of `series`, allowed are 1 to 1000
    test `bad`: `start` cannot be used: timestamp `Monday` is not RFC 3339, a date and time without offset, or Unix seconds or milliseconds
    test `bad`: expectation 1 cannot be used: `20m` is a time at which the test has no step: they are 5m apart, from 0m to 15m
    test `bad`: expectation 1 cannot be used: `7m` is a time at which the test has no step: they are 5m apart, from 0m to 15m
    window.gap_fill_steps_max is 12, allowed are 0 to 4
    test `bad`: status 1 cannot be used: there is no state `fine`
    test `bad`: forecast 1 cannot be used: `50` is no quantile such as `p50`
    test `bad`: forecast 1 cannot be used: path `p50` has a missing value
    window.gap_fill_steps_max is 12, allowed are 0 to 4
    ");
}

#[test]
fn a_file_is_read_strictly() {
    let read = |text: &str| serde_json::from_str::<RuleTestFile>(text).unwrap_err().to_string();
    let test = r#""series":[],"expect":[]"#;
    insta::assert_snapshot!(read(&format!(r#"{{"rules":"r","test":[{{"name":"a",{test},"serie":[]}}]}}"#)), @"unknown field `serie`, expected one of `name`, `start`, `series`, `status`, `profiles`, `forecast`, `expect` at line 1 column 64");
    insta::assert_snapshot!(read(r#"{"rules":"r","step":"5min","test":[]}"#), @"`5min` is not a span of time such as `90s`, `5m`, `1h30m` or `2d`, at most ten years at line 1 column 26");
}
