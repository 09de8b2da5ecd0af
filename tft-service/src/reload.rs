//! What can be read anew while the service runs.
//!
//! Each part keeps what it had if the new state cannot be used, and says so.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::audit::Audit;
use crate::clock::Clock;
use crate::tls::Watch;

/// Reads anew what can be changed while the service runs; cheap to clone.
#[derive(Debug, Clone)]
pub struct ReloadHandle {
    audit: Audit,
    certificate: Option<Arc<Mutex<Watch>>>,
    clock: Arc<dyn Clock>,
    /// Between looks at the files.
    interval: Duration,
}

impl ReloadHandle {
    pub(crate) fn new(
        audit: Audit,
        certificate: Option<Watch>,
        clock: Arc<dyn Clock>,
        interval: Duration,
    ) -> Self {
        Self { audit, certificate: certificate.map(|watch| Arc::new(Mutex::new(watch))), clock, interval }
    }

    /// Reads everything anew: opens the audit log's file again, and uses the certificate that is in its files.
    pub fn reload(&self) {
        self.audit.reopen();
        self.look_at_files();
        tracing::info!("reloaded");
    }

    /// Reads anew what has changed on disk, for as long as the future is polled.
    pub(crate) async fn watch_files(&self) {
        if self.certificate.is_none() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(self.interval).await;
            let handle = self.clone();
            // A file system may take its time.
            let _ = tokio::task::spawn_blocking(move || handle.look_at_files()).await;
        }
    }

    fn look_at_files(&self) {
        if let Some(certificate) = &self.certificate {
            let mut watch = certificate.lock().unwrap_or_else(PoisonError::into_inner);
            watch.look(self.clock.now());
        }
    }
}
