//! Drift: whether forecasts still come true as often as they say.
//!
//! Owns which forecasts are remembered, how they meet the values that came, and when the difference is more than
//! coincidence. Only forecasts that were really made count, those of the model and those of the fallback apart. Makes no
//! forecasts, and retrains nothing.
//!
//! # What is remembered
//! Of each server and metric one forecast per [horizon](DriftConfig::horizons_steps) at a time: P10, P50, P90 and the newest
//! value when it was made. The next one is taken when the steps of the horizon have passed, so those of one series never
//! overlap; each server has its own phase, by a hash of its name. That is 17 bytes per series and horizon; above
//! [`series_max`](DriftConfig::series_max) series the servers with the smallest hashes are tracked, the same ones on
//! every machine. A forecast whose value never came is dropped and counted, and so is one of a constant (a band
//! without width that was right), which says nothing.
//!
//! # Formulas
//! Figures are weighted sums over **blocks** of as many steps as the horizon has, at least 12: in a block of a long
//! horizon each series counts once. A block's weight falls with its age so that the mean age is that of a plain window of
//! [`window_steps`](DriftConfig::window_steps). With `n` values of a block, `k` of them within P10–P90, `L` the pinball
//! loss summed over the three quantiles and `Q` that of repeating the newest value:
//! - coverage `c = Σwk / Σwn`, relative loss `r = ΣwL / ΣwQ`;
//! - standard errors `√(Σw²(k − cn)²) / Σwn` and `√(Σw²(L − rQ)²) / ΣwQ`, times `√(G/(G − 1))` with `G = (Σw)²/Σw²`
//!   effective blocks (cluster-robust: Liang and Zeger 1986, clusters are blocks), so that a thousand servers that fail
//!   together count as what they are; that of the coverage is at least the binomial one.
//!
//! A horizon is **drifting** if its coverage lies more than
//! [`coverage_tolerance`](DriftConfig::coverage_tolerance) below what is expected, or its relative loss above
//! [`relative_loss_max`](DriftConfig::relative_loss_max), each by [`sigmas`](DriftConfig::sigmas) standard errors; it is
//! unknown with fewer values or blocks than the configured minima. A metric drifts with any of its horizons, a method with
//! a [share](DriftConfig::drifting_share_min) of its metrics. Bands that are too wide raise no alarm by their coverage,
//! which discrete values raise too, but by their loss.
//!
//! Expected is the coverage that the model's description states for the horizon, measured when it was calibrated, else the
//! nominal 0.8. A calibrated forecast of a random walk has a relative loss of 0.63, one no better than the newest value 1.
//! The description's relWQL is relative to another reference, and is not compared.
//!
//! Nothing is kept over a restart: figures begin anew, as they do with another model.

mod cell;
mod config;
mod expectation;
mod report;
#[cfg(test)]
mod tests;
mod track;
mod tracker;

pub use config::DriftConfig;
pub use expectation::CoverageExpectation;
pub use report::{DriftReport, DriftVerdict, HorizonDrift, MethodDrift, MetricDrift, ProfileDrift};
pub use tracker::DriftTracker;
