//! Evaluates all rules for a fleet, step by step, and keeps the alerts between steps.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::life::{Alert, AlertState, Entry, Signal, Transition, Watch};
use super::reading::Reading;
use super::rule::{Rule, RuleError, Subject};
use crate::error::Error;
use crate::forecast::{FleetForecast, Quantile, QuantileLevels};
use crate::risk::OwnQuantiles;
use crate::schema::{Profile, Schema, ServerName};
use crate::time::{StepLength, Timestamp};

/// Keeps one alert per server and rule, and moves each on as values, forecasts and time come in.
///
/// Pure and deterministic: the same calls give the same alerts, in whatever order a call lists its servers.
#[derive(Debug, Clone)]
pub struct AlertEngine {
    rules: Vec<CheckedRule>,
    config: AlertConfig,
    /// By server and the rule's position.
    entries: BTreeMap<ServerName, BTreeMap<usize, Entry>>,
    count: usize,
    overflow_count: u64,
}

/// The rules and limits of an [`AlertEngine`].
///
/// # Defaults
/// No rules, 100,000 alerts at a time, alerts of absent servers kept for a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertConfig {
    /// The rules; at most [`AlertEngine::RULES_MAX`].
    pub rules: Vec<Rule>,
    /// Most alerts at a time; at least 1. Over it, no new ones begin.
    pub alerts_max: usize,
    /// For how long an alert without data stays when its server is not observed at all, in milliseconds; at
    /// least 1.
    pub absent_retention_ms: i64,
}

/// What is known of one server at one moment.
#[derive(Debug, Clone, Copy)]
pub struct ServerObservation<'a> {
    /// The server; its forecast is found by this name.
    pub server: &'a ServerName,
    /// Its profile, which rules may select.
    pub profile: &'a Profile,
    /// The newest value of each metric in schema order; NaN, or beyond the end, means missing.
    pub current: &'a [f32],
    /// Whether its state silences alerts: those it has are resolved, and none begins.
    pub is_in_maintenance: bool,
    /// Whether it has fallen silent: its alerts are without data.
    pub is_stale: bool,
    /// Its risk score, 0 to 100, if it was assessed.
    pub risk_score: Option<f64>,
    /// The quantiles of its own history.
    pub own_quantiles: OwnQuantiles<'a>,
}

/// A rule that fits the schema.
#[derive(Debug, Clone)]
struct CheckedRule {
    rule: Rule,
    /// The metric's position; none for the risk score.
    metric: Option<usize>,
    metric_name: String,
    unit: String,
}

/// What one evaluation shares.
struct Moment<'a> {
    fleet: &'a FleetForecast,
    now: Timestamp,
    /// The values that a rule looks at, kept between rules so that they need no allocation.
    path: Vec<f64>,
    transitions: Vec<Transition>,
}

impl AlertEngine {
    /// Most rules of an engine.
    pub const RULES_MAX: usize = 1000;

    /// Checks rules against a schema and builds an engine without alerts.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) naming the rule, the field and the value at fault.
    pub fn new(config: AlertConfig, schema: &Schema) -> Result<Self, Error> {
        let (count, max) = (config.rules.len(), Self::RULES_MAX);
        if count > max {
            return Err(RuleError::RuleCount { count, max }.into());
        }
        let alerts_max = i64::try_from(config.alerts_max).unwrap_or(i64::MAX);
        for (field, value) in
            [("alerts_max", alerts_max), ("absent_retention_ms", config.absent_retention_ms)]
        {
            if value < 1 {
                return Err(RuleError::Limit { field, value }.into());
            }
        }
        let mut names = HashSet::new();
        for (index, rule) in config.rules.iter().enumerate() {
            rule.validate(index, schema)?;
            if !names.insert(rule.name.as_str()) {
                return Err(RuleError::Duplicate { rule: rule.name.clone() }.into());
            }
        }
        let rules = config.rules.iter().map(|rule| CheckedRule::new(rule.clone(), schema)).collect();
        Ok(Self { rules, config, entries: BTreeMap::new(), count: 0, overflow_count: 0 })
    }

