//! Rules that fit the schema, prepared so that evaluating one looks nothing up by name.

use super::life::Signal;
use super::observation::ServerObservation;
use super::reading::{Ladder, Reading, worst_of};
use super::template::Template;
use super::{Condition, Rule};
use crate::forecast::{FleetForecast, Forecast, MetricForecast, Quantile, QuantileLevels};
use crate::risk::{BreachQuery, OwnQuantiles, Threshold, breach_probability, breach_probability_max};
use crate::schema::{BadSide, Schema};
use crate::time::{StepLength, Timestamp};

/// A rule that fits the schema.
#[derive(Debug, Clone)]
pub(super) struct CheckedRule {
    pub(super) rule: Rule,
    /// The metric's position; `usize::MAX`, which no metric has, where the rule has none.
    metric: usize,
    pub(super) metric_name: String,
    /// The unit of what is compared.
    pub(super) unit: String,
    pub(super) metric_unit: String,
    ladder: Ladder,
    pub(super) summary: Template,
    pub(super) description: Template,
}

/// What a rule's steps and quantile are for forecasts of a certain kind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scope {
    /// How many steps of the forecast or the past count.
    pub(super) steps: usize,
    pub(super) min_steps: usize,
    quantile_index: usize,
    dependent_steps: usize,
}

/// One server while its rules are evaluated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) observation: &'a ServerObservation<'a>,
    pub(super) forecast: Option<&'a Forecast>,
    pub(super) fleet: &'a FleetForecast,
    pub(super) now: Timestamp,
}

/// Memory that evaluations share, so that none of them allocates.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    path: Vec<f64>,
    past: Vec<f32>,
}

impl CheckedRule {
    /// Takes a rule that was validated against the schema.
    pub(super) fn new(rule: Rule, schema: &Schema) -> Self {
        let metric = rule.condition.metric().and_then(|name| schema.metric_index(name));
        let described = metric.map(|index| &schema.metrics()[index]);
        let metric_unit = described.map(|metric| metric.unit.clone()).unwrap_or_default();
        let (name, unit) = match rule.condition {
            Condition::Observed { .. } | Condition::Forecast { .. } => (None, metric_unit.clone()),
            Condition::Probability { .. } => (None, String::new()),
            Condition::Share { .. } => (None, "%".to_owned()),
            Condition::Missing { .. } => (None, "minutes".to_owned()),
            Condition::Risk {} => (Some("risk_score"), String::new()),
            Condition::Readiness { .. } => (Some("readiness"), "minutes".to_owned()),
        };
        let of_metric = || described.map(|metric| metric.name.clone()).unwrap_or_default();
        let metric_name = name.map_or_else(of_metric, str::to_owned);
        let metric = metric.unwrap_or(usize::MAX);
        let ladder = Ladder {
            rungs: rule.thresholds.iter().map(|(&severity, &at)| (severity, at)).collect(),
            recovery: rule.recovery,
            side: rule.side(),
            is_strict: rule.strict,
            metric,
        };
        let template = |text: &str| Template::parse(text).unwrap_or_default();
        let (summary, description) = (template(&rule.summary), template(&rule.description));
        Self { rule, metric, metric_name, unit, metric_unit, ladder, summary, description }
    }

    /// Returns the least severity of the rule.
    pub(super) fn severity_min(&self) -> super::Severity {
        self.ladder.rungs.first().map_or(super::Severity::Warning, |&(severity, _)| severity)
    }

    /// Returns what the rule looks at in forecasts of these steps and levels.
    pub(super) fn scope(&self, step_length: StepLength, levels: &QuantileLevels) -> Scope {
        let condition = &self.rule.condition;
        let steps = condition.span().map_or(0, |(_, span)| span.steps(step_length)).min(Condition::STEPS_MAX);
        let quantile = condition.quantile().and_then(|level| Quantile::new(level).ok());
        Scope {
            steps,
            min_steps: condition.min_steps().min(steps + 1),
            quantile_index: levels.nearest(quantile.unwrap_or(Quantile::MEDIAN)),
            dependent_steps: (BreachQuery::DEPENDENCE_MS / step_length.as_millis()).max(1) as usize,
        }
    }

