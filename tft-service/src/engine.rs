//! From the window to forecasts, risk and alerts.
//!
//! Owns the model prepared for execution and the rules, and calls `tft-core` in the right order. Only the
//! inference thread has one.

use std::path::Path;
use std::sync::Arc;

use tft_core::Error;
use tft_core::forecast::{FleetForecast, Forecast, QuantileLevels};
use tft_core::risk::{
    FleetInput, FleetMember, FleetPolicy, FleetSummary, OwnQuantiles, RiskAssessment, RiskInput, RiskPolicy,
};
use tft_core::schema::Schema;
use tft_core::time::{Step, StepLength, Timestamp};
use tft_core::window::{RollingWindow, WindowConfig};

use crate::error::ServiceError;
use crate::own_history::{OwnQuantile, own_quantile};
use crate::stub::{Forecaster, Model};

/// The model and the rules, ready to run.
#[derive(Debug)]
pub(crate) struct Engine {
    schema: Schema,
    model_id: String,
    forecaster: Forecaster,
    risk_policy: RiskPolicy,
    fleet_policy: FleetPolicy,
    newest: Option<Newest>,
}

/// What is known of the fleet at one moment, and what is expected.
#[derive(Debug)]
pub(crate) struct Assessment {
    pub(crate) schema: Schema,
    pub(crate) model_id: String,
    pub(crate) at: Timestamp,
    pub(crate) step_length: StepLength,
    pub(crate) horizon_steps: usize,
    pub(crate) levels: QuantileLevels,
    /// Steps with samples, over all servers.
    pub(crate) input_points: usize,
    /// None before there is data.
    pub(crate) forecast: Option<Arc<FleetForecast>>,
    /// In the order of the forecast's servers.
    pub(crate) risks: Vec<RiskAssessment>,
    pub(crate) summary: FleetSummary,
}

/// The newest forecast, and the state of the window that it was made from.
#[derive(Debug)]
struct Newest {
    generation: u64,
    forecast: Arc<FleetForecast>,
}

/// One server while it is judged.
struct Subject<'a> {
    forecast: &'a Forecast,
    own_quantile: OwnQuantile<'a>,
}

impl Engine {
    /// Loads a model directory, or the built-in model, and prepares the rules for a schema.
    ///
    /// # Errors
    /// [`ServiceError::Model`]. There is no falling back to another model: a service that says it uses a
    /// model uses it.
    pub(crate) fn load(model_dir: Option<&Path>, schema: Schema) -> Result<Self, ServiceError> {
        let refused = |source| ServiceError::Model { source };
        let model = model_dir.map_or_else(Model::built_in, Model::from_dir).map_err(refused)?;
        let model_id = model.id().to_owned();
        let forecaster = Forecaster::new(model, schema.clone()).map_err(refused)?;
        Ok(Self {
            risk_policy: RiskPolicy::for_schema(&schema),
            fleet_policy: FleetPolicy::for_schema(&schema),
            schema,
            model_id,
            forecaster,
            newest: None,
        })
    }

    /// Forecasts every server and judges what that means.
    ///
    /// # Errors
    /// The forecaster's.
    pub(crate) fn assess(&mut self, window: &RollingWindow, at: Timestamp) -> Result<Assessment, Error> {
        let Some(origin) = window.origin(at) else { return Ok(self.empty_assessment(at)) };
        let forecast = self.forecast(window, origin, at)?;
        let subjects = subjects(&forecast, window);
        let risks: Vec<_> = subjects.iter().map(|subject| self.risk(subject, &forecast.quantiles)).collect();
        let members = subjects.iter().zip(&risks).map(|(subject, risk)| FleetMember {
            server: &subject.forecast.server,
            forecast: Some(subject.forecast),
            risk,
            own_quantiles: OwnQuantiles::new(&*subject.own_quantile),
        });
        let summary = self.fleet_policy.summarize(&self.fleet_input(&forecast.quantiles), members);
        drop(subjects);
        let input_points = window.step_count();
        let forecast = Some(forecast);
        Ok(Assessment { input_points, forecast, risks, summary, ..self.empty_assessment(at) })
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns how much a window must keep for this model.
    pub(crate) fn window_config(&self) -> WindowConfig {
        WindowConfig::for_history(self.history_steps_needed())
    }

    /// Returns how many steps of history the model reads.
    pub(crate) fn history_steps_needed(&self) -> usize {
        self.forecaster.history_steps_needed()
    }

    /// Returns what is known before there is data.
    pub(crate) fn empty_assessment(&self, at: Timestamp) -> Assessment {
        let levels = self.forecaster.quantiles();
        Assessment {
            schema: self.schema.clone(),
            model_id: self.model_id.clone(),
            at,
            step_length: StepLength::FIVE_MINUTES,
            horizon_steps: self.forecaster.horizon_steps(),
            input_points: 0,
            forecast: None,
            risks: Vec::new(),
            summary: self.fleet_policy.summarize(&self.fleet_input(&levels), []),
            levels,
        }
    }

    /// Returns the forecast for `origin`; the newest one again if the window has not changed since, because
    /// only rules depend on the time of day.
    fn forecast(
        &mut self,
        window: &RollingWindow,
        origin: Step,
        at: Timestamp,
    ) -> Result<Arc<FleetForecast>, Error> {
        let generation = window.generation();
        let is_newest =
            |newest: &&Newest| newest.generation == generation && newest.forecast.origin == origin;
        if let Some(newest) = self.newest.as_ref().filter(is_newest) {
            return Ok(Arc::clone(&newest.forecast));
        }
        let forecast = Arc::new(self.forecaster.forecast(window, at)?);
        self.newest = Some(Newest { generation, forecast: Arc::clone(&forecast) });
        Ok(forecast)
    }

    fn risk(&self, subject: &Subject<'_>, levels: &QuantileLevels) -> RiskAssessment {
        let mut current = vec![f32::NAN; self.schema.metrics().len()];
        for metric in &subject.forecast.metrics {
            current[metric.metric] = metric.current;
        }
        self.risk_policy.assess(&RiskInput {
            schema: &self.schema,
            profile: &subject.forecast.profile,
            current: &current,
            forecast: Some(subject.forecast),
            levels,
            own_quantiles: OwnQuantiles::new(&*subject.own_quantile),
        })
    }

    fn fleet_input<'a>(&'a self, levels: &'a QuantileLevels) -> FleetInput<'a> {
        FleetInput { schema: &self.schema, levels, step_length: StepLength::FIVE_MINUTES }
    }
}

impl Assessment {
    /// Returns whether the fleet has a server of this name.
    pub(crate) fn has_server(&self, name: &str) -> bool {
        self.forecast.as_ref().is_some_and(|forecast| forecast.server(name).is_some())
    }

    /// Returns each server's forecast with its risk, in the order of names.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (&Forecast, &RiskAssessment)> {
        self.forecast.iter().flat_map(|forecast| &forecast.servers).zip(&self.risks)
    }
}

/// Joins each forecast with its server's history.
fn subjects<'a>(forecast: &'a FleetForecast, window: &'a RollingWindow) -> Vec<Subject<'a>> {
    let steps_per_day = window.config().step.steps_per_day();
    let unknown = || -> OwnQuantile<'a> { Box::new(|_, _| None) };
    let subject = |forecast: &'a Forecast| {
        let server = window.server(forecast.server.as_str());
        let own_quantile = server.map_or_else(unknown, |server| own_quantile(server, steps_per_day));
        Subject { forecast, own_quantile }
    };
    forecast.servers.iter().map(subject).collect()
}
