//! Which models there are, and which is used.
//!
//! A client names a directory within the one that the operator configured; it can name no other place.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tft_core::{Error, Model};

/// Which models there are, and which is used.
#[derive(Debug)]
pub(crate) struct Models {
    /// What the service started with; none is the built-in model.
    configured: Option<PathBuf>,
    /// Holds one directory per model that can be changed to.
    directory: Option<PathBuf>,
    current: Mutex<ModelSource>,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModelSource {
    /// What the service started with.
    Configured,
    /// A directory among the models.
    Named(ModelName),
}

/// The name of a directory: 1 to 100 characters of `[A-Za-z0-9._-]`, not beginning with a dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ModelName(String);

/// Why a model is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelError {
    #[error("there is no model `{0}`")]
    Unknown(String),
    #[error("the model cannot be used")]
    Unusable(#[source] Error),
    #[error(
        "the model reads {needed_steps} steps of history and the window keeps {kept_steps}: start the service with it"
    )]
    NoRoom { needed_steps: usize, kept_steps: usize },
    #[error("the models' directory cannot be read")]
    Unreadable(#[source] std::io::Error),
}

impl Models {
    /// Most models that are listed.
    pub(crate) const LISTED_MAX: usize = 1000;

    pub(super) fn new(configured: Option<PathBuf>, directory: Option<PathBuf>) -> Self {
        Self { configured, directory, current: Mutex::new(ModelSource::Configured) }
    }

    /// Returns where the model that is used comes from.
    pub(crate) fn current(&self) -> ModelSource {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_current(&self, source: ModelSource) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = source;
    }

    /// Returns the names of the models that can be changed to, sorted, at most [`LISTED_MAX`](Self::LISTED_MAX).
    ///
    /// # Errors
    /// [`ModelError::Unreadable`].
    pub(crate) fn names(&self) -> Result<Vec<ModelName>, ModelError> {
        let Some(directory) = &self.directory else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(ModelError::Unreadable)? {
            let name = entry.map_err(ModelError::Unreadable)?.file_name();
            let name = name.to_str().and_then(ModelName::new);
            let is_model = |name: &ModelName| {
                self.find(name).is_ok_and(|found| found.join(Model::WEIGHTS_FILE).is_file())
            };
            names.extend(name.filter(is_model));
        }
        names.sort_unstable();
        names.truncate(Self::LISTED_MAX);
        Ok(names)
    }

    /// Loads a model.
    ///
    /// # Errors
    /// [`ModelError::Unknown`] if it is not among the models, [`ModelError::Unusable`].
    pub(super) fn load(&self, source: &ModelSource) -> Result<Model, ModelError> {
        let loaded = match source {
            ModelSource::Configured => self.configured.as_ref().map_or_else(Model::built_in, Model::from_dir),
            ModelSource::Named(name) => Model::from_dir(self.find(name)?),
        };
        loaded.map_err(ModelError::Unusable)
    }

    /// Finds a model's directory; a link that leads out of the models' directory is none.
    fn find(&self, name: &ModelName) -> Result<PathBuf, ModelError> {
        let unknown = || ModelError::Unknown(name.0.clone());
        let directory = self.directory.as_ref().ok_or_else(unknown)?;
        let directory = directory.canonicalize().map_err(ModelError::Unreadable)?;
        let found = directory.join(&name.0).canonicalize().map_err(|_| unknown())?;
        let is_within = found.parent() == Some(&*directory) && found.is_dir();
        if is_within { Ok(found) } else { Err(unknown()) }
    }
}

impl ModelName {
    const LENGTH_MAX: usize = 100;

    /// Checks a name.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_name = (1..=Self::LENGTH_MAX).contains(&text.len())
            && !text.starts_with('.')
            && text.bytes().all(allowed);
        is_name.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path() {
        for name in ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "a\0b", "a b", "ä", &"x".repeat(101)] {
            assert_eq!(ModelName::new(name), None, "{name}");
        }
        assert!(ModelName::new("2026-01_v1.2").is_some());
    }

    #[test]
    fn only_directories_within_are_models() {
        let (models, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for directory in [models.path().join("good"), elsewhere.path().join("other")] {
            std::fs::create_dir(&directory).unwrap();
            std::fs::write(directory.join(Model::WEIGHTS_FILE), "").unwrap();
        }
        std::fs::create_dir(models.path().join("empty")).unwrap();
        std::fs::write(models.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("other"), models.path().join("link")).unwrap();
        let models = Models::new(None, Some(models.path().to_owned()));
        let find = |name: &str| models.find(&ModelName::new(name).unwrap());
        assert!(find("good").is_ok());
        let listed: Vec<_> = models.names().unwrap().into_iter().map(|name| name.0).collect();
        assert_eq!(listed, ["good"]);
        for unknown in ["file", "link", "missing"] {
            assert!(matches!(find(unknown), Err(ModelError::Unknown(_))), "{unknown}");
        }
        assert!(matches!(
            Models::new(None, None).find(&ModelName("good".into())),
            Err(ModelError::Unknown(_))
        ));
    }
}
