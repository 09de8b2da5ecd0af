//! The detector against a plain recomputation, and in the situations that it is for.

use proptest::prelude::*;

use super::*;
use crate::schema::{Metric, MetricKind, Schema, SchemaConfig};
use crate::time::{Step, StepLength};
use crate::window::{Record, RollingWindow, WindowConfig};

const METRICS: usize = 2;
const STEP_MS: i64 = StepLength::FIVE_MINUTES.as_millis();

fn schema() -> Schema {
    let metrics = (0..METRICS).map(|at| Metric::new(format!("m{at}"), MetricKind::Continuous)).collect();
    Schema::new(SchemaConfig { metrics, ..Default::default() }).unwrap()
}

fn config() -> CascadeConfig {
    let metrics = (0..METRICS).map(|at| CascadeMetric::new(format!("m{at}"))).collect();
    CascadeConfig { metrics, baseline_steps: 40, baseline_steps_min: 10, ..Default::default() }
}

/// A fleet that is fed one step at a time.
struct Fleet {
    window: RollingWindow,
    step: i64,
}

impl Fleet {
    fn new() -> Self {
        let config = WindowConfig { steps_per_server: 400, ..Default::default() };
        Self { window: RollingWindow::new(schema(), config).unwrap(), step: 1000 }
    }

    /// Feeds the same metric values to servers named by their position; none is missing.
    fn feed(&mut self, values: &[[Option<f64>; METRICS]]) {
        let at = StepLength::FIVE_MINUTES.start_of(Step(self.step));
        for (server, values) in values.iter().enumerate() {
            let mut record = Record::new(self.window.schema(), &format!("s{server:03}"), at).unwrap();
            for (metric, value) in values.iter().enumerate() {
                if let Some(value) = value {
                    record = record.with(&format!("m{metric}"), *value).unwrap();
                }
            }
            if values.iter().any(Option::is_some) {
                assert_eq!(self.window.ingest(&[record], at.plus_millis(STEP_MS)).unwrap().accepted, 1);
            }
        }
        self.step += 1;
    }

    /// The step that was fed last, which is judged as if it were closed.
    fn newest(&self) -> Step {
        Step(self.step - 1)
    }
}

/// A number between 0 and 1 that depends on its arguments only.
fn noise(server: usize, step: i64, metric: usize) -> f64 {
    let mut state = (server as u64) << 40 ^ (step as u64) << 8 ^ metric as u64;
    for _ in 0..3 {
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x9e37_79b9);
    }
    (state >> 11) as f64 / (1_u64 << 53) as f64
}

/// About normal, with mean 0 and standard deviation 1.
fn normal(server: usize, step: i64) -> f64 {
    (0..12).map(|term| noise(server, step, 10 + term)).sum::<f64>() - 6.0
}

