//! The service watches itself: its own counters as one observation, judged by the rules of the preset `service`.
//!
//! Owns what of the counters is observed, and over which time. The rules, and the life of their alerts, are
//! `tft_core::alert`'s. The service is no server of the fleet: it has alerts, but no forecast, no risk and no place in
//! the fleet's figures.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tft_core::alert::{Alert, AlertConfig, AlertEngine, Rule, ServerObservation, Transition};
use tft_core::forecast::FleetForecast;
use tft_core::risk::OwnQuantiles;
use tft_core::schema::{Profile, Schema, ServerName};
use tft_core::time::{StepLength, Timestamp};
use tft_core::window::{RollingWindow, WindowConfig};
use tft_core::{Error, FleetAssessment, Forecaster, ForecasterConfig};

use crate::metrics::{Counts, Metrics};

/// The service's own alerts; only the inference thread has them.
pub(crate) struct SelfWatch {
    engine: AlertEngine,
    metrics: Arc<Metrics>,
    /// When the certificate ends, in Unix seconds; none without one.
    certificate_end: Box<dyn Fn() -> Option<i64> + Send>,
    /// The counters at earlier looks, the oldest first.
    past: VecDeque<(Duration, Counts)>,
    /// Where the forecast of a server would be.
    no_forecast: FleetForecast,
    server: ServerName,
    profile: Profile,
    schema: Schema,
    /// What changed since the last time that anybody was told.
    untold: Vec<Transition>,
}

/// What time it is, by both clocks, and when the newest forecast was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Timestamp,
    pub(crate) monotonic: Duration,
    pub(crate) forecast_at: Option<Timestamp>,
}

impl SelfWatch {
    /// The name under which the service has alerts.
    pub(crate) const SERVER: &'static str = "tft-service";

    /// Builds a watch without alerts.
    ///
    /// # Errors
    /// None that a configuration could cause.
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        certificate_end: impl Fn() -> Option<i64> + Send + 'static,
    ) -> Result<Self, Error> {
        let schema = Schema::service_metrics();
        let rules = rules().to_vec();
        let engine = AlertEngine::new(AlertConfig { rules, ..AlertConfig::default() }, &schema)?;
        Ok(Self {
            engine,
            metrics,
            certificate_end: Box::new(certificate_end),
            past: VecDeque::new(),
            no_forecast: no_forecast(&schema)?,
            server: ServerName::new(Self::SERVER)?,
            profile: Profile::new(PROFILE)?,
            schema,
            untold: Vec::new(),
        })
    }

    /// Observes and judges, at most once per [`LOOK_EVERY`]; returns whether an alert has changed.
    pub(crate) fn look(&mut self, moment: Moment) -> bool {
        let is_recent = |(at, _): &(Duration, Counts)| moment.monotonic.saturating_sub(*at) < LOOK_EVERY;
        if self.past.back().is_some_and(is_recent) {
            return false;
        }
        let current = self.values(moment);
        let observation = ServerObservation {
            server: &self.server,
            profile: &self.profile,
            current: &current,
            is_in_maintenance: false,
            readiness: None,
            risk_score: None,
            own_quantiles: OwnQuantiles::NONE,
            history: None,
        };
        let transitions = self.engine.evaluate([observation], &self.no_forecast, moment.now);
        let has_changed = !transitions.is_empty();
        self.untold.extend(transitions);
        has_changed
    }

    /// Adds the service's alerts to those of the fleet, and what has changed since the last time.
    pub(crate) fn join(&mut self, assessment: &mut FleetAssessment) {
        assessment.transitions.append(&mut self.untold);
        if self.engine.active().next().is_none() {
            return;
        }
        assessment.alerts.extend(self.engine.active().cloned());
        let names = |alert: &Alert| (alert.server.clone(), alert.rule.clone());
        assessment.alerts.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| names(a).cmp(&names(b))));
    }

    /// What is known now, in the order of the schema; NaN is unknown.
    fn values(&mut self, moment: Moment) -> Vec<f32> {
        let counts = self.metrics.counts();
        let since = self.counts_before(moment.monotonic);
        self.past.push_back((moment.monotonic, counts));
        let answers = counts.answers.saturating_sub(since.answers);
        let errors = counts.server_errors.saturating_sub(since.server_errors);
        let is_enough = answers >= ANSWERS_MIN;
        let days_left = (self.certificate_end)().map(|end_s| {
            let left_ms = end_s.saturating_mul(1000).saturating_sub(moment.now.as_millis());
            left_ms as f64 / StepLength::DAY_MS as f64
        });
        let forecast_age_s = moment
            .forecast_at
            .map(|at| moment.now.as_millis().saturating_sub(at.as_millis()).max(0) as f64 / 1000.0);
        let value = |name: &str| match name {
            "failed_auth_5m" => Some(counts.auth_failures.saturating_sub(since.auth_failures) as f64),
            "server_error_pct" => Some(if is_enough { errors as f64 * 100.0 / answers as f64 } else { 0.0 }),
            "certificate_days" => days_left,
            "checkpoint_failures" => Some(counts.checkpoint_failures_in_a_row as f64),
            "forecast_age_s" => forecast_age_s,
            _ => None,
        };
        let values = self.schema.metrics().iter().map(|metric| value(&metric.name));
        values.map(|value| value.map_or(f32::NAN, |value| value as f32)).collect()
    }

    /// The counters at the beginning of the observed time; forgets what lies before.
    fn counts_before(&mut self, now: Duration) -> Counts {
        let is_over = |(at, _): &(Duration, Counts)| now.saturating_sub(*at) >= OBSERVED;
        // The newest that is old enough is the beginning.
        while self.past.get(1).is_some_and(is_over) {
            self.past.pop_front();
        }
        self.past.front().filter(|past| is_over(past)).map_or_else(Counts::default, |(_, counts)| *counts)
    }
}

