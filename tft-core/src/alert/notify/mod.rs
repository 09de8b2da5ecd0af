//! What people are told of alerts, and when: silences, inhibition, acknowledgement, grouping and repetition.
//!
//! Owns the [`Notifier`] and what it decides by. Pure: time comes in, and messages go out as data; sending them, and
//! trying again, is the application's business.

mod acknowledgement;
mod audience;
mod config;
mod error;
mod group;
mod inhibit;
mod matcher;
mod matcher_text;
mod notifier;
mod receiver;
mod silence;
mod silences;
mod state;
#[cfg(test)]
mod tests;

pub use acknowledgement::Acknowledgement;
pub use config::NotifierConfig;
pub use inhibit::InhibitRule;
pub use matcher::{MatchOp, Matcher};
pub use notifier::{AlertStatus, DeliveryOutcome, Notifier};
pub use receiver::Receiver;
pub use silence::{Silence, SilenceState};
pub use silences::{SilenceConfig, Silences};
pub use state::NotifierState;
