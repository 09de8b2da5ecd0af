//! What the notifier tells, on examples and against slow models.

use std::collections::BTreeMap;

use proptest::prelude::*;

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

/// Something that happens; after each, what is due is delivered or not.
#[derive(Debug, Clone)]
enum Event {
    Fleet { alerts: Vec<Alert>, has_transitions: bool },
    Silence(usize, i64, i64),
    Expire(usize),
    Acknowledge(usize),
    Unacknowledge(usize),
    Nothing,
}

/// An event, the seconds that pass before it, and whether delivery succeeds after it.
type Happening = (Event, i64, bool);

const SERVERS: [&str; 3] = ["db-1", "db-2", "web-1"];
const RULES: [&str; 2] = ["cpu", "memory"];
const SILENCED: [&str; 4] =
    ["server=db-1", "server=~db-.*", "alertname=cpu,severity!=critical", "team=storage,server!~db.*"];

fn names() -> Vec<String> {
    SERVERS.iter().flat_map(|server| RULES.iter().map(move |rule| format!("{server}/{rule}"))).collect()
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let severity = prop_oneof![Just(Severity::Warning), Just(Severity::Critical)];
    let state = prop_oneof![4 => Just(AlertState::Firing), 1 => Just(AlertState::Pending), 1 => Just(AlertState::NoData)];
    let one = prop::option::weighted(0.6, (severity, state));
    let fleet = (prop::collection::vec(one, 6), any::<bool>()).prop_map(|(states, has_transitions)| {
        let places = SERVERS.iter().flat_map(|server| RULES.iter().map(move |rule| (server, rule)));
        let alerts = places.zip(states).filter_map(|((server, rule), found)| {
            found.map(|(severity, state)| alert(server, rule, severity, state))
        });
        Event::Fleet { alerts: alerts.collect(), has_transitions }
    });
    let event = prop_oneof![
        6 => fleet,
        1 => (0..4_usize, 0..60_i64, 1..400_i64).prop_map(|(what, from, length)| Event::Silence(what, from, length)),
        1 => (0..3_usize).prop_map(Event::Expire),
        1 => (0..6_usize).prop_map(Event::Acknowledge),
        1 => (0..6_usize).prop_map(Event::Unacknowledge),
        3 => Just(Event::Nothing),
    ];
    prop::collection::vec((event, 0..150_i64, prop::bool::weighted(0.8)), 1..40)
}

fn receivers() -> Vec<Receiver> {
    let base = Receiver {
        group_wait_ms: 20 * SECOND_MS,
        group_interval_ms: 100 * SECOND_MS,
        repeat_interval_ms: 500 * SECOND_MS,
        ..Receiver::new("all")
    };
    let pager = Receiver {
        name: "pager".to_owned(),
        matchers: matchers("severity=critical"),
        group_by: vec!["server".to_owned()],
        ..base.clone()
    };
    let moving =
        Receiver { name: "moving".to_owned(), group_by: vec!["severity".to_owned()], ..base.clone() };
    vec![base, pager, moving]
}

fn many() -> Notifier {
    Notifier::new(NotifierConfig { receivers: receivers(), ..Default::default() }).unwrap()
}

/// The world as one sees it who knows what happened, but nothing of groups.
struct World {
    now: i64,
    alerts: Vec<Alert>,
    acknowledged: BTreeMap<String, Severity>,
}

impl World {
    fn new() -> Self {
        Self { now: 0, alerts: Vec::new(), acknowledged: BTreeMap::new() }
    }

    fn apply(&mut self, (event, seconds, _): &Happening, notifiers: &mut [&mut Notifier]) {
        self.now += seconds;
        let now = at(self.now);
        match event {
            Event::Fleet { alerts, has_transitions } => {
                self.change_fleet(alerts, *has_transitions, notifiers);
            }
            Event::Silence(what, from, length) => {
                let wanted = silence(SILENCED[*what], self.now + from, self.now + from + length);
                for notifier in notifiers {
                    let _ = notifier.set_silence(wanted.clone(), now);
                }
            }
            Event::Expire(which) => {
                let id = format!("s{:08}", which + 1);
                for notifier in notifiers {
                    notifier.expire_silence(&id, now);
                }
            }
            Event::Acknowledge(which) => {
                let name = &names()[*which];
                for notifier in notifiers {
                    notifier.acknowledge(name, ("ann", ""), now).unwrap();
                }
                let found = self.alerts.iter().find(|alert| alert.fingerprint == *name);
                self.acknowledged.extend(found.map(|alert| (name.clone(), alert.severity)));
            }
            Event::Unacknowledge(which) => {
                let name = &names()[*which];
                for notifier in notifiers {
                    notifier.unacknowledge(name, now);
                }
                self.acknowledged.remove(name);
            }
            Event::Nothing => {}
        }
    }

