//! Alerts: which rules a fleet breaks now or is forecast to break, and since when.
//!
//! Owns the [`Rule`]s and the [`AlertEngine`] that keeps one [`Alert`] per server and rule through its life.
//! The [`Notifier`] decides what of that people are told, and when. Reads no clock, sends nothing and writes no log: it
//! takes observations and the time, and returns what changed. Delivery belongs to the application.

mod engine;
mod life;
mod message;
mod notification;
mod notify;
mod preset;
mod reading;
mod rule;
#[cfg(test)]
mod tests;

pub use engine::{AlertConfig, AlertEngine, ServerObservation};
pub use life::{Alert, AlertState, Transition};
pub use notification::Notification;
pub use notify::{
    Acknowledgement, AlertStatus, DeliveryOutcome, InhibitRule, MatchOp, Matcher, Notifier, NotifierConfig,
    NotifierState, Receiver, Silence, SilenceConfig, SilenceState, Silences,
};
pub use rule::{Band, Direction, Rule, Selector, Severity, Subject};