    /// Builds an engine with the rules of [`Rule::preset_tft`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) if the schema has more metrics than an engine may have rules.
    pub fn preset(schema: &Schema) -> Result<Self, Error> {
        let config = AlertConfig { rules: Rule::preset_tft(schema), ..AlertConfig::default() };
        Self::new(config, schema)
    }

    /// Evaluates every rule for every server and returns what changed, by server and rule name.
    ///
    /// Call it once per step with all servers. A server that is not among them counts as silent; one that is
    /// there twice counts once, the first time. Each rule looks at the current value (step 0) and the
    /// forecast's next steps.
    pub fn evaluate<'a>(
        &mut self,
        observations: impl IntoIterator<Item = ServerObservation<'a>>,
        fleet: &FleetForecast,
        now: Timestamp,
    ) -> Vec<Transition> {
        let mut observed: Vec<_> = observations.into_iter().collect();
        observed.sort_by(|a, b| a.server.cmp(b.server));
        observed.dedup_by(|later, first| later.server == first.server);
        let mut moment = Moment { fleet, now, path: Vec::new(), transitions: Vec::new() };
        for observation in &observed {
            self.evaluate_server(observation, &mut moment);
        }
        self.evaluate_absent(&observed, &mut moment);
        let mut transitions = moment.transitions;
        transitions.sort_by(|a, b| (&a.alert.server, &a.alert.rule).cmp(&(&b.alert.server, &b.alert.rule)));
        transitions
    }

    /// Drops the alerts of a server without a transition, because what is known of it is to be forgotten; returns
    /// whether there were any.
    pub fn forget(&mut self, server_name: &str) -> bool {
        let Some(entries) = self.entries.remove(server_name) else { return false };
        self.count -= entries.len();
        true
    }

    /// Returns the alerts that are pending, firing or without data: the most severe first, then by server
    /// and rule name.
    pub fn active(&self) -> impl Iterator<Item = &Alert> {
        let mut alerts: Vec<_> = self.entries.values().flat_map(BTreeMap::values).map(|e| &e.alert).collect();
        alerts.sort_by(|a, b| {
            b.severity.cmp(&a.severity).then_with(|| (&a.server, &a.rule).cmp(&(&b.server, &b.rule)))
        });
        alerts.into_iter()
    }

    /// Returns how often an alert could not begin because there were
    /// [`alerts_max`](AlertConfig::alerts_max) already.
    pub fn overflow_count(&self) -> u64 {
        self.overflow_count
    }

    /// Returns the rules and limits.
    pub fn config(&self) -> &AlertConfig {
        &self.config
    }

    fn evaluate_server(&mut self, observation: &ServerObservation<'_>, moment: &mut Moment<'_>) {
        let mut entries = self.entries.remove(observation.server).unwrap_or_default();
        for (index, checked) in self.rules.iter().enumerate() {
            let before = entries.remove(&index);
            let was_there = before.is_some();
            let signal = checked.signal(observation, moment);
            let mut watch = checked.watch((observation.server, observation.profile), moment);
            watch.current = checked.current(observation);
            let outcome = watch.advance(before, signal);
            if !was_there && outcome.entry.is_some() && self.count >= self.config.alerts_max {
                self.overflow_count += 1;
                continue;
            }
            self.count -= usize::from(was_there);
            self.count += usize::from(outcome.entry.is_some());
            moment.transitions.extend(outcome.transition);
            entries.extend(outcome.entry.map(|entry| (index, entry)));
        }
        if !entries.is_empty() {
            self.entries.insert(observation.server.clone(), entries);
        }
    }

    /// Moves on the alerts of servers that were not observed.
    fn evaluate_absent(&mut self, observed: &[ServerObservation<'_>], moment: &mut Moment<'_>) {
        let is_observed = |server: &ServerName| observed.binary_search_by(|o| o.server.cmp(server)).is_ok();
        let retention_ms = self.config.absent_retention_ms;
        for (server, entries) in self.entries.iter_mut().filter(|(server, _)| !is_observed(server)) {
            for (index, entry) in std::mem::take(entries) {
                let silent_ms = moment.now.as_millis().saturating_sub(entry.alert.since.as_millis());
                let is_old = entry.alert.state == AlertState::NoData && silent_ms >= retention_ms;
                let signal = if is_old { Signal::Forgotten } else { Signal::NoData };
                let profile = entry.alert.profile.clone();
                let watch = self.rules[index].watch((server, &profile), moment);
                let outcome = watch.advance(Some(entry), signal);
                self.count -= usize::from(outcome.entry.is_none());
                moment.transitions.extend(outcome.transition);
                entries.extend(outcome.entry.map(|entry| (index, entry)));
            }
        }
        self.entries.retain(|_, entries| !entries.is_empty());
    }
}

