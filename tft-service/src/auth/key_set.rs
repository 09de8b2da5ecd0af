//! The keys that are accepted, as digests.

use std::fmt::Write;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::scope::Scopes;
use super::secret::{ApiKey, SecretError};

/// The keys that are accepted. Holds digests, not the keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

/// One accepted key.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// The name under which logs and limits know the key.
    pub(crate) id: Arc<str>,
    pub(crate) digest: [u8; 32],
    pub(crate) scopes: Scopes,
    /// The name of the rate limit that the key has instead of the usual ones.
    pub(crate) tier: Option<Arc<str>>,
}

impl KeySet {
    /// Most keys: each request is compared with all of them.
    pub(crate) const KEYS_MAX: usize = 1000;

    /// Returns how many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether there is no key.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds a key; the same one a second time changes nothing.
    ///
    /// # Errors
    /// [`SecretError`] if another key has the id, the same key has other properties, or the set is full.
    pub(crate) fn add(&mut self, place: &str, key: Key) -> Result<(), SecretError> {
        if let Some(known) = self.keys.iter().find(|known| known.digest == key.digest) {
            let is_same = (&known.id, known.scopes, &known.tier) == (&key.id, key.scopes, &key.tier);
            let reason = format!("is the key that is known as `{}` already, with other properties", known.id);
            return if is_same { Ok(()) } else { Err(SecretError::new(place, reason)) };
        }
        if self.keys.iter().any(|known| known.id == key.id) {
            return Err(SecretError::new(place, format!("has the id `{}`, which another key has", key.id)));
        }
        if self.keys.len() >= Self::KEYS_MAX {
            return Err(SecretError::new(place, format!("is one key more than {}", Self::KEYS_MAX)));
        }
        self.keys.push(key);
        Ok(())
    }

    /// Returns the key that a client gave.
    ///
    /// Takes the same time whichever key, and how much of it, is wrong: digests have one length and are all
    /// compared in constant time.
    pub(crate) fn find(&self, given: &[u8]) -> Option<&Key> {
        let given = digest_of(given);
        let mut position = u32::MAX;
        for (index, key) in self.keys.iter().enumerate() {
            position.conditional_assign(&(index as u32), given.ct_eq(&key.digest));
        }
        self.keys.get(position as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }
}

impl Key {
    /// Builds a key that has no name, may do everything and has no tier.
    pub(crate) fn new(key: &ApiKey) -> Self {
        let digest = digest_of(key.as_bytes());
        Self { id: id_of(&digest), digest, scopes: Scopes::ALL, tier: None }
    }
}

/// A key's name where none is given: of the digest's digest, so that it tells nothing of use about the key.
fn id_of(digest: &[u8; 32]) -> Arc<str> {
    format!("key-{}", &hex(&digest_of(digest))[..8]).into()
}

/// Returns 32 bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn digest_of(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 2] = ["0f1e2d3c4b5a69788796a5b4c3d2e1f0", "7c6b5a4938271605f4e3d2c1b0a99887"];

    fn set(keys: &[&str]) -> KeySet {
        let mut set = KeySet::default();
        for key in keys {
            set.add("KEY", Key::new(&ApiKey::parse("KEY", key).unwrap())).unwrap();
        }
        set
    }

    #[test]
    fn any_of_the_keys_is_found_and_nothing_else() {
        let set = set(&KEYS);
        for key in KEYS {
            assert!(set.find(key.as_bytes()).is_some());
        }
        for wrong in ["", &KEYS[0][1..], &format!("{}0", KEYS[0]), &KEYS[0].to_uppercase()] {
            assert!(set.find(wrong.as_bytes()).is_none(), "{wrong}");
        }
        assert!(KeySet::default().find(KEYS[0].as_bytes()).is_none());
    }

    #[test]
    fn a_name_made_for_a_key_is_stable_and_not_part_of_the_digest() {
        let key = Key::new(&ApiKey::parse("KEY", KEYS[0]).unwrap());
        let hex = hex(&key.digest);
        assert_eq!(key.id.len(), 12);
        assert!(key.id.starts_with("key-") && !hex.contains(&key.id[4..]), "{}", key.id);
        assert_eq!(key.id, Key::new(&ApiKey::parse("KEY", KEYS[0]).unwrap()).id);
    }

    #[test]
    fn the_same_key_twice_is_one_and_a_contradiction_is_refused() {
        let mut set = set(&KEYS[..1]);
        let key = Key::new(&ApiKey::parse("KEY", KEYS[0]).unwrap());
        set.add("KEY", key.clone()).unwrap();
        assert_eq!(set.len(), 1);
        let error = set.add("API_KEYS entry 2", Key { id: "ops".into(), ..key.clone() }).unwrap_err();
        assert!(error.to_string().contains("is known as `key-"), "{error}");
        let other = Key { id: key.id, ..Key::new(&ApiKey::parse("KEY", KEYS[1]).unwrap()) };
        let error = set.add("API_KEYS entry 3", other).unwrap_err();
        assert!(error.to_string().contains("which another key has"), "{error}");
    }

    #[test]
    fn the_set_is_bounded() {
        let mut set = KeySet::default();
        for number in 0..KeySet::KEYS_MAX {
            let key = Key {
                id: number.to_string().into(),
                digest: digest_of(&number.to_le_bytes()),
                scopes: Scopes::ALL,
                tier: None,
            };
            set.add("KEY", key).unwrap();
        }
        let more = Key::new(&ApiKey::parse("KEY", KEYS[0]).unwrap());
        assert!(set.add("KEY", more).unwrap_err().to_string().contains("one key more than 1000"));
    }
}