/// What the detector says of a metric in a step, from the whole history at once.
fn naive_beyond(values: &[Option<f64>], config: &CascadeConfig) -> Option<f64> {
    let (newest, past) = values.split_last()?;
    let known: Vec<f64> = past.iter().flatten().copied().collect();
    let weight_min = 2.0 / (config.baseline_steps as f64 + 1.0);
    // The weight of each value is its own, times what every later one leaves of it.
    let own = |at: usize| (1.0 / (at + 1) as f64).max(weight_min);
    let weight = |at: usize| own(at) * (at + 1..known.len()).map(|later| 1.0 - own(later)).product::<f64>();
    let weights: Vec<f64> = (0..known.len()).map(weight).collect();
    let mean: f64 = known.iter().zip(&weights).map(|(value, weight)| value * weight).sum();
    let variance: f64 =
        known.iter().zip(&weights).map(|(value, weight)| weight * (value - mean).powi(2)).sum();
    let z = (newest.as_ref()? - mean) / variance.sqrt().max(1.0);
    (known.len() >= config.baseline_steps_min).then_some(z)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_step_is_judged_as_from_the_whole_history(
        rows in prop::collection::vec(
            prop::collection::vec(prop::option::weighted(0.85, -20.0_f64..20.0), 5), 12..60),
        pauses in prop::collection::vec(any::<bool>(), 60),
    ) {
        let (mut fleet, config) = (Fleet::new(), config());
        let mut detector = CascadeDetector::new(config.clone(), fleet.window.schema()).unwrap();
        let mut histories = vec![Vec::new(); 5];
        for (row, is_pause) in rows.iter().zip(&pauses) {
            // The first server always has a value of the other metric, so that the step exists.
            let values: Vec<_> = row.iter().map(|value| [value.map(|v| f64::from(v as f32)), Some(1.0)]).collect();
            fleet.feed(&values);
            for (history, value) in histories.iter_mut().zip(&values) {
                history.push(value[0]);
            }
            if *is_pause {
                continue;
            }
            let report = detector.advance(&fleet.window, fleet.newest());
            let z: Vec<_> = histories.iter().filter_map(|history| naive_beyond(history, &config)).collect();
            let beyond = z.iter().filter(|z| z.abs() > config.z_min).count();
            let is_close = z.iter().any(|z| (z.abs() - config.z_min).abs() < 1e-6);
            prop_assert_eq!(report.metrics[0].servers_judged, z.len());
            prop_assert!(is_close || report.metrics[0].servers_beyond == beyond);
            let share = beyond as f64 / z.len().max(1) as f64;
            prop_assert!(is_close || report.metrics[0].severity.is_some() == (beyond >= 3 && share >= 0.1));
        }
    }

    #[test]
    fn several_steps_at_once_and_a_restart_change_nothing(
        rows in prop::collection::vec(
            prop::collection::vec(prop::option::weighted(0.9, -9.0_f64..9.0), 6), 30..60),
        restart in 5_usize..30,
    ) {
        let mut fleet = Fleet::new();
        let config = || CascadeConfig { baseline_steps: 60, ..config() };
        let mut whole = CascadeDetector::new(config(), fleet.window.schema()).unwrap();
        let mut restarted = whole.clone();
        for (at, row) in rows.iter().enumerate() {
            let values: Vec<_> = row.iter().map(|value| [*value, Some(1.0)]).collect();
            fleet.feed(&values);
            whole.advance(&fleet.window, fleet.newest());
            if at < restart {
                restarted.advance(&fleet.window, fleet.newest());
            }
            if at == restart {
                let text = serde_json::to_string(&restarted.state()).unwrap();
                restarted = CascadeDetector::new(config(), fleet.window.schema()).unwrap();
                restarted.restore(serde_json::from_str(&text).unwrap()).unwrap();
            }
        }
        // The restarted one catches up on all steps that it has missed.
        let report = restarted.advance(&fleet.window, fleet.newest());
        prop_assert_eq!(&*report, &*whole.report());
        prop_assert_eq!(restarted.state(), whole.state());
    }
}

/// Noise of deviation 2 around 40, plus what a cascade adds.
fn scenario(step: i64, servers: usize, extra: impl Fn(usize, i64) -> f64) -> Vec<[Option<f64>; METRICS]> {
    noisy(2.0, step, servers, extra)
}

fn noisy(
    deviation: f64,
    step: i64,
    servers: usize,
    extra: impl Fn(usize, i64) -> f64,
) -> Vec<[Option<f64>; METRICS]> {
    let value = |server| 40.0 + deviation * normal(server, step) + extra(server, step);
    (0..servers).map(|server| [Some(value(server)), Some(1.0)]).collect()
}

#[test]
fn a_cascade_names_who_was_first_and_how_far_it_went() {
    let mut fleet = Fleet::new();
    let config = CascadeConfig { baseline_steps: 288, ..config() };
    let mut detector = CascadeDetector::new(config, fleet.window.schema()).unwrap();
    let start = fleet.step + 100;
    // Two databases ramp, three dependants each follow two, four and six steps later, attenuated.
    let coupling = |server: usize| match server {
        3 | 4 => Some((0, 1.0)),
        5..=7 => Some((2, 0.85)),
        8..=10 => Some((4, 0.75)),
        11..=13 => Some((6, 0.7)),
        _ => None,
    };
    let ramp = |server, step| {
        let (lag, share) = coupling(server)?;
        let progress = ((step - start - lag) as f64 / 6.0).clamp(0.0, 1.0);
        Some(share * 50.0 * progress)
    };
    for _ in 0..115 {
        let values = noisy(0.4, fleet.step, 20, |server, step| ramp(server, step).unwrap_or(0.0));
        fleet.feed(&values);
        detector.advance(&fleet.window, fleet.newest());
    }
    let report = detector.report();
    let event = &report.active[0];
    assert_eq!(event.severity, CascadeSeverity::Critical);
    assert!(event.share_max >= 0.5 && event.affected_count >= 11, "{event:?}");
    let lead = event.lead_server().unwrap().as_str();
    assert!(lead == "s003" || lead == "s004", "{event:?}");
    let position = |name: &str| event.affected.iter().position(|a| a.server.as_str() == name).unwrap();
    for (earlier, later) in [(3, 5), (4, 7), (5, 8), (7, 11)] {
        let (earlier, later) = (format!("s{earlier:03}"), format!("s{later:03}"));
        assert!(position(&earlier) < position(&later), "{earlier} {later}: {event:?}");
    }
    assert!((start..start + 6).contains(&event.start.0), "{event:?}");
    assert!(report.correlation > 0.2 && report.metrics[0].correlation > 0.4, "{report:?}");
    assert!(report.health_score() < 50.0);
}