impl CheckedRule {
    /// Takes a rule that was validated against the schema.
    fn new(rule: Rule, schema: &Schema) -> Self {
        let metric = match &rule.subject {
            Subject::Metric(name) => schema.metric_index(name),
            Subject::Risk => None,
        };
        let described = metric.map(|index| &schema.metrics()[index]);
        let metric_name = described.map_or_else(|| "risk_score".to_owned(), |metric| metric.name.clone());
        let unit = described.map(|metric| metric.unit.clone()).unwrap_or_default();
        Self { rule, metric, metric_name, unit }
    }

    fn signal(&self, observation: &ServerObservation<'_>, moment: &mut Moment<'_>) -> Signal {
        let is_selected = self.rule.selector.selects(observation.server.as_str(), observation.profile);
        if observation.is_in_maintenance || !is_selected {
            return Signal::Excluded;
        }
        if observation.is_stale {
            return Signal::NoData;
        }
        self.fill_path(observation, moment);
        // The risk score has no history, and a valid rule asks for none.
        let metric = self.metric.unwrap_or(usize::MAX);
        let reading = Reading::new(&self.rule, metric, &moment.path, observation.own_quantiles);
        reading.map_or(Signal::NoData, Signal::Read)
    }

    /// Collects the current value and the forecast's steps.
    fn fill_path(&self, observation: &ServerObservation<'_>, moment: &mut Moment<'_>) {
        moment.path.clear();
        moment.path.push(self.current(observation).unwrap_or(f64::NAN));
        let forecast = moment.fleet.server(observation.server.as_str());
        let forecast = forecast.zip(self.metric).and_then(|(forecast, metric)| forecast.metric(metric));
        if let Some(forecast) = forecast {
            let values = forecast.path(self.quantile_index(&moment.fleet.quantiles));
            moment.path.extend(values.iter().take(self.rule.look_ahead_steps).map(|&value| f64::from(value)));
        }
    }

    fn current(&self, observation: &ServerObservation<'_>) -> Option<f64> {
        let value = match self.metric {
            Some(metric) => observation.current.get(metric).map(|&value| f64::from(value)),
            None => observation.risk_score,
        };
        value.filter(|value| value.is_finite())
    }

    fn quantile_index(&self, levels: &QuantileLevels) -> usize {
        levels.nearest(Quantile::new(self.rule.quantile).unwrap_or(Quantile::MEDIAN))
    }

    fn watch<'a>(
        &'a self,
        (server, profile): (&'a ServerName, &'a Profile),
        moment: &Moment<'_>,
    ) -> Watch<'a> {
        Watch {
            rule: &self.rule,
            server,
            profile,
            metric: &self.metric_name,
            unit: &self.unit,
            step_length: moment.fleet.step_length,
            current: None,
            now: moment.now,
        }
    }
}

impl Default for AlertConfig {
    fn default() -> Self {
        Self { rules: Vec::new(), alerts_max: 100_000, absent_retention_ms: StepLength::DAY_MS }
    }
}
