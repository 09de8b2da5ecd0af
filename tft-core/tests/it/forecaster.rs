//! Forecasts from a window: which method makes them, where they start, and what they promise.

use tft_core::forecast::{Forecaster, ForecasterConfig, Method};
use tft_core::schema::{Metric, MetricKind, Schema, SchemaConfig};
use tft_core::time::{Step, StepLength, Timestamp};
use tft_core::{Model, Record, RollingWindow, WindowConfig};

const STEP: StepLength = StepLength::FIVE_MINUTES;
/// 2026-01-05T00:00:00Z, a Monday.
const START: Step = Step(5_891_904);

fn schema() -> Schema {
    let metrics = vec![Metric::new("cpu", MetricKind::Percentage), Metric::new("queue", MetricKind::Count)];
    Schema::new(SchemaConfig { metrics, ..Default::default() }).unwrap()
}

fn forecaster() -> Forecaster {
    Forecaster::new(Model::built_in().unwrap(), ForecasterConfig::default()).unwrap()
}

fn window(forecaster: &Forecaster) -> RollingWindow {
    let config = WindowConfig { steps_per_server: forecaster.history_steps(), ..Default::default() };
    RollingWindow::new(schema(), config).unwrap()
}

/// A daily wave; steps count from [`START`].
fn cpu(step: i64) -> f64 {
    50.0 + 30.0 * (step as f64 / 288.0 * std::f64::consts::TAU).sin()
}

fn feed(window: &mut RollingWindow, server: &str, steps: impl IntoIterator<Item = i64>) {
    for step in steps {
        let at = STEP.start_of(START.plus(step));
        let record = Record::new(window.schema(), server, at).unwrap().with("cpu", cpu(step)).unwrap();
        let report = window.ingest(&[record], at).unwrap();
        assert_eq!(report.accepted, 1, "{report:?}");
    }
}

/// The moment at which a step is closed by the clock.
fn end_of(step: i64) -> Timestamp {
    STEP.start_of(START.plus(step + 2))
}

#[test]
fn every_server_is_answered_and_says_by_which_method() {
    let mut forecaster = forecaster();
    let mut window = window(&forecaster);
    let steps = forecaster.history_steps_min() as i64;
    feed(&mut window, "long", 0..steps);
    feed(&mut window, "short", steps - 20..steps);
    let fleet = forecaster.forecast(&window, end_of(steps - 1)).unwrap();
    let methods: Vec<_> = fleet.servers.iter().map(|one| (one.server.as_str(), one.method())).collect();
    assert_eq!(methods, [("long", Method::Tft), ("short", Method::Fallback)]);
}

#[test]
fn the_model_takes_over_with_the_first_sufficient_step() {
    let mut forecaster = forecaster();
    let mut window = window(&forecaster);
    let needed = forecaster.history_steps_min() as i64;
    feed(&mut window, "web1", 0..needed - 1);
    let before = forecaster.forecast(&window, end_of(needed - 2)).unwrap();
    assert_eq!(before.servers[0].method(), Method::Fallback);
    feed(&mut window, "web1", [needed - 1]);
    let after = forecaster.forecast(&window, end_of(needed - 1)).unwrap();
    assert_eq!(after.servers[0].method(), Method::Tft);
}

#[test]
fn forecasts_start_after_the_newest_closed_step() {
    let mut forecaster = forecaster();
    let mut window = window(&forecaster);
    feed(&mut window, "web1", 0..400);
    let fleet = forecaster.forecast(&window, end_of(399)).unwrap();
    assert_eq!(fleet.origin, START.plus(399));
    let metric = &fleet.servers[0].metrics[0];
    assert!((f64::from(metric.current) - cpu(399)).abs() < 1e-3);
    assert_eq!(metric.horizon(), forecaster.horizon_steps());
}

