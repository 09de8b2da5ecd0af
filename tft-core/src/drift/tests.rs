//! Forecasts with known faults against values with known noise.

use ndarray::Array2;

use super::*;
use crate::forecast::{FleetForecast, Forecast, Method, MetricForecast, QuantileLevels};
use crate::schema::{Metric, MetricKind, Profile, Schema, SchemaConfig};
use crate::time::{Step, StepLength};
use crate::window::{Record, RollingWindow, WindowConfig};

/// A fleet whose values are noise around 50, and forecasts that say so.
struct Fleet {
    window: RollingWindow,
    tracker: DriftTracker,
    servers: usize,
    step: i64,
    random: u64,
    method: Method,
}

fn schema() -> Schema {
    let metrics =
        vec![Metric::new("load", MetricKind::Continuous), Metric::new("flat", MetricKind::Continuous)];
    Schema::new(SchemaConfig { metrics, ..Default::default() }).unwrap()
}

fn config() -> DriftConfig {
    DriftConfig { horizons_steps: vec![1, 6], window_steps: 288, ..Default::default() }
}

impl Fleet {
    fn new(servers: usize, seed: u64, config: DriftConfig) -> Self {
        let window = WindowConfig { steps_per_server: 60, ..Default::default() };
        Self {
            window: RollingWindow::new(schema(), window).unwrap(),
            tracker: DriftTracker::new(config, &schema(), CoverageExpectation::default()).unwrap(),
            servers,
            step: 1000,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            method: Method::Tft,
        }
    }