#[test]
fn an_event_ends_when_its_break_has_passed() {
    let mut fleet = Fleet::new();
    let mut detector = CascadeDetector::new(config(), fleet.window.schema()).unwrap();
    let burst = fleet.step + 50;
    for _ in 0..54 {
        let values = scenario(fleet.step, 4, |_, step| if step == burst { 60.0 } else { 0.0 });
        fleet.feed(&values);
        detector.advance(&fleet.window, fleet.newest());
        let report = detector.report();
        assert_eq!(
            report.active.iter().any(|event| event.start == Step(burst)),
            (burst..=burst + 3).contains(&(fleet.step - 1)),
            "step {}: {report:?}",
            fleet.step - 1 - burst
        );
    }
    let values = scenario(fleet.step, 4, |_, _| 0.0);
    fleet.feed(&values);
    let report = detector.advance(&fleet.window, fleet.newest());
    let event = report.recent.last().unwrap();
    assert!(event.is_over && event.last == Step(burst) && event.affected_count == 4, "{event:?}");
    assert!(report.event_count >= 1 && report.active.is_empty());
}

#[test]
fn independent_noise_on_a_large_fleet_is_no_cascade() {
    let mut fleet = Fleet::new();
    // Of few values more lie beyond two of their deviations.
    let config =
        CascadeConfig { baseline_steps: 288, baseline_steps_min: 100, share_medium: 0.2, ..config() };
    let mut detector = CascadeDetector::new(config, fleet.window.schema()).unwrap();
    for _ in 0..200 {
        let values = scenario(fleet.step, 400, |_, _| 0.0);
        fleet.feed(&values);
        detector.advance(&fleet.window, fleet.newest());
    }
    let report = detector.report();
    assert!(report.metrics[0].servers_beyond >= 3, "three servers are nothing special");
    assert_eq!(report.event_count, 0, "{:?}", report.recent);
    assert!(report.correlation < 0.1);
    // Three dozen more than usual are no coincidence.
    let values = scenario(fleet.step, 400, |server, _| if server < 36 { 30.0 } else { 0.0 });
    fleet.feed(&values);
    let report = detector.advance(&fleet.window, fleet.newest());
    let metric = &report.metrics[0];
    assert!(metric.share < 0.2 && metric.chance < 1e-6, "{metric:?}");
    assert_eq!(metric.severity, Some(CascadeSeverity::Low));
}

#[test]
fn late_values_silent_servers_and_other_times_do_no_harm() {
    let mut fleet = Fleet::new();
    let mut detector = CascadeDetector::new(config(), fleet.window.schema()).unwrap();
    for _ in 0..30 {
        let values = scenario(fleet.step, 5, |_, _| 0.0);
        fleet.feed(&values);
        detector.advance(&fleet.window, fleet.newest());
    }
    let before = detector.state();
    // A value that replaces one of a step that was judged.
    fleet.step -= 1;
    fleet.feed(&[[Some(1e6), Some(1.0)]]);
    detector.advance(&fleet.window, fleet.newest());
    assert_eq!(detector.state(), before);
    // One server goes on alone, a gap later.
    fleet.step += 20;
    fleet.feed(&[[Some(40.0), Some(1.0)]]);
    let report = detector.advance(&fleet.window, fleet.newest());
    assert_eq!((report.servers, report.servers_judged), (5, 1));
    // An origin long before begins anew, one shortly before is ignored.
    let judged = detector.state();
    detector.advance(&fleet.window, fleet.newest().plus(-40));
    assert_eq!(detector.state(), judged);
    detector.advance(&fleet.window, fleet.newest().plus(-41));
    assert_ne!(detector.state(), judged);
}

