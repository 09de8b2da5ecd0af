//! The engine's promises over many evaluations.

mod conditions;
mod restart;

use ndarray::Array2;
use proptest::prelude::*;

use super::*;
use crate::forecast::{FleetForecast, Forecast, Method, MetricForecast, QuantileLevels};
use crate::risk::{OwnQuantiles, ProfileSelector, Threshold};
use crate::schema::{Profile, Schema, ServerName};
use crate::time::{DurationMs, Step, StepLength, StepSpan, Timestamp};
use crate::window::{Readiness, ReadinessState};

const STEP_MS: i64 = 300_000;
const MEMORY: usize = 5;

fn at(warning: f64, critical: f64) -> [(Severity, Threshold); 2] {
    [(Severity::Warning, Threshold::Value(warning)), (Severity::Critical, Threshold::Value(critical))]
}

fn memory_rule() -> Rule {
    let condition = Condition::forecast("mem_used_pct");
    Rule { recovery: Some(Threshold::Value(85.0)), ..Rule::new("memory", condition, at(90.0, 98.0)) }
}

fn minutes(minutes: u32) -> DurationMs {
    DurationMs::from_minutes(minutes)
}

fn forecast(quantile: f64, min_steps: usize) -> Condition {
    Condition::Forecast { metric: "mem_used_pct".into(), quantile, within: StepSpan::Steps(12), min_steps }
}

fn engine(rules: Vec<Rule>) -> AlertEngine {
    AlertEngine::new(AlertConfig { rules, ..AlertConfig::default() }, &Schema::server_metrics()).unwrap()
}

/// One server at one step: the memory now, and its median path (P10 and P90 are 10 away).
#[derive(Debug, Clone)]
struct Seen {
    server: ServerName,
    profile: Profile,
    current: Vec<f32>,
    path: Vec<f32>,
    is_in_maintenance: bool,
    is_stale: bool,
}

fn seen(name: &str, memory: f32, path: &[f32]) -> Seen {
    let mut current = vec![f32::NAN; MEMORY + 1];
    current[MEMORY] = memory;
    let (server, profile) = (ServerName::new(name).unwrap(), Profile::new("database").unwrap());
    Seen { server, profile, current, path: path.to_vec(), is_in_maintenance: false, is_stale: false }
}

impl Seen {
    fn readiness(&self) -> Readiness {
        let state = if self.is_stale { ReadinessState::Stale } else { ReadinessState::Ready };
        Readiness { state, history_steps: 1, needed_steps: 1, since: Timestamp::from_millis(0) }
    }
}

fn fleet(all: &[Seen]) -> FleetForecast {
    let schema = Schema::server_metrics();
    let forecast = |seen: &Seen| {
        let values = Array2::from_shape_fn((seen.path.len(), 3), |(step, level)| {
            seen.path[step] + [-10.0, 0.0, 10.0][level]
        });
        let range = &schema.metrics()[MEMORY];
        let metric = MetricForecast::new(MEMORY, Method::Tft, seen.current[MEMORY], values, range);
        Forecast { server: seen.server.clone(), profile: seen.profile.clone(), metrics: vec![metric] }
    };
    let mut servers: Vec<_> = all.iter().filter(|seen| !seen.path.is_empty()).map(forecast).collect();
    servers.sort_by(|a, b| a.server.cmp(&b.server));
    servers.dedup_by(|a, b| a.server == b.server);
    let quantiles = QuantileLevels::new(&[0.1, 0.5, 0.9]).unwrap();
    FleetForecast { origin: Step(0), step_length: StepLength::FIVE_MINUTES, quantiles, servers }
}

fn evaluate(engine: &mut AlertEngine, all: &[Seen], step: i64) -> Vec<Transition> {
    let observations = all.iter().map(|seen| ServerObservation {
        server: &seen.server,
        profile: &seen.profile,
        current: &seen.current,
        is_in_maintenance: seen.is_in_maintenance,
        readiness: Some(seen.readiness()),
        risk_score: None,
        own_quantiles: OwnQuantiles::NONE,
        history: None,
    });
    engine.evaluate(observations, &fleet(all), Timestamp::from_millis(step * STEP_MS))
}

