//! The notifier against slow models, over whatever may happen.

use proptest::prelude::*;

use super::*;

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
