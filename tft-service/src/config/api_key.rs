//! The API key: checked text that never shows in a log.

use std::fmt;

use super::ConfigError;

/// The secret that clients send in `X-API-Key`: 16 to 512 printable ASCII characters.
///
/// White space around it is dropped, so that a key read from a file may end with a line break.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// Fewest characters of a key.
    pub const LENGTH_MIN: usize = 16;
    /// Most characters of a key.
    pub const LENGTH_MAX: usize = 512;

    /// Trims and checks a key; text without any characters is no key.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if it is too short, too long or has other characters. The key is not repeated.
    pub fn parse(text: &str) -> Result<Option<Self>, ConfigError> {
        let key = text.trim();
        if key.is_empty() {
            return Ok(None);
        }
        let has_length = (Self::LENGTH_MIN..=Self::LENGTH_MAX).contains(&key.len());
        if has_length && key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Some(Self(key.to_owned())));
        }
        Err(ConfigError::Value {
            key: "TFT_API_KEY",
            value: "…".into(),
            reason: "must be 16 to 512 printable ASCII characters without spaces (`openssl rand -hex 32` makes one)",
        })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surrounding_white_space_is_dropped() {
        let key = ApiKey::parse(" your-secret-key-here\r\n").unwrap().unwrap();
        assert_eq!(key.as_bytes(), b"your-secret-key-here");
        assert_eq!(format!("{key:?}"), "ApiKey(…)");
    }

    #[test]
    fn blank_text_is_no_key_and_weak_keys_are_refused() {
        assert!(ApiKey::parse(" \n").unwrap().is_none());
        for weak in ["short", "fifteen-chars-x", "has a space in the middle", "clé-clé-clé-clé-clé"] {
            let message = ApiKey::parse(weak).unwrap_err().to_string();
            assert!(!message.contains(weak), "{message}");
        }
    }
}
