//! What an administrator changes while the service runs: the model, and which servers are known.
//!
//! Owns the order of things: what is slow, and what may fail, is done on the caller's thread; the inference thread,
//! which alone has the model and the alerts, only takes over the result. All of it blocks, and goes on to its end even
//! if the client that asked for it goes away.

mod models;

use std::collections::BTreeSet;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use tft_core::alert::Policies;
use tft_core::history::{HistoryRemoval, Query};
use tft_core::{Error, Forecaster, ForecasterConfig};

pub(crate) use self::models::{ModelError, ModelName, ModelSource, Models};
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::{self, Facts};
use crate::error::in_one_line;
use crate::explain::Asked;
use crate::history::HistoryHandle;
use crate::state::ServiceState;

/// What the inference thread is told to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Forecast with this from now on, if it can forecast what the window has; otherwise go on as before.
    Use(Box<Forecaster>, SyncSender<Result<Facts, Error>>),
    /// Forget the alerts of a server that was removed, and forecast anew.
    Forget(String, SyncSender<Result<(), Error>>),
    /// Explain a server; no change, but only the inference thread has the model.
    Explain(Asked),
    /// Judge by these rules and tables from now on.
    Judge(Box<Policies>),
}

/// Carries out what administrators ask for.
#[derive(Debug)]
pub(crate) struct Admin {
    state: Arc<ServiceState>,
    clock: Arc<dyn Clock>,
    commands: mpsc::Sender<Command>,
    models: Models,
    history: Option<HistoryHandle>,
    /// Held during a change: each takes a thread, of which there are few, and a model or a window in memory.
    changing: Mutex<Unfinished>,
}

/// The servers that the window has forgotten while a file could not be changed: removing them again is no mistake.
type Unfinished = BTreeSet<String>;

/// What became of a change of models.
#[derive(Debug)]
pub(crate) struct Reloaded {
    pub(crate) source: ModelSource,
    pub(crate) previous_id: String,
    pub(crate) facts: Facts,
}

/// What became of the removal of a server.
#[derive(Debug)]
pub(crate) struct Removed {
    /// Whether neither the window nor the checkpoint, read again, has it, and the state of alerts was saved without it.
    pub(crate) is_confirmed: bool,
    /// Whether the published predictions are without it.
    pub(crate) is_renewed: bool,
    /// Rows of the history that were removed, or changed because they named it.
    pub(crate) history_rows: u64,
    /// Corrupt files that were set aside earlier and may still name it.
    pub(crate) files_set_aside: usize,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("another change is under way")]
    Changing,
    #[error("there is no server `{0}`")]
    UnknownServer(String),
    #[error("the files could not be changed")]
    Store(#[source] Error),
    #[error("the service is stopping")]
    NoAnswer,
}

impl Admin {
    pub(crate) fn new(
        config: &Config,
        state: &Arc<ServiceState>,
        clock: &Arc<dyn Clock>,
        commands: mpsc::Sender<Command>,
    ) -> Self {
        Self {
            state: Arc::clone(state),
            clock: Arc::clone(clock),
            commands,
            models: Models::new(config.model_dir.clone(), config.models_dir.clone()),
            history: None,
            changing: Mutex::default(),
        }
    }

    /// Says what history a server's removal is also from.
    pub(crate) fn with_history(self, history: Option<HistoryHandle>) -> Self {
        Self { history, ..self }
    }

    /// Returns which models there are.
    pub(crate) fn models(&self) -> &Models {
        &self.models
    }

    /// Loads a model, checks it against the window, and forecasts with it from then on.
    ///
    /// # Errors
    /// [`AdminError`]; the service goes on with the model that it has.
    pub(crate) fn reload_model(&self, name: Option<ModelName>) -> Result<Reloaded, AdminError> {
        let _alone = self.alone()?;
        let source = name.map_or(ModelSource::Configured, ModelSource::Named);
        let model = self.models.load(&source)?;
        let forecaster = Forecaster::new(model, ForecasterConfig::default()).map_err(ModelError::Unusable)?;
        engine::check_room(&forecaster, self.state.store().window().config())?;
        let previous_id = self.state.snapshot().view.facts.model_id.clone();
        let used = self.ask(|answer| Command::Use(Box::new(forecaster), answer))?;
        let facts = used.map_err(ModelError::Unusable)?;
        self.models.set_current(source.clone());
        tracing::info!(model = facts.model_id, previous = previous_id, "changed the model");
        Ok(Reloaded { source, previous_id, facts })
    }

