//! Where keys come from: variables, the files that variables name, and systemd's credentials.
//!
//! | source | holds |
//! |---|---|
//! | `TFT_API_KEY` | one key |
//! | `TFT_API_KEY_FILE` | a file with one key |
//! | `API_KEYS` | entries separated by commas |
//! | `API_KEYS_FILE` | a file with an entry per line; lines that begin with `#` are comments |
//! | `$CREDENTIALS_DIRECTORY/tft_api_key`, `…/api_keys` | the same as the two files |
//!
//! An entry is `secret`, `id:secret`, `id:secret:scopes` or `id:secret:scopes:tier`. Scopes are `read`, `write`,
//! `admin` or `*`, joined by `+`; none means all. A secret within an entry has no `:`, and none in `API_KEYS` a `,`.

use std::fmt;
use std::path::{Path, PathBuf};

use super::key_set::{Key, KeySet};
use super::scope::Scopes;
use super::secret::{ApiKey, SecretError, read_text};

/// Where keys come from. What is named here is read again by a reload.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeySources {
    /// The text of `TFT_API_KEY`.
    pub api_key: Option<String>,
    /// The text of `API_KEYS`.
    pub api_keys: Option<String>,
    /// The file that `TFT_API_KEY_FILE` names.
    pub api_key_file: Option<PathBuf>,
    /// The file that `API_KEYS_FILE` names.
    pub api_keys_file: Option<PathBuf>,
    /// systemd's `CREDENTIALS_DIRECTORY`; files that are not there are not missed.
    pub credentials_directory: Option<PathBuf>,
}

/// The keys of all sources.
#[derive(Debug, Clone, Default)]
pub(crate) struct LoadedKeys {
    pub(crate) keys: KeySet,
    /// How many keys each source holds.
    pub(crate) counts: Vec<(String, usize)>,
}

impl KeySources {
    /// Reads all sources.
    ///
    /// # Errors
    /// [`SecretError`] naming the source, and the entry or line, that cannot be used: nothing is left out.
    pub(crate) fn load(&self) -> Result<LoadedKeys, SecretError> {
        both_are_given("TFT_API_KEY", self.api_key.is_some(), self.api_key_file.is_some())?;
        both_are_given("API_KEYS", self.api_keys.is_some(), self.api_keys_file.is_some())?;
        let mut loaded = LoadedKeys::default();
        if let Some(text) = &self.api_key {
            loaded.add_key("TFT_API_KEY", text)?;
        }
        if let Some(text) = &self.api_keys {
            loaded.add_list(text)?;
        }
        if let Some(path) = &self.api_key_file {
            loaded.add_key_file("TFT_API_KEY_FILE", path)?;
        }
        if let Some(path) = &self.api_keys_file {
            loaded.add_entries_file("API_KEYS_FILE", path)?;
        }
        if let Some(path) = self.credential("tft_api_key") {
            loaded.add_key_file("credential", &path)?;
        }
        if let Some(path) = self.credential("api_keys") {
            loaded.add_entries_file("credential", &path)?;
        }
        Ok(loaded)
    }

    /// Returns whether no source is given. Each that is given holds a key, or is an error.
    pub fn is_empty(&self) -> bool {
        self.api_key.is_none() && self.api_keys.is_none() && self.files().is_empty()
    }

    /// Returns the files that a reload reads.
    pub fn files(&self) -> Vec<PathBuf> {
        let named = [self.api_key_file.clone(), self.api_keys_file.clone()];
        let credentials = [self.credential("tft_api_key"), self.credential("api_keys")];
        named.into_iter().chain(credentials).flatten().collect()
    }

    fn credential(&self, name: &str) -> Option<PathBuf> {
        credential(self.credentials_directory.as_deref(), name)
    }
}

/// Secrets are not shown.
impl fmt::Debug for KeySources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |text: &Option<String>| text.as_ref().map(|_| "…");
        f.debug_struct("KeySources")
            .field("api_key", &hidden(&self.api_key))
            .field("api_keys", &hidden(&self.api_keys))
            .field("api_key_file", &self.api_key_file)
            .field("api_keys_file", &self.api_keys_file)
            .field("credentials_directory", &self.credentials_directory)
            .finish()
    }
}

