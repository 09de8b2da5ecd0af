//! The model and the rules, prepared from the configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tft_core::alert::{AlertEngineState, Policies, Restored, Rule};
use tft_core::explain::WhatIf;
use tft_core::schema::Schema;
use tft_core::time::Timestamp;
use tft_core::window::{RollingWindow, WindowConfig};
use tft_core::{Error, Forecaster, ForecasterConfig, Model, Monitor};

use crate::admin::ModelError;
use crate::config::Config;
use crate::error::ServiceError;
use crate::rules::RuleWatch;
use crate::snapshot::FleetView;
use crate::suppression::Suppression;
use crate::wire::{self, ModelCard};

/// A monitor, and what is fixed about it; only the inference thread has one.
#[derive(Debug)]
pub(crate) struct Engine {
    monitor: Monitor,
    facts: Facts,
}

/// What replies tell about the forecaster.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) schema: Schema,
    pub(crate) model_id: String,
    pub(crate) horizon_steps: usize,
    /// Steps of history with which the model starts to be used for a server.
    pub(crate) history_steps_needed: usize,
    /// The model in figures; none without a model.
    pub(crate) card: Option<Arc<ModelCard>>,
    /// The rules in force.
    pub(crate) rules: Arc<[Rule]>,
}

impl Engine {
    /// Loads a model directory, or the built-in model, and prepares the rules for a schema.
    ///
    /// # Errors
    /// [`ServiceError::Model`]. There is no falling back to another model: a service that says it uses a
    /// model uses it.
    pub(crate) fn load(model_dir: Option<&Path>, schema: &Schema) -> Result<Self, ServiceError> {
        Self::build(model_dir, schema).map_err(|source| ServiceError::Model { source })
    }

    fn build(model_dir: Option<&Path>, schema: &Schema) -> Result<Self, Error> {
        let model = model_dir.map_or_else(Model::built_in, Model::from_dir)?;
        let forecaster = Forecaster::new(model, ForecasterConfig::default())?;
        Ok(Self::new(Monitor::new(schema, forecaster)?))
    }

    /// Takes the rules of the configured file, if there is one, and returns what the file says.
    ///
    /// # Errors
    /// [`ServiceError::Rules`]. There is no falling back to other rules.
    pub(crate) fn take_rules(&mut self, config: &Config) -> Result<Option<(PathBuf, String)>, ServiceError> {
        let Some(path) = &config.rules_file else { return Ok(None) };
        let (text, policies) = RuleWatch::open(path, &self.facts.schema)?;
        self.set_policies(policies)?;
        Ok(Some((path.clone(), text)))
    }

    /// Takes a monitor that is ready.
    pub(crate) fn new(monitor: Monitor) -> Self {
        let facts = Facts::of(&monitor);
        Self { monitor, facts }
    }

    /// Forecasts with another forecaster, and goes on with it; with the old one if that fails. Alerts go on.
    ///
    /// # Errors
    /// Those of [`Monitor::replace_forecaster`] and [`view`](Self::view).
    pub(crate) fn change_forecaster(
        &mut self,
        forecaster: Forecaster,
        window: &RollingWindow,
        at: Timestamp,
    ) -> Result<FleetView, Error> {
        let old = self.monitor.replace_forecaster(forecaster)?;
        let old_facts = std::mem::replace(&mut self.facts, Facts::of(&self.monitor));
        let viewed = self.view(window, at);
        if viewed.is_err() {
            self.facts = old_facts;
            self.monitor.replace_forecaster(old)?;
        }
        viewed
    }

    /// Goes on with alerts that were kept.
    ///
    /// # Errors
    /// Those of [`Monitor::restore_alerts`]; alerts stay as they were.
    pub(crate) fn restore(
        &mut self,
        state: AlertEngineState,
        window: &RollingWindow,
    ) -> Result<Restored, Error> {
        self.monitor.restore_alerts(state, window)
    }

    /// Returns the alerts as they are to be kept.
    pub(crate) fn alert_state(&self) -> AlertEngineState {
        self.monitor.alert_state()
    }

    /// Judges by other rules and tables from now on; alerts of rules that stay go on.
    ///
    /// # Errors
    /// Those of [`Monitor::set_policies`]; everything stays as it was then.
    pub(crate) fn set_policies(&mut self, policies: Policies) -> Result<(), Error> {
        self.monitor.set_policies(policies)?;
        self.facts.rules = rules_of(&self.monitor);
        Ok(())
    }

    /// Forgets the alerts of a server that was removed.
    pub(crate) fn forget_server(&mut self, name: &str) {
        self.monitor.forget_server(name);
    }

