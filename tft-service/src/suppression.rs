//! The notifier that threads and requests share, and which alerts it holds back.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tft_core::alert::{AlertStatus, Notifier};

/// A notifier behind a lock, which is held for as long as one call of it takes.
#[derive(Debug)]
pub(crate) struct SharedNotifier {
    notifier: Mutex<Notifier>,
    changed: Condvar,
}

/// Why alerts of a moment are not told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Suppression {
    revision: u64,
    by_fingerprint: BTreeMap<String, AlertStatus>,
}

impl SharedNotifier {
    pub(crate) fn new(notifier: Notifier) -> Self {
        Self { notifier: Mutex::new(notifier), changed: Condvar::new() }
    }

    /// Returns the notifier; for what leaves it as it is, and for who delivers.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Notifier> {
        self.notifier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what there is to tell, and wakes whoever waits for that.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Notifier) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_all();
        changed
    }
}

impl Suppression {
    pub(crate) fn of(notifier: &Notifier) -> Self {
        let all = notifier.suppressed().map(|(fingerprint, status)| (fingerprint.to_owned(), status.clone()));
        Self { revision: notifier.revision(), by_fingerprint: all.collect() }
    }

    /// Returns a number that differs between moments at which other alerts are held back, or for other reasons.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns why an alert is held back; none if it is not.
    pub(crate) fn status(&self, fingerprint: &str) -> Option<&AlertStatus> {
        self.by_fingerprint.get(fingerprint)
    }
}
