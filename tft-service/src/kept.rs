//! What is kept beside the window of alerts, and of what was told of them: a restart repeats nothing and forgets no
//! silence.
//!
//! Owns which documents there are, and when they are read and written; what they say is `tft_core::alert`'s.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tft_core::Error;
use tft_core::alert::{AlertEngineState, Notifier, NotifierConfig, NotifierState};
use tft_core::store::Store;
use tft_core::time::Timestamp;

use crate::engine::Engine;
use crate::error::{ServiceError, in_one_line};

/// A document beside the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Document {
    /// Every alert that is not over.
    Alerts,
    /// Silences, acknowledgements, and who was told what.
    Notifier,
}

/// Which documents are on the disk.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    digests: Mutex<HashMap<Document, [u8; 32]>>,
}

impl Document {
    const fn name(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Notifier => "notifier",
        }
    }
}

impl Kept {
    /// Saves a document, unless it is on the disk already. `content` is asked while others wait, so that what is saved
    /// last is what was true last.
    ///
    /// # Errors
    /// That of the content, and those of [`Store::save_document`]; the document before is kept then.
    pub(crate) fn save(
        &self,
        store: &Store,
        document: Document,
        content: impl FnOnce() -> Result<Vec<u8>, Error>,
    ) -> Result<(), Error> {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let content = content()?;
        let digest = Sha256::digest(&content).into();
        if digests.get(&document) != Some(&digest) {
            store.save_document(document.name(), &content)?;
            digests.insert(document, digest);
        }
        Ok(())
    }
}

/// Goes on with the alerts that are kept, if there are any; those of servers that the window does not have are dropped.
///
/// # Errors
/// [`ServiceError::Persistence`] if the file cannot be read. What is damaged is moved aside, and alerts begin anew.
pub(crate) fn restore_alerts(store: &Store, engine: &mut Engine, now: Timestamp) -> Result<(), ServiceError> {
    let Some(content) = load(store, Document::Alerts, now)? else { return Ok(()) };
    let window = store.window().clone();
    let restored = AlertEngineState::from_json(&content).and_then(|state| engine.restore(state, &window));
    match restored {
        Ok(restored) => {
            let (alerts, dropped_rules) = (restored.alerts, restored.dropped_rules);
            let (dropped_servers, dropped_excess) = (restored.dropped_servers, restored.dropped_excess);
            tracing::info!(alerts, dropped_rules, dropped_servers, dropped_excess, "alerts go on");
            Ok(())
        }
        Err(error) => set_aside(store, Document::Alerts, now, &error),
    }
}

/// Builds the notifier, with the silences, acknowledgements and notifications that are kept.
///
/// # Errors
/// [`ServiceError::Model`] for a configuration that cannot be, and as [`restore_alerts`].
pub(crate) fn restore_notifier(
    store: &Store,
    config: NotifierConfig,
    now: Timestamp,
) -> Result<Notifier, ServiceError> {
    let empty = Notifier::new(config.clone())?;
    let Some(content) = load(store, Document::Notifier, now)? else { return Ok(empty) };
    let restored = NotifierState::from_json(&content).and_then(|state| Notifier::restore(config, state, now));
    match restored {
        Ok(notifier) => Ok(notifier),
        Err(error) => set_aside(store, Document::Notifier, now, &error).map(|()| empty),
    }
}

fn load(store: &Store, document: Document, now: Timestamp) -> Result<Option<Vec<u8>>, ServiceError> {
    match store.load_document(document.name(), now) {
        Err(error) if error.is_corrupt() => {
            tracing::error!(error = in_one_line(&error), "a damaged file was moved aside");
            Ok(None)
        }
        loaded => loaded.map_err(|error| unusable(store, error)),
    }
}

/// Lets nothing be written over what could not be read.
fn set_aside(store: &Store, document: Document, now: Timestamp, error: &Error) -> Result<(), ServiceError> {
    let moved = store.set_document_aside(document.name(), now).map_err(|error| unusable(store, error))?;
    let moved_to = moved.unwrap_or_default();
    tracing::error!(error = in_one_line(error), moved_to = %moved_to.display(), "a file cannot be used and was moved aside");
    Ok(())
}

fn unusable(store: &Store, source: Error) -> ServiceError {
    let path = store.path().unwrap_or("memory".as_ref()).to_owned();
    ServiceError::Persistence { path, source: source.into() }
}

#[cfg(test)]
mod tests {
    use tft_core::WindowConfig;
    use tft_core::schema::Schema;
    use tft_core::store::StoreConfig;
    use tft_core::window::RollingWindow;

    use super::*;

    #[test]
    fn what_cannot_be_used_is_moved_aside_and_what_is_unchanged_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("window.parquet");
        let now = Timestamp::from_millis(1_767_614_400_000);
        let window = RollingWindow::new(Schema::server_metrics(), WindowConfig::default()).unwrap();
        let (store, _) = Store::open(&path, window, StoreConfig::default(), now).unwrap();
        let kept = Kept::default();
        let save = |content: &[u8]| kept.save(&store, Document::Notifier, || Ok(content.to_vec()));
        save(b"{}").unwrap();
        let file = directory.path().join("window.parquet.doc-notifier");
        std::fs::remove_file(&file).unwrap();
        save(b"{}").unwrap();
        assert!(!file.exists());
        save(b"[]").unwrap();
        assert!(file.exists());
        assert!(restore_notifier(&store, NotifierConfig::default(), now).is_ok());
        assert!(!file.exists());
        assert!(directory.path().join("window.parquet.doc-notifier.corrupt-20260105T120000Z").exists());
    }
}
