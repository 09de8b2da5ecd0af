//! Looking at the files from time to time, and saying what came of it.

use std::sync::Arc;

use tft_core::time::Timestamp;

use super::identity::{Identity, Reload};
use super::status::Health;
use crate::error::in_one_line;

/// Looks after a certificate: reloads it when its files change and warns before it ends.
#[derive(Debug)]
pub(crate) struct Watch {
    identity: Arc<Identity>,
    renewal_days_before: u32,
    /// What was wrong at the last look, so that it is told once.
    failure: Option<String>,
    /// When a warning was last due.
    warned_at: Option<Timestamp>,
}

impl Watch {
    /// Begins to look after a certificate, and warns if it is about to end.
    pub(crate) fn new(identity: Arc<Identity>, renewal_days_before: u32, now: Timestamp) -> Self {
        let mut watch = Self { identity, renewal_days_before, failure: None, warned_at: None };
        watch.warn_of_the_end(now);
        watch
    }

    /// Looks at the files once; what has changed is used and told.
    ///
    /// Waits for the file system.
    pub(crate) fn look(&mut self, now: Timestamp) {
        match self.identity.reload() {
            Ok(Reload::Unchanged) => self.failure = None,
            Ok(Reload::Replaced) => {
                self.failure = None;
                self.warned_at = None;
                let chain = self.identity.chain();
                let not_after = chain.first().map(|leaf| leaf.not_after.to_string()).unwrap_or_default();
                tracing::info!(not_after, "new connections see the new certificate");
            }
            Err(error) => self.tell(in_one_line(&error)),
        }
        self.warn_of_the_end(now);
    }

    fn tell(&mut self, failure: String) {
        if self.failure.as_ref() != Some(&failure) {
            tracing::error!(reason = failure, "the certificate was not reloaded, the old one stays in use");
            self.failure = Some(failure);
        }
    }

    fn warn_of_the_end(&mut self, now: Timestamp) {
        let is_due =
            self.warned_at.is_none_or(|at| now.as_millis().abs_diff(at.as_millis()) >= WARN_EVERY_MS);
        if !is_due {
            return;
        }
        self.warned_at = Some(now);
        let chain = self.identity.chain();
        let Some(worst) = chain.iter().min_by_key(|certificate| certificate.not_after) else { return };
        let (subject, not_after, days_left) = (&worst.subject, worst.not_after, worst.days_left(now));
        if let Some(early) = chain.iter().find(|certificate| now < certificate.not_before) {
            tracing::error!(subject = early.subject, not_before = %early.not_before, "a certificate is not valid yet, clients will refuse it");
        }
        match Health::of(&chain, now, self.renewal_days_before) {
            Health::Good => {}
            _ if now > not_after => {
                tracing::error!(subject, %not_after, "a certificate has EXPIRED, clients will refuse it");
            }
            _ => tracing::warn!(subject, %not_after, days_left, "a certificate should be renewed"),
        }
    }
}

const WARN_EVERY_MS: u64 = 86_400_000;