impl LoadedKeys {
    fn add_key(&mut self, place: &str, text: &str) -> Result<(), SecretError> {
        self.keys.add(place, Key::new(&ApiKey::parse(place, text)?))?;
        self.counts.push((place.to_owned(), 1));
        Ok(())
    }

    fn add_key_file(&mut self, variable: &str, path: &Path) -> Result<(), SecretError> {
        let text = read_text(variable, path)?;
        self.add_key(&format!("{variable} `{}`", path.display()), &text)
    }

    fn add_list(&mut self, text: &str) -> Result<(), SecretError> {
        let entries = text.split(',').map(str::trim).enumerate().filter(|(_, entry)| !entry.is_empty());
        let named = entries.map(|(index, entry)| (format!("API_KEYS entry {}", index + 1), entry));
        self.add_entries("API_KEYS", named)
    }

    fn add_entries_file(&mut self, variable: &str, path: &Path) -> Result<(), SecretError> {
        let text = read_text(variable, path)?;
        let place = format!("{variable} `{}`", path.display());
        let lines = text.lines().map(str::trim).enumerate();
        let entries = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        self.add_entries(&place, entries.map(|(index, line)| (format!("{place} line {}", index + 1), line)))
    }

    fn add_entries<'a>(
        &mut self,
        source: &str,
        entries: impl Iterator<Item = (String, &'a str)>,
    ) -> Result<(), SecretError> {
        let mut count = 0;
        for (place, entry) in entries {
            self.keys.add(&place, parse_entry(&place, entry)?)?;
            count += 1;
        }
        if count == 0 {
            return Err(SecretError::new(source, "holds no key"));
        }
        self.counts.push((source.to_owned(), count));
        Ok(())
    }
}

/// Returns the path of a credential that systemd provides.
pub(crate) fn credential(directory: Option<&Path>, name: &str) -> Option<PathBuf> {
    directory.map(|directory| directory.join(name)).filter(|path| path.exists())
}

/// Refuses a secret that is given as text and as a file: which of them counts would be a guess.
pub(crate) fn both_are_given(variable: &str, is_text: bool, is_file: bool) -> Result<(), SecretError> {
    let reason = format!("and {variable}_FILE are both given: give one of them");
    if is_text && is_file { Err(SecretError::new(variable, reason)) } else { Ok(()) }
}

fn parse_entry(place: &str, entry: &str) -> Result<Key, SecretError> {
    let mut fields = entry.split(':').map(str::trim);
    let (first, second) = (fields.next().unwrap_or_default(), fields.next());
    let (scopes, tier) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    if fields.next().is_some() {
        return Err(SecretError::new(place, "has more fields than `id:secret:scopes:tier`"));
    }
    let Some(secret) = second else { return Ok(Key::new(&ApiKey::parse(place, first)?)) };
    // The secret is checked first: what should be an id may be a key in the wrong place, which no error shows.
    let key = Key::new(&ApiKey::parse(place, secret)?);
    let tier = if tier.is_empty() { None } else { Some(parse_name(place, "tier", tier)?.into()) };
    Ok(Key { id: parse_name(place, "id", first)?.into(), scopes: parse_scopes(place, scopes)?, tier, ..key })
}

fn parse_scopes(place: &str, text: &str) -> Result<Scopes, SecretError> {
    if text.is_empty() {
        return Ok(Scopes::ALL);
    }
    let reason = "has scopes other than `read`, `write`, `admin` and `*`, joined by `+`";
    Scopes::of_names(text.split('+').map(str::trim)).ok_or_else(|| SecretError::new(place, reason))
}

/// Checks the name of a key or a tier: `none` and `invalid` mean something else in the audit log.
fn parse_name<'a>(place: &str, what: &str, name: &'a str) -> Result<&'a str, SecretError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let has_length = (1..=NAME_LENGTH_MAX).contains(&name.len());
    if has_length && name.bytes().all(is_plain) && !["none", "invalid"].contains(&name) {
        return Ok(name);
    }
    let reason = format!(
        "has an {what} that is not 1 to {NAME_LENGTH_MAX} letters, digits, `-`, `_` or `.`, or is `none` or `invalid`"
    );
    Err(SecretError::new(place, reason.replace("an tier", "a tier")))
}

