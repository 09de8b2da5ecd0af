//! Cascades: the same metric out of its usual range on several servers at once.
//!
//! Owns the baseline of each server's metric, the judgement of each step and the events that follow. Compares a
//! server only with itself and counts servers; says nothing about causes. Time is the window's: a step is judged once,
//! when it becomes the origin.
//!
//! # Formulas
//! With `x` the value of a step and `μ`, `σ` the mean and the standard deviation of the steps before it,
//! `z = (x − μ) / max(σ, std_min)`. A server without a value is skipped, and so is one whose step tells maintenance.
//!
//! The baseline forgets exponentially: the newest value weighs `a = max(1/n, 2/(N + 1))` after `n` values, with `N` the
//! [`baseline_steps`](CascadeConfig::baseline_steps), so that `μ ← μ + a·d` and `σ² ← (1 − a)·(σ² + a·d²)` with `d = x − μ`
//! (Finch 2009, "Incremental calculation of weighted mean and variance"). Until `n` reaches `(N + 1)/2` these are the plain
//! mean and population variance; later the mean age of what counts is that of a window of `N` steps.
//!
//! A metric is in a **cascade** in a step in which `|z|` exceeds [`z_min`](CascadeConfig::z_min) on at least
//! [`servers_min`](CascadeConfig::servers_min) servers, and these are at least
//! [`share_medium`](CascadeConfig::share_medium) of the servers with a value. A smaller share is a cascade of severity
//! `low` only if so many servers are no coincidence, because in a large fleet three servers are beyond any threshold at
//! all times: with `k` of `n` servers and the usual share `p` before this step,
//! `exp(−n·(s·ln(s/p) + (1 − s)·ln((1 − s)/(1 − p))))`, `s = k/n`, bounds the probability of `k` or more that are
//! independent (Chernoff; Hoeffding 1963, theorem 1), and must not exceed
//! [`low_chance_max`](CascadeConfig::low_chance_max).
//!
//! The **correlation** of a metric is the intraclass correlation of the servers' `z` (Fisher 1925), which is the mean over all
//! pairs of servers without looking at pairs: `Σₜ((Σz)² − Σz²) / Σₜ((n − 1)·Σz²)`, each step's sums weighing less with
//! its age as a window of 20 steps would have it, `z` limited to ±8 and the result to 0–1. That of the fleet is the mean
//! over metrics.

mod baseline;
mod config;
mod detector;
mod event;
mod report;
mod state;
#[cfg(test)]
mod tests;
mod watch;

pub use config::{CascadeConfig, CascadeMetric};
pub use detector::CascadeDetector;
pub use event::{AffectedServer, CascadeEvent, CascadeSeverity};
pub use report::{CascadeReport, CascadeRisk, FleetCondition, MetricCascade};
pub use state::CascadeState;
