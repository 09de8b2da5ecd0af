//! What Prometheus reads, and whether Prometheus itself can.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Request, connect};
use crate::harness::{KEY, TestServer, history};
use crate::process::Process;

/// The value of a sample, by its line up to the space.
fn value(text: &str, sample: &str) -> Option<f64> {
    let line =
        text.lines().find(|line| line.strip_prefix(sample).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Whether a program is there; tests that need it say so and do nothing otherwise.
fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        eprintln!("skipped: {program} is not installed (Debian: apt-get install prometheus)");
    }
    found.is_ok()
}

/// Calls that leave something in every counter.
fn busy_server() -> TestServer {
    let server = TestServer::with(|config| {
        config.rate_limits.alerts = 1;
        config.rate_limits.predictions = 10_000;
    });
    server.feed_records(&history("ppdb001", 100, |_| 99.0));
    server.feed_records(&history("ppdb001", 2, |_| 99.0));
    server.feed(
        json!({ "records": [{ "timestamp": "2026-01-05T12:00:00Z", "server_name": "a b" }] }).to_string(),
    );
    server.feed(json!({ "records": history("ppdb001", 4, |_| 99.0)[..1] }).to_string());
    server.predictions_of(100);
    server.get("/alerts/active");
    assert_eq!(server.get("/alerts/active").status, 429);
    server.request("GET", "/alerts/active").send();
    server.with_key("GET", "/status").header("Origin", "https://evil.com").send();
    server.with_key("GET", "/predictions/current").header("Origin", "https://evil.com").send();
    server.get("/no/such/path");
    server
}

