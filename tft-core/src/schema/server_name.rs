//! The name of a server: a short, safe string that many records share.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind};

/// A server's name: 1 to 100 characters of `[A-Za-z0-9._:-]`; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName(Arc<str>);

#[derive(Debug, thiserror::Error)]
#[error("server name `{name}` must be 1 to {} characters of [A-Za-z0-9._:-]", ServerName::LENGTH_MAX)]
struct ServerNameError {
    name: String,
}

impl ServerName {
    /// Most characters of a server's name.
    pub const LENGTH_MAX: usize = 100;

    /// Checks and wraps a name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is empty, too long or has other characters.
    pub fn new(name: &str) -> Result<Self, Error> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if (1..=Self::LENGTH_MAX).contains(&name.len()) && name.bytes().all(allowed) {
            return Ok(Self(name.into()));
        }
        let name = crate::time::abbreviate(name);
        Err(Error::new(ErrorKind::InvalidInput, ServerNameError { name }))
    }

    /// Returns the number that the original monitoring system told servers apart by: the first 32 bits of
    /// the name's SHA-256, modulo a million.
    ///
    /// Different names may have the same number.
    pub fn legacy_id(&self) -> u32 {
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(self.0.as_bytes()));
        u32::from_be_bytes([a, b, c, d]) % 1_000_000
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for ServerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ServerName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        Self::new(&name)
    }
}

impl From<ServerName> for String {
    fn from(name: ServerName) -> String {
        name.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(ServerName::new("db-7.eu:9100").is_ok());
        for name in ["", "db 7", "db/7", "dé", &"x".repeat(101)] {
            assert!(ServerName::new(name).unwrap_err().is_invalid_input(), "{name}");
        }
    }

    #[test]
    fn legacy_numbers_are_those_of_the_original_system() {
        for (name, id) in [("ppdb001", 215_733), ("ppml0001", 921_211), ("ppweb003", 74_217)] {
            assert_eq!(ServerName::new(name).unwrap().legacy_id(), id, "{name}");
        }
    }
}
