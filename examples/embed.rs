//! Embeds forecasts in a program of one's own: the shortest useful use of tft-core.
//!
//! Feeds two days of one server's CPU load, then prints what the built-in model expects.
//!
//! ```sh
//! cargo run -p tft-examples --example embed
//! ```
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use tft_core::forecast::Quantile;
use tft_core::schema::Schema;
use tft_core::time::Timestamp;
use tft_core::{Forecaster, ForecasterConfig, Model, Record, RollingWindow, WindowConfig};

fn main() -> Result<(), tft_core::Error> {
    let schema = Schema::server_metrics();
    let mut forecaster = Forecaster::new(Model::built_in()?, ForecasterConfig::default())?;
    let config = WindowConfig { steps_per_server: forecaster.history_steps(), ..WindowConfig::default() };
    let mut window = RollingWindow::new(schema.clone(), config)?;

    let mut now = Timestamp::parse("2026-01-05T00:00:00Z")?;
    for step in 0..576 {
        let load = 45.0 + 30.0 * (f64::from(step) / 288.0 * std::f64::consts::TAU).sin();
        window.ingest(&[Record::new(&schema, "ppdb001", now)?.with("cpu_user_pct", load)?], now)?;
        now = now.plus_millis(300_000);
    }

    let fleet = forecaster.forecast(&window, now)?;
    let p90 = fleet.quantiles.nearest(Quantile::P90);
    for forecast in &fleet.servers {
        let cpu = &forecast.metrics[0];
        let in_an_hour = cpu.path(p90)[11];
        println!("{}: {:.1} % now, P90 in an hour {in_an_hour:.1} %", forecast.server, cpu.current);
    }
    Ok(())
}