    /// Removes a server from the window, its files, the alerts, the predictions and the history, and looks whether it is
    /// gone.
    ///
    /// # Errors
    /// [`AdminError::UnknownServer`], and [`AdminError::Store`] if a file could not be changed: the window has
    /// forgotten the server then, but the files may not have, until it is removed once more.
    pub(crate) fn remove_server(&self, name: &str) -> Result<Removed, AdminError> {
        let mut unfinished = self.alone()?;
        if !self.knows(name) && !unfinished.contains(name) && !self.is_in_history(name) {
            return Err(AdminError::UnknownServer(name.to_owned()));
        }
        unfinished.insert(name.to_owned());
        let removal = self.state.store().remove_server(name, self.clock.now()).map_err(AdminError::Store)?;
        // The inference thread makes no more history of it from there on.
        let renewed =
            self.ask(|answer| Command::Forget(name.to_owned(), answer)).is_ok_and(|done| done.is_ok());
        let history = self.remove_history(name)?;
        unfinished.remove(name);
        let is_confirmed =
            renewed && !self.knows(name) && !self.is_in_checkpoint(name) && !self.is_in_history(name);
        tracing::info!(server = name, is_confirmed, "removed a server");
        Ok(Removed {
            is_confirmed,
            is_renewed: renewed,
            history_rows: history.rows_removed + history.rows_changed,
            files_set_aside: removal.set_aside.len() + history.set_aside.len(),
        })
    }

    /// Removes the files that were set aside, whatever they hold, and returns their names.
    ///
    /// # Errors
    /// [`AdminError::Store`] if one could not be removed; those before it are gone then.
    pub(crate) fn discard_set_aside(&self) -> Result<Vec<String>, AdminError> {
        let _alone = self.alone()?;
        let mut files = self.state.store().discard_set_aside().map_err(AdminError::Store)?;
        if let Some(handle) = &self.history {
            files.extend(handle.history.discard_set_aside().map_err(AdminError::Store)?);
        }
        let names = files.iter().filter_map(|path| path.file_name());
        let names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        tracing::info!(files = names.join(","), "removed the files that were set aside");
        Ok(names)
    }

    fn remove_history(&self, name: &str) -> Result<HistoryRemoval, AdminError> {
        let Some(handle) = &self.history else { return Ok(HistoryRemoval::default()) };
        let removed = handle.remove_server(name).ok_or(AdminError::NoAnswer)?;
        removed.map_err(AdminError::Store)
    }

    /// A server that the window has forgotten may still be in the history; so may one whose history cannot be read.
    fn is_in_history(&self, name: &str) -> bool {
        let query = Query { server: Some(name.to_owned()), limit: 1, ..Query::default() };
        self.history
            .as_ref()
            .is_some_and(|handle| handle.history.alerts(&query).map_or(true, |page| !page.rows.is_empty()))
    }

    fn knows(&self, name: &str) -> bool {
        self.state.store().window().server(name).is_some()
    }

    /// Reads the checkpoint from its file; one that cannot be read may have anything.
    fn is_in_checkpoint(&self, name: &str) -> bool {
        match self.state.store().read_checkpoint() {
            Ok(window) => window.is_some_and(|window| window.server(name).is_some()),
            Err(error) => {
                tracing::error!(error = in_one_line(&error), "the checkpoint could not be read again");
                true
            }
        }
    }

    fn alone(&self) -> Result<MutexGuard<'_, Unfinished>, AdminError> {
        match self.changing.try_lock() {
            Err(TryLockError::WouldBlock) => Err(AdminError::Changing),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Ok(alone) => Ok(alone),
        }
    }

    /// Gives the inference thread something to do and waits until it is done, which takes at most two forecasts.
    fn ask<T>(&self, command: impl FnOnce(SyncSender<T>) -> Command) -> Result<T, AdminError> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.commands.send(command(answer)).map_err(|_| AdminError::NoAnswer)?;
        self.state.wake();
        answered.recv().map_err(|_| AdminError::NoAnswer)
    }
}

impl AdminError {
    /// Returns the error and its causes; administrators may know them.
    pub(crate) fn message(&self) -> String {
        in_one_line(self)
    }
}
