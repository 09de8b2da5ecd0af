//! From the start of a process to its first forecast, and the memory that it takes.
//!
//! A process loads the built-in model, gives servers of 14 metrics four days of history and forecasts them. What it
//! spends on the history is not counted. The figures are those of a Linux process.
//!
//! ```sh
//! cargo bench --workspace --bench startup
//! ```
#![expect(clippy::print_stdout, reason = "a program that measures shows its result")]

use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use tft_core::schema::Schema;
use tft_core::time::Timestamp;
use tft_core::{Forecaster, ForecasterConfig, Model, Record, RollingWindow, WindowConfig};

const START_MS: i64 = 1_767_571_200_000;
const STEP_MS: i64 = 300_000;
/// Tells the program that it is a process to be measured.
const MEASURED: &str = "TFT_MEASURED_SERVERS";
const RUNS: usize = 5;

fn main() {
    if let Ok(servers) = std::env::var(MEASURED) {
        measured(servers.parse().expect("the number of servers is a number"));
        return;
    }
    // `cargo test` runs it without.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let fleets: &[usize] = if is_test { &[1] } else { &[1, 20, 1000, 10_000] };
    for &servers in fleets {
        let runs = if is_test || servers > 1000 { 1 } else { RUNS };
        let mut reports: Vec<Report> = (0..runs).map(|_| run(servers)).collect();
        reports.sort_by(|a, b| a.first_forecast_ms.total_cmp(&b.first_forecast_ms));
        let Report { first_forecast_ms, window_kb, peak_kb } = reports[runs / 2];
        println!(
            "{servers} servers: first forecast after {first_forecast_ms:.1} ms, {window_kb} kB with the history, at \
             most {peak_kb} kB"
        );
    }
}

/// What a process says of itself.
#[derive(Clone, Copy)]
struct Report {
    first_forecast_ms: f64,
    window_kb: u64,
    peak_kb: u64,
}

fn run(servers: usize) -> Report {
    let program = std::env::current_exe().expect("the program knows its file");
    let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is set");
    let mut command = Command::new(program);
    let output =
        command.env(MEASURED, servers.to_string()).env("TFT_STARTED", started.as_nanos().to_string());
    let output = output.output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let &[first_forecast_ms, window_kb, peak_kb] = &numbers[..] else {
        panic!("{}", String::from_utf8_lossy(&output.stderr));
    };
    Report { first_forecast_ms, window_kb: window_kb as u64, peak_kb: peak_kb as u64 }
}

fn measured(servers: usize) {
    let before = since_start();
    let loading = Instant::now();
    let model = Model::built_in().expect("the built-in model loads");
    let mut forecaster = Forecaster::new(model, ForecasterConfig::default()).expect("the defaults are valid");
    let loaded = loading.elapsed();
    let steps = forecaster.history_steps();
    let window = filled_window(servers, steps);
    let window_kb = memory("VmRSS:");
    let now = Timestamp::from_millis(START_MS + STEP_MS * steps as i64);
    let forecasting = Instant::now();
    let fleet = forecaster.forecast(&window, now).expect("the window fits");
    assert_eq!(fleet.servers.len(), servers);
    let counted = before + loaded + forecasting.elapsed();
    println!("{} {window_kb} {}", counted.as_secs_f64() * 1e3, memory("VmHWM:"));
}

/// The time since the process was asked for.
fn since_start() -> Duration {
    let started = std::env::var("TFT_STARTED").ok().and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is set");
    now.saturating_sub(Duration::from_nanos(started))
}

/// A figure of this process in kilobytes; 0 where the system does not tell.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn filled_window(servers: usize, steps: usize) -> RollingWindow {
    let schema = Schema::server_metrics();
    let config = WindowConfig { steps_per_server: steps, ..WindowConfig::default() };
    let mut window = RollingWindow::new(schema.clone(), config).expect("the configuration is valid");
    for step in 0..steps {
        let at = Timestamp::from_millis(START_MS + STEP_MS * step as i64);
        for server in 0..servers {
            let mut record = Record::new(&schema, &format!("web{server}"), at).expect("the name is valid");
            for (index, metric) in schema.metrics()[..14].iter().enumerate() {
                let wave = ((step + server) as f64 / 45.8 + index as f64).sin();
                let value = 50.0 + 30.0 * wave + ((step * 7919 + server * 31 + index) % 97) as f64 / 20.0;
                record = record.with(&metric.name, value).expect("the value is in range");
            }
            window.ingest(&[record], at).expect("one record is within the limits");
        }
    }
    window
}
