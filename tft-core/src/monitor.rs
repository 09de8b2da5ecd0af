//! One call from a window to forecasts, risk and alerts.
//!
//! Owns the order in which the other modules are called, and what they share for one moment. Decides nothing
//! itself: the policies and rules do.

use std::sync::Arc;

use crate::alert::{
    Alert, AlertConfig, AlertEngine, AlertEngineState, ObservedHistory, Policies, Restored,
    ServerObservation, Transition,
};
use crate::cascade::{CascadeConfig, CascadeDetector, CascadeReport, CascadeState};
use crate::drift::{CoverageExpectation, DriftConfig, DriftReport, DriftTracker};
use crate::error::Error;
use crate::explain::Explainer;
use crate::forecast::{FleetForecast, Forecast, Forecaster};
use crate::risk::{
    FleetInput, FleetMember, FleetPolicy, FleetSummary, OwnHistory, OwnQuantiles, RiskAssessment, RiskInput,
    RiskPolicy,
};
use crate::schema::Schema;
use crate::time::{Step, Timestamp};
use crate::window::{Readiness, RollingWindow, ServerView};

/// A forecaster, the policies and the rules, ready to judge a fleet at every step.
#[derive(Debug)]
pub struct Monitor {
    schema: Schema,
    forecaster: Forecaster,
    risk_policy: RiskPolicy,
    fleet_policy: FleetPolicy,
    alert_engine: AlertEngine,
    cascade: CascadeDetector,
    drift: DriftTracker,
    newest: Option<Newest>,
}

/// What is known of a fleet at one moment, and what is expected.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FleetAssessment {
    /// The moment.
    pub at: Timestamp,
    /// The forecast of every server.
    pub forecast: Arc<FleetForecast>,
    /// Each server's state, in the order of the forecast's servers.
    pub servers: Vec<ServerAssessment>,
    /// The fleet in figures.
    pub summary: FleetSummary,
    /// The alerts that are pending, firing or without data, the most severe first.
    pub alerts: Vec<Alert>,
    /// What changed since the assessment before, by server and rule.
    pub transitions: Vec<Transition>,
    /// Which metrics are out of their usual range on several servers at once.
    pub cascade: Arc<CascadeReport>,
    /// Whether earlier forecasts came true as often as they said.
    pub drift: Arc<DriftReport>,
}

/// The state of one server at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerAssessment {
    /// Its risk.
    pub risk: RiskAssessment,
    /// Whether it has enough history for the model.
    pub readiness: Readiness,
    /// Whether its state silences its alerts.
    pub is_in_maintenance: bool,
}

/// The newest forecast, and the state of the window that it was made from.
#[derive(Debug)]
struct Newest {
    generation: u64,
    forecast: Arc<FleetForecast>,
}

/// One server while it is judged.
struct Subject<'a> {
    view: ServerView<'a>,
    forecast: &'a Forecast,
    current: Vec<f32>,
    own_quantile: Box<dyn Fn(usize, f64) -> Option<f64> + 'a>,
}

impl Monitor {
    /// Builds a monitor with the default policies and rules of a schema.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) if the schema has more metrics than an
    /// alert engine may have rules, or naming everything that the forecaster's model reads and it lacks.
    pub fn new(schema: &Schema, forecaster: Forecaster) -> Result<Self, Error> {
        forecaster.check_schema(schema)?;
        let expectation = coverage_expectation(&forecaster);
        Ok(Self {
            schema: schema.clone(),
            forecaster,
            risk_policy: RiskPolicy::for_schema(schema),
            fleet_policy: FleetPolicy::for_schema(schema),
            alert_engine: AlertEngine::preset(schema)?,
            cascade: CascadeDetector::new(CascadeConfig::for_schema(schema), schema)?,
            drift: DriftTracker::new(DriftConfig::default(), schema, expectation)?,
            newest: None,
        })
    }

    /// Replaces the alert rules; alerts of rules that are still there go on, as [`AlertEngine::restore`] says.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) naming every rule, field and value at
    /// fault; the rules stay as they were.
    pub fn set_rules(&mut self, config: AlertConfig) -> Result<(), Error> {
        let mut engine = AlertEngine::new(config, &self.schema)?;
        engine.restore(self.alert_engine.state(), |_| true)?;
        self.alert_engine = engine;
        Ok(())
    }

    /// Replaces the rules and the policies of risk and breaches by those of a rule file; alerts go on as with
    /// [`set_rules`](Self::set_rules).
    ///
    /// # Errors
    /// Those of [`set_rules`](Self::set_rules), if the file was checked against another schema.
    pub fn set_policies(&mut self, policies: Policies) -> Result<(), Error> {
        self.set_rules(policies.alerts)?;
        (self.risk_policy, self.fleet_policy) = (policies.risk, policies.fleet);
        Ok(())
    }