#[test]
fn quantiles_do_not_cross_and_stay_in_range() {
    let mut forecaster = forecaster();
    let mut window = window(&forecaster);
    feed(&mut window, "web1", 0..700);
    let fleet = forecaster.forecast(&window, end_of(699)).unwrap();
    for row in fleet.servers[0].metrics[0].values().rows() {
        assert!(row.iter().all(|value| (0.0..=100.0).contains(value)), "{row}");
        assert!(row.iter().zip(row.iter().skip(1)).all(|(low, high)| low <= high), "{row}");
    }
}

#[test]
fn a_metric_that_was_never_reported_is_left_out() {
    let mut forecaster = forecaster();
    let mut window = window(&forecaster);
    feed(&mut window, "web1", 0..200);
    let fleet = forecaster.forecast(&window, end_of(199)).unwrap();
    let metrics: Vec<_> = fleet.servers[0].metrics.iter().map(|forecast| forecast.metric).collect();
    assert_eq!(metrics, [0]);
}

#[test]
fn a_gap_too_long_to_fill_hands_the_server_to_the_fallback() {
    let mut forecaster = forecaster();
    let mut window = window(&forecaster);
    feed(&mut window, "gappy", (0..400).chain(430..440));
    feed(&mut window, "filled", (0..400).chain(410..440));
    let fleet = forecaster.forecast(&window, end_of(439)).unwrap();
    assert_eq!(fleet.server("gappy").unwrap().method(), Method::Fallback);
    assert_eq!(fleet.server("filled").unwrap().method(), Method::Tft);
}

#[test]
fn forecasts_do_not_depend_on_other_servers_or_on_blocks() {
    let mut alone = forecaster();
    let mut window = window(&alone);
    feed(&mut window, "b", 0..500);
    let single = alone.forecast(&window, end_of(499)).unwrap();
    for server in ["a", "c", "d"] {
        feed(&mut window, server, 100..500);
    }
    let config = ForecasterConfig { block_windows: 3, ..Default::default() };
    let mut blocked = Forecaster::new(Model::built_in().unwrap(), config).unwrap();
    let fleet = blocked.forecast(&window, end_of(499)).unwrap();
    let (one, other) = (&single.servers[0].metrics[0], &fleet.server("b").unwrap().metrics[0]);
    for (one, other) in one.values().iter().zip(other.values()) {
        assert!((one - other).abs() <= 1e-6 * one.abs().max(1.0), "{one} {other}");
    }
}

#[test]
fn an_empty_window_gives_an_empty_forecast() {
    let mut forecaster = forecaster();
    let window = window(&forecaster);
    let fleet = forecaster.forecast(&window, end_of(0)).unwrap();
    assert!(fleet.servers.is_empty());
}

#[test]
fn a_window_of_other_steps_is_refused() {
    let mut forecaster = forecaster();
    let step = StepLength::from_millis(60_000).unwrap();
    let config = WindowConfig { step, ..WindowConfig::default() };
    let window = RollingWindow::new(schema(), config).unwrap();
    let error = forecaster.forecast(&window, end_of(0)).unwrap_err();
    insta::assert_snapshot!(error, @"window has steps of 60000 ms, the model needs 300000 ms");
    let config = WindowConfig { steps_per_server: 100, ..WindowConfig::default() };
    let window = RollingWindow::new(schema(), config).unwrap();
    let error = forecaster.forecast(&window, end_of(0)).unwrap_err();
    insta::assert_snapshot!(error, @"window keeps 100 steps per server, the model needs at least 150");
}

#[test]
fn without_a_model_the_fallback_answers() {
    let mut forecaster = Forecaster::without_model(STEP, ForecasterConfig::default()).unwrap();
    let mut window = window(&forecaster);
    feed(&mut window, "web1", 0..600);
    let fleet = forecaster.forecast(&window, end_of(599)).unwrap();
    assert_eq!(fleet.servers[0].method(), Method::Fallback);
    let median = fleet.servers[0].metrics[0].path(3);
    assert!((f64::from(median[95]) - cpu(695)).abs() < 3.0, "{median}");
}