    fn change_fleet(&mut self, alerts: &[Alert], has_transitions: bool, notifiers: &mut [&mut Notifier]) {
        let is_gone = |old: &&Alert| !alerts.iter().any(|alert| alert.fingerprint == old.fingerprint);
        let gone = self.alerts.iter().filter(is_gone).filter(|_| has_transitions);
        let transitions: Vec<_> = gone
            .map(|old| Transition {
                from: Some(old.state),
                alert: Alert { state: AlertState::Resolved, ..old.clone() },
            })
            .collect();
        self.alerts = alerts.to_vec();
        self.acknowledged.retain(|name, severity| {
            alerts.iter().any(|alert| alert.fingerprint == *name && alert.severity <= *severity)
        });
        for notifier in notifiers {
            notifier.observe(alerts, &transitions, at(self.now));
        }
    }

    fn tellable(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter().filter(|alert| alert.state != AlertState::Pending)
    }

    /// Each pair of alerts, and each silence, one by one.
    fn status(&self, alert: &Alert, silences: &Silences) -> (Vec<String>, Vec<String>, bool) {
        let covers =
            |silence: &&Silence| silence.state(at(self.now)) == SilenceState::Active && silence.covers(alert);
        let silenced_by = silences.list().filter(covers).map(|silence| silence.id.clone()).collect();
        let is_warning = alert.severity == Severity::Warning;
        let inhibits = |other: &&Alert| {
            is_warning && other.severity == Severity::Critical && other.server == alert.server
        };
        let mut inhibited_by: Vec<_> =
            self.tellable().filter(inhibits).map(|other| other.fingerprint.clone()).collect();
        inhibited_by.sort();
        (silenced_by, inhibited_by, self.acknowledged.contains_key(&alert.fingerprint))
    }
}

/// What receivers know from the messages that they got.
#[derive(Default)]
struct Heard {
    /// By receiver and fingerprint: how bad an alert was last said to be, and when.
    alerts: BTreeMap<(String, String), (Severity, i64)>,
    /// By group: when it last had a message.
    at: BTreeMap<String, i64>,
}

impl Heard {
    /// Checks a message, and takes note of it if it arrives.
    fn hear(&mut self, message: &Notification, now: i64, arrives: bool, world: &World, notifier: &Notifier) {
        let key = |alert: &Alert| (message.receiver.clone(), alert.fingerprint.clone());
        let mut has_news = false;
        for alert in &message.alerts {
            let known = self.alerts.get(&key(alert));
            if alert.state == AlertState::Resolved {
                assert!(known.is_some(), "the end of something that was not told: {}", line(message));
                assert!(
                    !world
                        .alerts
                        .iter()
                        .any(|a| a.fingerprint == alert.fingerprint && a.state != AlertState::Pending)
                );
                has_news = true;
            } else {
                assert!(alert.state != AlertState::Pending && world.alerts.contains(alert));
                assert!(!notifier.status(&alert.fingerprint).is_suppressed(), "{}", line(message));
                has_news |= known.is_none_or(|&(severity, at)| severity != alert.severity || now - at >= 500);
            }
        }
        assert!(!message.alerts.is_empty() && message.truncated_count == 0);
        assert!(has_news, "nothing has changed: {}", line(message));
        if let Some(last) = self.at.get(&message.group_key) {
            assert!(now - last >= 100, "two messages within the interval: {}", line(message));
        }
        if !arrives {
            return;
        }
        self.at.insert(message.group_key.clone(), now);
        for alert in &message.alerts {
            if alert.state == AlertState::Resolved {
                self.alerts.remove(&key(alert));
            } else {
                self.alerts.insert(key(alert), (alert.severity, now));
            }
        }
    }

