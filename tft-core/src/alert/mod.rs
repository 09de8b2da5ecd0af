//! Alerts: which rules a fleet breaks now or is forecast to break, and since when.
//!
//! Owns the [`Rule`]s, the [`RuleFile`] in which an operator writes them, and the [`AlertEngine`] that keeps one
//! [`Alert`] per server and rule through its life. The [`Notifier`] decides what of that people are told, and when. Reads
//! no clock, sends nothing and writes no log: it takes observations and the time, and returns what changed. Delivery
//! belongs to the application.

mod check;
mod checked;
mod condition;
mod config;
mod engine;
mod file;
mod life;
mod message;
mod notification;
mod notify;
mod observation;
mod preset;
mod reading;
mod roster;
mod rule;
mod selector;
mod severity;
mod state;
mod template;
#[cfg(test)]
mod tests;

pub use condition::Condition;
pub use config::AlertConfig;
pub use engine::AlertEngine;
pub use file::{Policies, Preset, RuleFile};
pub use life::{Alert, AlertState, Transition};
pub(crate) use message::{number, with_unit};
pub use notification::Notification;
pub use notify::{
    Acknowledgement, AlertStatus, DeliveryOutcome, InhibitRule, MatchOp, Matcher, Notifier, NotifierConfig,
    NotifierState, Receiver, Silence, SilenceConfig, SilenceState, Silences,
};
pub use observation::{ObservedHistory, ServerObservation};
pub use rule::{Direction, Rule};
pub use selector::{Selector, ServerLabels};
pub use severity::Severity;
pub use state::{AlertEngineState, Restored};
