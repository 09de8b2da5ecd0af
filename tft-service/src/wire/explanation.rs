//! Explanations as clients read them. The names of the parts are those of the original system.

use schemars::JsonSchema;
use serde::Serialize;
use tft_core::explain::{
    Change, Counterfactual, Explanation, Focus, HourShare, MetricExplanation, Outcome, Outlook, Peak,
    VariableShare,
};
use tft_core::risk::Threshold;
use tft_core::schema::{BadSide, Schema};
use tft_core::time::StepLength;

use super::alerts::{AlertEntry, utc};
use crate::snapshot::FleetView;

/// The reply of `GET /explain/{server}`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ExplanationReply<'a> {
    server_name: &'a str,
    profile: &'a str,
    /// When the first step of the forecast begins.
    forecast_start: String,
    step_seconds: i64,
    /// `tft` if the model made the forecast of any metric, or `fallback`.
    method: &'static str,
    model_id: &'a str,
    risk_score: f64,
    risk_level: &'static str,
    /// All in a sentence or two.
    summary: &'a str,
    /// The metrics to look at first, at most three.
    at_fault: Vec<&'a str>,
    /// All metrics, those that stand out most first.
    feature_importance: Vec<MetricEntry<'a>>,
    /// What the network looked at; an entry for each time that it ran. Empty where the fallback made all forecasts.
    attention: Vec<FocusEntry<'a>>,
    /// What would be forecast if the metrics at fault had gone another way.
    counterfactuals: Vec<CounterfactualEntry<'a>>,
    /// `one_metric` if a counterfactual says nothing about other metrics, because each is forecast by itself;
    /// `all_metrics` otherwise.
    counterfactual_scope: &'static str,
    /// The server's alerts.
    alerts: Vec<AlertEntry<'a>>,
}

/// The reply of `POST /explain/{server}/what-if`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct WhatIfReply<'a> {
    server_name: &'a str,
    forecast_start: String,
    step_seconds: i64,
    counterfactual: CounterfactualEntry<'a>,
    /// As of an explanation.
    counterfactual_scope: &'static str,
}

/// Why a metric stands out.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ExplainedMetric")]
struct MetricEntry<'a> {
    metric: &'a str,
    unit: &'a str,
    /// What made its forecast.
    method: &'static str,
    current: Option<f64>,
    /// The sum of the evidence, in nats (−ln of a probability).
    score: f64,
    evidence: EvidenceEntry,
    /// The points that it gives to the risk score.
    risk_points: f64,
    peak: PeakEntry,
    threshold: Option<OutlookEntry>,
    /// The same in a few sentences.
    text: &'a str,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Evidence")]
struct EvidenceEntry {
    /// The last hour against what was forecast for it an hour ago.
    surprise: Option<SurpriseEntry>,
    /// The last hour against the server's own history.
    unusual: Option<UnusualEntry>,
    /// How certain it is that the threshold is crossed within two hours, in nats.
    outlook_nats: Option<f64>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Surprise")]
struct SurpriseEntry {
    nats: f64,
    /// Values that were compared.
    steps: usize,
    /// Of these, how many were above the P90.
    above: usize,
    /// Of these, how many were below the P10.
    below: usize,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Unusual")]
struct UnusualEntry {
    nats: f64,
    /// The share of the history at least as far out as the newest value.
    share_beyond: f64,
    /// Whether the newest value is among the `high` or the `low` ones.
    side: &'static str,
    history_steps: usize,
}

/// The worst step of a forecast.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Peak")]
struct PeakEntry {
    steps_ahead: usize,
    minutes_ahead: f64,
    p10: Option<f64>,
    p50: Option<f64>,
    p90: Option<f64>,
}

/// What a forecast says about a threshold.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ThresholdOutlook")]
struct OutlookEntry {
    /// In the metric's unit.
    value: f64,
    /// The quantile of the server's own history that the threshold is; none if it is a plain value.
    own_quantile: Option<f64>,
    /// Which side of it is bad: `high` or `low`.
    side: &'static str,
    /// When the median crosses it.
    crossing_minutes_p50: Option<f64>,
    /// When the P90 crosses it, or the P10 where low is bad.
    crossing_minutes_outer: Option<f64>,
    /// That it is crossed within two hours.
    probability_2h: f64,
    /// That it is crossed within the whole forecast.
    probability: f64,
}

/// What the network looked at.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Attention")]
struct FocusEntry<'a> {
    /// The metrics that it forecast then.
    metrics: Vec<&'a str>,
    /// The step ahead whose attention this is.
    steps_ahead: usize,
    /// The nearest first; with the two shares below they sum to 1.
    hours: Vec<HourEntry>,
    /// What is longer ago.
    earlier_share: f64,
    /// Steps of the forecast before this one.
    ahead_share: f64,
    /// Shares of the variable selection, the most important first; they sum to 1.
    static_variables: Vec<VariableEntry<'a>>,
    encoder_variables: Vec<VariableEntry<'a>>,
    decoder_variables: Vec<VariableEntry<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AttentionHour")]
struct HourEntry {
    /// 0 is the hour that ends with the newest step.
    hours_ago: usize,
    share: f64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "VariableShare")]
struct VariableEntry<'a> {
    variable: &'a str,
    share: f64,
}

