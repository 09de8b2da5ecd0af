//! Forecasts metrics of one's own: a schema is data, and the built-in model works on any metric.
//!
//! Describes a mail relay by three metrics in JSON, feeds two days of a daily rhythm, and prints the band that
//! the model expects for each metric in two hours.
//!
//! ```sh
//! cargo run -p tft-examples --example custom_schema
//! ```
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::error::Error;

use tft_core::forecast::Quantile;
use tft_core::schema::Schema;
use tft_core::time::Timestamp;
use tft_core::{Forecaster, ForecasterConfig, Model, Record, RollingWindow, WindowConfig};

const SCHEMA: &str = r#"{
    "metrics": [
        {"name": "queue_depth", "kind": "count", "min": 0},
        {"name": "delivered_per_s", "kind": "continuous", "unit": "1/s", "min": 0, "bad_side": "low"},
        {"name": "spool_used_pct", "kind": "percentage", "unit": "%", "min": 0, "max": 100}
    ],
    "aliases": [["queue", "queue_depth"], ["host", "server_name"]]
}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let schema = Schema::new(serde_json::from_str(SCHEMA)?)?;
    let mut forecaster = Forecaster::new(Model::built_in()?, ForecasterConfig::default())?;
    let config = WindowConfig { steps_per_server: forecaster.history_steps(), ..WindowConfig::default() };
    let mut window = RollingWindow::new(schema.clone(), config)?;

    let mut now = Timestamp::parse("2026-01-05T00:00:00Z")?;
    for step in 0..2 * 288 {
        now = now.plus_millis(300_000);
        let rhythm = (f64::from(step) / 288.0 * std::f64::consts::TAU).sin();
        let record = Record::new(&schema, "relay-1", now)?
            .with("queue", (40.0 + 30.0 * rhythm).round())?
            .with("delivered_per_s", 200.0 + 120.0 * rhythm)?
            .with("spool_used_pct", 55.0 + 10.0 * rhythm)?;
        window.ingest(&[record], now)?;
    }

    let fleet = forecaster.forecast(&window, now)?;
    let [low, middle, high] =
        [Quantile::P10, Quantile::MEDIAN, Quantile::P90].map(|quantile| fleet.quantiles.nearest(quantile));
    for forecast in &fleet.servers[0].metrics {
        let metric = &schema.metrics()[forecast.metric];
        let at = |level: usize| forecast.path(level)[23];
        let (name, unit, method) = (&metric.name, &metric.unit, forecast.method.as_str());
        println!(
            "{name}: {:.1} now, in two hours {:.1} ({:.1} to {:.1}) {unit} [{method}]",
            forecast.current,
            at(middle),
            at(low),
            at(high)
        );
    }
    Ok(())
}