    /// Reads a selected server that is not in maintenance; nothing if no alert begins and there is none to move on.
    pub(super) fn signal(
        &self,
        scope: &Scope,
        subject: &Subject<'_>,
        has_alert: bool,
        scratch: &mut Scratch,
    ) -> Option<Signal> {
        let is_of_readiness = matches!(self.rule.condition, Condition::Readiness { .. });
        if subject.observation.is_stale() && !is_of_readiness {
            return (has_alert || self.rule.alerts_on_no_data).then_some(Signal::NoData);
        }
        let own = subject.observation.own_quantiles;
        if !has_alert && !self.rule.alerts_on_no_data {
            let worst = self.worst(scope, subject, scratch)?;
            if !self.ladder.is_reached_by(worst, own) {
                return None;
            }
        }
        self.fill_path(scope, subject, scratch);
        let reading = Reading::new(&self.ladder, scope.min_steps.max(1), &scratch.path, own);
        Some(reading.map_or(Signal::NoData, Signal::Read))
    }

    /// The newest value of what the rule is about, for people.
    pub(super) fn current(&self, subject: &Subject<'_>) -> Option<f64> {
        match &self.rule.condition {
            Condition::Risk {} => subject.observation.risk_score.filter(|score| score.is_finite()),
            Condition::Readiness { states } => minutes_unready(states, subject),
            _ => subject.observation.value(self.metric),
        }
    }

    /// The worst value of the path that [`fill_path`](Self::fill_path) would collect.
    fn worst(&self, scope: &Scope, subject: &Subject<'_>, scratch: &mut Scratch) -> Option<f64> {
        match self.rule.condition {
            Condition::Forecast { .. } => {}
            Condition::Probability { reaches, .. } if self.is_improbable(reaches, scope, subject) => {
                return None;
            }
            _ => return self.single(scope, subject, scratch),
        }
        let current = subject.observation.value(self.metric).unwrap_or(f64::NAN);
        let Some(forecast) = self.forecast(subject) else {
            return worst_of([current].into_iter(), self.ladder.side);
        };
        let ahead = worst_ahead(forecast, scope.quantile_index, scope.steps, self.ladder.side);
        worst_of([current, f64::from(ahead)].into_iter(), self.ladder.side)
    }

    /// Collects what is compared: the value now, and with a forecast the steps ahead.
    fn fill_path(&self, scope: &Scope, subject: &Subject<'_>, scratch: &mut Scratch) {
        let first = match self.rule.condition {
            Condition::Forecast { .. } => subject.observation.value(self.metric),
            _ => self.single(scope, subject, scratch),
        };
        scratch.path.clear();
        scratch.path.push(first.unwrap_or(f64::NAN));
        let is_forecast = matches!(self.rule.condition, Condition::Forecast { .. });
        if let Some(forecast) = self.forecast(subject).filter(|_| is_forecast) {
            let path = forecast.path(scope.quantile_index);
            scratch.path.extend(path.iter().take(scope.steps).map(|&value| f64::from(value)));
        }
    }

    /// The one value that is compared, unless the condition looks at a path.
    fn single(&self, scope: &Scope, subject: &Subject<'_>, scratch: &mut Scratch) -> Option<f64> {
        match &self.rule.condition {
            Condition::Observed { .. } | Condition::Forecast { .. } => subject.observation.value(self.metric),
            Condition::Risk {} => subject.observation.risk_score.filter(|score| score.is_finite()),
            Condition::Probability { reaches, .. } => self.probability(*reaches, scope, subject),
            Condition::Readiness { states } => minutes_unready(states, subject),
            Condition::Missing { .. } => {
                let steps = subject.observation.history?.missing_steps(self.metric);
                Some(steps as f64 * subject.fleet.step_length.as_millis() as f64 / 60_000.0)
            }
            Condition::Share { reaches, .. } => self.share(*reaches, scope, subject, scratch),
        }
    }

