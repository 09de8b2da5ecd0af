//! What stands for keys and ciphers in a build without the feature `encryption`: encrypted files are refused.

#![allow(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    clippy::trivially_copy_pass_by_ref,
    clippy::needless_pass_by_ref_mut,
    reason = "the signatures are those of builds with the feature"
)]

use bytes::Bytes;
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterPropertiesBuilder;

use super::{SealError, is_modular};
use crate::store::config::StoreConfig;
use crate::store::error::StoreError;
use crate::store::log::header::BadHeader;

/// No keys.
#[derive(Debug, Clone)]
pub(crate) struct Keyring;

/// The key of a segment; there is none.
#[derive(Debug)]
pub(in crate::store) enum SegmentKey {}

/// What a segment is encrypted with; there is nothing.
pub(in crate::store) enum Seal {}

impl Keyring {
    pub(in crate::store) fn empty() -> Self {
        Self
    }

    pub(crate) fn of(_: &StoreConfig) -> Self {
        Self
    }

    pub(in crate::store) fn is_current(&self, key: Option<&SegmentKey>) -> bool {
        key.is_none()
    }

    pub(in crate::store) fn is_sealing(&self) -> bool {
        false
    }

    pub(in crate::store) fn new_seal(&self) -> Result<Option<Seal>, SealError> {
        Ok(None)
    }

    pub(in crate::store) fn seals_of(&self, _: &[u8]) -> Vec<Seal> {
        Vec::new()
    }

    pub(in crate::store) fn open_names(
        &self,
        _fixed: &[u8],
        _sealed: &[u8],
    ) -> Result<(Vec<u8>, Option<SegmentKey>), BadHeader> {
        Err(BadHeader::Sealed(SealError::Unsupported))
    }

    pub(in crate::store) fn seal_properties(
        &self,
        properties: WriterPropertiesBuilder,
    ) -> Result<WriterPropertiesBuilder, StoreError> {
        Ok(properties)
    }

    pub(in crate::store) fn is_file_current(&self, bytes: &Bytes) -> Result<bool, StoreError> {
        if is_modular(bytes) { Err(SealError::Unsupported.into()) } else { Ok(true) }
    }

    pub(in crate::store) fn read_footer(&self, bytes: &Bytes) -> Result<ParquetMetaData, StoreError> {
        self.is_file_current(bytes)?;
        let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
        reader.parse_and_finish(bytes).map_err(|source| StoreError::Parquet { source })
    }
}

impl Seal {
    pub(in crate::store) const OVERHEAD_BYTES: usize = 0;

    pub(in crate::store) fn append_names(&self, _: &mut Vec<u8>, _: &[u8]) -> SegmentKey {
        match *self {}
    }
}

impl SegmentKey {
    pub(in crate::store) const OVERHEAD_BYTES: usize = 0;

    pub(in crate::store) fn seal(&self, _: &mut Vec<u8>, _: usize, _: &[u8]) -> Result<(), SealError> {
        match *self {}
    }

    pub(in crate::store) fn open(&self, _: &mut [u8], _: &[u8]) -> Option<usize> {
        match *self {}
    }
}

pub(in crate::store) fn is_sealed(_: &ColumnChunkMetaData) -> bool {
    false
}
