//! An engine that is saved and loaded goes on as if it had not been.

use super::*;

/// Saves an engine as JSON and loads it into one with the same rules.
fn restarted(before: &AlertEngine) -> AlertEngine {
    let json = before.state().to_json().unwrap();
    let mut after = AlertEngine::new(before.config().clone(), &Schema::server_metrics()).unwrap();
    let restored = after.restore(AlertEngineState::from_json(&json).unwrap(), |_| true).unwrap();
    assert_eq!(restored.alerts, before.active().count());
    after
}

fn firing() -> AlertEngine {
    let mut engine = engine(rules());
    evaluate(&mut engine, &[seen("db-7", 95.0, &[]), seen("web-1", 99.0, &[])], 0);
    engine
}

#[test]
fn rules_that_are_gone_and_servers_that_are_unknown_are_dropped_and_counted() {
    let state = firing().state();
    assert_eq!(state.len(), 4);
    let mut other = engine(vec![memory_rule()]);
    let restored = other.restore(state, |server| server.as_str() != "web-1").unwrap();
    assert_eq!((restored.alerts, restored.dropped_rules, restored.dropped_servers), (1, 1, 2));
    assert_eq!(other.active().map(|alert| alert.server.as_str()).collect::<Vec<_>>(), ["db-7"]);
}

#[test]
fn a_rule_with_other_thresholds_keeps_its_alerts_and_one_with_other_labels_does_not() {
    let state = firing().state();
    let thresholds = [(Severity::High, Threshold::Value(97.0))].into_iter().collect();
    let mut changed = engine(vec![Rule { thresholds, recovery: None, ..memory_rule() }]);
    assert_eq!(changed.restore(state.clone(), |_| true).unwrap().alerts, 2);
    let transitions = evaluate(&mut changed, &[seen("db-7", 95.0, &[]), seen("web-1", 99.0, &[])], 1);
    let seen: Vec<_> =
        transitions.iter().map(|t| (t.alert.server.as_str(), t.alert.state, t.alert.severity)).collect();
    assert_eq!(seen, [("db-7", AlertState::Resolved, Severity::High)]);
    assert_eq!(changed.active().next().unwrap().first_seen, Timestamp::from_millis(0));
    let labels = [("team".to_owned(), "db".to_owned())].into_iter().collect();
    let mut labelled = engine(vec![Rule { labels, ..memory_rule() }]);
    assert_eq!(labelled.restore(state, |_| true).unwrap().dropped_rules, 4);
}

#[test]
fn more_alerts_than_fit_are_dropped_and_counted() {
    let state = firing().state();
    let config = AlertConfig { rules: rules(), alerts_max: 3, ..AlertConfig::default() };
    let mut small = AlertEngine::new(config, &Schema::server_metrics()).unwrap();
    let restored = small.restore(state, |_| true).unwrap();
    assert_eq!((restored.alerts, restored.dropped_excess, small.active().count()), (3, 1, 3));
}

#[test]
fn a_damaged_state_is_an_error_and_leaves_the_engine_alone() {
    let json = String::from_utf8(firing().state().to_json().unwrap()).unwrap();
    let error = |text: &str| AlertEngineState::from_json(text.as_bytes()).unwrap_err();
    for length in (0..json.len()).step_by(7) {
        assert!(error(&json[..length]).is_corrupt());
    }
    insta::assert_snapshot!(error(&json.replace("\"version\":1", "\"version\":2")), @"alert state has version 2, this program reads 1");
    insta::assert_snapshot!(error(&json.replacen("\"firing\"", "\"resolved\"", 1)), @"alert state has a resolved alert of server `db-7`");
    let long = json.replacen("\"rule\":\"memory\"", &format!("\"rule\":\"{}\"", "x".repeat(200)), 1);
    insta::assert_snapshot!(error(&long), @"alert state has `rule` of 200 bytes or entries for server `db-7`, allowed are at most 128");
    assert!(error(&json.replacen("db-7", "db 7", 1)).is_corrupt());
    // Times that no clock shows are moved into the range of times.
    let since = json.replace("\"since\":0", &format!("\"since\":{}", i64::MIN));
    let mut engine = engine(rules());
    engine.restore(AlertEngineState::from_json(since.as_bytes()).unwrap(), |_| true).unwrap();
    evaluate(&mut engine, &[], i64::MAX / STEP_MS);
}

#[test]
fn an_alert_that_comes_twice_counts_once() {
    let json = String::from_utf8(firing().state().to_json().unwrap()).unwrap();
    let alerts = json.split_once('[').unwrap().1.strip_suffix("]}").unwrap();
    let doubled = json.replace(alerts, &format!("{alerts},{alerts}"));
    let mut engine = engine(rules());
    let restored =
        engine.restore(AlertEngineState::from_json(doubled.as_bytes()).unwrap(), |_| true).unwrap();
    assert_eq!((restored.alerts, engine.active().count()), (4, 4));
    assert_eq!(engine.state(), firing().state());
}

proptest! {
    #[test]
    fn saving_and_loading_changes_nothing(history in histories(), restarts in prop::collection::vec(any::<bool>(), 12)) {
        let (mut through, mut again) = (engine(rules()), engine(rules()));
        for (step, fleet) in history.iter().enumerate() {
            if restarts[step] {
                again = restarted(&again);
            }
            let one = evaluate(&mut through, fleet, step as i64);
            prop_assert_eq!(one, evaluate(&mut again, fleet, step as i64));
            prop_assert!(through.active().eq(again.active()));
            prop_assert_eq!(through.state(), again.state());
        }
    }
}
