//! The head of a segment: which format, which sequence it starts with, and the schema of its frames.
//!
//! Frames hold values and codes in the order of the schema that they were written with. A segment names that
//! order, so that it can be replayed into a window of another schema: metrics and states are found by name.

use super::error::LogError;
use super::{FORMAT_VERSION, HEADER_BYTES_MAX};
use crate::schema::{Schema, Status};
use crate::store::sealing::{Keyring, Seal, SealError, SegmentKey};

/// The head of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Header {
    pub(in crate::store) first_sequence: u64,
    metrics: Vec<String>,
    states: Vec<String>,
}

/// Where the values and states of a segment go in a window's schema.
#[derive(Debug)]
pub(in crate::store) struct Mapping {
    /// One per metric of the segment.
    pub(in crate::store) metrics: Vec<Option<usize>>,
    /// One per state of the segment.
    pub(in crate::store) states: Vec<Option<Status>>,
    /// The metrics that the schema does not know.
    pub(in crate::store) unknown_metrics: Vec<String>,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum BadHeader {
    /// They end too soon, or do not match their checksum.
    Damaged(&'static str),
    /// They are of a format that is not known.
    Version(u32),
    /// They are encrypted and cannot be opened.
    Sealed(SealError),
}

/// A header's bytes, and the key of the frames that follow if they are encrypted.
pub(in crate::store) type Encoded = (Vec<u8>, Option<SegmentKey>);

/// The bytes before the part that differs in length.
pub(super) const FIXED_BYTES: usize = 24;
const MAGIC: &[u8; 8] = b"tft-log\n";
const CHECKSUM_BYTES: usize = 4;
/// What the version of an encrypted segment has in addition, so that builds which know nothing of encryption refuse it.
const SEALED: u32 = 1 << 16;
const SEALED_VERSION: u32 = FORMAT_VERSION | SEALED;

impl Header {
    pub(in crate::store) fn new(schema: &Schema, first_sequence: u64) -> Self {
        Self {
            first_sequence,
            metrics: schema.metrics().iter().map(|metric| metric.name.clone()).collect(),
            states: schema.statuses().states.clone(),
        }
    }

    /// The head of a log that is not the window's: in place of metrics it has a name.
    pub(in crate::store) fn named(name: &str, first_sequence: u64) -> Self {
        Self { first_sequence, metrics: vec![name.to_owned()], states: Vec::new() }
    }

    /// Returns whether frames of both headers mean the same.
    pub(in crate::store) fn has_schema_of(&self, other: &Self) -> bool {
        self.metrics == other.metrics && self.states == other.states
    }

    /// Returns the header's bytes, and the key of the frames that follow if they are to be encrypted.
    pub(in crate::store) fn encode(&self, keyring: &Keyring) -> Result<Encoded, LogError> {
        self.encode_with(keyring.new_seal().map_err(LogError::Unsealable)?.as_ref())
    }

    /// Returns what the header's bytes would be, plain and encrypted with each of the keys, if `found` had a bit of
    /// damage and were them.
    pub(super) fn encodings_like(&self, found: &[u8], keyring: &Keyring) -> Vec<Encoded> {
        let Ok(plain) = self.encode_with(None) else { return Vec::new() };
        let sealed = FIXED_BYTES..plain.0.len() - CHECKSUM_BYTES + Seal::OVERHEAD_BYTES;
        let seals = found.get(sealed).map_or(Vec::new(), |sealed| keyring.seals_of(sealed));
        let sealed = seals.iter().filter_map(|seal| self.encode_with(Some(seal)).ok());
        sealed.chain([plain]).collect()
    }

    fn encode_with(&self, seal: Option<&Seal>) -> Result<Encoded, LogError> {
        let mut names = Vec::new();
        for list in [&self.metrics, &self.states] {
            names.extend_from_slice(&(list.len() as u16).to_le_bytes());
            for name in list {
                let bytes = name.len();
                let length = u16::try_from(bytes).map_err(|_| LogError::SchemaTooLarge { bytes })?;
                names.extend_from_slice(&length.to_le_bytes());
                names.extend_from_slice(name.as_bytes());
            }
        }
        let (version, overhead) =
            if seal.is_some() { (SEALED_VERSION, Seal::OVERHEAD_BYTES) } else { (FORMAT_VERSION, 0) };
        let length = names.len() + overhead;
        let bytes = FIXED_BYTES + length + CHECKSUM_BYTES;
        if bytes > HEADER_BYTES_MAX {
            return Err(LogError::SchemaTooLarge { bytes });
        }
        let mut header = Vec::with_capacity(bytes);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&version.to_le_bytes());
        header.extend_from_slice(&(length as u32).to_le_bytes());
        header.extend_from_slice(&self.first_sequence.to_le_bytes());
        let key = seal.map(|seal| seal.append_names(&mut header, &names));
        if key.is_none() {
            header.extend_from_slice(&names);
        }
        header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        Ok((header, key))
    }

    /// Returns how many bytes a header has in all, from its first [`FIXED_BYTES`].
    pub(super) fn encoded_length(fixed: &[u8; FIXED_BYTES]) -> Result<usize, BadHeader> {
        if !fixed.starts_with(MAGIC) {
            return Err(BadHeader::Damaged("it does not start with `tft-log`"));
        }
        let names = fixed[12..16].iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte));
        let length = FIXED_BYTES + names + CHECKSUM_BYTES;
        if length > HEADER_BYTES_MAX {
            return Err(BadHeader::Damaged("its header is longer than it can be"));
        }
        Ok(length)
    }

    /// Reads a whole header.
    pub(super) fn decode(bytes: &[u8], keyring: &Keyring) -> Result<(Self, Option<SegmentKey>), BadHeader> {
        let damaged = |reason| BadHeader::Damaged(reason);
        let (content, checksum) =
            bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(damaged("its header is cut short"))?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
            return Err(damaged("its header does not match its checksum"));
        }
        let (fixed, names) =
            content.split_at_checked(FIXED_BYTES).ok_or(damaged("its header is cut short"))?;
        let mut content = Cursor(&fixed[MAGIC.len()..]);
        let read = (|| {
            let version = u32::from_le_bytes(content.take()?);
            let _names = content.take::<4>()?;
            let first_sequence = u64::from_le_bytes(content.take()?);
            Some((version, first_sequence))
        })();
        let (version, first_sequence) = read.ok_or(damaged("its header is cut short"))?;
        let opened;
        let (names, key) = match version {
            FORMAT_VERSION => (names, None),
            SEALED_VERSION => {
                opened = keyring.open_names(fixed, names)?;
                (&*opened.0, opened.1)
            }
            _ => return Err(BadHeader::Version(version)),
        };
        let mut names = Cursor(names);
        let lists = (|| Some((names.names()?, names.names()?)))();
        let (metrics, states) = lists.ok_or(damaged("the names in its header cannot be read"))?;
        Ok((Self { first_sequence, metrics, states }, key))
    }

    pub(super) fn mapping(&self, schema: &Schema) -> Mapping {
        let metrics: Vec<_> = self.metrics.iter().map(|name| schema.metric_index(name)).collect();
        let unknown = self.metrics.iter().zip(&metrics).filter(|(_, index)| index.is_none());
        Mapping {
            unknown_metrics: unknown.map(|(name, _)| name.clone()).collect(),
            states: self.states.iter().map(|state| schema.statuses().parse(state)).collect(),
            metrics,
        }
    }
}