/// What would be forecast after another past.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Counterfactual")]
struct CounterfactualEntry<'a> {
    /// The same in a sentence.
    scenario: &'a str,
    metric: &'a str,
    /// `hold`, `day_before`, `scale` or `offset`.
    change: &'static str,
    /// The factor of `scale`, or the shift of `offset`.
    amount: Option<f64>,
    last_steps: usize,
    actual: OutcomeEntry<'a>,
    changed: OutcomeEntry<'a>,
    /// Other metrics whose forecasts would be different.
    others: Vec<OtherEntry<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Outcome")]
struct OutcomeEntry<'a> {
    current: Option<f64>,
    risk_score: f64,
    peak: PeakEntry,
    threshold: Option<OutlookEntry>,
    p50: &'a [f32],
    p90: &'a [f32],
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OtherOutcome")]
struct OtherEntry<'a> {
    metric: &'a str,
    actual: PeakEntry,
    changed: PeakEntry,
}

/// What turns positions and steps into names and minutes.
#[derive(Clone, Copy)]
struct Names<'a> {
    schema: &'a Schema,
    step_length: StepLength,
}

/// Renders an explanation.
pub(crate) fn render_explanation(view: &FleetView, of: &Explanation) -> Vec<u8> {
    let names = Names::of(view);
    let alerts = view.assessment.alerts.iter().filter(|alert| alert.server == of.server);
    super::to_json(&ExplanationReply {
        server_name: of.server.as_str(),
        profile: of.profile.as_str(),
        forecast_start: utc(of.step_length.start_of(of.origin.plus(1))),
        step_seconds: of.step_length.as_millis() / 1000,
        method: of.method.as_str(),
        model_id: &view.facts.model_id,
        risk_score: of.risk.score,
        risk_level: of.risk.level.as_str(),
        summary: &of.summary,
        at_fault: of.at_fault().iter().map(|metric| names.metric(metric.metric)).collect(),
        feature_importance: of.metrics.iter().map(|metric| names.explained(metric)).collect(),
        attention: of.focuses.iter().map(|focus| names.focus(focus)).collect(),
        counterfactuals: of.counterfactuals.iter().map(|one| names.counterfactual(one)).collect(),
        counterfactual_scope: scope(of.is_univariate),
        alerts: alerts.map(|alert| AlertEntry::new(alert, &view.suppression)).collect(),
    })
}

/// Renders the answer to a what-if.
pub(crate) fn render_what_if(
    view: &FleetView,
    (server_name, is_univariate): (&str, bool),
    of: &Counterfactual,
) -> Vec<u8> {
    let names = Names::of(view);
    let origin = view.assessment.forecast.origin;
    super::to_json(&WhatIfReply {
        server_name,
        forecast_start: utc(names.step_length.start_of(origin.plus(1))),
        step_seconds: names.step_length.as_millis() / 1000,
        counterfactual: names.counterfactual(of),
        counterfactual_scope: scope(is_univariate),
    })
}

impl<'a> Names<'a> {
    fn of(view: &'a FleetView) -> Self {
        Self { schema: &view.facts.schema, step_length: view.assessment.forecast.step_length }
    }

