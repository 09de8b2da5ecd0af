//! Every kind of condition, over a window as it is in operation.

use std::collections::BTreeMap;

use super::*;
use crate::forecast::{Forecaster, ForecasterConfig};
use crate::window::{Record, RollingWindow, WindowConfig};

/// A window of one server, and the engine of one rule.
struct Bench {
    schema: Schema,
    window: RollingWindow,
    engine: AlertEngine,
    now: Timestamp,
}

impl Bench {
    fn new(rule: Rule) -> Self {
        let schema = Schema::server_metrics();
        let config = WindowConfig { gap_fill_steps_max: 4, ..WindowConfig::default() };
        let window = RollingWindow::new(schema.clone(), config).unwrap();
        Self { window, engine: engine(vec![rule]), schema, now: Timestamp::from_millis(1_767_571_200_000) }
    }

    /// Feeds a step of the metrics that are there, and evaluates; returns `severity value` of the alert.
    fn step(&mut self, values: &[(&str, f64)]) -> String {
        if !values.is_empty() {
            let record = Record::new(&self.schema, "db-7", self.now).unwrap();
            let record =
                values.iter().fold(record, |record, &(name, value)| record.with(name, value).unwrap());
            assert_eq!(self.window.ingest(&[record], self.now).unwrap().accepted, 1);
        }
        self.now = self.now.plus_millis(STEP_MS);
        self.evaluate()
    }

    fn evaluate(&mut self) -> String {
        // The forecast starts at the newest step, so that what was just fed counts.
        let at = self.now.plus_millis(2 * STEP_MS);
        let mut forecaster =
            Forecaster::without_model(StepLength::FIVE_MINUTES, ForecasterConfig::default()).unwrap();
        let fleet = forecaster.forecast(&self.window, at).unwrap();
        let view = self.window.server("db-7").unwrap();
        let metrics = 0..self.schema.metrics().len();
        let current: Vec<f32> =
            metrics.map(|metric| view.value(metric, view.newest_step()).unwrap_or(f32::NAN)).collect();
        let observation = ServerObservation {
            server: view.name(),
            profile: view.profile(),
            current: &current,
            is_in_maintenance: false,
            readiness: Some(view.readiness(self.window.origin(at).unwrap(), 6)),
            risk_score: None,
            own_quantiles: OwnQuantiles::NONE,
            history: Some(ObservedHistory::new(view, self.window.origin(at).unwrap())),
        };
        self.engine.evaluate([observation], &fleet, self.now);
        let show =
            |alert: &Alert| format!("{} {:?}", alert.severity, alert.predicted_value.unwrap_or(f64::NAN));
        self.engine.active().next().map(show).unwrap_or_default()
    }

    fn message(&self) -> String {
        self.engine.active().next().map(|alert| alert.message.clone()).unwrap_or_default()
    }
}

fn metric() -> String {
    "mem_used_pct".to_owned()
}

#[test]
fn a_share_counts_observed_steps_and_is_strict_where_asked() {
    let over = StepSpan::Time(minutes(25));
    let condition = Condition::Share { metric: metric(), reaches: Threshold::Value(80.0), over };
    let rule =
        Rule { strict: true, ..Rule::new("share", condition, [(Severity::Warning, Threshold::Value(80.0))]) };
    let mut bench = Bench::new(rule);
    let values = [90.0, 80.0, 85.0, 85.0, 70.0, 85.0, 90.0, 90.0, 90.0, 90.0];
    let seen: Vec<_> = values.map(|value| bench.step(&[("mem_used_pct", value)])).to_vec();
    // Two of five steps say too little, and four of five are not more than 80 %.
    assert_eq!(seen, ["", "", "warning 100.0", "warning 100.0", "", "", "", "", "", "warning 100.0"]);
    insta::assert_snapshot!(bench.message(), @"Share of mem_used_pct of db-7 at or above 80 % over 25m is above 80 %, 100 % now.");
    // A step without the metric is no observation of it.
    assert_eq!(bench.step(&[("cpu_user_pct", 1.0)]), "warning 100.0");
}

#[test]
fn shares_of_metrics_that_are_bad_downwards_count_what_is_below() {
    let condition = Condition::Share {
        metric: "cpu_idle_pct".into(),
        reaches: Threshold::Value(10.0),
        over: StepSpan::Steps(2),
    };
    let rule = Rule::new("idle", condition, [(Severity::Critical, Threshold::Value(100.0))]);
    let mut bench = Bench::new(Rule { direction: Direction::Below, ..rule });
    let seen = [50.0, 10.0, 9.0, 11.0].map(|value| bench.step(&[("cpu_idle_pct", value)]));
    assert_eq!(seen, ["", "", "critical 100.0", ""]);
}

#[test]
fn a_metric_that_is_missing_while_its_server_reports_is_an_alert() {
    let rule = Rule::new("lost", Condition::Missing { metric: metric() }, at(10.0, 20.0));
    let mut bench = Bench::new(rule);
    let both = [("mem_used_pct", 40.0), ("cpu_user_pct", 1.0)];
    let seen: Vec<_> = (0..6).map(|step| bench.step(&both[usize::from(step > 0)..])).collect();
    assert_eq!(seen, ["", "", "warning 10.0", "warning 15.0", "critical 20.0", "critical 25.0"]);
    insta::assert_snapshot!(bench.message(), @"Time without mem_used_pct of db-7 is at or above 20 minutes, 25 minutes now.");
    assert_eq!(bench.step(&both), "");
    // A server that is silent as a whole is another rule's business.
    let silent: Vec<_> = (0..4).map(|_| bench.step(&[])).collect();
    assert_eq!(silent, ["", "", "", ""]);
}

