//! From samples to alerts in one call, through the built-in model.

use tft_core::alert::{AlertEngineState, RuleFile};
use tft_core::risk::RiskLevel;
use tft_core::schema::{Metric, MetricKind, Schema, SchemaConfig};
use tft_core::time::Timestamp;
use tft_core::window::ReadinessState;
use tft_core::{
    AlertState, Forecaster, ForecasterConfig, Method, Model, Monitor, Record, RollingWindow, WindowConfig,
};

struct Bench {
    monitor: Monitor,
    window: RollingWindow,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        Self::of(Schema::server_metrics())
    }

    fn of(schema: Schema) -> Self {
        let forecaster = Forecaster::new(Model::built_in().unwrap(), ForecasterConfig::default()).unwrap();
        let config = WindowConfig { steps_per_server: forecaster.history_steps(), ..Default::default() };
        Self {
            monitor: Monitor::new(&schema, forecaster).unwrap(),
            window: RollingWindow::new(schema, config).unwrap(),
            now: Timestamp::parse("2026-01-05T00:00:00Z").unwrap(),
        }
    }

    /// Feeds one step of metrics.
    fn feed_values(&mut self, server: &str, values: &[(&str, f64)]) {
        let mut record = Record::new(self.window.schema(), server, self.now).unwrap();
        for &(metric, value) in values {
            record = record.with(metric, value).unwrap();
        }
        assert_eq!(self.window.ingest(&[record], self.now).unwrap().accepted, 1);
    }

    /// Feeds one step of a server's memory and status.
    fn feed(&mut self, server: &str, memory: f64, status: &str) {
        let record = Record::new(self.window.schema(), server, self.now).unwrap();
        let record = record.with("mem_used_pct", memory).unwrap().with_status(status).unwrap();
        assert_eq!(self.window.ingest(&[record], self.now).unwrap().accepted, 1);
    }

    fn advance(&mut self) {
        self.now = self.now.plus_millis(300_000);
    }
}

#[test]
fn memory_that_is_full_raises_one_alert_for_its_server() {
    let mut bench = Bench::new();
    for step in 0..300 {
        bench.feed("ppdb001", 99.2, "healthy");
        bench.feed("ppweb001", 40.0 + f64::from(step % 5), "healthy");
        bench.feed("ppweb002", 99.2, "maintenance");
        bench.advance();
    }
    let assessment = bench.monitor.assess(&bench.window, bench.now).unwrap();
    let alerts: Vec<_> = assessment.alerts.iter().map(|alert| (alert.server.as_str(), alert.state)).collect();
    assert_eq!(alerts, [("ppdb001", AlertState::Firing)]);
    let again = bench.monitor.assess(&bench.window, bench.now).unwrap();
    assert_eq!(again.alerts.len(), 1);
    assert!(again.transitions.is_empty(), "nothing changed: {:?}", again.transitions);
    assert!(assessment.servers[0].risk.score > assessment.servers[1].risk.score);
}

#[test]
fn metrics_that_hardly_ever_move_are_nothing_unusual() {
    let metrics = ["errors", "retries", "level"].map(|name| Metric::new(name, MetricKind::Count));
    let schema = Schema::new(SchemaConfig { metrics: metrics.into(), ..Default::default() }).unwrap();
    let mut bench = Bench::of(schema);
    for step in 0..1190_u32 {
        // All quantiles up to the 99.6th are 0.
        let retries = if step % 300 == 7 { 3.0 } else { 0.0 };
        bench.feed_values("web1", &[("errors", 0.0), ("retries", retries), ("level", 0.1)]);
        bench.advance();
        if step >= 960 && step.is_multiple_of(10) {
            let assessment = bench.monitor.assess(&bench.window, bench.now).unwrap();
            assert_eq!(assessment.alerts, [], "step {step}");
            let forecast = &assessment.forecast.servers[0];
            assert_eq!(forecast.method(), Method::Tft);
            for (metric, value) in [(0, 0.0), (2, 0.1)] {
                let quantiles = forecast.metrics[metric].values();
                assert!(quantiles.iter().all(|quantile| quantile.total_cmp(&value).is_eq()), "step {step}");
            }
        }
    }
}

#[test]
fn a_server_that_falls_silent_turns_stale_and_the_others_go_on() {
    let mut bench = Bench::new();
    for step in 0..300 {
        if step < 250 {
            bench.feed("ppdb001", 99.2, "healthy");
        }
        bench.feed("ppweb001", 40.0 + f64::from(step % 5), "healthy");
        bench.advance();
        if step % 50 == 49 {
            bench.monitor.assess(&bench.window, bench.now).unwrap();
        }
    }
    let assessment = bench.monitor.assess(&bench.window, bench.now).unwrap();
    let states: Vec<_> = assessment.servers.iter().map(|server| server.readiness.state).collect();
    assert_eq!(states, [ReadinessState::Stale, ReadinessState::Ready]);
    assert_eq!(assessment.alerts[0].state, AlertState::NoData);
    let methods: Vec<_> = assessment.forecast.servers.iter().map(tft_core::Forecast::method).collect();
    assert_eq!(methods, [Method::Fallback, Method::Tft]);
}

