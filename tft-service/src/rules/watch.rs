//! Looking at the rule file from time to time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use tft_core::alert::Policies;
use tft_core::schema::Schema;

use super::file::{FileError, read_text, text_of_kind};
use crate::admin::Command;
use crate::error::in_one_line;
use crate::state::ServiceState;

/// Looks after the rule file: what it says when it changes replaces the rules in force.
#[derive(Debug)]
pub(crate) struct RuleWatch {
    path: PathBuf,
    schema: Schema,
    commands: mpsc::Sender<Command>,
    state: Arc<ServiceState>,
    /// What the file said when it was last looked at, or why it could not be read.
    seen: Mutex<Result<String, String>>,
}

impl RuleWatch {
    /// Begins to look after a file that said `text` when its rules were taken.
    pub(crate) fn new(
        (path, text): (PathBuf, String),
        schema: Schema,
        commands: mpsc::Sender<Command>,
        state: &Arc<ServiceState>,
    ) -> Self {
        Self { path, schema, commands, state: Arc::clone(state), seen: Mutex::new(Ok(text)) }
    }

    /// Reads a file and what it says for a schema.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be used.
    pub(crate) fn open(path: &Path, schema: &Schema) -> Result<(String, Policies), FileError> {
        let text = read_text(path)?;
        let policies = Self::policies(path, &text, schema)?;
        Ok((text, policies))
    }

    /// Looks at the file; rules that have changed go to the inference thread. Each failure is told once, and the rules
    /// stay as they were.
    ///
    /// Waits for the file system.
    pub(crate) fn look(&self) {
        let text = read_text(&self.path).map_err(|error| in_one_line(&error));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == text {
            return;
        }
        seen.clone_from(&text);
        drop(seen);
        let policies = text.and_then(|text| {
            Self::policies(&self.path, &text, &self.schema).map_err(|error| in_one_line(&error))
        });
        match policies {
            Ok(policies) => {
                // A service that is stopping has no use for them.
                let _ = self.commands.send(Command::Judge(Box::new(policies)));
                self.state.wake();
            }
            Err(reason) => tracing::error!(reason, "the rules were not reloaded, the old ones stay in force"),
        }
    }

    fn policies(path: &Path, text: &str, schema: &Schema) -> Result<Policies, FileError> {
        let file: tft_core::alert::RuleFile = text_of_kind(path, text)?;
        file.resolve(schema).map_err(|error| FileError::refused(path, error))
    }
}