    fn metric(self, index: usize) -> &'a str {
        &self.schema.metrics()[index].name
    }

    fn minutes(self, steps: usize) -> f64 {
        steps as f64 * self.step_length.as_millis() as f64 / 60_000.0
    }

    fn explained<'e>(self, of: &'e MetricExplanation) -> MetricEntry<'e>
    where
        'a: 'e,
    {
        let evidence = &of.evidence;
        let surprise = evidence.surprise.as_ref().map(|surprise| SurpriseEntry {
            nats: surprise.nats,
            steps: surprise.steps,
            above: surprise.above,
            below: surprise.below,
        });
        let unusual = evidence.unusual.as_ref().map(|unusual| UnusualEntry {
            nats: unusual.nats,
            share_beyond: unusual.share_beyond,
            side: side(unusual.side),
            history_steps: unusual.history_steps,
        });
        let outlook_nats = evidence.outlook.as_ref().map(|outlook| outlook.nats);
        MetricEntry {
            metric: self.metric(of.metric),
            unit: &self.schema.metrics()[of.metric].unit,
            method: of.method.as_str(),
            current: finite(of.current),
            score: of.score,
            evidence: EvidenceEntry { surprise, unusual, outlook_nats },
            risk_points: of.risk_points,
            peak: self.peak(of.peak),
            threshold: evidence.outlook.as_ref().map(|outlook| self.outlook(outlook)),
            text: &of.text,
        }
    }

    fn focus<'e>(self, of: &'e Focus) -> FocusEntry<'e>
    where
        'a: 'e,
    {
        let hour = |hour: &HourShare| HourEntry { hours_ago: hour.hours_ago, share: hour.share };
        let shares = |of: &'e [VariableShare]| {
            let entry = |of: &'e VariableShare| VariableEntry { variable: &of.variable, share: of.share };
            of.iter().map(entry).collect()
        };
        FocusEntry {
            metrics: of.metrics.iter().map(|&metric| self.metric(metric)).collect(),
            steps_ahead: of.steps_ahead,
            hours: of.hours.iter().map(hour).collect(),
            earlier_share: of.earlier_share,
            ahead_share: of.ahead_share,
            static_variables: shares(&of.static_variables),
            encoder_variables: shares(&of.encoder_variables),
            decoder_variables: shares(&of.decoder_variables),
        }
    }

    fn counterfactual<'e>(self, of: &'e Counterfactual) -> CounterfactualEntry<'e>
    where
        'a: 'e,
    {
        let (change, amount) = match of.change {
            Change::Hold => ("hold", None),
            Change::DayBefore => ("day_before", None),
            Change::Scale(factor) => ("scale", Some(factor)),
            Change::Offset(offset) => ("offset", Some(offset)),
            _ => ("other", None),
        };
        let others = of.others.iter().map(|other| OtherEntry {
            metric: self.metric(other.metric),
            actual: self.peak(other.actual),
            changed: self.peak(other.changed),
        });
        CounterfactualEntry {
            scenario: &of.text,
            metric: self.metric(of.metric),
            change,
            amount,
            last_steps: of.last_steps,
            actual: self.outcome(&of.actual),
            changed: self.outcome(&of.changed),
            others: others.collect(),
        }
    }

    fn outcome(self, of: &Outcome) -> OutcomeEntry<'_> {
        OutcomeEntry {
            current: finite(of.current),
            risk_score: of.risk_score,
            peak: self.peak(of.peak),
            threshold: of.outlook.as_ref().map(|outlook| self.outlook(outlook)),
            p50: &of.p50,
            p90: &of.p90,
        }
    }

    fn outlook(self, of: &Outlook) -> OutlookEntry {
        OutlookEntry {
            value: of.limit.value,
            own_quantile: match of.limit.at {
                Threshold::OwnQuantile(level) => Some(level),
                _ => None,
            },
            side: side(of.limit.side),
            crossing_minutes_p50: of.crossing_p50_steps.map(|steps| self.minutes(steps)),
            crossing_minutes_outer: of.crossing_outer_steps.map(|steps| self.minutes(steps)),
            probability_2h: of.probability_soon,
            probability: of.probability,
        }
    }

    fn peak(self, of: Peak) -> PeakEntry {
        PeakEntry {
            steps_ahead: of.steps_ahead,
            minutes_ahead: self.minutes(of.steps_ahead),
            p10: finite(of.p10),
            p50: finite(of.p50),
            p90: finite(of.p90),
        }
    }
}

fn scope(is_univariate: bool) -> &'static str {
    if is_univariate { "one_metric" } else { "all_metrics" }
}

fn side(side: BadSide) -> &'static str {
    match side {
        BadSide::High => "high",
        BadSide::Low => "low",
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
