//! Rule files: the commands that try them out, and the service that goes by them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{
    ArrayRef, BooleanArray, Float32Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use crate::harness::{KEY, TestServer, history};
use crate::process::{Process, command};

const STEP_MS: i64 = 300_000;

const QUEUE_RULES: &str = r#"
[[rules]]
name = "queue_long"
when = { kind = "observed", metric = "queue" }
thresholds = { warning = 10, critical = 20 }
"#;

fn rules(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command(directory).stdout(Stdio::piped()).arg("rules").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn deploy(file: &str) -> String {
    format!("{}/deploy/{file}", env!("CARGO_MANIFEST_DIR"))
}

/// A day of two servers: a queue on `a` from step 100 to 110, labelled from step 105 to 120.
fn day(directory: &Path) -> PathBuf {
    let rows: Vec<(i64, &str)> = (0..288).flat_map(|step| [(step, "a"), (step, "b")]).collect();
    let queue =
        |&(step, server): &(i64, &str)| if server == "a" && (100..110).contains(&step) { 15.0 } else { 1.0 };
    let label = |&(step, server): &(i64, &str)| server == "a" && (105..120).contains(&step);
    let times: Vec<_> = rows.iter().map(|(step, _)| step * STEP_MS).collect();
    let columns: [(&str, ArrayRef); 4] = [
        ("timestamp", Arc::new(TimestampMillisecondArray::from(times))),
        ("server_name", Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, server)| server)))),
        ("queue", Arc::new(rows.iter().map(queue).map(Some).collect::<Float32Array>())),
        ("incident", Arc::new(rows.iter().map(label).map(Some).collect::<BooleanArray>())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = directory.join("day.parquet");
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

#[test]
fn the_shipped_rules_pass_their_tests() {
    let directory = tempfile::tempdir().unwrap();
    let (code, told, log) = rules(directory.path(), &["check", &deploy("rules.toml")]);
    assert_eq!(code, Some(0), "{log}");
    assert!(told.lines().any(|line| line.trim() == "memory_tonight"), "{told}");
    let (code, told, log) = rules(directory.path(), &["test", &deploy("rules_test.toml")]);
    assert_eq!(code, Some(0), "{told}{log}");
}

#[test]
fn a_failing_test_says_what_was_expected_and_what_was_there() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("rules.toml"), QUEUE_RULES).unwrap();
    let tests = r#"
rules = "rules.toml"
[[metrics]]
name = "queue"
kind = "continuous"
unit = ""
[[test]]
name = "a queue"
series = [{ server = "a", metric = "queue", values = "1 15x2 25" }]
[[test.expect]]
at = "5m"
alerts = []
[[test.expect]]
at = "15m"
alerts = [{ rule = "queue_long", server = "a", state = "firing", severity = "warning" }]
"#;
    std::fs::write(directory.path().join("tests.toml"), tests).unwrap();
    let (code, told, _) = rules(directory.path(), &["test", "tests.toml"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(told, @"");
    let (code, told, _) = rules(directory.path(), &["test", "tests.toml", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, told["tests.toml"]["tests"][0]["failures"].as_array().unwrap().len()), (Some(1), 2));
    std::fs::write(directory.path().join("tests.toml"), tests.replace("15x2", "15y2")).unwrap();
    let (code, _, log) = rules(directory.path(), &["test", "tests.toml"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(log, @"");
}

#[test]
fn a_backtest_counts_what_happened() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("rules.toml"), QUEUE_RULES).unwrap();
    day(directory.path());
    let arguments = [
        "backtest",
        "rules.toml",
        "--rows",
        "day.parquet",
        "--fallback",
        "--warm-up",
        "1h",
        "--early",
        "30m",
    ];
    let (code, told, log) = rules(directory.path(), &arguments);
    assert_eq!(code, Some(0), "{log}");
    insta::assert_snapshot!(told, @"");
    let (_, told, _) = rules(directory.path(), &[&arguments[..], &["--json"]].concat());
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["incidents"], &told["rules"][0]["incidents"]["recall"]), (&json!(1), &json!(1.0)));
    assert_eq!(told["rules"][0]["incidents"]["lead_minutes"]["p50"], json!(20.0));
    // The same day once more, with an incident that nothing warns of.
    let other = r#"[{"server_name":"b","first_test_row":200,"last_test_row":210}]"#;
    std::fs::write(directory.path().join("incidents.json"), other).unwrap();
    let more = ["--json", "--incidents", "incidents.json", "--every-steps", "2", "--history", "day.parquet"];
    let (code, told, log) = rules(directory.path(), &[&arguments[..5], &more[..]].concat());
    assert_eq!(code, Some(0), "{log}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["judgements"], &told["rules"][0]["incidents"]["recall"]), (&json!(144), &json!(0.0)));
}