    /// Forecasts every server and judges what that means.
    ///
    /// # Errors
    /// The forecaster's.
    pub(crate) fn view(&mut self, window: &RollingWindow, at: Timestamp) -> Result<FleetView, Error> {
        let assessment = self.monitor.assess(window, at)?;
        Ok(FleetView {
            facts: self.facts.clone(),
            assessment,
            tick: window.tick_count(),
            input_points: window.step_count(),
            suppression: Suppression::default(),
        })
    }

    /// Explains a server from a view's point of view, or what would be different, as JSON; none if there is no such
    /// server.
    ///
    /// # Errors
    /// The forecaster's, and an invalid input if the question cannot be answered.
    pub(crate) fn explain(
        &self,
        window: &RollingWindow,
        view: &FleetView,
        (server, what_if): (&str, Option<&WhatIf>),
    ) -> Result<Option<Bytes>, Error> {
        let origin = view.assessment.forecast.origin;
        let explainer = self.monitor.explainer();
        let json = match what_if {
            None => {
                let explanation = explainer.explain(window, origin, server)?;
                explanation.map(|explanation| wire::render_explanation(view, &explanation))
            }
            Some(question) => {
                let answered = explainer.what_if(window, (origin, server), question)?;
                answered
                    .map(|answer| wire::render_what_if(view, (server, explainer.is_univariate()), &answer))
            }
        };
        Ok(json.map(Bytes::from))
    }

    /// Returns what is known before there is data, without touching the state of alerts.
    ///
    /// # Errors
    /// None after [`load`](Self::load).
    pub(crate) fn empty_view(&self, at: Timestamp) -> Result<FleetView, Error> {
        let step_length = self.monitor.forecaster().step_length();
        let forecaster = Forecaster::without_model(step_length, ForecasterConfig::default())?;
        let mut monitor = Monitor::new(&self.facts.schema, forecaster)?;
        let assessment = monitor.assess(&self.empty_window()?, at)?;
        let suppression = Suppression::default();
        Ok(FleetView { facts: self.facts.clone(), assessment, tick: 0, input_points: 0, suppression })
    }

    /// Returns what replies tell about the forecaster.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Builds an empty window for this model that forgets steps when they are older than `retention`.
    ///
    /// # Errors
    /// As [`empty_window`](Self::empty_window), and if the retention is shorter than a step.
    pub(crate) fn window_kept_for(&self, retention: Option<Duration>) -> Result<RollingWindow, Error> {
        let retention_ms =
            retention.map(|retention| i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
        let config = WindowConfig { retention_ms, ..window_config(&self.monitor) };
        RollingWindow::new(self.facts.schema.clone(), config)
    }

    /// Builds an empty window for this model.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](tft_core::ErrorKind::InvalidConfig) if the model asks for more than a
    /// window can keep.
    pub(crate) fn empty_window(&self) -> Result<RollingWindow, Error> {
        window_for(&self.monitor)
    }
}

impl Facts {
    fn of(monitor: &Monitor) -> Self {
        let forecaster = monitor.forecaster();
        Self {
            schema: monitor.schema().clone(),
            model_id: forecaster.model_id().unwrap_or("none").to_owned(),
            horizon_steps: forecaster.horizon_steps(),
            history_steps_needed: forecaster.history_steps_min(),
            card: forecaster.model().map(|model| Arc::new(ModelCard::new(model, forecaster))),
            rules: rules_of(monitor),
        }
    }
}

fn rules_of(monitor: &Monitor) -> Arc<[Rule]> {
    monitor.alert_engine().config().rules.clone().into()
}

/// Refuses a forecaster that reads more history than a window keeps, because that would cost accuracy.
///
/// # Errors
/// [`ModelError::NoRoom`].
pub(crate) fn check_room(forecaster: &Forecaster, window: &WindowConfig) -> Result<(), ModelError> {
    let (needed_steps, kept_steps) = (forecaster.history_steps(), window.steps_per_server);
    if needed_steps <= kept_steps { Ok(()) } else { Err(ModelError::NoRoom { needed_steps, kept_steps }) }
}

/// Builds an empty window with room for what a monitor's model needs.
///
/// # Errors
/// [`ErrorKind::InvalidConfig`](tft_core::ErrorKind::InvalidConfig) if the model asks for more than a window can keep.
pub fn window_for(monitor: &Monitor) -> Result<RollingWindow, Error> {
    RollingWindow::new(monitor.schema().clone(), window_config(monitor))
}

/// Returns how much a window must keep for a monitor's model: its history, before the origin of a fleet whose
/// other servers are ahead by as much as the window allows.
fn window_config(monitor: &Monitor) -> WindowConfig {
    let forecaster = monitor.forecaster();
    let defaults = WindowConfig::default();
    let ahead_steps = defaults.gap_fill_steps_max + defaults.grace_steps;
    WindowConfig {
        step: forecaster.step_length(),
        steps_per_server: forecaster.history_steps() + ahead_steps,
        ..defaults
    }
}
