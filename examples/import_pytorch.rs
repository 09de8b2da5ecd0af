//! Brings a model from pytorch-forecasting into production: load, verify, forecast, explain.
//!
//! The directory is one that `tft-core/scripts/export_pytorch_forecasting.py` wrote. The schema here is made of
//! the metrics that the model itself reads, and the servers are invented; a program of yours has both.
//!
//! ```sh
//! cargo run --release -p tft-examples --example import_pytorch -- DIR
//! ```
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::error::Error;
use std::path::{Path, PathBuf};

use tft_core::explain::Interpretation;
use tft_core::model::{DatasetEncoding, Encoding, Source, Verification};
use tft_core::schema::{Metric, MetricKind, Schema, SchemaConfig};
use tft_core::time::Timestamp;
use tft_core::{Forecaster, ForecasterConfig, Model, Record, RollingWindow, WindowConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = match std::env::args().nth(1) {
        Some(argument) if argument != "--once" => PathBuf::from(argument),
        _ => Path::new(env!("CARGO_MANIFEST_DIR")).join("../tft-core/tests/fixtures/exported/g"),
    };

    let verification = Verification::of_dir(&directory)?;
    for difference in &verification.outputs {
        let (executor, output) = (difference.executor, difference.output);
        println!("{executor:8} {output:20} differs by at most {:.1e}", difference.largest_absolute);
    }
    if !verification.is_within_tolerance() {
        return Err("the model does not give the numbers that it was exported with".into());
    }

    let model = Model::from_dir(&directory)?;
    let Encoding::PytorchForecasting(encoding) = &model.document().encoding else {
        return Err("the model was not exported from pytorch-forecasting".into());
    };
    let schema = schema_of(encoding)?;
    let mut forecaster = Forecaster::new(model.clone(), ForecasterConfig::default())?;
    forecaster.check_schema(&schema)?;

    let step = forecaster.step_length();
    let config =
        WindowConfig { step, steps_per_server: forecaster.history_steps(), ..WindowConfig::default() };
    let mut window = RollingWindow::new(schema.clone(), config)?;
    let mut now = Timestamp::parse("2026-01-05T00:00:00Z")?;
    for count in 0..forecaster.history_steps() {
        let mut record = Record::new(&schema, "web-1", now)?;
        for metric in schema.metrics() {
            record = record.with(&metric.name, 2.0 + (count as f64 / 5.0).sin())?;
        }
        window.ingest(&[record], now)?;
        now = now.plus_millis(step.as_millis());
    }

    let fleet = forecaster.forecast(&window, now)?;
    for forecast in &fleet.servers[0].metrics {
        let name = &schema.metrics()[forecast.metric].name;
        println!("{name}: {} expects {} next", forecast.method.as_str(), forecast.values().row(0));
    }
    let Some(trace) = forecaster.trace(&window, fleet.origin, "web-1")? else {
        return Err("the model did not take the server".into());
    };
    let explained = Interpretation::of(&trace.output, &trace.batch, &model.document().architecture, 0)?;
    for (variable, share) in explained.encoder_variables.ranked().into_iter().take(3) {
        println!("{variable} has {:.0} % of the encoder's weight", share * 100.0);
    }
    assert_eq!(fleet.servers[0].method().as_str(), "tft");
    Ok(())
}

/// A schema of every metric that the model's columns come from.
fn schema_of(encoding: &DatasetEncoding) -> Result<Schema, tft_core::Error> {
    let read = encoding.real_variables().into_iter();
    let metrics = read.filter_map(|column| match encoding.sources.get(column) {
        Some(Source::Metric(metric)) => Some(metric.clone()),
        Some(_) => None,
        None => match Source::of_column(column) {
            Source::Metric(metric) => Some(metric),
            _ => None,
        },
    });
    let metrics = metrics.map(|name| Metric::new(name, MetricKind::Continuous)).collect();
    Schema::new(SchemaConfig { metrics, ..SchemaConfig::default() })
}
