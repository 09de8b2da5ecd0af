//! Explanations of single servers: what stands out, what the network looked at, what another past would change.

use tft_core::explain::{Change, Explanation, Interpretation, WhatIf};
use tft_core::schema::Schema;
use tft_core::time::{Step, StepLength, Timestamp};
use tft_core::{Forecaster, ForecasterConfig, Method, Model, Monitor, Record, RollingWindow, WindowConfig};

const STEP: StepLength = StepLength::FIVE_MINUTES;
/// 2026-01-05T00:00:00Z, a Monday.
const START: Step = Step(5_891_904);
/// The newest step.
const LAST: i64 = 699;
/// Where the leak begins: ten hours before the newest step.
const LEAK: i64 = LAST - 120;

fn monitor() -> Monitor {
    let forecaster = Forecaster::new(Model::built_in().unwrap(), ForecasterConfig::default()).unwrap();
    Monitor::new(&Schema::server_metrics(), forecaster).unwrap()
}

fn window(monitor: &Monitor) -> RollingWindow {
    let steps_per_server = monitor.forecaster().history_steps() + 13;
    let config = WindowConfig { steps_per_server, ..Default::default() };
    RollingWindow::new(monitor.schema().clone(), config).unwrap()
}

/// A number between −1 and 1 that looks random.
fn noise(step: i64, seed: i64) -> f64 {
    ((step * 7919 + seed * 104_729) % 1000) as f64 / 500.0 - 1.0
}

/// Feeds the steps of a server with a daily rhythm and memory that leaks from a step on.
fn feed(window: &mut RollingWindow, server: &str, first: i64, leak: i64) {
    let schema = window.schema().clone();
    for step in first..=LAST {
        let at = STEP.start_of(START.plus(step));
        let day = (step as f64 / 288.0 * std::f64::consts::TAU).sin();
        let leaked = 0.25 * (step - leak).max(0) as f64;
        let record = Record::new(&schema, server, at).unwrap();
        let record = record.with("cpu_user_pct", 40.0 + 10.0 * day + noise(step, 1)).unwrap();
        let record = record.with("mem_used_pct", 50.0 + leaked + noise(step, 2)).unwrap();
        let record = record.with("net_in_mb_s", 8.0 + day + 0.3 * noise(step, 3)).unwrap();
        assert_eq!(window.ingest(&[record], at).unwrap().accepted, 1);
    }
}

fn leaking() -> (Monitor, RollingWindow) {
    let monitor = monitor();
    let mut window = window(&monitor);
    feed(&mut window, "ppweb001", 0, LEAK);
    feed(&mut window, "ppweb002", 0, LAST);
    (monitor, window)
}

fn explain(monitor: &Monitor, window: &RollingWindow, server: &str) -> Explanation {
    monitor.explainer().explain(window, START.plus(LAST), server).unwrap().unwrap()
}

fn what_if(metric: &str, change: Change, last_steps: usize) -> WhatIf {
    WhatIf { metric: metric.to_owned(), change, last_steps }
}

#[test]
fn a_leak_is_named_and_a_quiet_server_is_not_blamed() {
    let (monitor, window) = leaking();
    let memory = monitor.schema().metric_index("mem_used_pct").unwrap();
    let explanation = explain(&monitor, &window, "ppweb001");
    assert_eq!(explanation.method, Method::Tft);
    assert_eq!(explanation.at_fault().first().map(|metric| metric.metric), Some(memory));
    let leading = &explanation.metrics[0];
    let outlook = leading.evidence.outlook.as_ref().unwrap();
    assert!((outlook.limit.value - 85.0).abs() < 1e-9 && outlook.crossing_p50_steps.is_some(), "{leading:?}");
    assert!(leading.text.starts_with("mem_used_pct is 8"), "{}", leading.text);
    assert!(explanation.summary.contains("mem_used_pct"), "{}", explanation.summary);
    assert!(explanation.metrics.is_sorted_by(|a, b| a.score >= b.score));
    let quiet = explain(&monitor, &window, "ppweb002");
    assert!(quiet.metrics.iter().all(|metric| metric.score < leading.score / 2.0), "{:?}", quiet.metrics);
}

