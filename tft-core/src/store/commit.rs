//! What of the log is durable: one sync serves all feeds that wait for it.
//!
//! Owns the state of the segment's file towards the disk, under a lock of its own: who appends does not wait
//! for a sync, and who waits for a sync does not keep others from appending.
//!
//! After a failed sync the operating system may have dropped what it could not write and say nothing of it at
//! the next call. A failure is therefore final for the file: nothing more is promised until a checkpoint that
//! holds everything is durable and a new segment has begun.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::log::error::LogError;
use super::storage::{Storage, StorageFile};

/// What of the log is durable.
#[derive(Debug)]
pub(super) struct Commit {
    storage: Arc<dyn Storage>,
    directory: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    file: Arc<dyn StorageFile>,
    /// The file's name is not durable yet.
    is_name_pending: bool,
    /// The newest frame that was appended.
    written: u64,
    /// The newest frame that is durable, with all before it.
    synced: u64,
    is_syncing: bool,
    /// Why nothing may be appended.
    failure: Option<Arc<str>>,
}

impl Commit {
    /// Starts with a file whose name and frames up to `synced` are durable.
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        directory: PathBuf,
        file: Arc<dyn StorageFile>,
        synced: u64,
    ) -> Self {
        let state =
            State { file, is_name_pending: false, written: synced, synced, is_syncing: false, failure: None };
        Self { storage, directory, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Refuses if the log may not be appended to.
    pub(super) fn check(&self) -> Result<(), LogError> {
        match &self.lock().failure {
            Some(reason) => Err(LogError::Suspended { reason: Arc::clone(reason) }),
            None => Ok(()),
        }
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.lock().failure.is_some()
    }

    /// Notes an appended frame.
    pub(super) fn appended(&self, sequence: u64) {
        self.lock().written = sequence;
    }

    /// Lets nothing more be appended, or be told durable that is not yet.
    pub(super) fn suspend(&self, reason: &dyn std::error::Error) {
        let mut state = self.lock();
        state.failure.get_or_insert_with(|| describe(reason));
        self.changed.notify_all();
    }

    /// Goes on with a new segment; everything before it is durable in a checkpoint or the segment before.
    pub(super) fn switch_to(&self, file: Arc<dyn StorageFile>) {
        let mut state = self.lock();
        state.file = file;
        state.is_name_pending = true;
        state.failure = None;
    }

    /// Notes that a durable checkpoint covers the log up to a sequence.
    pub(super) fn covered(&self, sequence: u64) {
        let mut state = self.lock();
        state.synced = state.synced.max(sequence);
        self.changed.notify_all();
    }

    /// Waits until everything that was appended is durable.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        let written = self.lock().written;
        self.wait_for(written)
    }

    /// Waits until a frame and all before it are durable. One of the waiting threads syncs for all of them.
    pub(super) fn wait_for(&self, sequence: u64) -> Result<(), LogError> {
        let mut state = self.lock();
        loop {
            if state.synced >= sequence {
                return Ok(());
            }
            if let Some(reason) = &state.failure {
                return Err(LogError::NotDurable { reason: Arc::clone(reason) });
            }
            state = if state.is_syncing {
                self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.sync_written(state)
            };
        }
    }

    /// Syncs without the lock, so that others can append and begin to wait meanwhile.
    fn sync_written<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        let (file, written, is_name_pending) =
            (Arc::clone(&state.file), state.written, state.is_name_pending);
        state.is_syncing = true;
        drop(state);
        let sync_name = || self.storage.sync_directory(&self.directory);
        let synced = file.sync().and_then(|()| if is_name_pending { sync_name() } else { Ok(()) });
        let mut state = self.lock();
        state.is_syncing = false;
        match synced {
            Ok(()) => {
                state.synced = state.synced.max(written);
                if Arc::ptr_eq(&state.file, &file) {
                    state.is_name_pending = false;
                }
            }
            Err(error) => {
                state.failure.get_or_insert_with(|| describe(&error));
            }
        }
        self.changed.notify_all();
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes an error and its causes in one line.
fn describe(error: &dyn std::error::Error) -> Arc<str> {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ").into()
}
