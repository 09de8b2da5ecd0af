//! What the notifier tells, on examples; `properties` holds it against slow models.

mod properties;

use std::collections::BTreeMap;

use super::*;
use crate::alert::{Alert, AlertState, Notification, Severity, Transition};
use crate::schema::{Profile, ServerName};
use crate::time::Timestamp;

const SECOND_MS: i64 = 1000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + seconds * SECOND_MS)
}

fn alert(server: &str, rule: &str, severity: Severity, state: AlertState) -> Alert {
    Alert {
        server: ServerName::new(server).unwrap(),
        profile: Profile::new("database").unwrap(),
        rule: rule.to_owned(),
        metric: "mem_used_pct".to_owned(),
        severity,
        state,
        since: at(0),
        first_seen: at(0),
        quantile: 0.5,
        threshold: Some(90.0),
        current_value: Some(91.0),
        predicted_value: Some(92.0),
        steps_ahead: Some(0),
        minutes_ahead: Some(0.0),
        message: format!("{rule} of {server}"),
        summary: None,
        description: None,
        labels: BTreeMap::from([("team".to_owned(), "storage".to_owned())]),
        fingerprint: format!("{server}/{rule}"),
    }
}

fn firing(server: &str, rule: &str) -> Alert {
    alert(server, rule, Severity::Warning, AlertState::Firing)
}

fn critical(server: &str, rule: &str) -> Alert {
    alert(server, rule, Severity::Critical, AlertState::Firing)
}

fn matchers(text: &str) -> Vec<Matcher> {
    Matcher::parse_list(text).unwrap()
}

fn silence(text: &str, from: i64, to: i64) -> Silence {
    Silence {
        id: String::new(),
        matchers: matchers(text),
        starts_at: at(from),
        ends_at: at(to),
        created_by: "ann".to_owned(),
        comment: "replacing a disk".to_owned(),
    }
}

fn notifier(receiver: Receiver) -> Notifier {
    Notifier::new(NotifierConfig { receivers: vec![receiver], ..NotifierConfig::default() }).unwrap()
}

/// Takes what is due and says that it was delivered; one line per message.
fn told(notifier: &mut Notifier, now: i64) -> Vec<String> {
    let messages = notifier.due(at(now));
    for message in &messages {
        assert!(notifier.delivered(message, DeliveryOutcome::Delivered, at(now)));
        assert!(!notifier.delivered(message, DeliveryOutcome::Delivered, at(now)));
    }
    messages.iter().map(line).collect()
}

fn line(message: &Notification) -> String {
    let name =
        |alert: &Alert| format!("{} {} {}", alert.fingerprint, alert.severity.as_str(), alert.state.as_str());
    let alerts: Vec<_> = message.alerts.iter().map(name).collect();
    format!("{} {}", message.group_key, alerts.join(", "))
}

