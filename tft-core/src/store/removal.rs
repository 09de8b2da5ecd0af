//! What becomes of one server's data: handed out, removed from every file, and from those that were set aside.

use std::path::PathBuf;
use std::sync::PoisonError;

use bytes::Bytes;

use super::durable::Store;
use super::export::ServerExport;
use super::log::error::LogError;
use super::open_log::Place;
use super::report::{CheckpointReport, Removal};
use super::storage::directory_of;
use super::{FILE_BYTES_MAX, file, read};
use crate::error::Error;
use crate::time::Timestamp;
use crate::window::RollingWindow;

impl Store {
    /// Removes every trace of a server, known by its whole name, from the window, the checkpoint and the log.
    ///
    /// When this returns, no file that the store reads has its name or a value of it but the
    /// [documents](Self::save_document), which are their writers' business. What was set aside cannot be
    /// changed, may name it, and may be the only copy of what others want to save: it is listed, and
    /// [`discard_set_aside`](Self::discard_set_aside) is for who wants it gone as well. What the file system keeps of
    /// removed files, copies of the checkpoint, and the clones of the window that are still held are the caller's
    /// business. A feed that names the server later makes it known again.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the checkpoint could not be saved or an old file not be
    /// removed: the window has forgotten the server, the files may not have; call it again.
    pub fn remove_server(&self, name: &str, now: Timestamp) -> Result<Removal, Error> {
        let mut was_known = false;
        self.rewrite(now, |window| {
            was_known = window.remove(name);
            true
        })?;
        let Some(place) = &self.place else { return Ok(Removal { was_known, set_aside: Vec::new() }) };
        Ok(Removal { was_known, set_aside: set_aside(place)? })
    }

    /// Removes the files that were set aside, whatever they hold, and returns which: corrupt checkpoints, damaged
    /// segments, and pickles that were taken over (`.pkl.migrated`) or could not be (`.pkl.backup`).
    ///
    /// A damaged segment that no checkpoint has replaced yet is not one of them; [`checkpoint`](Self::checkpoint)
    /// sets it aside. A pickle that was never read is the caller's business.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) naming the file that could not be removed; call it again.
    pub fn discard_set_aside(&self) -> Result<Vec<PathBuf>, Error> {
        let _nothing_is_set_aside = self.checkpointing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = &self.place else { return Ok(Vec::new()) };
        let files = set_aside(place)?;
        for path in &files {
            let removed = place.storage.remove(path);
            removed.map_err(|source| LogError::io(path, "removing it", source))?;
        }
        let synced = place.storage.sync_directory(directory_of(&place.path));
        synced.map_err(|source| LogError::io(&place.path, "syncing its directory", source))?;
        Ok(files)
    }

    /// Changes the window and saves it, so that no file that the store reads is left that was written before.
    pub(super) fn rewrite(
        &self,
        now: Timestamp,
        change: impl FnOnce(&mut RollingWindow) -> bool,
    ) -> Result<Option<CheckpointReport>, Error> {
        let saved = self.checkpoint_after(now, change)?;
        let Some(place) = &self.place else { return Ok(None) };
        let is_left = |error| LogError::io(&place.path, "removing files that were written before", error);
        if saved.as_ref().is_some_and(|saved| saved.segments_left > 0) {
            return Err(is_left(std::io::Error::other("segments of the log are left")).into());
        }
        let _no_checkpoint_is_written = self.checkpointing.lock().unwrap_or_else(PoisonError::into_inner);
        let _no_document_is_written = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        file::sweep(&*place.storage, &place.path).map_err(is_left)?;
        place.storage.sync_directory(directory_of(&place.path)).map_err(is_left)?;
        Ok(saved)
    }

    /// Reads the checkpoint from its file, to look at what it holds now; none if the window is kept nowhere.
    ///
    /// # Errors
    /// As [`load`](super::load).
    pub fn read_checkpoint(&self) -> Result<Option<RollingWindow>, Error> {
        let Some(place) = &self.place else { return Ok(None) };
        let (schema, config) = {
            let window = self.window();
            (window.schema().clone(), window.config().clone())
        };
        let window = RollingWindow::new(schema, config)?;
        let read = file::read(&*place.storage, &place.path, FILE_BYTES_MAX)
            .and_then(|bytes| read::read(Bytes::from(bytes), window, &place.keyring));
        read.map(|(window, _)| Some(window)).map_err(|error| error.at(&place.path))
    }

    /// Returns everything that is kept of a server; none if it is not known.
    pub fn export_server(&self, name: &str) -> Option<ServerExport> {
        let window = self.window().clone();
        window.server(name).map(ServerExport::of)
    }
}

/// Returns the files that were set aside.
fn set_aside(place: &Place) -> Result<Vec<PathBuf>, LogError> {
    let listed = file::set_aside(&*place.storage, &place.path);
    listed.map_err(|source| LogError::io(&place.path, "listing files beside it", source))
}