/// Returns whether an alert is the service's, and not that of a server of the same name.
pub(crate) fn is_own(alert: &Alert) -> bool {
    alert.server.as_str() == SelfWatch::SERVER && alert.profile.as_str() == PROFILE
}

/// Returns the rules by which the service judges itself.
pub(crate) fn rules() -> &'static [Rule] {
    static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| Rule::preset_service(&Schema::service_metrics()));
    &RULES
}

impl fmt::Debug for SelfWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfWatch").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// The forecast of a fleet without servers.
fn no_forecast(schema: &Schema) -> Result<FleetForecast, Error> {
    let mut forecaster = Forecaster::without_model(StepLength::FIVE_MINUTES, ForecasterConfig::default())?;
    let window = RollingWindow::new(schema.clone(), WindowConfig::default())?;
    forecaster.forecast(&window, Timestamp::from_millis(0))
}

/// The time over which failures and errors are counted.
const OBSERVED: Duration = Duration::from_mins(5);

/// Between two observations: the times of a few hundred are kept.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Fewer answers in the observed time are too few to speak of a share.
const ANSWERS_MIN: u64 = 10;

/// What rules of the fleet select by, which the service is no part of.
const PROFILE: &str = "service";

#[cfg(test)]
mod tests {
    use tft_core::alert::AlertState;

    use super::*;

    struct Bench {
        watch: SelfWatch,
        metrics: Arc<Metrics>,
        seconds: u64,
    }

    impl Bench {
        fn new(certificate_end: Option<i64>) -> Self {
            let metrics = Arc::new(Metrics::new());
            let watch = SelfWatch::new(Arc::clone(&metrics), move || certificate_end).unwrap();
            Self { watch, metrics, seconds: 0 }
        }

        /// Looks some seconds later, and returns the rules that fire then.
        fn after(&mut self, seconds: u64) -> Vec<String> {
            self.seconds += seconds;
            let now = Timestamp::from_millis(self.seconds as i64 * 1000);
            let monotonic = Duration::from_secs(self.seconds);
            self.watch.look(Moment { now, monotonic, forecast_at: Some(now) });
            let firing = self.watch.engine.active().filter(|alert| alert.state == AlertState::Firing);
            firing.map(|alert| alert.rule.clone()).collect()
        }

        fn fail_to_authenticate(&self, times: u64) {
            self.metrics.auth_failures.add(times);
        }

        fn answer(&self, status: u16, times: usize) {
            let route = crate::routes::ROUTES.iter().find(|route| route.path == "/feed/data");
            for _ in 0..times {
                self.metrics.answered(route, &hyper::Method::POST, status, Duration::from_millis(1));
            }
        }
    }

    #[test]
    fn more_than_five_failed_authentications_in_five_minutes_are_told_and_forgotten() {
        let mut bench = Bench::new(None);
        bench.fail_to_authenticate(3);
        assert_eq!(bench.after(5), [""; 0]);
        bench.fail_to_authenticate(2);
        assert_eq!(bench.after(100), [""; 0]);
        bench.fail_to_authenticate(1);
        assert_eq!(bench.after(100), ["service_failed_authentications"]);
        assert_eq!(bench.after(90), ["service_failed_authentications"]);
        assert_eq!(bench.after(20), [""; 0]);
        // Slowly, there may be any number.
        for _ in 0..20 {
            bench.fail_to_authenticate(1);
            assert_eq!(bench.after(60), [""; 0]);
        }
    }

    #[test]
    fn a_share_of_errors_needs_enough_answers() {
        let mut bench = Bench::new(None);
        bench.answer(503, 9);
        assert_eq!(bench.after(5), [""; 0]);
        bench.answer(200, 72);
        assert_eq!(bench.after(5), ["service_server_errors"]);
        bench.answer(404, 10);
        assert_eq!(bench.after(5), [""; 0]);
    }

    #[test]
    fn checkpoints_certificates_and_old_forecasts_are_told() {
        let mut bench = Bench::new(Some(20 * 86_400));
        assert_eq!(bench.after(5), ["service_certificate_ends"]);
        bench.metrics.checkpoints.failed();
        assert_eq!(bench.after(5), ["service_certificate_ends", "service_checkpoint_fails"]);
        bench.metrics.checkpoints.is_whole(Duration::from_secs(11));
        assert_eq!(bench.after(5), ["service_certificate_ends"]);
        let late = Timestamp::from_millis(1_000_000);
        bench.watch.look(Moment {
            now: late,
            monotonic: Duration::from_secs(20),
            forecast_at: Some(Timestamp::from_millis(0)),
        });
        assert!(bench.watch.engine.active().any(|alert| alert.rule == "service_forecast_stale"));
    }

    #[test]
    fn looks_are_at_least_a_second_apart() {
        let mut bench = Bench::new(None);
        bench.fail_to_authenticate(6);
        assert!(!bench.after(1).is_empty());
        let moment = Moment {
            now: Timestamp::from_millis(1001),
            monotonic: Duration::from_millis(1001),
            forecast_at: None,
        };
        assert!(!bench.watch.look(moment));
        assert_eq!(bench.watch.past.len(), 1);
    }
}