    /// Returns the alerts and all that their next step depends on, to be kept beyond the process.
    pub fn alert_state(&self) -> AlertEngineState {
        self.alert_engine.state()
    }

    /// Goes on with kept alerts, in place of the present ones; those of servers that the window does not know are dropped.
    ///
    /// # Errors
    /// Those of [`AlertEngine::restore`]; the alerts stay as they were.
    pub fn restore_alerts(
        &mut self,
        state: AlertEngineState,
        window: &RollingWindow,
    ) -> Result<Restored, Error> {
        self.alert_engine.restore(state, |server| window.server(server.as_str()).is_some())
    }

    /// Returns the alert engine, with its rules and alerts.
    pub fn alert_engine(&self) -> &AlertEngine {
        &self.alert_engine
    }

    /// Replaces what counts as a cascade; baselines and events begin anew.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) naming the key and the value at fault; what counted
    /// before does so still.
    pub fn set_cascade(&mut self, config: CascadeConfig) -> Result<(), Error> {
        self.cascade = CascadeDetector::new(config, &self.schema)?;
        Ok(())
    }

    /// Replaces what counts as drift; its figures begin anew.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) naming the key and the value at fault; what counted
    /// before does so still.
    pub fn set_drift(&mut self, config: DriftConfig) -> Result<(), Error> {
        self.drift = DriftTracker::new(config, &self.schema, coverage_expectation(&self.forecaster))?;
        Ok(())
    }

    /// Returns what is known of cascades, to be kept over a restart.
    ///
    /// A monitor without it learns the baselines from the steps that the window holds, and finds their cascades again.
    pub fn cascade_state(&self) -> CascadeState {
        self.cascade.state()
    }

    /// Goes on from what another monitor knew of cascades.
    ///
    /// # Errors
    /// Those of [`CascadeDetector::restore`]; what is known stays then.
    pub fn restore_cascade(&mut self, state: CascadeState) -> Result<(), Error> {
        self.cascade.restore(state)
    }

    /// Replaces the forecaster and returns the old one; alerts and cascades go on as they are, figures of drift begin anew.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) naming everything that the new one's model reads
    /// and the schema lacks; the old one stays then.
    pub fn replace_forecaster(&mut self, forecaster: Forecaster) -> Result<Forecaster, Error> {
        forecaster.check_schema(&self.schema)?;
        self.newest = None;
        self.drift.start_anew(coverage_expectation(&forecaster));
        Ok(std::mem::replace(&mut self.forecaster, forecaster))
    }

    /// Forgets the alerts of a server that was removed from the window, its part in cascades and its remembered forecasts;
    /// returns whether there were any.
    pub fn forget_server(&mut self, server_name: &str) -> bool {
        let had_alerts = self.alert_engine.forget(server_name);
        let had_part = self.cascade.forget(server_name);
        self.drift.forget(server_name) || had_part || had_alerts
    }

    /// Replaces the policy of risk scores.
    pub fn set_risk_policy(&mut self, policy: RiskPolicy) {
        self.risk_policy = policy;
    }

    /// Forecasts every server from the window's newest closed step at `now` and judges what that means.
    ///
    /// The forecast is made once per state of the window: a second call without new data only evaluates the
    /// rules again, which depend on the time.
    ///
    /// # Errors
    /// Those of [`Forecaster::forecast`].
    pub fn assess(&mut self, window: &RollingWindow, now: Timestamp) -> Result<FleetAssessment, Error> {
        let forecast = self.forecast(window, now)?;
        Ok(self.judge(window, forecast, now))
    }

    /// Judges what a forecast of the window means at `now`.
    pub(crate) fn judge(
        &mut self,
        window: &RollingWindow,
        forecast: Arc<FleetForecast>,
        now: Timestamp,
    ) -> FleetAssessment {
        let subjects = self.subjects(window, &forecast);
        let risks: Vec<_> = subjects.iter().map(|subject| self.risk(subject, &forecast)).collect();
        let summary = self.summary(&subjects, &risks, &forecast);
        let servers: Vec<_> = subjects
            .iter()
            .zip(risks)
            .map(|(subject, risk)| self.server_assessment(subject, risk, forecast.origin))
            .collect();
        let observations = subjects
            .iter()
            .zip(&servers)
            .map(|(subject, server)| subject.observation(server, forecast.origin));
        let transitions = self.alert_engine.evaluate(observations, &forecast, now);
        drop(subjects);
        let alerts = self.alert_engine.active().cloned().collect();
        let (cascade, drift) = self.look_back(window, &forecast);
        FleetAssessment { at: now, forecast, servers, summary, alerts, transitions, cascade, drift }
    }

