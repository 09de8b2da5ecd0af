//! Risk: one number from 0 to 100 that says how badly a server is doing and is about to do.
//!
//! Owns the [`RiskPolicy`] that turns values and forecasts into a [`RiskAssessment`], the one ladder of
//! [`RiskLevel`]s, and the [`FleetPolicy`] that sums a fleet up. Pure functions of their input; what happens
//! over time belongs to `alert`.

mod assess;
mod fleet;
mod level;
mod own_history;
mod policy;
mod probability;
mod summary;
mod threshold;

pub use assess::{RiskAssessment, RiskContribution, RiskInput};
pub use fleet::{BreachRow, FleetInput, FleetMember, FleetPolicy};
pub use level::{RiskLevel, WireLevel};
pub(crate) use own_history::OwnHistory;
pub use policy::{
    ProfileSelector, RiskLevelRow, RiskPoints, RiskPolicy, RiskPolicyConfig, RiskRow, RiskSubject,
};
pub use probability::{BreachQuery, breach_probability};
pub(crate) use probability::{breach_probability_max, share_beyond};
pub use summary::{FleetHealth, FleetSummary, TopRisk};
pub use threshold::{OwnQuantiles, Threshold};