/// Most characters of a key's id, and of a tier's name.
pub(crate) const NAME_LENGTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    const B: &str = "7c6b5a4938271605f4e3d2c1b0a99887";

    fn list(text: &str) -> KeySources {
        KeySources { api_keys: Some(text.into()), ..KeySources::default() }
    }

    fn error(sources: &KeySources) -> String {
        let error = sources.load().unwrap_err().to_string();
        assert!(!error.contains(A) && !error.contains(B), "{error}");
        error
    }

    #[test]
    fn entries_name_their_key_its_scopes_and_its_tier() {
        let loaded = list(&format!(" {A} ,, ops:{B}:read+write:gold,")).load().unwrap();
        let keys: Vec<_> = loaded.keys.iter().collect();
        assert_eq!(keys.len(), 2);
        assert!(keys[0].id.starts_with("key-") && keys[0].scopes == Scopes::ALL && keys[0].tier.is_none());
        assert_eq!(
            (&*keys[1].id, keys[1].scopes.to_string(), keys[1].tier.as_deref()),
            ("ops", "read write".into(), Some("gold"))
        );
        assert_eq!(loaded.counts, [("API_KEYS".to_owned(), 2)]);
    }

    #[test]
    fn entries_at_fault_are_named_and_not_repeated() {
        insta::assert_snapshot!(error(&list(&format!("{A},ops:short"))), @"API_KEYS entry 2 must be 32 to 512 printable ASCII characters without spaces: make one with `tft-service gen-key`");
        insta::assert_snapshot!(error(&list(&format!("{A}:ops"))), @"API_KEYS entry 1 must be 32 to 512 printable ASCII characters without spaces: make one with `tft-service gen-key`");
        insta::assert_snapshot!(error(&list(&format!("none:{A}"))), @"API_KEYS entry 1 has an id that is not 1 to 64 letters, digits, `-`, `_` or `.`, or is `none` or `invalid`");
        insta::assert_snapshot!(error(&list(&format!("ops:{A}:root"))), @"API_KEYS entry 1 has scopes other than `read`, `write`, `admin` and `*`, joined by `+`");
        insta::assert_snapshot!(error(&list(&format!("ops:{A}:read:gold:x"))), @"API_KEYS entry 1 has more fields than `id:secret:scopes:tier`");
        insta::assert_snapshot!(error(&list(&format!("ops:{A}:read:g/d"))), @"API_KEYS entry 1 has a tier that is not 1 to 64 letters, digits, `-`, `_` or `.`, or is `none` or `invalid`");
        insta::assert_snapshot!(error(&list(&format!("ops:{A},ops:{B}"))), @"API_KEYS entry 2 has the id `ops`, which another key has");
        insta::assert_snapshot!(error(&list(" , ")), @"API_KEYS holds no key");
    }

    #[test]
    fn sources_are_united_and_text_beside_its_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        path("tft_api_key", &format!("{A}\n"));
        let mut sources = KeySources {
            api_key: Some(format!("{A}\n")),
            api_keys_file: Some(path("keys", &format!("# ours\n\nops:{B}:read\r\n"))),
            credentials_directory: Some(directory.path().into()),
            ..KeySources::default()
        };
        let loaded = sources.load().unwrap();
        assert_eq!((loaded.keys.len(), loaded.counts.len()), (2, 3));
        assert_eq!(sources.files().len(), 2);
        assert!(!format!("{sources:?}").contains(A));
        sources.api_key_file = Some(directory.path().join("tft_api_key"));
        assert_eq!(error(&sources), "TFT_API_KEY and TFT_API_KEY_FILE are both given: give one of them");
        path("keys", "# nothing\n");
        sources.api_key = None;
        assert!(error(&sources).ends_with("keys` holds no key"), "{}", error(&sources));
        path("keys", &format!("\n\nops:{B}:reed"));
        assert!(error(&sources).contains("keys` line 3 has scopes other than"), "{}", error(&sources));
    }

    #[test]
    fn no_source_is_no_key() {
        assert!(KeySources::default().load().unwrap().keys.is_empty());
    }
}