    /// Checks that nothing has been waiting for longer than the interval.
    fn check_nothing_waits(&self, world: &World, waiting: &BTreeMap<String, (Severity, i64)>) {
        for receiver in receivers().iter().filter(|receiver| receiver.name != "moving") {
            for alert in world.tellable().filter(|alert| receiver.selects(alert)) {
                let Some(&(severity, since)) = waiting.get(&alert.fingerprint) else { continue };
                let key = receiver.group_of(alert).key;
                let free = self.at.get(&key).is_none_or(|last| world.now - last >= 100);
                let known = self.alerts.get(&(receiver.name.clone(), alert.fingerprint.clone()));
                assert!(
                    known.is_some_and(|known| known.0 == severity) || !free || world.now - since < 20,
                    "{key} {}",
                    alert.fingerprint
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn suppression_is_what_a_slow_look_finds(history in happenings()) {
        let (mut world, mut notifier) = (World::new(), many());
        for happening in &history {
            world.apply(happening, &mut [&mut notifier]);
            notifier.advance(at(world.now));
            for alert in &world.alerts {
                let status = notifier.status(&alert.fingerprint).clone();
                let found = (status.silenced_by, status.inhibited_by, status.acknowledgement.is_some());
                prop_assert_eq!(found, world.status(alert, notifier.silences()));
            }
        }
    }

    #[test]
    fn everything_is_told_and_nothing_twice(history in happenings()) {
        let (mut world, mut notifier, mut heard) = (World::new(), many(), Heard::default());
        // Since when an alert could be told, and how bad it is.
        let mut waiting: BTreeMap<String, (Severity, i64)> = BTreeMap::new();
        for happening in &history {
            world.apply(happening, &mut [&mut notifier]);
            notifier.advance(at(world.now));
            let free: BTreeMap<_, _> = world
                .tellable()
                .filter(|alert| !notifier.status(&alert.fingerprint).is_suppressed())
                .map(|alert| (alert.fingerprint.clone(), alert.severity))
                .collect();
            waiting.retain(|name, (severity, _)| free.get(name) == Some(severity));
            for (name, severity) in free {
                waiting.entry(name).or_insert((severity, world.now));
            }
            let is_early = notifier.next_due().is_none_or(|next| next > at(world.now));
            let messages = notifier.due(at(world.now));
            prop_assert!(!is_early || messages.is_empty());
            for message in &messages {
                heard.hear(message, world.now, happening.2, &world, &notifier);
                let failed = DeliveryOutcome::Failed { retry_at: at(world.now) };
                let outcome = if happening.2 { DeliveryOutcome::Delivered } else { failed };
                prop_assert!(notifier.delivered(message, outcome, at(world.now)));
            }
            if happening.2 {
                heard.check_nothing_waits(&world, &waiting);
            }
        }
        // In the end all is well, and everybody knows.
        notifier.observe(&[], &[], at(world.now + 1));
        let end = world.now + 200;
        let world = World { now: end, ..World::new() };
        for message in notifier.due(at(end)) {
            heard.hear(&message, end, true, &world, &notifier);
            notifier.delivered(&message, DeliveryOutcome::Delivered, at(end));
        }
        prop_assert!(heard.alerts.is_empty(), "{:?}", heard.alerts);
        notifier.observe(&[], &[], at(end + 200));
        let saved = serde_json::to_value(notifier.state()).unwrap();
        prop_assert_eq!(&saved["groups"], &serde_json::json!([]));
    }

    #[test]
    fn a_restart_and_the_order_of_alerts_change_nothing(history in happenings()) {
        let (mut world, mut one, mut other) = (World::new(), many(), many());
        for happening in &history {
            let mut shuffled = happening.clone();
            if let Event::Fleet { alerts, .. } = &mut shuffled.0 {
                alerts.reverse();
            }
            let mut twin = World { now: world.now, alerts: world.alerts.clone(), acknowledged: BTreeMap::new() };
            let saved = serde_json::to_string(&other.state()).unwrap();
            let config = NotifierConfig { receivers: receivers(), ..Default::default() };
            let mut restored = Notifier::restore(config, serde_json::from_str(&saved).unwrap(), at(world.now)).unwrap();
            prop_assert_eq!(serde_json::to_string(&restored.state()).unwrap(), saved);
            // The first evaluation after a start comes before anything else.
            restored.observe(&twin.alerts, &[], at(twin.now));
            one.observe(&world.alerts, &[], at(world.now));
            twin.apply(&shuffled, &mut [&mut restored]);
            world.apply(happening, &mut [&mut one]);
            let now = at(world.now);
            let messages = [one.due(now), restored.due(now)];
            let texts = messages.each_ref().map(|messages| messages.iter().map(line).collect::<Vec<_>>());
            prop_assert_eq!(&texts[0], &texts[1]);
            for (notifier, messages) in [&mut one, &mut restored].into_iter().zip(messages) {
                for message in messages {
                    let failed = DeliveryOutcome::Failed { retry_at: now };
                    let outcome = if happening.2 { DeliveryOutcome::Delivered } else { failed };
                    prop_assert!(notifier.delivered(&message, outcome, now));
                }
            }
            for alert in &world.alerts {
                prop_assert_eq!(one.status(&alert.fingerprint), restored.status(&alert.fingerprint));
            }
            prop_assert_eq!(serde_json::to_string(&one.state()).unwrap(), serde_json::to_string(&restored.state()).unwrap());
            other = restored;
        }
    }
}
