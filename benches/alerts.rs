//! A step of a large fleet through the alert rules, and what an alert holds of memory.
//!
//! Run with `cargo bench -p benches --no-default-features --bench alerts`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tft_core::alert::{
    AlertConfig, AlertEngine, Condition, ObservedHistory, Rule, Selector, ServerObservation, Severity,
};
use tft_core::risk::{OwnQuantiles, ProfileSelector, Threshold};
use tft_core::schema::Schema;
use tft_core::time::{Step, StepLength, StepSpan, Timestamp};
use tft_core::window::ServerView;
use tft_core::{FleetForecast, Forecaster, ForecasterConfig, Record, RollingWindow, WindowConfig};

const SERVERS: usize = 10_000;
const STEPS: i64 = 24;
const STEP: StepLength = StepLength::FIVE_MINUTES;
/// What rules look at; fewer than a schema has, so that the forecasts of all servers fit in memory.
const METRICS: [&str; 4] = ["cpu_user_pct", "mem_used_pct", "disk_usage_pct", "load_average"];

/// A fleet at one moment.
struct Fleet {
    schema: Schema,
    window: RollingWindow,
    forecast: FleetForecast,
    now: Timestamp,
}

impl Fleet {
    fn new() -> Self {
        let schema = Schema::server_metrics();
        let config = WindowConfig { steps_per_server: STEPS as usize + 2, ..WindowConfig::default() };
        let mut window = RollingWindow::new(schema.clone(), config).expect("a valid configuration");
        for step in 0..STEPS {
            let at = STEP.start_of(Step(step));
            let record = |server: usize| {
                let mut record = Record::new(&schema, &format!("db-{server:05}"), at).expect("a valid name");
                for (index, metric) in METRICS.iter().enumerate() {
                    let metric = schema.metric_index(metric).expect("a metric of the schema");
                    let value = 20.0 + ((server * 31 + index * 17) % 50 + step as usize % 2) as f64;
                    record.set(metric, value).expect("a value in range");
                }
                record
            };
            window
                .ingest(&(0..SERVERS).map(record).collect::<Vec<_>>(), at)
                .expect("a batch within the limits");
        }
        let now = STEP.start_of(Step(STEPS + 1));
        let mut forecaster =
            Forecaster::without_model(STEP, ForecasterConfig::default()).expect("a valid configuration");
        let forecast = forecaster.forecast(&window, now).expect("a window with steps");
        Self { schema, window, forecast, now }
    }

    /// The newest values of every server; `raised` is added to each.
    fn currents(&self, raised: f32) -> Vec<Vec<f32>> {
        let metrics = self.schema.metrics().len();
        let current = |view: ServerView<'_>| {
            let value =
                |metric| view.value(metric, view.newest_step()).map_or(f32::NAN, |value| value + raised);
            (0..metrics).map(value).collect()
        };
        self.window.servers().map(current).collect()
    }

    fn observations<'a>(&'a self, currents: &'a [Vec<f32>]) -> Vec<ServerObservation<'a>> {
        let origin = self.forecast.origin;
        let observe = |(view, current): (ServerView<'a>, &'a Vec<f32>)| ServerObservation {
            server: view.name(),
            profile: view.profile(),
            current,
            is_in_maintenance: false,
            readiness: Some(view.readiness(origin, 12)),
            risk_score: Some(f64::from(current[0])),
            own_quantiles: OwnQuantiles::NONE,
            history: Some(ObservedHistory::new(view, origin)),
        };
        self.window.servers().zip(currents).map(observe).collect()
    }
}

/// Twenty rules: eight forecasts, four observed values, four shares of the past, two probabilities, risk and a missing
/// metric.
fn rules() -> Vec<Rule> {
    let at = |warning, critical| {
        [(Severity::Warning, Threshold::Value(warning)), (Severity::Critical, Threshold::Value(critical))]
    };
    let within = |steps| StepSpan::Steps(steps);
    let mut rules = Vec::new();
    for metric in METRICS.map(str::to_owned) {
        for (quantile, steps) in [(0.5, 12), (0.9, 24)] {
            let condition =
                Condition::Forecast { metric: metric.clone(), quantile, within: within(steps), min_steps: 1 };
            rules.push(Rule::new(format!("{metric}_p{steps}"), condition, at(100.0, 200.0)));
        }
        rules.push(Rule::new(
            format!("{metric}_now"),
            Condition::Observed { metric: metric.clone() },
            at(95.0, 98.0),
        ));
        let reaches = Threshold::Value(80.0);
        let condition = Condition::Share { metric: metric.clone(), reaches, over: within(6) };
        rules.push(Rule::new(format!("{metric}_share"), condition, at(80.0, 100.0)));
    }
    for metric in &METRICS[..2] {
        let reaches = Threshold::Value(99.5);
        let condition = Condition::Probability { metric: (*metric).to_owned(), reaches, within: within(12) };
        rules.push(Rule::new(format!("{metric}_probability"), condition, at(0.98, 0.99)));
    }
    rules.push(Rule::new("risk", Condition::Risk {}, at(90.0, 95.0)));
    rules.push(Rule::new("missing", Condition::Missing { metric: METRICS[0].to_owned() }, at(30.0, 60.0)));
    let selector =
        Selector { servers: vec!["db-*".to_owned()], profiles: ProfileSelector::All, ..Selector::default() };
    rules.into_iter().map(|rule| Rule { selector: selector.clone(), ..rule }).collect()
}

fn engine(fleet: &Fleet) -> AlertEngine {
    AlertEngine::new(AlertConfig { rules: rules(), ..AlertConfig::default() }, &fleet.schema)
        .expect("valid rules")
}

/// A step in which nothing is wrong, one in which every server has two alerts that go on, and one in which none is known.
fn evaluate(criterion: &mut Criterion) {
    let fleet = Fleet::new();
    let mut group = criterion.benchmark_group("alerts");
    group.throughput(Throughput::Elements((SERVERS * rules().len()) as u64));
    group.sample_size(20);
    for (name, raised) in [("10,000 servers, 20 rules, all well", 0.0), ("the same with many alerts", 60.0)] {
        let currents = fleet.currents(raised);
        let observations = fleet.observations(&currents);
        let mut engine = engine(&fleet);
        let mut step = || engine.evaluate(observations.iter().copied(), &fleet.forecast, fleet.now).len();
        let begun = step();
        group.bench_function(name, |bencher| bencher.iter(|| black_box(step())));
        eprintln!("{name}: {begun} alerts");
    }
    let currents = fleet.currents(0.0);
    let observations = fleet.observations(&currents);
    group.bench_function("the same for the first time", |bencher| {
        bencher.iter_batched(
            || engine(&fleet),
            |mut engine| engine.evaluate(observations.iter().copied(), &fleet.forecast, fleet.now).len(),
            criterion::BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, evaluate);
criterion_main!(benches);