#[test]
fn had_the_leak_stopped_the_threshold_would_not_be_reached() {
    let (monitor, window) = leaking();
    let explanation = explain(&monitor, &window, "ppweb001");
    let held = explanation.counterfactuals.iter().find(|one| one.change == Change::Hold).unwrap();
    let [actual, changed] = [&held.actual, &held.changed].map(|outcome| outcome.outlook.as_ref().unwrap());
    assert!(actual.crossing_p50_steps.is_some() && changed.crossing_p50_steps.is_none(), "{held:?}");
    assert!(changed.probability < actual.probability && held.changed.peak.p90 < held.actual.peak.p90);
    assert!(held.changed.risk_score <= held.actual.risk_score);
    assert_eq!(held.last_steps, 48);
    assert!(held.others.is_empty() && explanation.is_univariate);
    assert!(held.text.starts_with("Had mem_used_pct not changed for the last 4 hours,"), "{}", held.text);
}

#[test]
fn a_question_leaves_the_window_as_it_is() {
    let (monitor, window) = leaking();
    let before = explain(&monitor, &window, "ppweb001");
    let origin = START.plus(LAST);
    let question = what_if("mem_used_pct", Change::Scale(0.5), 100);
    let answer = monitor.explainer().what_if(&window, (origin, "ppweb001"), &question).unwrap().unwrap();
    assert!((answer.changed.current - answer.actual.current / 2.0).abs() < 1e-3);
    assert!(answer.changed.peak.p50 < answer.actual.peak.p50);
    assert_eq!(explain(&monitor, &window, "ppweb001"), before);
    let same = what_if("mem_used_pct", Change::Offset(0.0), 1);
    let same = monitor.explainer().what_if(&window, (origin, "ppweb001"), &same).unwrap().unwrap();
    assert_eq!(same.actual, same.changed);
    let above = what_if("mem_used_pct", Change::Offset(1e9), 10);
    let above = monitor.explainer().what_if(&window, (origin, "ppweb001"), &above).unwrap().unwrap();
    assert!((above.changed.current - 100.0).abs() < 1e-9, "kept within the metric's range");
}

#[test]
fn questions_that_cannot_be_answered_are_refused() {
    let (monitor, window) = leaking();
    let refusal = |question: &WhatIf| {
        let asked = monitor.explainer().what_if(&window, (START.plus(LAST), "ppweb001"), question);
        let error = asked.unwrap_err();
        assert!(error.is_invalid_input());
        error.to_string()
    };
    insta::assert_snapshot!(refusal(&what_if("disk", Change::Hold, 5)), @"what_if.metric is `disk`, which the schema lacks");
    insta::assert_snapshot!(refusal(&what_if("mem_used_pct", Change::Hold, 0)), @"what_if.last_steps is 0, allowed are 1 to 925");
    insta::assert_snapshot!(refusal(&what_if("mem_used_pct", Change::Hold, 926)), @"what_if.last_steps is 926, allowed are 1 to 925");
    insta::assert_snapshot!(refusal(&what_if("mem_used_pct", Change::Scale(-1.0), 5)), @"what_if.change.scale is -1, allowed are 0 to 1000");
    insta::assert_snapshot!(refusal(&what_if("mem_used_pct", Change::Offset(f64::NAN), 5)), @"what_if.change.offset is NaN, allowed are -1000000000000 to 1000000000000");
    insta::assert_snapshot!(refusal(&what_if("disk_usage_pct", Change::Hold, 5)), @"metric `disk_usage_pct` of server `ppweb001` has no value before these steps");
    insta::assert_snapshot!(refusal(&what_if("mem_used_pct", Change::Hold, 700)), @"metric `mem_used_pct` of server `ppweb001` has no value before these steps");
    let nobody = what_if("mem_used_pct", Change::Hold, 5);
    assert!(monitor.explainer().what_if(&window, (START.plus(LAST), "nobody"), &nobody).unwrap().is_none());
}