#[test]
fn readiness_counts_the_time_in_a_state() {
    let condition = Condition::Readiness { states: vec![ReadinessState::WarmingUp] };
    let mut bench = Bench::new(Rule::new("warming", condition, at(15.0, 60.0)));
    let seen: Vec<_> = (0..7).map(|_| bench.step(&[("mem_used_pct", 40.0)])).collect();
    assert_eq!(seen, ["", "", "warning 15.0", "warning 20.0", "warning 25.0", "", ""]);
    let condition = Condition::Readiness { states: vec![ReadinessState::Stale, ReadinessState::Gap] };
    let mut engine = engine(vec![Rule::new("silent", condition, at(30.0, 60.0))]);
    let mut silent = seen_server();
    silent.is_stale = true;
    let states: Vec<_> =
        [5, 6, 12].map(|step| evaluate(&mut engine, std::slice::from_ref(&silent), step).len()).to_vec();
    assert_eq!(states, [0, 1, 1]);
    let alert = engine.active().next().unwrap();
    insta::assert_snapshot!(alert.message, @"Time of db-7 in state stale or gap is at or above 60 minutes, 60 minutes now.");
    assert_eq!((alert.metric.as_str(), alert.current_value), ("readiness", Some(60.0)));
}

fn seen_server() -> Seen {
    seen("db-7", 10.0, &[])
}

#[test]
fn probabilities_come_from_the_quantiles() {
    let within = StepSpan::Steps(6);
    let condition = Condition::Probability { metric: metric(), reaches: Threshold::Value(95.0), within };
    let mut engine = engine(vec![Rule::new("chance", condition, at(0.3, 0.5))]);
    // P10, P50 and P90 are 10 apart: at a median of 85 one in ten is at 95 or above, at 95 every second.
    let mut severity = |median: f32| {
        evaluate(&mut engine, &[seen("db-7", 50.0, &[median; 6])], 0);
        engine.active().next().map(|alert| alert.severity)
    };
    assert_eq!(severity(85.0), None);
    assert_eq!(severity(91.0), Some(Severity::Warning));
    assert_eq!(severity(95.0), Some(Severity::Critical));
    let alert = engine.active().next().unwrap();
    insta::assert_snapshot!(alert.message, @"Probability that mem_used_pct of db-7 gets at or above 95 % within 30 minutes is at or above 0.5, 0.5 now.");
    assert_eq!((alert.current_value, alert.threshold), (Some(50.0), Some(0.5)));
}

#[test]
fn observed_rules_take_no_forecast() {
    let condition = Condition::Observed { metric: metric() };
    let mut engine = engine(vec![Rule::new("now", condition, at(90.0, 98.0))]);
    assert!(evaluate(&mut engine, &[seen("db-7", 89.0, &[99.0; 6])], 0).is_empty());
    let transitions = evaluate(&mut engine, &[seen("db-7", 98.0, &[50.0; 6])], 1);
    insta::assert_snapshot!(transitions[0].alert.message, @"mem_used_pct of db-7 is at or above 98 %, 98 % now.");
}

#[test]
fn labels_come_from_the_server_and_the_rule() {
    let labels = |pairs: &[(&str, &str)]| -> BTreeMap<_, _> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let assignment = ServerLabels {
        servers: vec!["db-*".into()],
        profiles: ProfileSelector::All,
        labels: labels(&[("team", "storage"), ("tier", "prod")]),
    };
    let selector = Selector { labels: labels(&[("tier", "prod")]), ..Selector::default() };
    let rule = Rule { selector, labels: labels(&[("team", "database")]), ..memory_rule() };
    let summary = "{server} of {labels.team} ({labels.tier}): {value}".to_owned();
    let rules = vec![Rule { summary, ..rule }];
    let config = AlertConfig { rules, server_labels: vec![assignment], ..AlertConfig::default() };
    let mut engine = AlertEngine::new(config, &Schema::server_metrics()).unwrap();
    let transitions = evaluate(&mut engine, &[seen("db-7", 99.0, &[]), seen("web-1", 99.0, &[])], 0);
    let alert = &transitions[0].alert;
    assert_eq!(
        (transitions.len(), alert.labels.clone()),
        (1, labels(&[("team", "database"), ("tier", "prod")]))
    );
    assert_eq!((alert.label("tier"), alert.label("alertname")), (Some("prod"), Some("memory")));
    assert_eq!(alert.summary.as_deref(), Some("db-7 of database (prod): 99 %"));
}

#[test]
fn every_rung_of_a_ladder_is_told() {
    let rungs = [
        (Severity::Low, 80.0),
        (Severity::Medium, 85.0),
        (Severity::Warning, 90.0),
        (Severity::High, 95.0),
        (Severity::Critical, 99.0),
    ];
    let thresholds = rungs.map(|(severity, at)| (severity, Threshold::Value(at)));
    let rule = Rule::new("ladder", Condition::Observed { metric: metric() }, thresholds);
    let text = changes(&mut engine(vec![rule]), &[82.0, 87.0, 91.0, 96.0, 99.5, 86.0, 10.0]);
    insta::assert_snapshot!(text, @"0:none>firing/low 1:firing>firing/medium 2:firing>firing/warning 3:firing>firing/high 4:firing>firing/critical 5:firing>firing/medium 6:firing>resolved/medium");
}