#[test]
fn what_happened_is_counted() {
    let server = busy_server();
    let reply = server.get("/metrics");
    assert_eq!(reply.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for (sample, expected) in [
        (r#"tft_http_requests_total{route="/alerts/active",method="GET",status="429"}"#, 1.0),
        (r#"tft_http_requests_total{route="/alerts/active",method="GET",status="403"}"#, 1.0),
        (r#"tft_http_requests_total{route="other",method="GET",status="404"}"#, 1.0),
        (r#"tft_http_request_duration_seconds_count{route="/feed/data"}"#, 4.0),
        ("tft_feeds_total", 4.0),
        (r#"tft_records_total{result="accepted"}"#, 100.0),
        (r#"tft_records_total{result="duplicate"}"#, 2.0),
        (r#"tft_records_total{result="rejected"}"#, 1.0),
        (r#"tft_records_total{result="late"}"#, 1.0),
        (r#"tft_servers{readiness="warming_up"}"#, 1.0),
        (r#"tft_servers{readiness="ready"}"#, 0.0),
        ("tft_inference_queue_depth", 0.0),
        ("tft_auth_failures_total", 1.0),
        (r#"tft_rate_limited_total{class="alerts"}"#, 1.0),
        (r#"tft_rate_limited_total{class="authentication"}"#, 0.0),
        ("tft_cors_refusals_total", 1.0),
        ("tft_checkpoint_failures_total", 0.0),
        ("tft_checkpoint_age_seconds", 0.0),
    ] {
        let found = value(&reply.body, sample);
        let is_close = found.is_some_and(|found| {
            (found - expected).abs() < 60.0 * f64::from(sample.ends_with("_seconds")) + 1e-9
        });
        assert!(is_close, "{sample} is {found:?} and not {expected}: {}", reply.body);
    }
    for rises in [
        "tft_window_bytes",
        "tft_log_bytes",
        "tft_inference_duration_seconds_count",
        "tft_build_info{version=\"0.1.0\"}",
        r#"tft_alerts{state="firing"}"#,
    ] {
        assert!(value(&reply.body, rises).is_some_and(|value| value > 0.0), "{rises}: {}", reply.body);
    }
    assert!(value(&reply.body, "tft_forecast_age_seconds").is_some());
}

/// Every name with its type and help, and the labels of its samples; values are left out.
#[test]
#[allow(clippy::too_many_lines, reason = "a table of names")]
fn names_and_labels_stay() {
    let server = busy_server();
    let text = server.get("/metrics").body;
    let mut shape: Vec<_> = text
        .lines()
        .filter(|line| !line.contains("_bucket{") && !line.starts_with("tft_http_request"))
        .map(|line| if line.starts_with('#') { line } else { line.rsplit_once(' ').unwrap().0 })
        .collect();
    shape.dedup();
    insta::assert_snapshot!(shape.join("\n"), @r##"
    # HELP tft_http_requests_total Requests answered, by route, method and status.
    # TYPE tft_http_requests_total counter
    # HELP tft_http_request_duration_seconds From a request's head to its reply's head.
    # TYPE tft_http_request_duration_seconds histogram
    # HELP tft_feeds_total Feeds that were taken.
    # TYPE tft_feeds_total counter
    tft_feeds_total
    # HELP tft_records_total Records of feeds, by what became of them.
    # TYPE tft_records_total counter
    tft_records_total{result="accepted"}
    tft_records_total{result="rejected"}
    tft_records_total{result="late"}
    tft_records_total{result="duplicate"}
    # HELP tft_auth_failures_total Requests with a wrong or missing key or token.
    # TYPE tft_auth_failures_total counter
    tft_auth_failures_total
    # HELP tft_rate_limited_total Requests refused by a rate limit, by its class.
    # TYPE tft_rate_limited_total counter
    tft_rate_limited_total{class="feed"}
    tft_rate_limited_total{class="predictions"}
    tft_rate_limited_total{class="alerts"}
    tft_rate_limited_total{class="other"}
    tft_rate_limited_total{class="authentication"}
    # HELP tft_cors_refusals_total Requests of pages that may not call.
    # TYPE tft_cors_refusals_total counter
    tft_cors_refusals_total
    # HELP tft_inference_duration_seconds How long one forecast of all servers took, with their risk and alerts.
    # TYPE tft_inference_duration_seconds histogram
    tft_inference_duration_seconds_sum
    tft_inference_duration_seconds_count
    # HELP tft_explanations_total Explanations and answers to what-ifs that were made.
    # TYPE tft_explanations_total counter
    tft_explanations_total
    # HELP tft_checkpoint_failures_total Checkpoints that could not be saved.
    # TYPE tft_checkpoint_failures_total counter
    tft_checkpoint_failures_total
    # HELP tft_history_rows Rows of the history.
    # TYPE tft_history_rows gauge
    tft_history_rows
    # HELP tft_history_bytes Bytes of the history's files.
    # TYPE tft_history_bytes gauge
    tft_history_bytes
    # HELP tft_history_files_set_aside Files of the history that were found corrupt and moved aside.
    # TYPE tft_history_files_set_aside gauge
    tft_history_files_set_aside
    # HELP tft_history_rows_dropped_total Rows that are not in the history, by why.
    # TYPE tft_history_rows_dropped_total counter
    tft_history_rows_dropped_total{reason="lost"}
    tft_history_rows_dropped_total{reason="refused"}
    tft_history_rows_dropped_total{reason="expired"}
    # HELP tft_history_failures_total Attempts to write history that failed.
    # TYPE tft_history_failures_total counter
    tft_history_failures_total
    # HELP tft_window_bytes Memory that the window holds.
    # TYPE tft_window_bytes gauge
    tft_window_bytes
    # HELP tft_servers Servers in the newest forecast, by whether they have enough history.
    # TYPE tft_servers gauge
    tft_servers{readiness="warming_up"}
    tft_servers{readiness="ready"}
    tft_servers{readiness="stale"}
    tft_servers{readiness="gap"}
    # HELP tft_forecast_age_seconds Since the newest forecast was made; absent before the first.
    # TYPE tft_forecast_age_seconds gauge
    tft_forecast_age_seconds
    # HELP tft_alerts Alerts by state; the resolved ones are those since the start.
    # TYPE tft_alerts gauge
    tft_alerts{state="pending"}
    tft_alerts{state="firing"}
    tft_alerts{state="no_data"}
    tft_alerts{state="resolved"}
    # HELP tft_cascades Metrics out of their usual range on several servers at once, by severity.
    # TYPE tft_cascades gauge
    tft_cascades{severity="low"}
    tft_cascades{severity="medium"}
    tft_cascades{severity="high"}
    tft_cascades{severity="critical"}
    # HELP tft_cascade_correlation How much the servers move together, 0 to 1; absent before the first step.
    # TYPE tft_cascade_correlation gauge
    tft_cascade_correlation
    # HELP tft_inference_queue_depth Feeds that are being taken or wait for their turn.
    # TYPE tft_inference_queue_depth gauge
    tft_inference_queue_depth
    # HELP tft_checkpoint_age_seconds Since a checkpoint last held all of the window, or since the start.
    # TYPE tft_checkpoint_age_seconds gauge
    tft_checkpoint_age_seconds
    # HELP tft_log_bytes Size of the log of feeds since the checkpoint.
    # TYPE tft_log_bytes gauge
    tft_log_bytes
    # HELP tft_build_info The version that runs; always 1.
    # TYPE tft_build_info gauge
    tft_build_info{version="0.1.0"}
    # HELP tft_stream_clients Live streams that are open.
    # TYPE tft_stream_clients gauge
    tft_stream_clients{protocol="websocket"}
    tft_stream_clients{protocol="events"}
    # HELP tft_stream_dropped_total Live streams that were ended because their client was too slow.
    # TYPE tft_stream_dropped_total counter
    tft_stream_dropped_total
    "##);
}

#[test]
fn metrics_need_a_key_unless_they_are_open() {
    let server = TestServer::start();
    assert_eq!(server.request("GET", "/metrics").send().status, 403);
    let open = TestServer::with(|config| config.metrics_open = true);
    assert_eq!(open.request("GET", "/metrics").send().status, 200);
    assert_eq!(open.request("GET", "/servers").send().status, 403);
}

#[test]
fn promtool_finds_nothing_wrong() {
    if !is_installed("promtool") {
        return;
    }
    let text = busy_server().get("/metrics").body;
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

/// A running Prometheus; killed when dropped.
struct Prometheus(Child, SocketAddr);

impl Prometheus {
    fn scraping(target: SocketAddr, directory: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: tft\n    static_configs: [{{targets: ['{target}']}}]\n"
        );
        std::fs::write(directory.join("prometheus.yml"), config).unwrap();
        let mut command = Command::new("prometheus");
        command.arg("--config.file=prometheus.yml").arg("--storage.tsdb.path=prometheus");
        command.arg(format!("--web.listen-address={free}")).current_dir(directory);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap(), free)
    }

    /// The body of a reply to a query; empty while it starts.
    fn query(&self, query: &str) -> String {
        let Ok(_) = std::net::TcpStream::connect(self.1) else { return String::new() };
        let mut stream = connect(self.1);
        write!(stream, "GET /api/v1/query?query={query} HTTP/1.0\r\nHost: {}\r\n\r\n", self.1).unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn prometheus_scrapes_the_program() {
    if !is_installed("prometheus") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start_with(directory.path(), |command| {
        command.env("METRICS_OPEN", "true");
    });
    Request::new(process.address, "GET", "/alerts/active").header("X-API-Key", KEY).send();
    let prometheus = Prometheus::scraping(process.address, directory.path());
    let deadline = Instant::now() + Duration::from_mins(1);
    let query = "tft_http_requests_total{route=\"/alerts/active\"}".replace('{', "%7B").replace('}', "%7D");
    while !prometheus.query(&query).contains(r#""status":"200""#) {
        assert!(Instant::now() < deadline, "{}", prometheus.query("up"));
        std::thread::sleep(Duration::from_millis(100));
    }
}