    /// Returns what explains this monitor's forecasts, risk and alerts.
    pub fn explainer(&self) -> Explainer<'_> {
        Explainer::new(&self.schema, &self.forecaster, &self.risk_policy, &self.fleet_policy)
    }

    /// Returns the forecaster.
    pub fn forecaster(&self) -> &Forecaster {
        &self.forecaster
    }

    /// Returns what is measured.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Forecasts once per state of the window.
    pub(crate) fn forecast(
        &mut self,
        window: &RollingWindow,
        now: Timestamp,
    ) -> Result<Arc<FleetForecast>, Error> {
        let generation = window.generation();
        let origin = window.origin(now);
        let is_newest =
            |newest: &&Newest| newest.generation == generation && Some(newest.forecast.origin) == origin;
        if let Some(newest) = self.newest.as_ref().filter(is_newest) {
            return Ok(Arc::clone(&newest.forecast));
        }
        let forecast = Arc::new(self.forecaster.forecast(window, now)?);
        self.newest = Some(Newest { generation, forecast: Arc::clone(&forecast) });
        Ok(forecast)
    }

    /// Judges the steps since the origin before, and the forecasts that were about them.
    fn look_back(
        &mut self,
        window: &RollingWindow,
        forecast: &FleetForecast,
    ) -> (Arc<CascadeReport>, Arc<DriftReport>) {
        // Without data there is no origin that others could follow.
        if forecast.servers.is_empty() {
            return (self.cascade.report(), self.drift.report());
        }
        (self.cascade.advance(window, forecast.origin), self.drift.advance(window, forecast))
    }

    /// Joins each forecast with what the window knows of its server.
    fn subjects<'a>(&self, window: &'a RollingWindow, forecast: &'a FleetForecast) -> Vec<Subject<'a>> {
        let metrics = self.schema.metrics().len();
        let subject = |forecast: &'a Forecast| {
            let view = window.server(forecast.server.as_str())?;
            let mut current = vec![f32::NAN; metrics];
            for metric in &forecast.metrics {
                current[metric.metric] = metric.current;
            }
            let own_quantile = own_quantile(view, window.config().step.steps_per_day());
            Some(Subject { view, forecast, current, own_quantile })
        };
        forecast.servers.iter().filter_map(subject).collect()
    }

    fn risk(&self, subject: &Subject<'_>, fleet: &FleetForecast) -> RiskAssessment {
        self.risk_policy.assess(&RiskInput {
            schema: &self.schema,
            profile: &subject.forecast.profile,
            current: &subject.current,
            forecast: Some(subject.forecast),
            levels: &fleet.quantiles,
            own_quantiles: OwnQuantiles::new(&*subject.own_quantile),
        })
    }

    fn summary(
        &self,
        subjects: &[Subject<'_>],
        risks: &[RiskAssessment],
        fleet: &FleetForecast,
    ) -> FleetSummary {
        let input =
            FleetInput { schema: &self.schema, levels: &fleet.quantiles, step_length: fleet.step_length };
        let members = subjects.iter().zip(risks).map(|(subject, risk)| FleetMember {
            server: &subject.forecast.server,
            forecast: Some(subject.forecast),
            risk,
            own_quantiles: OwnQuantiles::new(&*subject.own_quantile),
        });
        self.fleet_policy.summarize(&input, members)
    }

    fn server_assessment(
        &self,
        subject: &Subject<'_>,
        risk: RiskAssessment,
        origin: Step,
    ) -> ServerAssessment {
        let status = subject.view.status();
        ServerAssessment {
            risk,
            readiness: subject.view.readiness(origin, self.forecaster.history_steps_min()),
            is_in_maintenance: status.is_some_and(|status| self.schema.statuses().is_maintenance(status)),
        }
    }
}

impl Subject<'_> {
    fn observation(&self, server: &ServerAssessment, origin: Step) -> ServerObservation<'_> {
        ServerObservation {
            server: &self.forecast.server,
            profile: &self.forecast.profile,
            current: &self.current,
            is_in_maintenance: server.is_in_maintenance,
            readiness: Some(server.readiness),
            risk_score: Some(server.risk.score),
            own_quantiles: OwnQuantiles::new(&*self.own_quantile),
            history: Some(ObservedHistory::new(self.view, origin)),
        }
    }
}

/// Returns what is beyond the quantiles of one server's history in the window.
fn own_quantile<'a>(
    view: ServerView<'a>,
    steps_per_day: usize,
) -> Box<dyn Fn(usize, f64) -> Option<f64> + 'a> {
    let history = OwnHistory::new(view, view.newest_step(), steps_per_day);
    Box::new(move |metric, level| history.limit(metric, level))
}

/// Returns the coverage that a forecaster's model states for itself.
fn coverage_expectation(forecaster: &Forecaster) -> CoverageExpectation {
    #[cfg(any(feature = "burn", feature = "engine"))]
    if let Some(model) = forecaster.model() {
        return CoverageExpectation::from_training(&model.document().training);
    }
    let _ = forecaster;
    CoverageExpectation::default()
}
