//! The keys that the store's files are encrypted with, read from files.
//!
//! Owns what a build without the feature `encryption` says: it refuses the settings, so that nobody takes plain files
//! for encrypted ones.

#[cfg(feature = "encryption")]
use std::path::Path;

#[cfg(feature = "encryption")]
use tft_core::store::EncryptionKey;
use tft_core::store::StoreConfig;

use super::ConfigError;

/// Reads the key files that are given; an empty value counts as not given.
pub(super) fn set_keys(
    store: &mut StoreConfig,
    key_file: Option<&str>,
    previous_key_file: Option<&str>,
) -> Result<(), ConfigError> {
    let given = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    if let Some(file) = given(key_file) {
        set_key(store, &file)?;
    }
    if let Some(file) = given(previous_key_file) {
        add_previous_key(store, &file)?;
    }
    Ok(())
}

#[cfg(feature = "encryption")]
fn set_key(store: &mut StoreConfig, file: &str) -> Result<(), ConfigError> {
    store.key = Some(read(KEY, file)?);
    Ok(())
}

#[cfg(feature = "encryption")]
fn add_previous_key(store: &mut StoreConfig, file: &str) -> Result<(), ConfigError> {
    store.previous_keys.push(read(PREVIOUS_KEY, file)?);
    Ok(())
}

#[cfg(feature = "encryption")]
fn read(key: &'static str, file: &str) -> Result<EncryptionKey, ConfigError> {
    EncryptionKey::from_file(Path::new(file)).map_err(|source| ConfigError::KeyFile { key, source })
}

#[cfg(not(feature = "encryption"))]
fn set_key(_: &mut StoreConfig, _: &str) -> Result<(), ConfigError> {
    Err(ConfigError::NoEncryption { key: KEY })
}

#[cfg(not(feature = "encryption"))]
fn add_previous_key(_: &mut StoreConfig, _: &str) -> Result<(), ConfigError> {
    Err(ConfigError::NoEncryption { key: PREVIOUS_KEY })
}

const KEY: &str = "TFT_ENCRYPTION_KEY_FILE";
const PREVIOUS_KEY: &str = "TFT_ENCRYPTION_PREVIOUS_KEY_FILE";

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "encryption"))]
    #[test]
    fn a_build_without_encryption_refuses_a_key() {
        let mut store = StoreConfig::default();
        let mut message = |key, previous| set_keys(&mut store, key, previous).unwrap_err().to_string();
        insta::assert_snapshot!(message(Some("key"), None), @"TFT_ENCRYPTION_KEY_FILE is set, and this build cannot encrypt: it lacks the feature `encryption`");
        insta::assert_snapshot!(message(None, Some("key")), @"TFT_ENCRYPTION_PREVIOUS_KEY_FILE is set, and this build cannot encrypt: it lacks the feature `encryption`");
        set_keys(&mut store, Some(" "), None).unwrap();
    }

    #[cfg(feature = "encryption")]
    #[test]
    fn keys_are_read_from_their_files() {
        let mut store = StoreConfig::default();
        let error = set_keys(&mut store, Some("/does/not/exist"), None).unwrap_err();
        insta::assert_snapshot!(error, @"TFT_ENCRYPTION_KEY_FILE cannot be used");
        set_keys(&mut store, Some(" "), None).unwrap();
        assert!(store.key.is_none());
        let (file, previous) =
            (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
        std::fs::write(file.path(), [1; 32]).unwrap();
        std::fs::write(previous.path(), "02".repeat(32)).unwrap();
        set_keys(&mut store, file.path().to_str(), previous.path().to_str()).unwrap();
        assert_eq!(store.key, Some(EncryptionKey::new([1; 32])));
        assert_eq!(store.previous_keys, [EncryptionKey::new([2; 32])]);
    }
}
