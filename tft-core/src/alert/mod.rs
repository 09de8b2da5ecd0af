//! Alerts: which rules a fleet breaks now or is forecast to break, and since when.
//!
//! Owns the [`Rule`]s and the [`AlertEngine`] that keeps one [`Alert`] per server and rule through its life.
//! Reads no clock, sends nothing and writes no log: it takes observations and the time, and returns what
//! changed. Delivery, grouping and acknowledgement belong to the application.

mod engine;
mod life;
mod message;
mod notification;
mod preset;
mod reading;
mod rule;
#[cfg(test)]
mod tests;

pub use engine::{AlertConfig, AlertEngine, ServerObservation};
pub use life::{Alert, AlertState, Transition};
pub use notification::Notification;
pub use rule::{Band, Direction, Rule, Selector, Severity, Subject};
