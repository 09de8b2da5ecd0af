//! What can be read anew while the service runs.
//!
//! Each part keeps what it had if the new state cannot be used, and says so.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::audit::Audit;
use crate::auth::KeyRing;
use crate::clock::Clock;
use crate::rules::RuleWatch;
use crate::tls::Watch;

/// Reads anew what can be changed while the service runs; cheap to clone.
#[derive(Debug, Clone)]
pub struct ReloadHandle {
    audit: Audit,
    keys: Arc<KeyRing>,
    /// What the files of keys were like when they were last read.
    keys_seen: Arc<Mutex<Vec<Stamp>>>,
    certificate: Option<Arc<Mutex<Watch>>>,
    rules: Option<Arc<RuleWatch>>,
    clock: Arc<dyn Clock>,
    /// Between looks at the files.
    interval: Duration,
}

/// What tells a file's state from another.
type Stamp = (PathBuf, Option<(SystemTime, u64)>);

impl ReloadHandle {
    pub(crate) fn new(
        audit: Audit,
        keys: Arc<KeyRing>,
        certificate: Option<Watch>,
        clock: Arc<dyn Clock>,
        interval: Duration,
    ) -> Self {
        let keys_seen = Arc::new(Mutex::new(stamps(&keys.files())));
        let certificate = certificate.map(|watch| Arc::new(Mutex::new(watch)));
        Self { audit, keys, keys_seen, certificate, rules: None, clock, interval }
    }

    /// Looks after the rule file too.
    pub(crate) fn with_rules(mut self, rules: Option<RuleWatch>) -> Self {
        self.rules = rules.map(Arc::new);
        self
    }

    /// Reads everything anew: keys and what tokens are verified with, the certificate and the rules; opens the audit
    /// log's file again.
    pub fn reload(&self) {
        self.audit.reopen();
        self.reload_keys();
        self.look_at_certificate();
        self.look_at_rules();
        tracing::info!("reloaded");
    }

    /// Reads anew what has changed on disk, for as long as the future is polled.
    pub(crate) async fn watch_files(&self) {
        loop {
            tokio::time::sleep(self.interval).await;
            let handle = self.clone();
            // A file system may take its time.
            let _ = tokio::task::spawn_blocking(move || handle.look_at_files()).await;
        }
    }

    fn look_at_files(&self) {
        let now = stamps(&self.keys.files());
        let has_changed = {
            let mut seen = self.keys_seen.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *seen, now.clone()) != now
        };
        if has_changed {
            self.reload_keys();
        }
        self.look_at_certificate();
        self.look_at_rules();
    }

    fn look_at_rules(&self) {
        if let Some(rules) = &self.rules {
            rules.look();
        }
    }

    /// Uses the certificate in the files, if it is another one. Waits for the file system.
    pub(crate) fn look_at_certificate(&self) {
        if let Some(certificate) = &self.certificate {
            let mut watch = certificate.lock().unwrap_or_else(PoisonError::into_inner);
            watch.look(self.clock.now());
        }
    }

    fn reload_keys(&self) {
        if let Err(error) = self.keys.reload() {
            tracing::error!(%error, "the keys stay as they were");
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(|path| (path.clone(), stamp(path))).collect()
}
