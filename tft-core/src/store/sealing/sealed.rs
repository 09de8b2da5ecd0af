//! The keys of a store and the ciphers of its log.
//!
//! Every segment has a key of its own, derived from the store's key and a random salt, and every frame a random
//! nonce: a counter would repeat when a frame that could not be written whole is cut off and another one follows.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};

use super::SealError;
use crate::store::config::StoreConfig;
use crate::store::key::{CheckValue, EncryptionKey};
use crate::store::log::header::BadHeader;

/// The keys of a store.
#[derive(Debug, Clone)]
pub(crate) struct Keyring {
    /// What is written is encrypted with it; plain if there is none.
    pub(super) present: Option<EncryptionKey>,
    /// Keys that files may still be encrypted with.
    previous: Vec<EncryptionKey>,
}

/// The key of a segment.
#[derive(Debug)]
pub(in crate::store) struct SegmentKey {
    cipher: Box<LessSafeKey>,
    is_present: bool,
}

/// What a segment is encrypted with.
pub(in crate::store) struct Seal<'k> {
    key: &'k EncryptionKey,
    is_present: bool,
    salt: [u8; SALT_BYTES],
    /// That of the names; frames have others.
    nonce: [u8; NONCE_LEN],
}

impl Keyring {
    pub(in crate::store) fn empty() -> Self {
        Self { present: None, previous: Vec::new() }
    }

    pub(crate) fn of(config: &StoreConfig) -> Self {
        Self { present: config.key.clone(), previous: config.previous_keys.clone() }
    }

    /// Returns whether a segment of this key is what would be written now.
    pub(in crate::store) fn is_current(&self, key: Option<&SegmentKey>) -> bool {
        match key {
            None => self.present.is_none(),
            Some(key) => key.is_present,
        }
    }

    /// Returns whether what is written is encrypted.
    pub(in crate::store) fn is_sealing(&self) -> bool {
        self.present.is_some()
    }

    /// Returns what encrypts a new segment; none if it is plain.
    pub(in crate::store) fn new_seal(&self) -> Result<Option<Seal<'_>>, SealError> {
        let Some(key) = &self.present else { return Ok(None) };
        Ok(Some(Seal { key, is_present: true, salt: random()?, nonce: random()? }))
    }

    /// Returns, for each key, what a header was encrypted with if the salt and the nonce in it are undamaged.
    pub(in crate::store) fn seals_of(&self, sealed: &[u8]) -> Vec<Seal<'_>> {
        let salt = sealed.get(size_of::<CheckValue>()..).and_then(<[u8]>::first_chunk);
        let Some((&salt, &nonce)) = salt.zip(sealed.last_chunk()) else { return Vec::new() };
        self.keys().map(|(key, is_present)| Seal { key, is_present, salt, nonce }).collect()
    }

    /// Reads what [`Seal::append_names`] appended.
    pub(in crate::store) fn open_names(
        &self,
        fixed: &[u8],
        sealed: &[u8],
    ) -> Result<(Vec<u8>, Option<SegmentKey>), BadHeader> {
        let cut_short = BadHeader::Damaged("its header is cut short");
        let (check_value, rest) = sealed.split_first_chunk().ok_or(cut_short)?;
        let (salt, names) = rest.split_first_chunk::<SALT_BYTES>().ok_or(cut_short)?;
        let (key, is_present) = self.find(check_value).map_err(BadHeader::Sealed)?;
        let segment_key = SegmentKey::derive(key, salt, is_present);
        let (mut names, bound) = (names.to_vec(), [fixed, check_value, salt].concat());
        let length = segment_key.open(&mut names, &bound);
        names.truncate(length.ok_or(BadHeader::Damaged("its header does not match its seal"))?);
        Ok((names, Some(segment_key)))
    }

    /// Returns the keys, and of each whether it is the present one.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&EncryptionKey, bool)> {
        let present = self.present.iter().map(|key| (key, true));
        present.chain(self.previous.iter().map(|key| (key, false)))
    }

    /// Returns the key that has a check value.
    pub(super) fn find(&self, check_value: &CheckValue) -> Result<(&EncryptionKey, bool), SealError> {
        let found = self.keys().find(|(key, _)| key.check_value() == *check_value);
        found.ok_or_else(|| self.refusal())
    }

    /// Returns why none of the keys opens a file.
    pub(super) fn refusal(&self) -> SealError {
        if self.keys().next().is_none() { SealError::NoKey } else { SealError::OtherKey }
    }
}

impl Seal<'_> {
    /// Bytes that an encrypted header has more than a plain one.
    pub(in crate::store) const OVERHEAD_BYTES: usize =
        size_of::<CheckValue>() + SALT_BYTES + SegmentKey::OVERHEAD_BYTES;

    /// Appends the check value, the salt and the encrypted names to the fixed part of a header.
    pub(in crate::store) fn append_names(&self, header: &mut Vec<u8>, names: &[u8]) -> SegmentKey {
        let segment_key = SegmentKey::derive(self.key, &self.salt, self.is_present);
        header.extend_from_slice(&self.key.check_value());
        header.extend_from_slice(&self.salt);
        let (bound, start) = (header.clone(), header.len());
        header.extend_from_slice(names);
        segment_key.seal_with(self.nonce, header, start, &bound);
        segment_key
    }
}

