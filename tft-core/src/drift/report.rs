//! What is known of how forecasts came true.

use std::sync::Arc;

use super::config::DriftConfig;
use crate::forecast::Method;
use crate::schema::Profile;
use crate::time::Step;

/// How forecasts came true, up to one origin.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DriftReport {
    /// The origin; none before the first.
    pub origin: Option<Step>,
    /// The model's verdict; the fallback's while no forecast of a model has met its value.
    pub verdict: DriftVerdict,
    /// Servers that were forecast.
    pub servers: usize,
    /// Those whose forecasts are remembered: all, or a sample of a large fleet.
    pub servers_tracked: usize,
    /// The name of the model's figures that coverage is compared with; none if it states none.
    pub expectation: Option<String>,
    /// Forecasts that met their value.
    pub values: u64,
    /// Forecasts whose value never came.
    pub values_missing: u64,
    /// Forecasts of a constant that stayed constant; they count for nothing.
    pub values_constant: u64,
    /// Each method with any forecast that met its value, the model first.
    pub methods: Vec<MethodDrift>,
    /// What is tracked, and what counts.
    pub config: Arc<DriftConfig>,
}

/// How the forecasts of one method came true.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MethodDrift {
    /// The method.
    pub method: Method,
    /// Its verdict: drifting if enough of its metrics are.
    pub verdict: DriftVerdict,
    /// Each metric with any forecast that met its value, in schema order.
    pub metrics: Vec<MetricDrift>,
}

/// How the forecasts of one metric came true.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MetricDrift {
    /// The metric's name.
    pub metric: String,
    /// Its verdict: drifting if any horizon is.
    pub verdict: DriftVerdict,
    /// The share of values within P10–P90 over all horizons, 0 to 1; none before the first block is over.
    pub coverage: Option<f64>,
    /// The pinball loss relative to that of repeating the newest value, over all horizons.
    pub relative_loss: Option<f64>,
    /// The configured horizons.
    pub horizons: Vec<HorizonDrift>,
    /// The same of each profile's servers, by name.
    pub profiles: Vec<ProfileDrift>,
}

/// How the forecasts of one metric came true on servers of one profile.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ProfileDrift {
    /// The profile.
    pub profile: Profile,
    /// The verdict: drifting if any horizon is.
    pub verdict: DriftVerdict,
    /// The configured horizons.
    pub horizons: Vec<HorizonDrift>,
}

/// How the forecasts of one metric came true, so many steps ahead.
///
/// # Units
/// Pinball losses are in the metric's unit, shares 0 to 1.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HorizonDrift {
    /// The steps ahead.
    pub steps: usize,
    /// The verdict.
    pub verdict: DriftVerdict,
    /// Values that have come, ever.
    pub values: u64,
    /// The coverage that is expected.
    pub expected_coverage: f64,
    /// The share of values within P10–P90; none before the first block is over, as are the figures below.
    pub coverage: Option<f64>,
    /// Its standard error.
    pub coverage_error: Option<f64>,
    /// The share of values below P10.
    pub below_p10: Option<f64>,
    /// The share of values above P90.
    pub above_p90: Option<f64>,
    /// The mean pinball losses of P10, P50 and P90.
    pub pinball_losses: Option<[f64; 3]>,
    /// The losses' sum relative to that of repeating the newest value; none while that never erred.
    pub relative_loss: Option<f64>,
    /// Its standard error.
    pub relative_loss_error: Option<f64>,
}

/// Whether forecasts come true as they should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DriftVerdict {
    /// Too few values to say.
    Unknown,
    /// No more than coincidence against them.
    Ok,
    /// They do not.
    Drifting,
}

impl DriftVerdict {
    /// Returns the name on the wire: `unknown`, `ok` or `drifting`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Drifting => "drifting",
        }
    }

    /// Returns drifting if any is, else unknown if all are.
    pub(super) fn of(horizons: &[HorizonDrift]) -> Self {
        let any = |verdict| horizons.iter().any(|horizon| horizon.verdict == verdict);
        match (any(Self::Drifting), any(Self::Ok)) {
            (true, _) => Self::Drifting,
            (false, true) => Self::Ok,
            (false, false) => Self::Unknown,
        }
    }
}

impl Default for DriftReport {
    fn default() -> Self {
        Self {
            origin: None,
            verdict: DriftVerdict::Unknown,
            servers: 0,
            servers_tracked: 0,
            expectation: None,
            values: 0,
            values_missing: 0,
            values_constant: 0,
            methods: Vec::new(),
            config: Arc::default(),
        }
    }
}

impl DriftReport {
    /// Returns the figures of the method that [`verdict`](Self::verdict) is about.
    pub fn leading(&self) -> Option<&MethodDrift> {
        self.methods.first()
    }
}

impl MetricDrift {
    /// Returns how far the coverage lies below what is expected, at the worst judged horizon; 0 where it does not.
    pub fn shortfall_max(&self) -> Option<f64> {
        let judged = self.horizons.iter().filter(|horizon| horizon.verdict != DriftVerdict::Unknown);
        let shortfalls = judged.filter_map(|horizon| Some(horizon.expected_coverage - horizon.coverage?));
        shortfalls.map(|shortfall| shortfall.max(0.0)).max_by(f64::total_cmp)
    }
}
