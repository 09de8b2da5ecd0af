//! Watches a memory leak with a rule of one's own and prints the life of its alert.
//!
//! The rule is plain data: it fires when the forecast's median passes 85 % within an hour and stays beyond for
//! three steps, and recovers below 80 %. The server leaks until it is restarted.
//!
//! ```sh
//! cargo run -p tft-examples --example alert_rules
//! ```
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::error::Error;

use tft_core::schema::Schema;
use tft_core::time::Timestamp;
use tft_core::{
    AlertConfig, Forecaster, ForecasterConfig, Model, Monitor, Record, RollingWindow, WindowConfig,
};

const RULES: &str = r#"{
    "rules": [{
        "name": "memory_leak",
        "when": {"kind": "forecast", "metric": "mem_used_pct", "within": "1h", "min_steps": 3},
        "thresholds": {"warning": 85, "critical": 95},
        "recovery": 80,
        "selector": {"servers": ["ppdb*"]},
        "labels": {"team": "storage"},
        "summary": "{server} leaks memory: {value} within the hour"
    }]
}"#;

/// The step at which the server is restarted.
const RESTART_STEP: u32 = 560;

fn main() -> Result<(), Box<dyn Error>> {
    let schema = Schema::server_metrics();
    let forecaster = Forecaster::new(Model::built_in()?, ForecasterConfig::default())?;
    let config = WindowConfig { steps_per_server: forecaster.history_steps(), ..WindowConfig::default() };
    let mut window = RollingWindow::new(schema.clone(), config)?;
    let mut monitor = Monitor::new(&schema, forecaster)?;
    monitor.set_rules(serde_json::from_str::<AlertConfig>(RULES)?)?;

    let mut now = Timestamp::parse("2026-01-05T00:00:00Z")?;
    for step in 0..620 {
        now = now.plus_millis(300_000);
        let record = Record::new(&schema, "ppdb001", now)?.with("mem_used_pct", memory(step))?;
        window.ingest(&[record], now)?;
        if step < 400 {
            continue;
        }
        for transition in monitor.assess(&window, now)?.transitions {
            println!("{now} {:?}: {}", transition.alert.state, transition.alert.message);
        }
    }
    Ok(())
}

/// Flat for a day and a half, then a leak of 0.4 % per step until the restart.
fn memory(step: u32) -> f64 {
    let leaking = step.saturating_sub(432);
    if step < RESTART_STEP { (55.0 + 0.4 * f64::from(leaking)).min(99.0) } else { 55.0 }
}
