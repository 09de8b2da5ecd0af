//! Explains one server: runs the model where needed, and puts the parts together.

use super::counterfactual::{Change, Counterfactual, OtherOutcome, Outcome, WhatIf, WhatIfError};
use super::evidence::{Evidence, Surprise, Unusual};
use super::explanation::{Explanation, MetricExplanation};
#[cfg(any(feature = "burn", feature = "engine"))]
use super::focus::Focus;
use super::outlook::{Limit, Outlook, Peak};
use super::words::{self, MetricWords};
use crate::error::Error;
use crate::forecast::{Forecast, Forecaster, MetricForecast, Quantile, QuantileLevels};
use crate::risk::{FleetPolicy, OwnHistory, OwnQuantiles, RiskAssessment, RiskInput, RiskPolicy};
use crate::schema::Schema;
use crate::time::{Step, StepLength};
use crate::window::{RollingWindow, ServerView};

/// Explains the forecasts and the risk of single servers.
///
/// # Performance
/// An explanation runs the model at most [`Explainer::RUNS_MAX`] times for its one server, a what-if twice.
#[derive(Debug, Clone, Copy)]
pub struct Explainer<'a> {
    schema: &'a Schema,
    forecaster: &'a Forecaster,
    risk_policy: &'a RiskPolicy,
    fleet_policy: &'a FleetPolicy,
}

/// One server while it is explained.
struct Subject<'a> {
    explainer: Explainer<'a>,
    window: &'a RollingWindow,
    view: ServerView<'a>,
    origin: Step,
    /// All of its history, from which thresholds come.
    history: OwnHistory<'a>,
}

/// A forecast, and the risk that follows from it.
struct Judged {
    forecast: Forecast,
    risk: RiskAssessment,
}

impl<'a> Explainer<'a> {
    /// Most times that an explanation runs the model: for the forecast, for the one before it, for what the network
    /// looked at, and for two counterfactuals of each metric at fault.
    pub const RUNS_MAX: usize = 3 + 2 * Explanation::AT_FAULT_MAX;

    /// The newest values that are compared with what was expected of them: those of an hour, in milliseconds.
    pub const RECENT_MS: i64 = 3_600_000;

    /// For how long the counterfactuals of an explanation change a metric: four hours, in milliseconds.
    pub const CHANGED_MS: i64 = 4 * 3_600_000;

    /// Takes what a server is judged by.
    pub fn new(
        schema: &'a Schema,
        forecaster: &'a Forecaster,
        risk_policy: &'a RiskPolicy,
        fleet_policy: &'a FleetPolicy,
    ) -> Self {
        Self { schema, forecaster, risk_policy, fleet_policy }
    }

    /// Explains what is forecast for a server from a given step, as if later steps were not known; none if there is
    /// no such server.
    ///
    /// # Errors
    /// Those of [`Forecaster::forecast`].
    pub fn explain(
        &self,
        window: &RollingWindow,
        origin: Step,
        server: &str,
    ) -> Result<Option<Explanation>, Error> {
        let Some(subject) = self.subject(window, origin, server) else { return Ok(None) };
        let Some(judged) = subject.judge(window)? else { return Ok(None) };
        let metrics = subject.metrics(&judged)?;
        let mut explanation = Explanation {
            server: judged.forecast.server.clone(),
            profile: judged.forecast.profile.clone(),
            origin,
            step_length: self.step_length(),
            method: judged.forecast.method(),
            risk: judged.risk.clone(),
            metrics,
            #[cfg(any(feature = "burn", feature = "engine"))]
            focuses: Vec::new(),
            counterfactuals: Vec::new(),
            is_univariate: self.forecaster.is_univariate(),
            summary: String::new(),
        };
        #[cfg(any(feature = "burn", feature = "engine"))]
        subject.add_focuses(&mut explanation)?;
        explanation.counterfactuals = subject.counterfactuals(&explanation, &judged)?;
        explanation.summary = words::summary(&explanation, self.schema);
        Ok(Some(explanation))
    }

