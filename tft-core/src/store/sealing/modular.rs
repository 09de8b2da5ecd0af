//! Checkpoints as Parquet modular encryption has them: the footer and every column encrypted with the store's key.

use std::sync::Arc;

use bytes::Bytes;
use parquet::encryption::decrypt::FileDecryptionProperties;
use parquet::encryption::encrypt::FileEncryptionProperties;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterPropertiesBuilder;

use super::{Keyring, SealError, is_modular};
use crate::store::error::StoreError;
use crate::store::guard;
use crate::store::key::{CheckValue, EncryptionKey};

/// What a file says of its key.
enum Named {
    Key(CheckValue),
    /// Nothing that this crate wrote and that is whole.
    Unknown,
}

impl Keyring {
    /// Lets a Parquet writer encrypt, if there is a key to write with.
    pub(in crate::store) fn seal_properties(
        &self,
        properties: WriterPropertiesBuilder,
    ) -> Result<WriterPropertiesBuilder, StoreError> {
        let Some(key) = &self.present else { return Ok(properties) };
        let encryption = FileEncryptionProperties::builder(key.bytes().to_vec());
        let encryption = encryption.with_footer_key_metadata(key_metadata(key.check_value())).build();
        let encryption = encryption.map_err(|source| StoreError::Encode { source })?;
        Ok(properties.with_file_encryption_properties(encryption))
    }

    /// Returns whether a checkpoint is encrypted as it would be written now. One that cannot be read at all is.
    pub(in crate::store) fn is_file_current(&self, bytes: &Bytes) -> Result<bool, StoreError> {
        if !is_modular(bytes) {
            return Ok(self.present.is_none());
        }
        if self.keys().next().is_none() {
            return Err(self.refusal().into());
        }
        match named_key(bytes) {
            Err(_) => Ok(true),
            Ok(Named::Key(check_value)) => Ok(self.find(&check_value)?.1),
            Ok(Named::Unknown) => Ok(self.open_by_trial(bytes)?.1),
        }
    }

    /// Reads a file's footer, decrypting it if it is encrypted.
    pub(in crate::store) fn read_footer(&self, bytes: &Bytes) -> Result<ParquetMetaData, StoreError> {
        if !is_modular(bytes) {
            return footer_reader().parse_and_finish(bytes).map_err(reading);
        }
        match named_key(bytes)? {
            Named::Key(check_value) => open(bytes, self.find(&check_value)?.0).map_err(reading),
            Named::Unknown => Ok(self.open_by_trial(bytes)?.0),
        }
    }

    /// Opens a file that does not say which key it is encrypted with. If no key opens it, that is not taken for
    /// damage: it may be whole, and the right key not given.
    fn open_by_trial(&self, bytes: &Bytes) -> Result<(ParquetMetaData, bool), StoreError> {
        let opened = self.keys().find_map(|(key, is_present)| Some((open(bytes, key).ok()?, is_present)));
        let is_keyless = self.keys().next().is_none();
        opened.ok_or(if is_keyless { SealError::NoKey } else { SealError::KeyOrDamage }.into())
    }
}

/// Returns whether the pages of a column are encrypted.
pub(in crate::store) fn is_sealed(chunk: &ColumnChunkMetaData) -> bool {
    chunk.crypto_metadata().is_some()
}

fn open(bytes: &Bytes, key: &EncryptionKey) -> Result<ParquetMetaData, ParquetError> {
    let keys: Arc<_> = FileDecryptionProperties::builder(key.bytes().to_vec()).build()?;
    footer_reader().with_decryption_properties(Some(keys)).parse_and_finish(bytes)
}

fn footer_reader() -> ParquetMetaDataReader {
    ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip)
}

fn reading(source: ParquetError) -> StoreError {
    StoreError::Parquet { source }
}

/// Writes what a file says of its key: a mark, the key's check value, and a checksum of both.
fn key_metadata(check_value: CheckValue) -> Vec<u8> {
    let metadata = [&KEY_METADATA_MARK[..], &check_value].concat();
    let checksum = crc32c::crc32c(&metadata).to_le_bytes();
    [&metadata[..], &checksum].concat()
}

fn named_key(bytes: &[u8]) -> Result<Named, StoreError> {
    let metadata = guard::check_sealed_footer(bytes)?;
    let check_value = metadata.get(KEY_METADATA_MARK.len()..).and_then(|rest| rest.first_chunk());
    let named = check_value.filter(|&&check_value| key_metadata(check_value) == metadata);
    Ok(named.map_or(Named::Unknown, |&check_value| Named::Key(check_value)))
}

const KEY_METADATA_MARK: &[u8; 8] = b"tft-key\n";