#[test]
fn what_the_network_looked_at_is_its_own_output() {
    let (monitor, window) = leaking();
    let explanation = explain(&monitor, &window, "ppweb001");
    assert_eq!(explanation.focuses.len(), 3, "one window per metric");
    let forecaster = monitor.forecaster();
    let trace = forecaster.trace(&window, START.plus(LAST), "ppweb001").unwrap().unwrap();
    let architecture = &forecaster.model().unwrap().document().architecture;
    for (at, focus) in explanation.focuses.iter().enumerate() {
        assert_eq!(focus.metrics, trace.windows[at]);
        let attention = focus.hours.iter().map(|hour| hour.share).sum::<f64>();
        assert!((attention + focus.earlier_share + focus.ahead_share - 1.0).abs() < 1e-5, "{focus:?}");
        assert_eq!(focus.hours.len(), 4, "the encoder's four hours");
        let read =
            Interpretation::of(&trace.output, &trace.batch, architecture, focus.steps_ahead - 1).unwrap();
        let newest_hour: f32 = read.attention.row(at).iter().skip(36).take(12).sum();
        assert!((focus.hours[0].share - f64::from(newest_hour)).abs() < 1e-5);
        for (shares, importance) in [
            (&focus.static_variables, &read.static_variables),
            (&focus.encoder_variables, &read.encoder_variables),
            (&focus.decoder_variables, &read.decoder_variables),
        ] {
            let expected: Vec<_> = importance.ranked_in(at).unwrap();
            let found: Vec<_> =
                shares.iter().map(|share| (share.variable.as_str(), share.share as f32)).collect();
            assert_eq!(found, expected);
            let sum = shares.iter().map(|share| share.share).sum::<f64>();
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        }
    }
}

#[test]
fn a_server_on_the_fallback_is_explained_from_its_data() {
    let monitor = monitor();
    let mut window = window(&monitor);
    feed(&mut window, "ppweb001", LAST - 99, LAST - 60);
    let explanation = explain(&monitor, &window, "ppweb001");
    assert_eq!((explanation.method, explanation.focuses.len()), (Method::Fallback, 0));
    assert!(explanation.summary.contains("statistical fallback"), "{}", explanation.summary);
    assert_eq!(explanation.metrics.len(), 3);
    for metric in &explanation.metrics {
        // Less than a day of history says nothing about what is usual.
        assert!(metric.evidence.surprise.is_some() && metric.evidence.unusual.is_none(), "{metric:?}");
        assert!(!metric.text.contains("The model looked"), "{}", metric.text);
    }
}

#[test]
fn a_server_without_values_is_said_to_have_none() {
    let monitor = monitor();
    let mut window = window(&monitor);
    let at: Timestamp = STEP.start_of(START.plus(LAST));
    let record = Record::new(monitor.schema(), "ppweb001", at).unwrap().with_status("healthy").unwrap();
    window.ingest(&[record], at).unwrap();
    let explanation = explain(&monitor, &window, "ppweb001");
    assert!(explanation.metrics.is_empty() && explanation.counterfactuals.is_empty());
    insta::assert_snapshot!(explanation.summary, @"ppweb001 has no values from which anything could be forecast.");
    assert!(monitor.explainer().explain(&window, START.plus(LAST), "nobody").unwrap().is_none());
}

#[test]
fn one_server_alone_is_forecast_as_within_its_fleet() {
    let (monitor, window) = leaking();
    let mut forecaster = Forecaster::new(Model::built_in().unwrap(), ForecasterConfig::default()).unwrap();
    let fleet = forecaster.forecast_from(&window, START.plus(LAST)).unwrap();
    let alone =
        monitor.forecaster().forecast_server_from(&window, START.plus(LAST), "ppweb002").unwrap().unwrap();
    let within = fleet.server("ppweb002").unwrap();
    assert_eq!(alone.metrics.len(), within.metrics.len());
    for (alone, within) in alone.metrics.iter().zip(&within.metrics) {
        assert_eq!((alone.metric, alone.method), (within.metric, within.method));
        for (alone, within) in alone.values().iter().zip(within.values()) {
            assert!((alone - within).abs() <= 1e-5 * within.abs().max(1.0), "{alone} {within}");
        }
    }
}