impl SegmentKey {
    /// Bytes that an encrypted frame has more than a plain one.
    pub(in crate::store) const OVERHEAD_BYTES: usize = 16 + NONCE_LEN;

    fn derive(key: &EncryptionKey, salt: &[u8; SALT_BYTES], is_present: bool) -> Self {
        let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key.bytes());
        let derived = derived.expand(&[SEGMENT_KEY_OF], &AES_256_GCM);
        let cipher = derived.map(|derived| Box::new(LessSafeKey::new(UnboundKey::from(derived))));
        let cipher = cipher.expect("invariant: the key is shorter than 255 hashes");
        Self { cipher, is_present }
    }

    /// Encrypts what stands from `start`, and appends the tag and the nonce; `bound` must be the same when it is
    /// opened.
    pub(in crate::store) fn seal(
        &self,
        bytes: &mut Vec<u8>,
        start: usize,
        bound: &[u8],
    ) -> Result<(), SealError> {
        self.seal_with(random()?, bytes, start, bound);
        Ok(())
    }

    fn seal_with(&self, nonce: [u8; NONCE_LEN], bytes: &mut Vec<u8>, start: usize, bound: &[u8]) {
        let content = bytes.get_mut(start..).unwrap_or_default();
        let unique = Nonce::assume_unique_for_key(nonce);
        let tag = self.cipher.seal_in_place_separate_tag(unique, Aad::from(bound), content);
        let tag = tag.expect("invariant: a frame is shorter than 64 GiB");
        bytes.extend_from_slice(tag.as_ref());
        bytes.extend_from_slice(&nonce);
    }

    /// Decrypts in place what [`seal`](Self::seal) wrote; returns the length of the content, or nothing if a bit of
    /// it or of `bound` is another.
    pub(in crate::store) fn open(&self, sealed: &mut [u8], bound: &[u8]) -> Option<usize> {
        let (content, nonce) = sealed.split_last_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.cipher.open_in_place(nonce, Aad::from(bound), content).ok()?;
        Some(opened.len())
    }
}

fn random<const COUNT: usize>() -> Result<[u8; COUNT], SealError> {
    let mut bytes = [0; COUNT];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SealError::Random)?;
    Ok(bytes)
}

const SALT_BYTES: usize = 32;
const SEGMENT_KEY_OF: &[u8] = b"tft-core log segment 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_with_the_same_key_salt_and_binding_only() {
        let (key, salt) = (EncryptionKey::new([7; 32]), [1; 32]);
        let segment = SegmentKey::derive(&key, &salt, true);
        let mut sealed = b"head".to_vec();
        sealed.extend_from_slice(b"content");
        segment.seal(&mut sealed, 4, b"5").unwrap();
        let sealed = sealed.split_off(4);
        assert_eq!(sealed.len(), b"content".len() + SegmentKey::OVERHEAD_BYTES);
        let opened = |segment: &SegmentKey, bytes: &[u8], bound: &[u8]| {
            let mut bytes = bytes.to_vec();
            let length = segment.open(&mut bytes, bound)?;
            bytes.truncate(length);
            Some(bytes)
        };
        assert_eq!(opened(&segment, &sealed, b"5").unwrap(), b"content");
        assert_eq!(opened(&segment, &sealed, b"6"), None);
        for (key, salt) in [([8; 32], salt), ([7; 32], [2; 32])] {
            let other = SegmentKey::derive(&EncryptionKey::new(key), &salt, true);
            assert_eq!(opened(&other, &sealed, b"5"), None);
        }
        for length in 0..sealed.len() {
            assert_eq!(opened(&segment, &sealed[..length], b"5"), None);
        }
        for bit in 0..8 * sealed.len() {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opened(&segment, &changed, b"5"), None, "bit {bit}");
        }
    }

    #[test]
    fn the_same_content_is_never_sealed_to_the_same_bytes() {
        let keyring = Keyring { present: Some(EncryptionKey::new([7; 32])), previous: Vec::new() };
        let seal = || {
            let mut header = b"fixed".to_vec();
            keyring.new_seal().unwrap().unwrap().append_names(&mut header, b"names");
            header
        };
        let (one, other) = (seal(), seal());
        assert_eq!(
            (one.len(), &one[..21]),
            (b"fixed".len() + b"names".len() + Seal::OVERHEAD_BYTES, &other[..21])
        );
        assert!(one[21..53] != other[21..53] && one[53..58] != other[53..58]);
        let (names, key) = keyring.open_names(b"fixed", &one[5..]).unwrap();
        assert!(names == b"names" && keyring.is_current(key.as_ref()));
        assert!(matches!(keyring.open_names(b"fiXed", &one[5..]), Err(BadHeader::Damaged(_))));
    }
}
