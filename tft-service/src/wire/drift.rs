//! How forecasts came true, under the names that old clients know.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use tft_core::drift::{DriftReport, DriftVerdict, HorizonDrift, MetricDrift, ProfileDrift};

use crate::snapshot::FleetView;

/// The reply of `GET /drift/status`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DriftStatusReply<'a> {
    drift_detected: bool,
    verdict: &'static str,
    /// What made the forecasts that the verdict is about; null before any met its value.
    method: Option<&'static str>,
    /// This service does not train.
    auto_retrain_enabled: bool,
    last_retrain: Option<&'static str>,
    /// The start of the newest step whose values were compared.
    timestamp: Option<String>,
    metrics: Scores,
    thresholds: Scores,
    drifting_metrics: Vec<&'a str>,
    total_servers: usize,
    servers_tracked: usize,
    values: u64,
}

/// The reply of `GET /drift/report`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DriftReportReply<'a> {
    report_timestamp: String,
    /// `good`, `warning`, or `unknown` with too few values.
    overall_health: &'static str,
    needs_retraining: bool,
    verdict: &'static str,
    model_id: &'a str,
    /// The figures of the model's description that coverage is compared with; null means the nominal 0.8.
    expectation: Option<&'a str>,
    metrics: BTreeMap<&'static str, Score>,
    /// The metrics of the method that the verdict is about.
    feature_drift: BTreeMap<&'a str, FeatureDrift>,
    /// What is known of each method: `tft`, `fallback`.
    methods: BTreeMap<&'static str, MethodEntry<'a>>,
    /// What is wrong, in words and numbers.
    recommendations: Vec<String>,
    auto_retrain: AutoRetrain,
    total_servers: usize,
    servers_tracked: usize,
    values: u64,
    values_missing: u64,
    values_constant: u64,
}

/// The scores of the original system that can be measured.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Scores {
    /// How far coverage of P10–P90 lies below what is expected, the mean over metrics of their worst horizon.
    #[serde(skip_serializing_if = "Option::is_none")]
    per: Option<f64>,
    /// The same of the worst metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    fds: Option<f64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Score {
    value: f64,
    threshold: f64,
    status: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
struct FeatureDrift {
    /// How far coverage lies below what is expected at the worst horizon; null with too few values.
    drift: Option<f64>,
    status: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
struct MethodEntry<'a> {
    verdict: &'static str,
    metrics: BTreeMap<&'a str, MetricEntry<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct MetricEntry<'a> {
    verdict: &'static str,
    coverage: Option<f64>,
    relative_loss: Option<f64>,
    horizons: Vec<HorizonEntry>,
    profiles: BTreeMap<&'a str, ProfileEntry>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ProfileEntry {
    verdict: &'static str,
    horizons: Vec<HorizonEntry>,
}

/// One horizon; figures are null before the first block of steps is over.
#[derive(Debug, Serialize, JsonSchema)]
struct HorizonEntry {
    steps: usize,
    verdict: &'static str,
    values: u64,
    expected_coverage: f64,
    coverage: Option<f64>,
    /// Its standard error.
    coverage_error: Option<f64>,
    below_p10: Option<f64>,
    above_p90: Option<f64>,
    /// Of P10, P50 and P90, in the metric's unit.
    pinball_losses: Option<[f64; 3]>,
    /// Relative to repeating the newest value.
    relative_loss: Option<f64>,
    relative_loss_error: Option<f64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AutoRetrain {
    enabled: bool,
    last_triggered: Option<&'static str>,
    total_drift_trainings: u32,
}

impl<'a> DriftStatusReply<'a> {
    pub(crate) fn new(view: &'a FleetView) -> Self {
        let report = &*view.assessment.drift;
        let step_length = view.assessment.forecast.step_length;
        let metrics = leading_metrics(report).iter();
        let drifting = metrics.filter(|metric| metric.verdict == DriftVerdict::Drifting);
        let tolerance = Some(report.config.coverage_tolerance);
        Self {
            drift_detected: report.verdict == DriftVerdict::Drifting,
            verdict: report.verdict.as_str(),
            method: report.leading().map(|method| method.method.as_str()),
            auto_retrain_enabled: false,
            last_retrain: None,
            timestamp: report.origin.map(|origin| step_length.start_of(origin).to_string()),
            metrics: Scores::new(report),
            thresholds: Scores { per: tolerance, fds: tolerance },
            drifting_metrics: drifting.map(|metric| &*metric.metric).collect(),
            total_servers: report.servers,
            servers_tracked: report.servers_tracked,
            values: report.values,
        }
    }
}

impl<'a> DriftReportReply<'a> {
    pub(crate) fn new(view: &'a FleetView) -> Self {
        let report = &*view.assessment.drift;
        let features = leading_metrics(report).iter();
        let methods = report.methods.iter().map(|method| {
            let metrics = method.metrics.iter().map(|metric| (&*metric.metric, MetricEntry::new(metric)));
            let entry = MethodEntry { verdict: method.verdict.as_str(), metrics: metrics.collect() };
            (method.method.as_str(), entry)
        });
        Self {
            report_timestamp: view.assessment.at.to_string(),
            overall_health: match report.verdict {
                DriftVerdict::Ok => "good",
                DriftVerdict::Drifting => "warning",
                _ => "unknown",
            },
            needs_retraining: report.verdict == DriftVerdict::Drifting,
            verdict: report.verdict.as_str(),
            model_id: &view.facts.model_id,
            expectation: report.expectation.as_deref(),
            metrics: Scores::new(report).against(report.config.coverage_tolerance),
            feature_drift: features
                .clone()
                .map(|metric| (&*metric.metric, FeatureDrift::new(metric)))
                .collect(),
            methods: methods.collect(),
            recommendations: features.flat_map(faults).collect(),
            auto_retrain: AutoRetrain { enabled: false, last_triggered: None, total_drift_trainings: 0 },
            total_servers: report.servers,
            servers_tracked: report.servers_tracked,
            values: report.values,
            values_missing: report.values_missing,
            values_constant: report.values_constant,
        }
    }
}

impl Scores {
    fn new(report: &DriftReport) -> Self {
        let shortfalls: Vec<f64> =
            leading_metrics(report).iter().filter_map(MetricDrift::shortfall_max).collect();
        let mean = shortfalls.iter().sum::<f64>() / shortfalls.len().max(1) as f64;
        Self {
            per: (!shortfalls.is_empty()).then_some(mean),
            fds: shortfalls.into_iter().max_by(f64::total_cmp),
        }
    }