#[test]
fn a_group_waits_then_tells_then_repeats_then_ends() {
    let mut notifier = notifier(Receiver::new("ops"));
    notifier.observe(&[firing("db-7", "memory")], &[], at(0));
    assert!(told(&mut notifier, 0).is_empty());
    assert_eq!(notifier.next_due(), Some(at(30)));
    notifier.observe(&[firing("db-7", "memory"), firing("db-8", "memory")], &[], at(20));
    insta::assert_snapshot!(told(&mut notifier, 30).join("\n"), @r#"ops:{alertname="memory"} db-7/memory warning firing, db-8/memory warning firing"#);
    // A third one waits for the interval between messages.
    let three = ["db-7", "db-8", "db-9"].map(|server| firing(server, "memory"));
    notifier.observe(&three, &[], at(60));
    assert_eq!((told(&mut notifier, 329).len(), notifier.next_due()), (0, Some(at(330))));
    assert_eq!(told(&mut notifier, 330).len(), 1);
    assert_eq!(notifier.next_due(), Some(at(330 + 4 * 3600)));
    assert_eq!(told(&mut notifier, 330 + 4 * 3600).len(), 1);
    let resolved = alert("db-7", "memory", Severity::Warning, AlertState::Resolved);
    let transition = Transition { from: Some(AlertState::Firing), alert: resolved };
    notifier.observe(&three[1..2], &[transition], at(20_000));
    insta::assert_snapshot!(told(&mut notifier, 20_030).join("\n"), @r#"ops:{alertname="memory"} db-8/memory warning firing, db-7/memory warning resolved, db-9/memory warning resolved"#);
    notifier.observe(&[], &[], at(30_000));
    insta::assert_snapshot!(told(&mut notifier, 30_030).join("\n"), @r#"ops:{alertname="memory"} db-8/memory warning resolved"#);
    notifier.observe(&[], &[], at(40_000));
    assert_eq!((told(&mut notifier, 90_000).len(), notifier.next_due()), (0, None));
    assert!(!serde_json::to_string(&notifier.state()).unwrap().contains("db-"));
}

#[test]
fn what_failed_stays_due_and_is_made_anew() {
    let mut notifier = notifier(Receiver { group_wait_ms: 0, ..Receiver::new("ops") });
    notifier.observe(&[firing("db-7", "memory")], &[], at(0));
    let first = notifier.due(at(0));
    assert_eq!((first.len(), notifier.due(at(1)).len()), (1, 0), "one that is on its way is not repeated");
    let failed = DeliveryOutcome::Failed { retry_at: at(10) };
    assert!(notifier.delivered(&first[0], failed, at(2)));
    assert_eq!((notifier.due(at(9)).len(), notifier.next_due()), (0, Some(at(10))));
    notifier.observe(&[critical("db-7", "memory")], &[], at(10));
    let second = notifier.due(at(10));
    assert_eq!(second[0].alerts[0].severity, Severity::Critical);
    // Nothing is heard of it: it is given up, and its receipt is worth nothing.
    let third = notifier.due(at(610));
    assert_eq!(third.len(), 1);
    assert!(!notifier.delivered(&second[0], DeliveryOutcome::Delivered, at(611)));
    assert!(notifier.delivered(&third[0], DeliveryOutcome::Delivered, at(611)));
    assert!(notifier.due(at(612)).is_empty());
}

#[test]
fn an_alert_that_ends_while_its_message_is_on_its_way_is_told_to_have_ended() {
    let mut notifier = notifier(Receiver { group_wait_ms: 0, ..Receiver::new("ops") });
    notifier.observe(&[firing("db-7", "memory")], &[], at(0));
    let sent = notifier.due(at(0));
    notifier.observe(&[], &[], at(1));
    assert!(notifier.delivered(&sent[0], DeliveryOutcome::Delivered, at(2)));
    insta::assert_snapshot!(told(&mut notifier, 302).join("\n"), @r#"ops:{alertname="memory"} db-7/memory warning resolved"#);
    // And one whose message never arrived is not.
    notifier.observe(&[firing("db-8", "memory")], &[], at(1000));
    let sent = notifier.due(at(1000));
    notifier.observe(&[], &[], at(1001));
    assert!(notifier.delivered(&sent[0], DeliveryOutcome::Failed { retry_at: at(0) }, at(1002)));
    assert!(told(&mut notifier, 9000).is_empty());
}

#[test]
fn critical_alerts_inhibit_warnings_of_the_same_server_only() {
    let mut notifier = notifier(Receiver { group_wait_ms: 0, group_by: vec![], ..Receiver::new("ops") });
    let alerts = [critical("db-7", "memory"), firing("db-7", "cpu"), firing("db-8", "cpu")];
    notifier.observe(&alerts, &[], at(0));
    insta::assert_snapshot!(told(&mut notifier, 0).join("\n"), @"ops:{} db-7/memory critical firing, db-8/cpu warning firing");
    assert_eq!(notifier.status("db-7/cpu").inhibited_by, ["db-7/memory"]);
    assert!(!notifier.status("db-8/cpu").is_suppressed());
    notifier.observe(&alerts[1..], &[], at(400));
    insta::assert_snapshot!(told(&mut notifier, 400).join("\n"), @"ops:{} db-7/cpu warning firing, db-8/cpu warning firing, db-7/memory critical resolved");
}

#[test]
fn a_silence_holds_alerts_back_until_it_ends() {
    let mut notifier = notifier(Receiver { group_wait_ms: 0, ..Receiver::new("ops") });
    let kept = notifier.set_silence(silence(r#"server=~"db-[67]""#, 100, 200), at(0)).unwrap();
    assert_eq!((kept.id.as_str(), kept.state(at(0))), ("s00000001", SilenceState::Pending));
    notifier.observe(&[firing("db-7", "memory")], &[], at(100));
    assert_eq!(notifier.status("db-7/memory").silenced_by, ["s00000001"]);
    assert_eq!((told(&mut notifier, 199).len(), notifier.next_due()), (0, Some(at(200))));
    assert_eq!(told(&mut notifier, 200).len(), 1);
    assert!(notifier.status("db-7/memory").silenced_by.is_empty());
}

#[test]
fn an_acknowledged_alert_is_quiet_until_it_gets_worse_or_resolves() {
    let mut notifier = notifier(Receiver { group_wait_ms: 0, ..Receiver::new("ops") });
    let warning = [firing("db-7", "memory")];
    notifier.observe(&warning, &[], at(0));
    assert_eq!(told(&mut notifier, 0).len(), 1);
    assert_eq!(notifier.acknowledge("nothing", ("ann", ""), at(1)).unwrap(), None);
    assert!(notifier.acknowledge("db-7/memory", ("", ""), at(1)).is_err());
    let made = notifier.acknowledge("db-7/memory", ("ann", "on it"), at(1)).unwrap();
    assert_eq!(notifier.status("db-7/memory").acknowledgement, made);
    assert!(told(&mut notifier, 100_000).is_empty());
    notifier.observe(&[critical("db-7", "memory")], &[], at(100_000));
    assert_eq!(
        (told(&mut notifier, 100_000).len(), notifier.status("db-7/memory").is_suppressed()),
        (1, false)
    );
    notifier.acknowledge("db-7/memory", ("bob", ""), at(100_001)).unwrap();
    notifier.observe(&[], &[], at(101_000));
    assert_eq!(told(&mut notifier, 101_000).len(), 1);
    notifier.observe(&[critical("db-7", "memory")], &[], at(110_000));
    assert_eq!(told(&mut notifier, 110_000).len(), 1);
}

#[test]
fn what_a_message_lists_is_bounded() {
    let receiver = Receiver { group_wait_ms: 0, group_by: vec![], ..Receiver::new("ops") };
    let config = NotifierConfig { receivers: vec![receiver], alerts_listed_max: 2, ..Default::default() };
    let mut notifier = Notifier::new(config).unwrap();
    let alerts = ["a", "b", "c", "d"].map(|server| firing(server, "memory"));
    notifier.observe(&alerts, &[], at(0));
    let message = notifier.due(at(0)).remove(0);
    assert_eq!((message.alerts.len(), message.truncated_count), (2, 2));
    notifier.delivered(&message, DeliveryOutcome::Delivered, at(0));
    assert!(notifier.due(at(4 * 3600 - 1)).is_empty(), "those that were not listed count as told");
}

#[test]
fn a_server_that_is_forgotten_leaves_nothing() {
    let mut notifier = notifier(Receiver { group_wait_ms: 0, ..Receiver::new("ops") });
    notifier.set_silence(silence(r#"server="db-7""#, 0, 9), at(0)).unwrap();
    notifier.observe(&[firing("db-7", "memory"), firing("db-8", "memory")], &[], at(10));
    let sent = notifier.due(at(10));
    notifier.acknowledge("db-7/memory", ("ann", ""), at(11)).unwrap();
    notifier.forget("db-7", at(12));
    notifier.delivered(&sent[0], DeliveryOutcome::Delivered, at(12));
    notifier.observe(&[firing("db-8", "memory")], &[], at(13));
    assert!(told(&mut notifier, 5000).is_empty());
    let saved = serde_json::to_string(&notifier.state()).unwrap();
    assert!(!saved.contains("db-7") && saved.contains("db-8"), "{saved}");
}

#[test]
fn silences_are_bounded_and_make_room() {
    let config = SilenceConfig { silences_max: 2, patterns_max: 1, retention_ms: 1000 * SECOND_MS };
    let mut silences = Silences::new(config).unwrap();
    let one = silences.set(silence("server=a", 0, 10), at(0)).unwrap().clone();
    silences.set(silence("server=~b", 0, 100), at(0)).unwrap();
    let error =
        |silences: &mut Silences, silence, now| silences.set(silence, at(now)).unwrap_err().to_string();
    insta::assert_snapshot!(error(&mut silences, silence("server=c", 0, 100), 5), @"there are 2 silences already, allowed are 2");
    insta::assert_snapshot!(error(&mut silences, silence("server=~c", 0, 100), 10), @"silences would have 2 patterns, allowed are 1");
    silences.set(silence("server=c", 0, 100), at(10)).unwrap();
    assert!(silences.get(&one.id).is_none(), "one that is over makes room");
    insta::assert_snapshot!(error(&mut silences, one, 11), @"there is no silence `s00000001`");
    insta::assert_snapshot!(error(&mut silences, silence("team!=x", 0, 100), 0), @"silence has matchers that all match an empty label, and would match every alert that lacks it");
    insta::assert_snapshot!(error(&mut silences, silence("team=x", 0, 0), 0), @"silence has `ends_at` 2023-11-14T22:13:20Z, allowed are 1 ms to 31622400000 ms after `starts_at` 2023-11-14T22:13:20Z");
    assert_eq!(silences.expire("s00000002", at(20)).unwrap().ends_at, at(20));
    assert_eq!(silences.expire("s00000002", at(30)).unwrap().ends_at, at(20));
    silences.prune(at(1020));
    assert_eq!(silences.list().count(), 1);
    assert!(silences.expire("s00000002", at(0)).is_none());
}

#[test]
fn a_state_that_is_none_is_refused() {
    let config = NotifierConfig { receivers: vec![Receiver::new("ops")], ..Default::default() };
    let empty = serde_json::to_value(Notifier::new(config.clone()).unwrap().state()).unwrap();
    let restored = |key: &str, value: serde_json::Value| {
        let mut state = empty.clone();
        state[key] = value;
        let state = serde_json::from_value(state).map_err(|error| error.to_string())?;
        Notifier::restore(config.clone(), state, at(0)).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(restored("version", 1.into()), Ok(()));
    insta::assert_snapshot!(restored("version", 2.into()).unwrap_err(), @"state has version 2, known is 1");
    let group = serde_json::json!({
        "receiver": "ops", "labels": {}, "waiting_since": null, "told_at": i64::MIN, "told": [], "ended": [],
    });
    assert_eq!(restored("groups", vec![group.clone()].into()), Ok(()));
    insta::assert_snapshot!(restored("groups", vec![group.clone(), group].into()).unwrap_err(), @"group `ops:{}` appears twice");
    let mut silence = serde_json::to_value(silence("a=b", 0, 1)).unwrap();
    insta::assert_snapshot!(restored("silences", vec![silence.clone()].into()).unwrap_err(), @"silence `` appears twice");
    silence["ends_at"] = i64::MAX.into();
    silence["starts_at"] = i64::MAX.into();
    assert!(restored("silences", vec![silence].into()).is_err());
    assert!(restored("surprise", 1.into()).is_err());
}

#[test]
fn configurations_are_checked() {
    let error = |config: NotifierConfig| Notifier::new(config).unwrap_err().to_string();
    let of = |receiver: Receiver| NotifierConfig { receivers: vec![receiver], ..Default::default() };
    insta::assert_snapshot!(error(of(Receiver::new(""))), @"receiver 0 has `name` of 0 bytes, allowed are 1 to 128");
    let receiver = Receiver { repeat_interval_ms: 1000, ..Receiver::new("ops") };
    insta::assert_snapshot!(error(of(receiver)), @"receiver `ops` has `repeat_interval_ms` 1000, allowed are 300000 to 2592000000");
    let twice = NotifierConfig { receivers: vec![Receiver::new("ops"); 2], ..Default::default() };
    insta::assert_snapshot!(error(twice), @"receiver `ops` appears twice");
    let rule = InhibitRule { source: vec![], ..Default::default() };
    let config = NotifierConfig { inhibit_rules: vec![rule], ..Default::default() };
    insta::assert_snapshot!(error(config), @"inhibit rule 0 has `source` 0, allowed are 1 to 16 matchers");
    let text = r#"{"receivers":[{"name":"ops","matchers":["severity=critical"]}]}"#;
    let read: NotifierConfig = serde_json::from_str(text).unwrap();
    assert_eq!(read, of(Receiver { matchers: matchers("severity=critical"), ..Receiver::new("ops") }));
}
