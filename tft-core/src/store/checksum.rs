//! A checksum over the rows of a checkpoint.
//!
//! Parquet's own structure shows when a file is cut short, and not when a byte of a value has changed. The
//! footer of a checkpoint therefore says how many bytes stand before it and what their checksum is: CRC-32C as
//! in the log, which finds damage and no forgery. Files of version 1.1 have their SHA-256.

use std::io::{self, Write};

use parquet::file::metadata::{KeyValue, ParquetMetaData};
use sha2::{Digest, Sha256};

use super::error::StoreError;

/// Footer key: how many bytes, from the file's start, the checksum covers.
const BYTES_KEY: &str = "data_bytes";
/// Footer key: the CRC-32C of these bytes in eight hexadecimal digits.
const CRC32C_KEY: &str = "data_crc32c";
/// Footer key of version 1.1: the SHA-256 of these bytes in hexadecimal.
const SHA256_KEY: &str = "data_sha256";

/// What the files of this crate name as their writer. Other tools keep footer keys when they rewrite a file,
/// but name themselves; the checksum says nothing then.
pub(super) const CREATED_BY: &str = concat!("tft-core ", env!("CARGO_PKG_VERSION"));

/// A sink that remembers the checksum of what went through it.
pub(super) struct Hashing<W> {
    sink: W,
    crc32c: u32,
    bytes: u64,
}

impl<W> Hashing<W> {
    pub(super) fn new(sink: W) -> Self {
        Self { sink, crc32c: 0, bytes: 0 }
    }

    pub(super) fn into_sink(self) -> W {
        self.sink
    }

    /// Returns the footer keys for the bytes so far.
    pub(super) fn footer_keys(&self) -> [KeyValue; 2] {
        [(BYTES_KEY, self.bytes.to_string()), (CRC32C_KEY, crc32c_text(self.crc32c))]
            .map(|(key, value)| KeyValue::new(key.to_owned(), value))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.crc32c = crc32c::crc32c_append(self.crc32c, &bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Checks the rows of a file that this crate wrote; passes files of others.
pub(super) fn verify(bytes: &[u8], metadata: &ParquetMetaData) -> Result<(), StoreError> {
    let file = metadata.file_metadata();
    if !file.created_by().is_some_and(|writer| writer.starts_with("tft-core ")) {
        return Ok(());
    }
    let keys = file.key_value_metadata();
    let value = |key: &str| keys?.iter().find(|entry| entry.key == key)?.value.as_deref();
    let data = value(BYTES_KEY).and_then(|length| bytes.get(..length.parse().ok()?));
    let is_whole = data.is_some_and(|data| match (value(CRC32C_KEY), value(SHA256_KEY)) {
        (Some(stated), _) => stated == crc32c_text(crc32c::crc32c(data)),
        (None, Some(stated)) => stated == format!("{:x}", Sha256::digest(data)),
        (None, None) => false,
    });
    if is_whole { Ok(()) } else { Err(StoreError::Checksum) }
}

fn crc32c_text(checksum: u32) -> String {
    format!("{checksum:08x}")
}
