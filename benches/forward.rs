//! From histories to quantiles: the built-in model on burn, in batches of 1, 20 and 100 windows, and a whole
//! forecast of 20 servers with 14 metrics.
//!
//! ```sh
//! cargo bench -p benches --bench forward
//! ```

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tft_core::model::{Encoding, History, default_device};
use tft_core::schema::{MetricKind, Schema};
use tft_core::time::{StepLength, Timestamp};
use tft_core::{Forecaster, ForecasterConfig, Model, Record, RollingWindow, WindowConfig};

const START_MS: i64 = 1_767_571_200_000;

/// A daily wave with some roughness; deterministic.
fn value(series: usize, step: usize) -> f64 {
    let wave = (step as f64 / 288.0 * std::f64::consts::TAU + series as f64).sin();
    50.0 + 30.0 * wave + ((step * 7919 + series * 104_729) % 97) as f64 / 20.0
}

fn network(criterion: &mut Criterion) {
    let model = Model::built_in().expect("the built-in model loads");
    let Encoding::Univariate(encoding) = &model.document().encoding else { return };
    let network = model.network(&default_device());
    let mut group = criterion.benchmark_group("built-in model, windows");
    for windows in [1, 20, 100] {
        let steps = encoding.history_steps();
        let series: Vec<Vec<f32>> =
            (0..windows).map(|series| (0..steps).map(|step| value(series, step) as f32).collect()).collect();
        let origin = Timestamp::from_millis(START_MS);
        let histories: Vec<_> =
            series.iter().map(|values| History { values, origin, kind: MetricKind::Percentage }).collect();
        group.throughput(Throughput::Elements(windows as u64));
        group.bench_function(BenchmarkId::from_parameter(windows), |bencher| {
            bencher.iter(|| {
                let encoded = encoding.encode(&histories, StepLength::FIVE_MINUTES).expect("histories fit");
                let output = network.forward(&encoded.batch).expect("the batch fits");
                black_box(encoded.predictions(&output, model.document().calibration.as_ref()))
            });
        });
    }
    group.finish();
}

fn fleet(criterion: &mut Criterion) {
    const SERVERS: usize = 20;
    let model = Model::built_in().expect("the built-in model loads");
    let mut forecaster = Forecaster::new(model, ForecasterConfig::default()).expect("the defaults are valid");
    let window = filled_window(SERVERS, forecaster.history_steps());
    let now = Timestamp::from_millis(START_MS + 300_000 * forecaster.history_steps() as i64);
    let mut group = criterion.benchmark_group("forecast, servers of 14 metrics");
    group.sample_size(10).throughput(Throughput::Elements(SERVERS as u64));
    group.bench_function(BenchmarkId::from_parameter(SERVERS), |bencher| {
        bencher.iter(|| black_box(forecaster.forecast(&window, now).expect("the window fits")));
    });
    group.finish();
}

fn filled_window(servers: usize, steps: usize) -> RollingWindow {
    let schema = Schema::server_metrics();
    let config = WindowConfig { steps_per_server: steps, ..WindowConfig::default() };
    let mut window = RollingWindow::new(schema.clone(), config).expect("the configuration is valid");
    for step in 0..steps {
        let at = Timestamp::from_millis(START_MS + 300_000 * step as i64);
        for server in 0..servers {
            let mut record = Record::new(&schema, &format!("web{server}"), at).expect("the name is valid");
            for (index, metric) in schema.metrics()[..14].iter().enumerate() {
                let value = value(server * 14 + index, step);
                record = record.with(&metric.name, value).expect("the value is in range");
            }
            window.ingest(&[record], at).expect("one record is within the limits");
        }
    }
    window
}

criterion_group!(benches, network, fleet);
criterion_main!(benches);
