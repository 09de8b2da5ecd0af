//! The explanation of one server's forecasts and risk.

use super::counterfactual::Counterfactual;
use super::evidence::Evidence;
#[cfg(any(feature = "burn", feature = "engine"))]
use super::focus::Focus;
use super::outlook::Peak;
use crate::forecast::Method;
use crate::risk::RiskAssessment;
use crate::schema::{Profile, ServerName};
use crate::time::{Step, StepLength};

/// Which metrics stand out on one server, why, what the network looked at, and what would change the forecast.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The server.
    pub server: ServerName,
    /// The server's profile.
    pub profile: Profile,
    /// The newest step that is known; steps ahead count from it.
    pub origin: Step,
    /// The length of a step.
    pub step_length: StepLength,
    /// [`Method::Tft`] if the model made the forecast of any metric.
    pub method: Method,
    /// The server's risk.
    pub risk: RiskAssessment,
    /// All metrics with a forecast, those that stand out most first.
    pub metrics: Vec<MetricExplanation>,
    /// What the network looked at, a window each; empty where the fallback made all forecasts, and in a build without
    /// a network.
    #[cfg(any(feature = "burn", feature = "engine"))]
    pub focuses: Vec<Focus>,
    /// What would have been forecast if the leading metrics had gone another way.
    pub counterfactuals: Vec<Counterfactual>,
    /// Whether each forecast depends on its own metric alone, so that a counterfactual says nothing about others.
    pub is_univariate: bool,
    /// All in a sentence or two.
    pub summary: String,
}

/// Why one metric stands out, in numbers and in words.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MetricExplanation {
    /// The metric's position in the schema.
    pub metric: usize,
    /// What made its forecast.
    pub method: Method,
    /// The newest value, in the metric's unit.
    pub current: f64,
    /// The sum of the evidence in nats, by which metrics are ranked.
    pub score: f64,
    /// What the score is made of.
    pub evidence: Evidence,
    /// The points that it gives to the risk score.
    pub risk_points: f64,
    /// The worst step of its forecast.
    pub peak: Peak,
    /// The same in a few sentences.
    pub text: String,
}

impl Explanation {
    /// Most metrics that are said to be at fault.
    pub const AT_FAULT_MAX: usize = 3;

    /// Returns the metrics that an operator should look at first: those that lead the ranking with at least
    /// [`AT_FAULT_NATS_MIN`](Self::AT_FAULT_NATS_MIN), at most [`AT_FAULT_MAX`](Self::AT_FAULT_MAX).
    pub fn at_fault(&self) -> &[MetricExplanation] {
        let leading = self.metrics.iter().take(Self::AT_FAULT_MAX);
        let count = leading.take_while(|metric| metric.score >= Self::AT_FAULT_NATS_MIN).count();
        &self.metrics[..count]
    }

    /// The least evidence, in nats, with which a metric is said to be at fault. `docs/explain.md` has how often that
    /// happens on servers without an incident.
    pub const AT_FAULT_NATS_MIN: f64 = 5.0;
}