    fn against(self, threshold: f64) -> BTreeMap<&'static str, Score> {
        let status = |value: f64| if value > threshold { "exceeded" } else { "ok" };
        let score = |value| Score { value, threshold, status: status(value) };
        let scores = [("per", self.per), ("fds", self.fds)];
        scores.into_iter().filter_map(|(name, value)| Some((name, score(value?)))).collect()
    }
}

impl FeatureDrift {
    fn new(metric: &MetricDrift) -> Self {
        let status = match metric.verdict {
            DriftVerdict::Ok => "stable",
            verdict => verdict.as_str(),
        };
        Self { drift: metric.shortfall_max(), status }
    }
}

impl<'a> MetricEntry<'a> {
    fn new(metric: &'a MetricDrift) -> Self {
        let profiles =
            metric.profiles.iter().map(|profile| (profile.profile.as_str(), ProfileEntry::new(profile)));
        Self {
            verdict: metric.verdict.as_str(),
            coverage: metric.coverage,
            relative_loss: metric.relative_loss,
            horizons: metric.horizons.iter().map(HorizonEntry::new).collect(),
            profiles: profiles.collect(),
        }
    }
}

impl ProfileEntry {
    fn new(profile: &ProfileDrift) -> Self {
        let horizons = profile.horizons.iter().map(HorizonEntry::new).collect();
        Self { verdict: profile.verdict.as_str(), horizons }
    }
}

impl HorizonEntry {
    fn new(horizon: &HorizonDrift) -> Self {
        Self {
            steps: horizon.steps,
            verdict: horizon.verdict.as_str(),
            values: horizon.values,
            expected_coverage: horizon.expected_coverage,
            coverage: horizon.coverage,
            coverage_error: horizon.coverage_error,
            below_p10: horizon.below_p10,
            above_p90: horizon.above_p90,
            pinball_losses: horizon.pinball_losses,
            relative_loss: horizon.relative_loss,
            relative_loss_error: horizon.relative_loss_error,
        }
    }
}

/// The metrics of the method that the verdict is about.
fn leading_metrics(report: &DriftReport) -> &[MetricDrift] {
    report.leading().map_or(&[], |method| &method.metrics)
}

/// Says what is wrong with a metric, horizon by horizon.
fn faults(metric: &MetricDrift) -> impl Iterator<Item = String> {
    let drifting = metric.horizons.iter().filter(|horizon| horizon.verdict == DriftVerdict::Drifting);
    drifting.map(|horizon| {
        let percent = |share: Option<f64>| (share.unwrap_or_default() * 100.0).round();
        format!(
            "{}, {} steps ahead: {} % of values lie within P10-P90, {} % are expected; the loss is {:.2} of that of \
             repeating the newest value",
            metric.metric,
            horizon.steps,
            percent(horizon.coverage),
            percent(Some(horizon.expected_coverage)),
            horizon.relative_loss.unwrap_or_default(),
        )
    })
}
