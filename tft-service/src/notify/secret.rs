//! Values that are secrets: never shown, and wiped from no log because they never get there.

use std::fmt;
use std::path::Path;

use crate::auth::read_text;

/// A secret text.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

/// Reads a variable of the environment; none if it is not set or blank.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where the value of one setting comes from: at most one of the three.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    /// The value itself, where it is no secret.
    pub(crate) text: Option<String>,
    /// The name of a variable that has it.
    pub(crate) variable: Option<String>,
    /// The path of a file that has it.
    pub(crate) file: Option<String>,
}

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Source {
    /// Reads the value; none if no source is named.
    ///
    /// # Errors
    /// What is wrong with the sources of the setting `name`; the value is not repeated.
    pub(crate) fn read(&self, name: &str, environment: Environment<'_>) -> Result<Option<Secret>, String> {
        let value = match (&self.text, &self.variable, &self.file) {
            (None, None, None) => return Ok(None),
            (Some(text), None, None) => text.clone(),
            (None, Some(variable), None) => environment(variable)
                .ok_or_else(|| format!("`{name}_env`: the variable {variable} is not set"))?,
            (None, None, Some(file)) => {
                read_text(&format!("`{name}_file`"), Path::new(file)).map_err(|error| error.to_string())?
            }
            _ => {
                return Err(format!(
                    "`{name}` is given in more than one way: with, without `_env` or `_file`"
                ));
            }
        };
        let value = value.trim();
        if value.is_empty() {
            return Err(format!("`{name}` is empty"));
        }
        if value.len() > SECRET_BYTES_MAX || value.chars().any(char::is_control) {
            return Err(format!(
                "`{name}` is longer than {SECRET_BYTES_MAX} bytes, or has more than one line"
            ));
        }
        Ok(Some(Secret::new(value)))
    }

    /// Reads a value that must be there.
    ///
    /// # Errors
    /// As [`read`](Self::read), and if no source is named.
    pub(crate) fn require(&self, name: &str, environment: Environment<'_>) -> Result<Secret, String> {
        let none = || format!("`{name}_env` or `{name}_file` is missing");
        self.read(name, environment)?.ok_or_else(none)
    }
}

/// Replaces what is secret in a text from the other side, and everything that is not for one line of a log.
pub(crate) fn redacted<'a>(text: &str, secrets: impl Iterator<Item = &'a str>) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    for secret in secrets.filter(|secret| !secret.is_empty()) {
        line = line.replace(secret, "…");
    }
    let line = line.trim();
    match line.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// Most bytes of a secret.
const SECRET_BYTES_MAX: usize = 4096;

/// Most characters of what another side says in a log or a report.
const EXCERPT_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        (name == "HOOK").then(|| " https://host/token\n".to_owned())
    }

    #[test]
    fn a_value_comes_from_one_place() {
        let source = |text: &str, variable: &str, file: &str| {
            let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            Source { text: given(text), variable: given(variable), file: given(file) }
        };
        let read = |source: Source| source.read("url", &environment);
        assert_eq!(read(source("", "HOOK", "")).unwrap().unwrap().expose(), "https://host/token");
        assert_eq!(read(source("a", "", "")).unwrap().unwrap().expose(), "a");
        assert_eq!(read(source("", "", "")).unwrap(), None);
        assert_eq!(
            source("", "", "").require("url", &environment).unwrap_err(),
            "`url_env` or `url_file` is missing"
        );
        assert!(read(source("a", "HOOK", "")).unwrap_err().contains("more than one way"));
        assert_eq!(read(source("", "NONE", "")).unwrap_err(), "`url_env`: the variable NONE is not set");
        assert!(read(source("", "", "/no/such/file")).unwrap_err().contains("cannot be read"));
        assert!(read(source(" ", "", "")).unwrap_err().contains("is empty"));
        assert!(read(source("a\nb", "", "")).unwrap_err().contains("more than one line"));
        assert_eq!(format!("{:?}", Secret::new("hidden")), "Secret(…)");
    }

    #[test]
    fn what_the_other_side_says_is_one_short_line_without_secrets() {
        let said = redacted("Cannot POST /services/TOKEN123\r\n<b>", ["TOKEN123"].into_iter());
        assert_eq!(said, "Cannot POST /services/…  <b>");
        assert_eq!(redacted(&"ä".repeat(500), std::iter::empty()).chars().count(), EXCERPT_CHARS_MAX + 1);
    }
}
