//! Files of rules, tests and schemas: TOML, or JSON by their extension.

use std::error::Error as StdError;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use tft_core::alert::RuleFile;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{path}` cannot be used")]
pub struct FileError {
    path: PathBuf,
    source: Box<dyn StdError + Send + Sync>,
}

impl FileError {
    pub(crate) fn refused(path: &Path, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { path: path.to_owned(), source: source.into() }
    }
}

/// Reads a rule file; whether its rules fit a schema is another question.
///
/// # Errors
/// [`FileError`] if it cannot be read, is too large, or says what no rule file says.
pub(crate) fn read_rule_file(path: &Path) -> Result<RuleFile, FileError> {
    text_of_kind(path, &read_text(path)?)
}

/// Reads a text of at most [`BYTES_MAX`].
pub(crate) fn read_text(path: &Path) -> Result<String, FileError> {
    let refused = |error: std::io::Error| FileError::refused(path, error);
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(refused)?;
    let read = file.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(refused)?;
    if read as u64 > BYTES_MAX {
        return Err(FileError::refused(path, format!("it has more than {BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// Reads what a text says, as TOML, or as JSON if that is the file's extension.
pub(crate) fn text_of_kind<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, FileError> {
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    if is_json {
        return serde_json::from_str(text).map_err(|error| FileError::refused(path, error));
    }
    // TOML's errors have several lines, the last one the reason.
    toml::from_str(text)
        .map_err(|error: toml::de::Error| FileError::refused(path, error.to_string().trim().to_owned()))
}

/// A thousand rules have about half of it.
const BYTES_MAX: u64 = 1 << 20;