    fn probability(&self, reaches: Threshold, scope: &Scope, subject: &Subject<'_>) -> Option<f64> {
        let query = self.breach_query(reaches, scope, subject)?;
        Some(breach_probability(self.forecast(subject)?, &subject.fleet.quantiles, &query))
    }

    /// Whether the outermost quantile alone says that no threshold is reached.
    fn is_improbable(&self, reaches: Threshold, scope: &Scope, subject: &Subject<'_>) -> bool {
        let Some(query) = self.breach_query(reaches, scope, subject) else { return false };
        let Some(forecast) = self.forecast(subject) else { return false };
        let most = breach_probability_max(forecast, &subject.fleet.quantiles, &query);
        !self.ladder.is_reached_by(most, OwnQuantiles::NONE)
    }

    fn breach_query(&self, reaches: Threshold, scope: &Scope, subject: &Subject<'_>) -> Option<BreachQuery> {
        let side = self.rule.direction.bad_side();
        let threshold = reaches.nearest_beyond(side, self.metric, subject.observation.own_quantiles)?;
        let (steps, dependent_steps) = (scope.steps, scope.dependent_steps);
        Some(BreachQuery { side, threshold, steps, dependent_steps })
    }

    fn share(
        &self,
        reaches: Threshold,
        scope: &Scope,
        subject: &Subject<'_>,
        scratch: &mut Scratch,
    ) -> Option<f64> {
        let history = subject.observation.history?;
        let own = subject.observation.own_quantiles;
        scratch.past.resize(scope.steps, f32::NAN);
        history.copy(self.metric, &mut scratch.past);
        let side = self.rule.direction.bad_side();
        let known = scratch.past.iter().filter(|value| !value.is_nan());
        let (mut count, mut beyond) = (0, 0);
        for &value in known {
            count += 1;
            beyond += usize::from(reaches.is_reached(f64::from(value), side, self.metric, own));
        }
        (count > 0 && count * 2 >= scope.steps).then(|| beyond as f64 / count as f64 * 100.0)
    }

    fn forecast<'a>(&self, subject: &Subject<'a>) -> Option<&'a MetricForecast> {
        let metrics = &subject.forecast?.metrics;
        // Where no metric is left out, a forecast lies at its metric's position.
        let likely = metrics.get(self.metric).filter(|forecast| forecast.metric == self.metric);
        likely.or_else(|| subject.forecast?.metric(self.metric))
    }
}

/// The worst value of a quantile's path within `steps`; NaN without any.
fn worst_ahead(forecast: &MetricForecast, quantile_index: usize, steps: usize, side: BadSide) -> f32 {
    let values = forecast.values();
    match values.as_slice() {
        // One walk over memory: most of a large fleet's evaluation is this.
        Some(slice) => {
            let path = slice.iter().skip(quantile_index).step_by(values.ncols().max(1));
            worst_value(path.take(steps).copied(), side)
        }
        None => worst_value(forecast.path(quantile_index).iter().take(steps).copied(), side),
    }
}

fn worst_value(path: impl Iterator<Item = f32>, side: BadSide) -> f32 {
    match side {
        BadSide::High => path.fold(f32::NAN, f32::max),
        BadSide::Low => path.fold(f32::NAN, f32::min),
    }
}

/// Since how many minutes a server has been in one of the states; 0 in any other.
fn minutes_unready(states: &[crate::window::ReadinessState], subject: &Subject<'_>) -> Option<f64> {
    let readiness = subject.observation.readiness?;
    if !states.contains(&readiness.state) {
        return Some(0.0);
    }
    let millis = subject.now.as_millis().saturating_sub(readiness.since.as_millis()).max(0);
    Some(millis as f64 / 60_000.0)
}
