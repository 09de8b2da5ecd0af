//! What can be read anew while the service runs.
//!
//! Each part keeps what it had if the new state cannot be used, and says so.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::audit::Audit;
use crate::auth::KeyRing;

/// Reads anew what can be changed while the service runs; cheap to clone.
#[derive(Debug, Clone)]
pub struct ReloadHandle {
    audit: Audit,
    keys: Arc<KeyRing>,
}

impl ReloadHandle {
    pub(crate) fn new(audit: Audit, keys: Arc<KeyRing>) -> Self {
        Self { audit, keys }
    }

    /// Reads everything anew: keys and what tokens are verified with; opens the audit log's file again.
    pub fn reload(&self) {
        self.audit.reopen();
        self.reload_keys();
        tracing::info!("reloaded");
    }

    /// Reads anew what has changed on disk, for as long as the future is polled.
    pub(crate) async fn watch_files(&self) {
        let mut seen = stamps(&self.keys.files());
        loop {
            tokio::time::sleep(WATCH_PAUSE).await;
            let now = stamps(&self.keys.files());
            if now != seen {
                self.reload_keys();
                seen = now;
            }
        }
    }

    fn reload_keys(&self) {
        if let Err(error) = self.keys.reload() {
            tracing::error!(%error, "the keys stay as they were");
        }
    }
}

/// Returns what tells a file's state from another.
fn stamps(files: &[PathBuf]) -> Vec<(PathBuf, Option<(SystemTime, u64)>)> {
    let stamp = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(|path| (path.clone(), stamp(path))).collect()
}

/// Between looks at the files.
const WATCH_PAUSE: Duration = Duration::from_secs(2);
