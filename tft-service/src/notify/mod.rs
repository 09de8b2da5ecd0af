//! Tells people and other systems of alerts.
//!
//! Owns receivers and how they are reached: one file per kind of channel in `channel`, a client of HTTP that verifies
//! whom it talks to, a bounded queue and a worker per receiver, retries, and what is counted about them. What is told
//! when and to whom, by groups, silences and repetition, is `tft_core::alert`'s.
//!
//! Deliveries have a thread and a runtime of their own: looking up a name may block a thread for long, and feeds must
//! not wait for that.

mod channel;
mod config;
mod deliveries;
mod failure;
mod http_client;
mod message;
mod planned;
mod queue;
mod receiver;
mod retry;
mod secret;
mod tally;
#[cfg(test)]
mod tests;
mod trial;
mod worker;

pub use self::config::{NotifyConfig, NotifyConfigError};
pub(crate) use self::deliveries::Deliveries;
pub(crate) use self::planned::Planned;
pub(crate) use self::trial::{Trial, try_receivers};
