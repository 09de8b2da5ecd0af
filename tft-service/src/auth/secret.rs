//! Secrets as operators give them: checked, and never shown.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Why a key or another secret is refused. The secret is not repeated.
#[derive(Debug, thiserror::Error)]
#[error("{place} {reason}")]
pub struct SecretError {
    place: String,
    reason: Cow<'static, str>,
}

/// The secret that clients send in `X-API-Key`: 32 to 512 printable ASCII characters.
///
/// White space around it is dropped, so that a key read from a file may end with a line break.
#[derive(Clone)]
pub struct ApiKey(String);

impl SecretError {
    pub(crate) fn new(place: impl Into<String>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { place: place.into(), reason: reason.into() }
    }
}

impl ApiKey {
    /// Fewest characters of a key.
    pub const LENGTH_MIN: usize = 32;
    /// Most characters of a key.
    pub const LENGTH_MAX: usize = 512;

    /// Trims and checks a key; `place` says in an error where it comes from.
    ///
    /// # Errors
    /// [`SecretError`] if it is a placeholder from a guide, too short, too long or has other characters.
    pub fn parse(place: &str, text: &str) -> Result<Self, SecretError> {
        let key = text.trim();
        check_is_no_placeholder(place, key)?;
        let has_length = (Self::LENGTH_MIN..=Self::LENGTH_MAX).contains(&key.len());
        if has_length && key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(key.to_owned()));
        }
        let reason = "must be 32 to 512 printable ASCII characters without spaces: make one with `tft-service gen-key`";
        Err(SecretError::new(place, reason))
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

/// Refuses what guides print in place of a secret, and what one key repeated makes.
///
/// # Errors
/// [`SecretError`] naming the place.
pub(crate) fn check_is_no_placeholder(place: &str, secret: &str) -> Result<(), SecretError> {
    let lower = secret.to_ascii_lowercase().replace('_', "-");
    if PLACEHOLDERS.iter().any(|placeholder| lower.contains(placeholder)) {
        let reason = "is a placeholder that everyone knows: make a key with `tft-service gen-key`";
        return Err(SecretError::new(place, reason));
    }
    let mut bytes = secret.as_bytes().to_vec();
    bytes.sort_unstable();
    bytes.dedup();
    if secret.len() >= ApiKey::LENGTH_MIN && bytes.len() < DISTINCT_MIN {
        let reason = "repeats a few characters: make a key with `tft-service gen-key`";
        return Err(SecretError::new(place, reason));
    }
    Ok(())
}

/// Reads a small text file that holds secrets.
///
/// # Errors
/// [`SecretError`] if it is no regular file, is larger than [`FILE_BYTES_MAX`], is not UTF-8 or cannot be read.
pub(crate) fn read_text(variable: &str, path: &Path) -> Result<String, SecretError> {
    let place = format!("{variable} `{}`", path.display());
    let refused = |error: std::io::Error| SecretError::new(&*place, format!("cannot be read: {error}"));
    // Opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(refused)?.is_file() {
        return Err(SecretError::new(&*place, "is not a regular file"));
    }
    let file = File::open(path).map_err(refused)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(refused)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(SecretError::new(&*place, format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// Most bytes of a file of secrets.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;

/// Fewest different characters of a secret; 32 random hexadecimal digits practically always have ten.
const DISTINCT_MIN: usize = 6;

/// In lower case, with `-` for `_`.
const PLACEHOLDERS: [&str; 15] = [
    "your-secret",
    "your-secure",
    "your-very-long",
    "your-api-key",
    "your-generated",
    "secret-key",
    "random-key",
    "generate-a-strong",
    "key2-another-key",
    "key3-third-key",
    "changeme",
    "change-me",
    "replace-me",
    "placeholder",
    "hardcoded-key",
];

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

    #[test]
    fn surrounding_white_space_is_dropped_and_nothing_is_shown() {
        let key = ApiKey::parse("TFT_API_KEY", &format!(" {KEY}\r\n")).unwrap();
        assert_eq!(key.as_bytes(), KEY.as_bytes());
        assert_eq!(format!("{key:?}"), "ApiKey(…)");
    }

    #[test]
    fn weak_keys_are_refused_without_repeating_them() {
        let long = "k".repeat(513);
        for weak in [
            "short",
            &KEY[1..],
            "has a space in the middle of a long key",
            "clé-clé-clé-clé-clé-clé-clé-clé",
            &long,
        ] {
            let message = ApiKey::parse("TFT_API_KEY", weak).unwrap_err().to_string();
            assert!(message.starts_with("TFT_API_KEY ") && !message.contains(weak), "{message}");
            assert!(message.contains("tft-service gen-key"), "{message}");
        }
    }

    #[test]
    fn the_placeholders_of_guides_are_refused() {
        for known in [
            "your-secret-key-here",
            "generate-a-strong-random-key-here",
            "key1-your-secret-key",
            "your-very-long-random-secret-key-min-32-chars",
            "CHANGEME-CHANGEME-CHANGEME-CHANGEME",
            "your_secret_key_that_is_long_enough_now",
        ] {
            let error = ApiKey::parse("API_KEYS entry 2", known).unwrap_err();
            assert!(error.to_string().contains("is a placeholder that everyone knows"), "{known}: {error}");
        }
        let error = ApiKey::parse("TFT_API_KEY", &"0a".repeat(32)).unwrap_err();
        assert!(error.to_string().contains("repeats"), "{error}");
    }

    #[test]
    fn files_of_secrets_are_regular_small_and_text() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let error = |path: &Path| read_text("TFT_API_KEY_FILE", path).unwrap_err().to_string();
        assert!(error(&path).contains("cannot be read"), "{}", error(&path));
        assert!(error(directory.path()).contains("is not a regular file"));
        std::fs::write(&path, vec![b'a'; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(error(&path).contains("is larger than 1048576 bytes"));
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(error(&path).contains("UTF-8"));
        std::fs::write(&path, KEY).unwrap();
        assert_eq!(read_text("TFT_API_KEY_FILE", &path).unwrap(), KEY);
    }
}
