//! What only the environment holds: other users can see a process's arguments, and files of settings are copied.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::auth::KeySources;

/// The secrets of the environment. An empty variable counts as not set.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Secrets {
    /// `TFT_API_KEY`.
    pub api_key: Option<String>,
    /// `API_KEYS`.
    pub api_keys: Option<String>,
    /// `JWT_SECRET_KEY`.
    pub jwt_secret_key: Option<String>,
    /// `RATE_LIMIT_REDIS_URL`, which may hold a password.
    pub redis_url: Option<String>,
    /// `CREDENTIALS_DIRECTORY`, which systemd sets.
    pub credentials_directory: Option<PathBuf>,
    /// Reads any other variable that the configuration names; none knows none.
    pub variables: Option<fn(&str) -> Option<OsString>>,
}

impl Secrets {
    /// Reads the process's environment.
    pub fn from_env() -> Self {
        let read = |name: &str| std::env::var_os(name);
        Self { variables: Some(read), ..Self::from_variables(read) }
    }

    /// Reads a variable; none if it is not set or blank.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        // Some names have no variable, and make the look-up panic: those with `=` or a zero byte, and the empty one.
        let is_name = !name.is_empty() && !name.contains(['=', '\0']);
        let text = self.variables.filter(|_| is_name).and_then(|read| read(name))?;
        Some(text.to_string_lossy().into_owned()).filter(|text| !text.trim().is_empty())
    }

    /// A secret that is not UTF-8 must be refused rather than count as not set: what it is turned into is no secret.
    fn from_variables(read: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name| {
            let text = read(name).map(|value| value.to_string_lossy().into_owned());
            text.filter(|text| !text.trim().is_empty())
        };
        Self {
            api_key: text("TFT_API_KEY"),
            api_keys: text("API_KEYS"),
            jwt_secret_key: text("JWT_SECRET_KEY"),
            redis_url: text("RATE_LIMIT_REDIS_URL"),
            credentials_directory: read("CREDENTIALS_DIRECTORY")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            variables: None,
        }
    }

    /// Returns where keys come from, without files that settings name.
    pub(crate) fn key_sources(&self) -> KeySources {
        KeySources {
            api_key: self.api_key.clone(),
            api_keys: self.api_keys.clone(),
            credentials_directory: self.credentials_directory.clone(),
            ..KeySources::default()
        }
    }
}

/// Secrets are not shown.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_variables_are_not_set_and_odd_bytes_are_not_lost() {
        use std::os::unix::ffi::OsStringExt;
        let secrets = Secrets::from_variables(|name| match name {
            "TFT_API_KEY" => Some(" \n".into()),
            "API_KEYS" => Some(OsString::from_vec(vec![0xff; 40])),
            "CREDENTIALS_DIRECTORY" => Some("".into()),
            _ => None,
        });
        assert!(secrets.api_key.is_none() && secrets.credentials_directory.is_none());
        assert!(secrets.key_sources().load().is_err());
        assert_eq!(format!("{secrets:?}"), "Secrets(…)");
    }
}