/// Feeds one server a value per step and returns `step:from>state/severity` for each change.
fn changes(engine: &mut AlertEngine, values: &[f32]) -> String {
    let mut text = Vec::new();
    for (step, &value) in values.iter().enumerate() {
        for transition in evaluate(engine, &[seen("db-7", value, &[])], step as i64) {
            let from = transition.from.map_or("none", AlertState::as_str);
            let alert = transition.alert;
            text.push(format!("{step}:{from}>{}/{}", alert.state.as_str(), alert.severity.as_str()));
        }
    }
    text.join(" ")
}

#[test]
fn a_rule_gives_one_alert_and_not_one_per_step() {
    let mut engine = engine(vec![memory_rule()]);
    let path = [80.0, 91.0, 92.0, 93.0, 94.0, 99.0, 99.0, 97.0, 96.0, 95.0, 94.0, 93.0, 100.0];
    let transitions = evaluate(&mut engine, &[seen("db-7", 70.0, &path)], 1);
    assert_eq!(transitions.len(), 1);
    let alerts: Vec<_> = engine.active().cloned().collect();
    assert_eq!(alerts, [transitions[0].alert.clone()]);
    let alert = &alerts[0];
    assert_eq!(
        (alert.severity, alert.steps_ahead, alert.minutes_ahead),
        (Severity::Critical, Some(6), Some(30.0))
    );
    assert_eq!(
        (alert.threshold, alert.predicted_value, alert.current_value),
        (Some(98.0), Some(99.0), Some(70.0))
    );
    insta::assert_json_snapshot!(alert, @r#"
    {
      "server": "db-7",
      "profile": "database",
      "rule": "memory",
      "metric": "mem_used_pct",
      "severity": "critical",
      "state": "firing",
      "since": 300000,
      "first_seen": 300000,
      "quantile": 0.5,
      "threshold": 98.0,
      "current_value": 70.0,
      "predicted_value": 99.0,
      "steps_ahead": 6,
      "minutes_ahead": 30.0,
      "message": "mem_used_pct of db-7 is forecast (p50) to be at or above 98 % in 30 minutes, 99 % at worst within 60 minutes.",
      "labels": {},
      "fingerprint": "eabf0fb4a2f2154a"
    }
    "#);
}

#[test]
fn messages_tell_the_whole_life() {
    let rule = Rule { keep_firing_for: minutes(10), ..memory_rule() };
    let mut engine = engine(vec![rule]);
    let mut messages = Vec::new();
    let mut stale = seen("db-7", 91.0, &[]);
    stale.is_stale = true;
    let steps = [
        seen("db-7", 70.0, &[80.0, 91.5]),
        seen("db-7", 91.25, &[80.0]),
        stale,
        seen("db-7", 88.0, &[86.0]),
        seen("db-7", 80.0, &[84.0]),
        seen("db-7", 80.0, &[84.0]),
        seen("db-7", 80.0, &[84.0]),
    ];
    for (step, seen) in steps.into_iter().enumerate() {
        let transitions = evaluate(&mut engine, &[seen], step as i64);
        let alert = engine.active().next().or(transitions.first().map(|t| &t.alert)).unwrap();
        messages.push(format!("{}: {}", alert.state.as_str(), alert.message));
    }
    insta::assert_snapshot!(messages.join("\n"), @r#"
    firing: mem_used_pct of db-7 is forecast (p50) to be at or above 90 % in 10 minutes, 91.5 % at worst within 60 minutes.
    firing: mem_used_pct of db-7 is at or above 90 %, 91.2 % at worst within 60 minutes.
    no_data: mem_used_pct of db-7 has no data.
    firing: mem_used_pct of db-7 has eased, 88 % at worst within 60 minutes, not yet past 85 %.
    firing: mem_used_pct of db-7 has recovered, 84 % at worst within 60 minutes, for less than 10m so far.
    firing: mem_used_pct of db-7 has recovered, 84 % at worst within 60 minutes, for less than 10m so far.
    resolved: mem_used_pct of db-7 has recovered, 84 % at worst within 60 minutes.
    "#);
}

#[test]
fn waiting_and_keeping_delay_both_ends() {
    let rule = Rule { pending_for: minutes(10), keep_firing_for: minutes(10), ..memory_rule() };
    let text =
        changes(&mut engine(vec![rule]), &[91.0, 80.0, 91.0, 91.0, 91.0, 80.0, 91.0, 80.0, 80.0, 80.0]);
    insta::assert_snapshot!(text, @"0:none>pending/warning 1:pending>resolved/warning 2:none>pending/warning 4:pending>firing/warning 9:firing>resolved/warning");
}

#[test]
fn severity_has_a_hysteresis_of_its_own() {
    let text = changes(&mut engine(vec![memory_rule()]), &[91.0, 98.5, 97.0, 98.5, 97.0, 92.0, 86.0, 84.0]);
    insta::assert_snapshot!(text, @"0:none>firing/warning 1:firing>firing/critical 5:firing>firing/warning 7:firing>resolved/warning");
}

#[test]
fn noise_around_a_threshold_does_not_flap() {
    let values: Vec<f32> = (0..500).map(|at| 90.0 + [-4.0, 3.0, -1.0, 0.5, -3.5][at % 5]).collect();
    let text = changes(&mut engine(vec![memory_rule()]), &values);
    insta::assert_snapshot!(text, @"1:none>firing/warning");
}

proptest! {
    /// Noise that stays between recovery and the warning threshold, or passes it, changes the state once.
    #[test]
    fn no_noise_between_recovery_and_threshold_flaps(noise in prop::collection::vec(85.5_f32..97.9, 1..200)) {
        let mut engine = engine(vec![memory_rule()]);
        let changes = noise.iter().enumerate().map(|(step, &value)| evaluate(&mut engine, &[seen("db-7", value, &[])], step as i64).len());
        prop_assert_eq!(changes.sum::<usize>(), usize::from(noise.iter().any(|&value| value >= 90.0)));
    }

    /// Whatever the noise, an alert that keeps firing for two steps does not resolve more often than every third step.
    #[test]
    fn keeping_bounds_how_often_an_alert_resolves(noise in prop::collection::vec(prop_oneof![Just(80.0_f32), Just(95.0)], 1..200)) {
        let mut engine = engine(vec![Rule { keep_firing_for: minutes(10), ..memory_rule() }]);
        let mut resolved_at = Vec::new();
        for (step, &value) in noise.iter().enumerate() {
            let transitions = evaluate(&mut engine, &[seen("db-7", value, &[])], step as i64);
            resolved_at.extend(transitions.iter().filter(|t| t.alert.state == AlertState::Resolved).map(|_| step));
        }
        prop_assert!(resolved_at.windows(2).all(|pair| pair[1] - pair[0] >= 4), "{:?}", resolved_at);
        prop_assert!(resolved_at.iter().all(|&step| noise[step - 2..=step].iter().all(|&value| value < 85.0)));
    }

    /// A server that is listed several times has the alerts of its first observation.
    #[test]
    fn duplicates_within_a_call_count_once(history in histories()) {
        let (mut plain, mut doubled) = (engine(rules()), engine(rules()));
        for (step, fleet) in history.iter().enumerate() {
            let twice: Vec<_> = fleet.iter().chain(fleet).cloned().collect();
            prop_assert_eq!(evaluate(&mut plain, fleet, step as i64), evaluate(&mut doubled, &twice, step as i64));
            let mut fingerprints: Vec<_> = doubled.active().map(|alert| alert.fingerprint.clone()).collect();
            let count = fingerprints.len();
            fingerprints.sort();
            fingerprints.dedup();
            prop_assert_eq!(fingerprints.len(), count);
        }
    }
}

#[test]
fn maintenance_silences() {
    let mut engine = engine(vec![memory_rule()]);
    let broken = seen("db-7", 99.0, &[]);
    let maintained = Seen { is_in_maintenance: true, is_stale: true, ..broken.clone() };
    assert!(evaluate(&mut engine, std::slice::from_ref(&maintained), 0).is_empty());
    assert_eq!(evaluate(&mut engine, std::slice::from_ref(&broken), 1).len(), 1);
    let transitions = evaluate(&mut engine, &[maintained], 2);
    assert_eq!(transitions[0].alert.state, AlertState::Resolved);
    assert_eq!(engine.active().count(), 0);
    assert_eq!(evaluate(&mut engine, &[broken], 3).len(), 1);
}

#[test]
fn silence_keeps_an_alert_without_data_and_forgets_it_in_the_end() {
    let mut engine = engine(vec![memory_rule()]);
    let broken = seen("db-7", 99.0, &[]);
    evaluate(&mut engine, std::slice::from_ref(&broken), 0);
    assert_eq!(evaluate(&mut engine, &[], 1)[0].alert.state, AlertState::NoData);
    assert!(evaluate(&mut engine, &[], 2).is_empty());
    let back = evaluate(&mut engine, &[broken], 3);
    assert_eq!((back[0].from, back[0].alert.state), (Some(AlertState::NoData), AlertState::Firing));
    assert_eq!(back[0].alert.first_seen, Timestamp::from_millis(0));
    evaluate(&mut engine, &[], 4);
    assert_eq!(evaluate(&mut engine, &[], 4 + 288)[0].alert.state, AlertState::Resolved);
    assert_eq!(engine.active().count(), 0);
}

#[test]
fn a_silent_server_can_be_an_alert_itself() {
    let mut engine = engine(vec![Rule { alerts_on_no_data: true, ..memory_rule() }]);
    let mut silent = seen("db-7", 10.0, &[]);
    silent.is_stale = true;
    assert_eq!(evaluate(&mut engine, &[silent], 0)[0].alert.state, AlertState::NoData);
    let transitions = evaluate(&mut engine, &[seen("db-7", 10.0, &[])], 1);
    assert_eq!(transitions[0].alert.state, AlertState::Resolved);
}

#[test]
fn selectors_choose_servers_and_profiles() {
    let by_name = Selector { servers: vec!["db-*".into()], ..Selector::default() };
    let profiles = ProfileSelector::Only(vec![Profile::new("web_api").unwrap()]);
    let by_profile = Selector { profiles, ..Selector::default() };
    let rule = |name: &str, selector: &Selector| Rule {
        name: name.into(),
        selector: selector.clone(),
        ..memory_rule()
    };
    let mut engine = engine(vec![rule("a", &by_name), rule("b", &by_profile)]);
    evaluate(&mut engine, &[seen("db-7", 99.0, &[]), seen("x", 99.0, &[])], 0);
    let found: Vec<_> = engine.active().map(|a| (a.server.as_str(), a.rule.as_str())).collect();
    assert_eq!(found, [("db-7", "a")]);
}

#[test]
fn the_quantile_decides_what_is_compared() {
    let path = [82.0; 12];
    let count = |quantile| {
        let mut engine = engine(vec![Rule { condition: forecast(quantile, 1), ..memory_rule() }]);
        evaluate(&mut engine, &[seen("db-7", 70.0, &path)], 0).len()
    };
    assert_eq!((count(0.5), count(0.9)), (0, 1));
}

#[test]
fn risk_scores_have_rules_too() {
    let rule = Rule::new("risk", Condition::Risk {}, [(Severity::Critical, Threshold::Value(80.0))]);
    let mut engine = engine(vec![rule]);
    let server = seen("db-7", 1.0, &[]);
    let observation = ServerObservation {
        server: &server.server,
        profile: &server.profile,
        current: &[],
        is_in_maintenance: false,
        readiness: None,
        risk_score: Some(83.25),
        own_quantiles: OwnQuantiles::NONE,
        history: None,
    };
    let transitions = engine.evaluate([observation], &fleet(&[]), Timestamp::from_millis(0));
    insta::assert_snapshot!(transitions[0].alert.message, @"Risk score of db-7 is at or above 80, 83.2 now.");
    assert_eq!(transitions[0].alert.metric, "risk_score");
}

#[test]
fn the_number_of_alerts_is_bounded() {
    let config = AlertConfig { rules: vec![memory_rule()], alerts_max: 2, ..AlertConfig::default() };
    let mut engine = AlertEngine::new(config, &Schema::server_metrics()).unwrap();
    let all: Vec<_> = ["c", "a", "b"].iter().map(|name| seen(name, 99.0, &[])).collect();
    assert_eq!(evaluate(&mut engine, &all, 0).len(), 2);
    assert_eq!((engine.active().count(), engine.overflow_count()), (2, 1));
    evaluate(&mut engine, &[seen("a", 10.0, &[]), seen("c", 99.0, &[])], 1);
    let names: Vec<_> = engine.active().map(|alert| alert.server.as_str()).collect();
    assert_eq!(names, ["b", "c"]);
}

#[test]
fn what_is_forgotten_leaves_room_and_no_transition() {
    let rules = vec![memory_rule()];
    let config = AlertConfig { rules, alerts_max: 1, ..AlertConfig::default() };
    let mut engine = AlertEngine::new(config, &Schema::server_metrics()).unwrap();
    evaluate(&mut engine, &[seen("db-7", 95.0, &[])], 0);
    assert!(engine.forget("db-7") && !engine.forget("db-7"));
    let transitions = evaluate(&mut engine, &[seen("db-8", 95.0, &[])], 1);
    assert_eq!((transitions.len(), transitions[0].alert.server.as_str()), (1, "db-8"));
    assert_eq!(engine.overflow_count(), 0);
}

#[test]
fn presets_fit_their_schemas() {
    let schema = Schema::server_metrics();
    assert_eq!(AlertEngine::preset(&schema).unwrap().config().rules.len(), 5);
    let metrics = (0..Schema::METRICS_MAX)
        .map(|index| crate::schema::Metric::new(format!("m{index:063}"), crate::schema::MetricKind::Count));
    let config = crate::schema::SchemaConfig { metrics: metrics.collect(), ..Default::default() };
    let engine = AlertEngine::preset(&Schema::new(config).unwrap()).unwrap();
    assert_eq!(engine.config().rules.len(), Schema::METRICS_MAX);
}

#[test]
fn limits_and_duplicates_are_refused() {
    let schema = Schema::server_metrics();
    let config = AlertConfig { rules: vec![memory_rule(), memory_rule()], ..AlertConfig::default() };
    let error = AlertEngine::new(config, &schema).unwrap_err();
    insta::assert_snapshot!(error, @"alert rules: rule `memory` appears twice");
    let config = AlertConfig { alerts_max: 0, ..AlertConfig::default() };
    let error = AlertEngine::new(config, &schema).unwrap_err();
    insta::assert_snapshot!(error, @"alert rules: `alerts_max` is 0, the least is 1");
}

/// A fleet of up to six servers over a few steps: name, memory, path, stale, maintenance.
fn histories() -> impl Strategy<Value = Vec<Vec<Seen>>> {
    let value = prop_oneof![4 => 80.0_f32..100.0, 1 => Just(f32::NAN)];
    let server = (0..6_usize, value, prop::collection::vec(80.0_f32..100.0, 0..4), 0..8_u8);
    let server = server.prop_map(|(name, memory, path, flags)| Seen {
        is_stale: flags == 0,
        is_in_maintenance: flags == 1,
        ..seen(["a", "b", "c", "d", "e", "f"][name], memory, &path)
    });
    let unique = |mut fleet: Vec<Seen>| {
        fleet.sort_by(|a, b| a.server.cmp(&b.server));
        fleet.dedup_by(|a, b| a.server == b.server);
        fleet
    };
    prop::collection::vec(prop::collection::vec(server, 0..8).prop_map(unique), 1..12)
}

fn rules() -> Vec<Rule> {
    let waiting = Rule {
        name: "waiting".into(),
        pending_for: minutes(5),
        keep_firing_for: minutes(5),
        condition: forecast(0.5, 2),
        ..memory_rule()
    };
    let telling = Rule { name: "telling".into(), alerts_on_no_data: true, ..memory_rule() };
    vec![memory_rule(), waiting, telling]
}

proptest! {
    #[test]
    fn the_order_of_servers_does_not_matter(history in histories()) {
        let (mut forwards, mut backwards) = (engine(rules()), engine(rules()));
        for (step, fleet) in history.iter().enumerate() {
            let reversed: Vec<_> = fleet.iter().rev().cloned().collect();
            let one = evaluate(&mut forwards, fleet, step as i64);
            prop_assert_eq!(one, evaluate(&mut backwards, &reversed, step as i64));
            prop_assert!(forwards.active().eq(backwards.active()));
        }
    }

    #[test]
    fn transitions_and_alerts_tell_one_story(history in histories()) {
        let mut engine = engine(rules());
        let mut told = std::collections::BTreeMap::new();
        for (step, fleet) in history.iter().enumerate() {
            for transition in evaluate(&mut engine, fleet, step as i64) {
                let alert = transition.alert;
                let key = (alert.server.clone(), alert.rule.clone());
                prop_assert_eq!(told.remove(&key), transition.from);
                if alert.state != AlertState::Resolved {
                    told.insert(key, alert.state);
                }
            }
            let active: Vec<_> = engine.active().map(|a| ((a.server.clone(), a.rule.clone()), a.state)).collect();
            prop_assert_eq!(active.len(), told.len());
            prop_assert_eq!(active.into_iter().collect::<std::collections::BTreeMap<_, _>>(), told.clone());
            prop_assert!(engine.active().map(|alert| alert.severity).is_sorted_by(|a, b| a >= b));
        }
    }
}