#[test]
fn presets_are_rule_files() {
    let directory = tempfile::tempdir().unwrap();
    for preset in ["tft", "nifty", "monitorx", "mfc"] {
        let (code, file, log) = rules(directory.path(), &["preset", preset]);
        assert_eq!(code, Some(0), "{log}");
        std::fs::write(directory.path().join("preset.toml"), file).unwrap();
        let (code, _, log) = rules(directory.path(), &["check", "preset.toml"]);
        assert_eq!(code, Some(0), "{preset}: {log}");
    }
    let (code, file, _) = rules(directory.path(), &["preset", "service"]);
    assert_eq!(code, Some(0));
    assert!(file.contains("service_failed_authentications"), "{file}");
}

#[test]
fn mistakes_have_an_exit_code_and_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write(
        "bad.toml",
        "[[rules]]\nname = \"x\"\nwhen = { kind = \"observed\", metric = \"nothing\" }\nthresholds = { warning = 1 }\n",
    );
    write("worse.toml", "[[rules]]\nnmae = \"x\"\n");
    let refused = |arguments: &[&str]| {
        let (code, _, log) = rules(directory.path(), arguments);
        (code, log.lines().last().unwrap_or_default().to_owned())
    };
    let (code, line) = refused(&["check", "bad.toml"]);
    assert_eq!(code, Some(1));
    assert!(
        line.starts_with("tft-service: `bad.toml` cannot be used: ") && line.contains("nothing"),
        "{line}"
    );
    let (code, line) = refused(&["check", "worse.toml"]);
    assert_eq!(code, Some(1));
    assert!(line.contains("nmae"), "{line}");
    assert_eq!(refused(&["check", "missing.toml"]).0, Some(1));
    let (code, line) = refused(&["preset", "none"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(line, @"");
    assert_eq!(refused(&["backtest", "bad.toml", "--rows", "missing.parquet"]).0, Some(1));
    assert_eq!(refused(&["backtest", "bad.toml"]).0, Some(2));
    let (code, line) = {
        let mut check = command(directory.path());
        let output = check.args(["check", "--rules", "bad.toml"]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(code, Some(1));
    assert!(line.contains("`bad.toml` cannot be used"), "{line}");
}

fn memory_rules(name: &str, warning: f64) -> String {
    format!(
        "[[rules]]\nname = \"{name}\"\nwhen = {{ kind = \"observed\", metric = \"mem_used_pct\" }}\n\
         thresholds = {{ warning = {warning} }}\n"
    )
}

/// Asks until the reply is as wanted.
fn wait(mut ask: impl FnMut() -> Value, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let reply = ask();
        if is_wanted(&reply) {
            return reply;
        }
        assert!(Instant::now() < deadline, "not in time: {reply}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn names(reply: &Value) -> Vec<&str> {
    reply["rules"].as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap()).collect()
}

#[test]
fn a_changed_file_replaces_the_rules_and_a_broken_one_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rules.toml");
    std::fs::write(&file, memory_rules("memory", 50.0)).unwrap();
    let server = {
        let file = file.clone();
        TestServer::with(move |config| config.rules_file = Some(file))
    };
    server.feed_records(&history("web1", 20, |_| 10.0));
    let active = |server: &TestServer| server.get("/alerts/active").json();
    let first = wait(
        || {
            server.clock.advance(Duration::from_millis(20));
            active(&server)
        },
        |reply| reply["count"] == 1,
    );
    let since = first["alerts"][0]["since"].clone();
    assert_eq!(first["alerts"][0]["rule"], "memory");
    let listed = server.get("/alerts/rules").json();
    assert_eq!((names(&listed), &listed["rules"][0]["alerts"]["firing"]), (vec!["memory"], &json!(1)));
    assert_eq!(listed["service_rules"].as_array().unwrap().len(), 5);

    std::fs::write(&file, memory_rules("memory", 50.0) + &memory_rules("memory_low", 40.0)).unwrap();
    server.clock.advance(Duration::from_secs(2));
    server.reload.reload();
    let both = wait(|| active(&server), |reply| reply["count"] == 2);
    let kept = both["alerts"].as_array().unwrap().iter().find(|alert| alert["rule"] == "memory").unwrap();
    assert_eq!(kept["since"], since, "an alert of a rule that stays goes on");

    std::fs::write(&file, "[[rules]]\nname = 7\n").unwrap();
    server.reload.reload();
    std::fs::write(&file, memory_rules("other", 40.0)).unwrap();
    server.reload.reload();
    wait(|| server.get("/alerts/rules").json(), |reply| names(reply) == ["other"]);
}

#[test]
fn the_program_reads_its_rules_anew_at_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rules.toml");
    std::fs::write(&file, memory_rules("before", 50.0)).unwrap();
    let process = Process::start_with(directory.path(), |command| {
        command.args(["--rules", "rules.toml"]);
    });
    let listed = || process.request("GET", "/alerts/rules").header("X-API-Key", KEY).send().json();
    wait(listed, |reply| names(reply) == ["before"]);
    std::fs::write(&file, "nonsense").unwrap();
    process.signal("HUP");
    process.wait_for_log("the rules were not reloaded");
    assert_eq!(names(&listed()), ["before"]);
    std::fs::write(&file, memory_rules("after", 50.0)).unwrap();
    process.signal("HUP");
    process.wait_for_log("the rules were reloaded");
    wait(listed, |reply| names(reply) == ["after"]);
}

#[test]
fn the_service_tells_of_failed_authentications_without_being_a_server() {
    let server = TestServer::start();
    server.wait_until_ready();
    for _ in 0..6 {
        assert_eq!(server.request("GET", "/alerts/active").header("X-API-Key", "wrong").send().status, 403);
    }
    let alerts = wait(
        || {
            server.clock.advance(Duration::from_secs(2));
            server.get("/alerts/active").json()
        },
        |reply| reply["count"] == 1,
    );
    let alert = &alerts["alerts"][0];
    assert_eq!(
        (&alert["rule"], &alert["server"]),
        (&json!("service_failed_authentications"), &json!("tft-service"))
    );
    assert_eq!(alert["state"], "firing");
    let predictions = server.get("/predictions/current").json();
    assert_eq!(predictions["summary"]["total_servers"], 0);
    assert_eq!(predictions["alerts"].as_array().unwrap().len(), 1);
    let rules = server.get("/alerts/rules").json();
    let of_service = rules["service_rules"].as_array().unwrap();
    assert!(of_service.iter().any(|rule| rule["alerts"]["firing"] == 1), "{rules}");
    // Five minutes later it is over.
    server.clock.advance(Duration::from_mins(6));
    wait(
        || {
            server.clock.advance(Duration::from_secs(2));
            server.get("/alerts/active").json()
        },
        |reply| reply["count"] == 0,
    );
}