    /// Ranks the metrics of a server as [`explain`](Self::explain) does, without attention and counterfactuals; none if
    /// there is no such server.
    ///
    /// # Errors
    /// Those of [`Forecaster::forecast`].
    pub fn rank(
        &self,
        window: &RollingWindow,
        origin: Step,
        server: &str,
    ) -> Result<Option<Vec<MetricExplanation>>, Error> {
        let Some(subject) = self.subject(window, origin, server) else { return Ok(None) };
        let Some(judged) = subject.judge(window)? else { return Ok(None) };
        subject.metrics(&judged).map(Some)
    }

    /// Forecasts a server from a given step as if the last steps of a metric had been different; none if there is no
    /// such server.
    ///
    /// The thresholds stay those of its true history.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) naming the field and value of the question that
    /// cannot be answered, and those of [`Forecaster::forecast`].
    pub fn what_if(
        &self,
        window: &RollingWindow,
        (origin, server): (Step, &str),
        question: &WhatIf,
    ) -> Result<Option<Counterfactual>, Error> {
        question.validate(window)?;
        let unknown = || WhatIfError::UnknownMetric { metric: question.metric.clone() };
        let metric = self.schema.metric_index(&question.metric).ok_or_else(unknown)?;
        let Some(subject) = self.subject(window, origin, server) else { return Ok(None) };
        let Some(judged) = subject.judge(window)? else { return Ok(None) };
        let asked = (metric, question.change, question.last_steps);
        subject
            .counterfactual(asked, &judged)
            .map(|answer| answer.or_else(|| subject.unchanged(asked, &judged)))
    }

    /// Returns whether each forecast depends on its own metric alone.
    pub fn is_univariate(&self) -> bool {
        self.forecaster.is_univariate()
    }

    fn subject(&self, window: &'a RollingWindow, origin: Step, server: &str) -> Option<Subject<'a>> {
        let view = window.server(server)?;
        let history = OwnHistory::new(view, view.newest_step(), self.step_length().steps_per_day());
        Some(Subject { explainer: *self, window, view, origin, history })
    }

    fn step_length(&self) -> StepLength {
        self.forecaster.step_length()
    }

    fn levels(&self) -> &'a QuantileLevels {
        self.forecaster.quantiles()
    }
}