/// Bytes that are read from the front; nothing if there are too few.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn slice(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn text(&mut self, count: usize) -> Option<&'a str> {
        str::from_utf8(self.slice(count)?).ok()
    }

    fn names(&mut self) -> Option<Vec<String>> {
        let count = u16::from_le_bytes(self.take()?);
        let name = |cursor: &mut Self| {
            let length = u16::from_le_bytes(cursor.take()?);
            cursor.text(usize::from(length)).map(str::to_owned)
        };
        (0..count).map(|_| name(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(header: &Header) -> (Keyring, Vec<u8>) {
        let keyring = Keyring::empty();
        let (bytes, _) = header.encode(&keyring).unwrap();
        (keyring, bytes)
    }

    #[test]
    fn a_header_comes_back_and_no_bit_of_it_may_change() {
        let header = Header::new(&Schema::server_metrics(), 7);
        let (keyring, bytes) = plain(&header);
        assert_eq!(Header::decode(&bytes, &keyring).unwrap().0, header);
        let fixed = bytes.first_chunk().unwrap();
        assert_eq!(Header::encoded_length(fixed), Ok(bytes.len()));
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Header::decode(&changed, &keyring), Err(BadHeader::Damaged(_))), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(Header::decode(&bytes[..length], &keyring).is_err());
        }
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let (keyring, mut bytes) = plain(&Header::new(&Schema::server_metrics(), 7));
        let end = bytes.len() - CHECKSUM_BYTES;
        bytes[8] = 2;
        let checksum = crc32c::crc32c(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Header::decode(&bytes, &keyring).unwrap_err(), BadHeader::Version(2));
    }
}