#[test]
fn alerts_outlive_the_forecaster_and_end_with_their_server() {
    let mut bench = Bench::new();
    for _ in 0..30 {
        bench.feed("ppdb001", 99.2, "healthy");
        bench.advance();
    }
    let before = bench.monitor.assess(&bench.window, bench.now).unwrap();
    let step_length = bench.monitor.forecaster().step_length();
    let other = Forecaster::without_model(step_length, ForecasterConfig::default()).unwrap();
    let old = bench.monitor.replace_forecaster(other).unwrap();
    assert!(old.model().is_some() && bench.monitor.forecaster().model().is_none());
    bench.now = bench.now.plus_millis(1000);
    let after = bench.monitor.assess(&bench.window, bench.now).unwrap();
    assert_eq!(after.alerts[0].first_seen, before.alerts[0].first_seen);
    assert!(after.transitions.iter().all(|change| change.from.is_some()), "{:?}", after.transitions);
    assert!(bench.window.remove("ppdb001") && bench.monitor.forget_server("ppdb001"));
    let without = bench.monitor.assess(&bench.window, bench.now).unwrap();
    assert!(without.alerts.is_empty() && without.transitions.is_empty());
}

#[test]
fn alerts_outlive_changed_rules_and_the_process() {
    let mut bench = Bench::new();
    for _ in 0..30 {
        bench.feed("ppdb001", 99.2, "healthy");
        bench.feed("ppdb002", 99.2, "healthy");
        bench.advance();
    }
    let before = bench.monitor.assess(&bench.window, bench.now).unwrap();
    let state = bench.monitor.alert_state();
    bench.now = bench.now.plus_millis(1000);
    let file: RuleFile = toml::from_str(
        r#"
        preset = ["tft"]
        [[rules]]
        name = "risky"
        when = { kind = "risk" }
        thresholds = { low = 1 }
        [risk.levels]
        watch = { from = 5, respond_within = "2h" }
        "#,
    )
    .unwrap();
    let policies = file.resolve(bench.monitor.schema()).unwrap();
    bench.monitor.set_policies(policies.clone()).unwrap();
    let after = bench.monitor.assess(&bench.window, bench.now).unwrap();
    let begun: Vec<_> = after.transitions.iter().filter(|change| change.from.is_none()).collect();
    assert!(begun.iter().all(|change| change.alert.rule == "risky") && begun.len() == 2, "{begun:?}");
    assert_eq!(after.alerts[0].first_seen, before.alerts[0].first_seen);
    assert_eq!(after.servers[0].risk.level, RiskLevel::Watch);

    // Another process, which has meanwhile lost a server.
    let mut other = Bench::new();
    for _ in 0..30 {
        other.feed("ppdb001", 99.2, "healthy");
        other.advance();
    }
    other.monitor.set_policies(policies).unwrap();
    let state = AlertEngineState::from_json(&state.to_json().unwrap()).unwrap();
    let restored = other.monitor.restore_alerts(state, &other.window).unwrap();
    assert_eq!((restored.alerts, restored.dropped_servers, restored.dropped_rules), (1, 1, 0));
    let restarted = other.monitor.assess(&other.window, bench.now).unwrap();
    assert_eq!(restarted.alerts[0].first_seen, before.alerts[0].first_seen);
    assert!(restarted.transitions.iter().all(|change| change.alert.rule == "risky"));
}

#[test]
fn an_assessment_looks_back_on_steps_and_forecasts() {
    let mut bench = Bench::new();
    let forecaster = || {
        let step_length = tft_core::time::StepLength::FIVE_MINUTES;
        Forecaster::without_model(step_length, ForecasterConfig::default()).unwrap()
    };
    bench.monitor = Monitor::new(&Schema::server_metrics(), forecaster()).unwrap();
    for step in 0..60 {
        let memory = if step < 56 { 40.0 + f64::from(step % 5) } else { 90.0 };
        for server in ["ppdb001", "ppdb002", "ppweb001", "ppweb002"] {
            bench.feed(server, memory, "healthy");
        }
        bench.advance();
        bench.monitor.assess(&bench.window, bench.now).unwrap();
    }
    let assessment = bench.monitor.assess(&bench.window, bench.now).unwrap();
    assert_eq!(assessment.cascade.step, Some(assessment.forecast.origin));
    assert_eq!(assessment.drift.origin, Some(assessment.forecast.origin));
    assert_eq!(assessment.cascade.active[0].metric, "mem_used_pct");
    let fallback = assessment.drift.leading().unwrap();
    assert_eq!((fallback.method, &*fallback.metrics[0].metric), (Method::Fallback, "mem_used_pct"));
    assert!(fallback.metrics[0].horizons[0].values > 200, "{:?}", fallback.metrics[0].horizons[0]);

    let state = bench.monitor.cascade_state();
    let mut restarted = Monitor::new(&Schema::server_metrics(), forecaster()).unwrap();
    restarted.restore_cascade(state.clone()).unwrap();
    assert_eq!(restarted.cascade_state(), state);
    bench.monitor.replace_forecaster(forecaster()).unwrap();
    let after = bench.monitor.assess(&bench.window, bench.now).unwrap();
    assert_eq!((after.drift.values, &after.cascade.active), (0, &assessment.cascade.active));
    assert!(bench.monitor.forget_server("ppdb001") && !bench.monitor.forget_server("ppdb001"));
}

#[test]
fn a_fleet_without_data_is_assessed_as_empty() {
    let mut bench = Bench::new();
    let assessment = bench.monitor.assess(&bench.window, bench.now).unwrap();
    assert!(assessment.servers.is_empty() && assessment.alerts.is_empty());
    assert_eq!(assessment.summary.servers, 0);
}