    fn uniform(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A normal variable, by Box and Muller.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().max(1e-300).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// One step: values with deviation `spread`, of which `shared` is the fleet's own, then forecasts of deviation 1.
    fn step(&mut self, spread: f64, shared: f64) {
        let at = StepLength::FIVE_MINUTES.start_of(Step(self.step));
        let common = self.normal();
        for server in 0..self.servers {
            let own = self.normal();
            let value = 50.0 + spread * (shared.sqrt() * common + (1.0 - shared).sqrt() * own);
            let record = Record::new(self.window.schema(), &name(server), at).unwrap();
            let record = record.with("load", value).unwrap().with("flat", 7.0).unwrap();
            assert_eq!(self.window.ingest(&[record], at).unwrap().accepted, 1);
        }
        let fleet = self.forecast();
        self.tracker.advance(&self.window, &fleet);
        self.step += 1;
    }

    fn forecast(&self) -> FleetForecast {
        let servers = self.window.servers().map(|view| Forecast {
            server: view.name().clone(),
            profile: view.profile().clone(),
            metrics: vec![self.metric(0, [50.0 - 1.2816, 50.0, 50.0 + 1.2816]), self.metric(1, [7.0; 3])],
        });
        FleetForecast {
            origin: Step(self.step),
            step_length: StepLength::FIVE_MINUTES,
            quantiles: QuantileLevels::new(&[0.1, 0.5, 0.9]).unwrap(),
            servers: servers.collect(),
        }
    }

    fn metric(&self, metric: usize, row: [f32; 3]) -> MetricForecast {
        let values = Array2::from_shape_fn((6, 3), |(_, level)| row[level]);
        MetricForecast::new(metric, self.method, row[1], values, &schema().metrics()[metric].clone())
    }

    fn load(&self) -> MetricDrift {
        let report = self.tracker.report();
        report.leading().unwrap().metrics.iter().find(|metric| metric.metric == "load").unwrap().clone()
    }
}

fn name(server: usize) -> String {
    format!("ppdb{server:03}")
}

#[test]
fn calibrated_forecasts_do_not_drift() {
    for seed in 0..8 {
        // With servers that fail apart, and with ones that fail nearly together.
        for shared in [0.0, 0.9] {
            let mut fleet = Fleet::new(10, seed, config());
            for _ in 0..400 {
                fleet.step(1.0, shared);
                assert_ne!(fleet.tracker.report().verdict, DriftVerdict::Drifting, "seed {seed}, {shared}");
            }
            let load = fleet.load();
            assert_eq!(load.verdict, DriftVerdict::Ok);
            assert!((load.coverage.unwrap() - 0.8).abs() < 0.08, "{load:?}");
        }
    }
}

#[test]
fn a_scale_that_has_shifted_is_found() {
    let mut fleet = Fleet::new(10, 1, config());
    for _ in 0..200 {
        fleet.step(1.0, 0.5);
    }
    assert_eq!(fleet.load().verdict, DriftVerdict::Ok);
    let mut steps = 0;
    while fleet.tracker.report().verdict != DriftVerdict::Drifting {
        fleet.step(3.0, 0.5);
        steps += 1;
        assert!(steps < 200, "{:?}", fleet.load());
    }
    let load = fleet.load();
    let horizon = &load.horizons[0];
    assert!(horizon.below_p10.unwrap() > 0.1 && horizon.above_p90.unwrap() > 0.1, "{horizon:?}");
    assert!(load.shortfall_max().unwrap() > 0.1);
    assert_eq!(load.profiles[0].profile.as_str(), "database");
    assert_eq!(load.profiles[0].horizons, load.horizons, "all servers are of one profile");
}

#[test]
fn bands_that_are_too_wide_drift_by_their_loss() {
    let mut fleet = Fleet::new(10, 1, config());
    for _ in 0..300 {
        fleet.step(0.05, 0.0);
    }
    let load = fleet.load();
    assert!(load.coverage.unwrap() > 0.99 && load.relative_loss.unwrap() > 3.0, "{load:?}");
    assert_eq!(load.verdict, DriftVerdict::Drifting);
}

#[test]
fn few_values_are_no_verdict() {
    let mut fleet = Fleet::new(3, 1, config());
    for _ in 0..60 {
        fleet.step(50.0, 0.0);
    }
    let load = fleet.load();
    assert!(load.coverage.unwrap() < 0.3, "{load:?}");
    assert_eq!(
        (load.verdict, fleet.tracker.report().verdict),
        (DriftVerdict::Unknown, DriftVerdict::Unknown)
    );
}

#[test]
fn every_forecast_is_counted_once() {
    let mut fleet = Fleet::new(4, 1, config());
    for _ in 0..100 {
        fleet.step(1.0, 0.0);
        // The same origin again changes nothing.
        let again = fleet.forecast();
        let again = FleetForecast { origin: Step(fleet.step - 1), ..again };
        let before = fleet.tracker.report();
        assert_eq!(fleet.tracker.advance(&fleet.window, &again), before);
    }
    let report = fleet.tracker.report();
    let load = fleet.load();
    // One step ahead: every step from the third on. Six ahead: every sixth, from the second turn on.
    assert_eq!(load.horizons[0].values, 4 * 98);
    assert!((4 * 14..=4 * 16).contains(&load.horizons[1].values), "{load:?}");
    let counted: u64 = load.horizons.iter().map(|horizon| horizon.values).sum();
    assert_eq!((report.values, report.values_constant, report.values_missing), (counted, counted, 0));
    assert!(report.leading().unwrap().metrics.iter().all(|metric| metric.metric != "flat"));
}

#[test]
fn methods_are_counted_apart_and_servers_that_fall_silent_as_missing() {
    let mut fleet = Fleet::new(4, 1, config());
    fleet.method = Method::Fallback;
    for _ in 0..50 {
        fleet.step(1.0, 0.0);
    }
    assert_eq!(fleet.tracker.report().leading().unwrap().method, Method::Fallback);
    fleet.method = Method::Tft;
    fleet.servers = 2;
    for _ in 0..50 {
        fleet.step(1.0, 0.0);
    }
    let report = fleet.tracker.report();
    let methods: Vec<_> = report.methods.iter().map(|method| method.method).collect();
    assert_eq!(methods, [Method::Tft, Method::Fallback]);
    assert!(report.values_missing > 50, "{report:?}");
    assert!(fleet.tracker.forget(&name(0)) && !fleet.tracker.forget(&name(0)));
}

#[test]
fn a_large_fleet_is_sampled_and_the_sample_stays() {
    let mut fleet = Fleet::new(40, 1, DriftConfig { series_max: 20, ..config() });
    for _ in 0..20 {
        fleet.step(1.0, 0.0);
    }
    let report = fleet.tracker.report();
    assert_eq!((report.servers, report.servers_tracked), (40, 10));
    // Ten servers, one step ahead, in each step but the first two.
    assert_eq!(fleet.load().horizons[0].values, 10 * 18);
    assert_eq!(report.values_missing, 0);
}

#[test]
fn another_time_and_other_forecasts_begin_anew() {
    let mut fleet = Fleet::new(2, 1, config());
    for _ in 0..40 {
        fleet.step(1.0, 0.0);
    }
    let long_before = FleetForecast { origin: Step(fleet.step - 1 - 7), ..fleet.forecast() };
    let report = fleet.tracker.advance(&fleet.window, &long_before);
    assert_eq!((report.values, report.origin), (0, Some(long_before.origin)));
    fleet.tracker.start_anew(CoverageExpectation::default());
    let report = fleet.tracker.report();
    assert_eq!((report.origin, report.values, report.methods.len()), (None, 0, 0));
}

#[test]
fn profiles_without_room_count_among_all_servers_only() {
    let servers = DriftTracker::PROFILES_MAX + 3;
    let mut fleet = Fleet::new(servers, 1, config());
    for server in 0..servers {
        let at = StepLength::FIVE_MINUTES.start_of(Step(fleet.step));
        let profile = Profile::new(&format!("kind-{server}")).unwrap();
        let record = Record::new(fleet.window.schema(), &name(server), at).unwrap().with_profile(profile);
        fleet.window.ingest(&[record.with("load", 50.0).unwrap()], at).unwrap();
    }
    for _ in 0..40 {
        fleet.step(1.0, 0.0);
    }
    let load = fleet.load();
    assert_eq!(load.profiles.len(), DriftTracker::PROFILES_MAX);
    assert_eq!(load.horizons[0].values, 38 * servers as u64);
}