impl Subject<'_> {
    /// Forecasts the server in a window that may be a changed one.
    fn judge(&self, window: &RollingWindow) -> Result<Option<Judged>, Error> {
        let Explainer { schema, forecaster, risk_policy, .. } = self.explainer;
        let name = self.view.name().as_str();
        let Some(forecast) = forecaster.forecast_server_from(window, self.origin, name)? else {
            return Ok(None);
        };
        let own = |metric, level| self.history.limit(metric, level);
        let risk = risk_policy.assess(&RiskInput {
            schema,
            profile: &forecast.profile,
            current: &current_values(schema, &forecast),
            forecast: Some(&forecast),
            levels: self.explainer.levels(),
            own_quantiles: OwnQuantiles::new(&own),
        });
        Ok(Some(Judged { forecast, risk }))
    }

    /// Explains every metric, those that stand out most first.
    fn metrics(&self, judged: &Judged) -> Result<Vec<MetricExplanation>, Error> {
        let Explainer { schema, forecaster, .. } = self.explainer;
        let step_length = self.explainer.step_length();
        let recent_steps = (Explainer::RECENT_MS / step_length.as_millis()).max(1) as usize;
        let before = self.origin.plus(-(recent_steps as i64));
        let expected = forecaster.forecast_server_from(self.window, before, self.view.name().as_str())?;
        let history = OwnHistory::new(self.view, before, step_length.steps_per_day());
        let points = self.risk_points(judged);
        let mut recent = vec![f32::NAN; recent_steps];
        let mut metrics = Vec::new();
        for forecast in &judged.forecast.metrics {
            let index = forecast.metric;
            self.view.copy_history(index, self.origin, &mut recent);
            let expected = expected.as_ref().and_then(|expected| expected.metric(index));
            let evidence = Evidence {
                surprise: expected
                    .and_then(|expected| Surprise::of(expected, self.explainer.levels(), &recent)),
                unusual: Unusual::of(&history, index, &recent),
                outlook: self.outlook(forecast),
            };
            let Some(peak) = self.peak(forecast) else { continue };
            let current = f64::from(forecast.current);
            let metric = &schema.metrics()[index];
            let text = MetricWords { metric, step_length, current, peak, evidence: &evidence }.text();
            metrics.push(MetricExplanation {
                metric: index,
                method: forecast.method,
                current,
                score: evidence.score(),
                evidence,
                risk_points: points[index],
                peak,
                text,
            });
        }
        metrics.sort_by(|a, b| {
            b.score
                .total_cmp(&a.score)
                .then(b.risk_points.total_cmp(&a.risk_points))
                .then(a.metric.cmp(&b.metric))
        });
        Ok(metrics)
    }

    /// The points that each metric of the schema gives to the risk score.
    fn risk_points(&self, judged: &Judged) -> Vec<f64> {
        let Explainer { schema, risk_policy, .. } = self.explainer;
        let current = current_values(schema, &judged.forecast);
        let mut points = vec![0.0; schema.metrics().len()];
        for contribution in &judged.risk.contributions {
            let row = risk_policy.config().rows.iter().find(|row| row.name == contribution.metric);
            if let Some(metric) = row.and_then(|row| row.subject.leading_metric(schema, &current)) {
                points[metric] += contribution.points;
            }
        }
        points
    }

    fn limit(&self, metric: usize) -> Option<Limit> {
        let Explainer { schema, fleet_policy, .. } = self.explainer;
        let own = |metric, level| self.history.quantile(metric, level);
        Limit::of(fleet_policy, (metric, &schema.metrics()[metric]), OwnQuantiles::new(&own))
    }

    fn outlook(&self, forecast: &MetricForecast) -> Option<Outlook> {
        let limit = self.limit(forecast.metric)?;
        Some(Outlook::of(forecast, self.explainer.levels(), self.explainer.step_length(), limit))
    }

    fn peak(&self, forecast: &MetricForecast) -> Option<Peak> {
        let metric = &self.explainer.schema.metrics()[forecast.metric];
        Peak::of(forecast, self.explainer.levels(), metric.bad_side)
    }

    /// Adds what the network looked at, and the words for it.
    #[cfg(any(feature = "burn", feature = "engine"))]
    fn add_focuses(&self, explanation: &mut Explanation) -> Result<(), Error> {
        let forecaster = self.explainer.forecaster;
        let trace = forecaster.trace(self.window, self.origin, self.view.name().as_str())?;
        let (Some(trace), Some(model)) = (trace, forecaster.model()) else { return Ok(()) };
        for (window, metrics) in trace.windows.iter().enumerate() {
            // The worst step of the leading metric is what people ask about.
            let is_here = |metric: &&mut MetricExplanation| metrics.contains(&metric.metric);
            let Some(leading) = explanation.metrics.iter_mut().find(is_here) else { continue };
            let place = (window, leading.peak.steps_ahead);
            let architecture = &model.document().architecture;
            let focus = Focus::of(&trace, architecture, self.explainer.step_length(), place)?;
            if let Some(sentence) = words::focus(&focus) {
                leading.text = format!("{} {sentence}", leading.text);
            }
            explanation.focuses.push(focus);
        }
        Ok(())
    }

    /// Asks what would be, had the metrics at fault stayed where they were, or been as on the day before.
    fn counterfactuals(&self, of: &Explanation, judged: &Judged) -> Result<Vec<Counterfactual>, Error> {
        let changed_steps =
            (Explainer::CHANGED_MS / self.explainer.step_length().as_millis()).max(1) as usize;
        let last_steps = changed_steps.min(self.window.config().steps_per_server);
        let mut answers = Vec::new();
        for metric in of.at_fault() {
            for change in [Change::Hold, Change::DayBefore] {
                match self.counterfactual((metric.metric, change, last_steps), judged) {
                    Ok(answer) => answers.extend(answer),
                    // What is not known is not answered; nobody asked for it.
                    Err(error) if error.is_invalid_input() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(answers)
    }

    /// Runs the model on another past; none if it is no other.
    fn counterfactual(
        &self,
        (metric, change, last_steps): (usize, Change, usize),
        judged: &Judged,
    ) -> Result<Option<Counterfactual>, Error> {
        let range = &self.explainer.schema.metrics()[metric];
        let place = (self.origin, last_steps);
        let Some(window) = change.apply(self.window, &self.view, (metric, range), place)? else {
            return Ok(None);
        };
        let Some(changed) = self.judge(&window)? else { return Ok(None) };
        let outcomes = self.outcome(metric, judged).zip(self.outcome(metric, &changed));
        let Some((actual, outcome)) = outcomes else { return Ok(None) };
        let others = self.others(metric, judged, &changed);
        Ok(Some(self.answer((metric, change, last_steps), (actual, outcome), others)))
    }

    /// The answer to a question that changes nothing.
    fn unchanged(&self, asked: (usize, Change, usize), judged: &Judged) -> Option<Counterfactual> {
        let outcome = self.outcome(asked.0, judged)?;
        Some(self.answer(asked, (outcome.clone(), outcome), Vec::new()))
    }

    fn answer(
        &self,
        (metric, change, last_steps): (usize, Change, usize),
        (actual, changed): (Outcome, Outcome),
        others: Vec<OtherOutcome>,
    ) -> Counterfactual {
        let mut answer =
            Counterfactual { metric, change, last_steps, actual, changed, others, text: String::new() };
        let range = &self.explainer.schema.metrics()[metric];
        answer.text = words::counterfactual(&answer, range, self.explainer.step_length());
        answer
    }

    fn outcome(&self, metric: usize, judged: &Judged) -> Option<Outcome> {
        let forecast = judged.forecast.metric(metric)?;
        let path = |quantile| forecast.path(self.explainer.levels().nearest(quantile)).to_vec();
        Some(Outcome {
            current: f64::from(forecast.current),
            risk_score: judged.risk.score,
            peak: self.peak(forecast)?,
            outlook: self.outlook(forecast),
            p50: path(Quantile::MEDIAN),
            p90: path(Quantile::P90),
        })
    }

    /// What happens to the metrics that were not changed.
    fn others(&self, changed_metric: usize, actual: &Judged, changed: &Judged) -> Vec<OtherOutcome> {
        let median = self.explainer.levels().nearest(Quantile::MEDIAN);
        let pairs = actual
            .forecast
            .metrics
            .iter()
            .filter(|forecast| forecast.metric != changed_metric)
            .filter_map(|forecast| Some((forecast, changed.forecast.metric(forecast.metric)?)));
        let differs = |(before, after): &(&MetricForecast, &MetricForecast)| {
            let pairs = before.path(median).into_iter().zip(after.path(median));
            pairs.into_iter().any(|(before, after)| (after - before).abs() > OTHERS_SHARE_MIN * before.abs())
        };
        let outcome = |(before, after): (&MetricForecast, &MetricForecast)| {
            Some(OtherOutcome {
                metric: before.metric,
                actual: self.peak(before)?,
                changed: self.peak(after)?,
            })
        };
        pairs.filter(differs).filter_map(outcome).collect()
    }
}

/// The newest value of each metric in schema order, NaN where there is no forecast.
fn current_values(schema: &Schema, forecast: &Forecast) -> Vec<f32> {
    let mut current = vec![f32::NAN; schema.metrics().len()];
    for metric in &forecast.metrics {
        current[metric.metric] = metric.current;
    }
    current
}

/// By which share of itself a median must change to count as changed.
const OTHERS_SHARE_MIN: f32 = 1e-3;