#[test]
fn a_new_server_that_brings_its_past_has_a_baseline() {
    let mut fleet = Fleet::new();
    let mut detector = CascadeDetector::new(config(), fleet.window.schema()).unwrap();
    for _ in 0..30 {
        fleet.feed(&scenario(fleet.step, 3, |_, _| 0.0));
    }
    detector.advance(&fleet.window, fleet.newest());
    fleet.step -= 30;
    for _ in 0..30 {
        let mut values = scenario(fleet.step, 5, |_, _| 0.0);
        values[..3].fill([None; METRICS]);
        fleet.feed(&values);
    }
    fleet.feed(&scenario(fleet.step, 5, |_, _| 50.0));
    let report = detector.advance(&fleet.window, fleet.newest());
    assert_eq!((report.servers_judged, report.servers_beyond), (5, 5));
}

#[test]
fn servers_in_maintenance_are_not_judged() {
    let mut fleet = Fleet::new();
    let mut detector = CascadeDetector::new(config(), fleet.window.schema()).unwrap();
    for _ in 0..30 {
        fleet.feed(&scenario(1000, 4, |_, _| 0.0));
        detector.advance(&fleet.window, fleet.newest());
    }
    fleet.feed(&scenario(1000, 4, |_, _| 50.0));
    let at = StepLength::FIVE_MINUTES.start_of(fleet.newest());
    for server in 0..2 {
        let record = Record::new(fleet.window.schema(), &format!("s{server:03}"), at).unwrap();
        let record = record.with_status("maintenance").unwrap();
        assert_eq!(fleet.window.ingest(&[record], at.plus_millis(STEP_MS)).unwrap().accepted, 1);
    }
    let report = detector.advance(&fleet.window, fleet.newest());
    assert_eq!((report.servers_beyond, report.active.len()), (2, 0));
}

#[test]
fn a_forgotten_server_is_in_no_event() {
    let mut fleet = Fleet::new();
    let config = CascadeConfig { affected_max: 3, ..config() };
    let mut detector = CascadeDetector::new(config, fleet.window.schema()).unwrap();
    for step in 0..33 {
        fleet.feed(&scenario(1000, 5, |_, _| if step < 30 { 0.0 } else { 50.0 }));
        detector.advance(&fleet.window, fleet.newest());
    }
    let listed = detector.report().active[0].affected.clone();
    assert_eq!((listed.len(), detector.report().active[0].affected_count), (3, 5));
    let name = listed[0].server.as_str();
    assert!(fleet.window.remove(name) && detector.forget(name) && !detector.forget(name));
    let text = serde_json::to_string(&detector.state()).unwrap();
    assert!(!text.contains(name) && detector.report().active[0].affected.len() == 2);
    // Those that are left are still found in their places.
    let values: Vec<_> = (0..5).map(|at| [(format!("s{at:03}") != name).then_some(190.0), None]).collect();
    fleet.feed(&values);
    let report = detector.advance(&fleet.window, fleet.newest());
    assert!(report.active[0].affected.iter().all(|affected| affected.server.as_str() != name), "{report:?}");
    assert_eq!(report.active[0].affected_count, 4);
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let mut fleet = Fleet::new();
    let mut detector = CascadeDetector::new(config(), fleet.window.schema()).unwrap();
    fleet.feed(&scenario(1000, 2, |_, _| 0.0));
    detector.advance(&fleet.window, fleet.newest());
    let refuse = |detector: &mut CascadeDetector, from: &str, to: &str| {
        let text = serde_json::to_string(&detector.state()).unwrap();
        assert!(text.contains(from), "{text}");
        let state = serde_json::from_str(&text.replacen(from, to, 1)).unwrap();
        detector.restore(state).unwrap_err()
    };
    let error = refuse(&mut detector, r#""version":1"#, r#""version":2"#);
    insta::assert_snapshot!(error, @"cascade state has version 2, this version reads 1");
    let error = refuse(&mut detector, r#"["m0","m1"]"#, r#"["m0"]"#);
    insta::assert_snapshot!(error, @r#"cascade state is about metrics ["m0"], the configuration about ["m0", "m1"]"#);
    let error = refuse(&mut detector, r#""name":"s000""#, r#""name":"s009""#);
    insta::assert_snapshot!(error, @"cascade state is damaged: its servers are not in order");
    assert!(error.is_corrupt());
    let error = refuse(&mut detector, r#""variance":0.0"#, r#""variance":-1.0"#);
    insta::assert_snapshot!(error, @"cascade state is damaged: a baseline is out of range");
}
