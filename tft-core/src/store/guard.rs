//! What the Parquet reader must not be shown.
//!
//! The reader reserves memory for counts that a file states before it has read as much, and recurses as
//! deep as a schema nests, so that a few damaged bytes could end the process. Here the footer and the page
//! headers are walked first, as Thrift in its compact protocol, and every stated count is held against the
//! bytes that are there.

use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::error::StoreError;
use super::sealing::{self, MODULAR_MAGIC};

/// Most entries in the footer's list of columns; 256 metrics and what other tools add.
const SCHEMA_ELEMENTS_MAX: usize = 1_024;
/// Most row groups, as many as the format can number.
const ROW_GROUPS_MAX: usize = 32_767;
/// Most bytes of one page after decompression; writers aim at one mebibyte.
const PAGE_BYTES_MAX: i64 = 64 << 20;
/// The encodings of text for which the reader reserves memory as a page's content asks for it:
/// `DELTA_LENGTH_BYTE_ARRAY` and `DELTA_BYTE_ARRAY`. No writer uses them unless it is told to.
const UNBOUNDED_ENCODINGS: [i64; 2] = [6, 7];
/// Most structures inside each other, in a footer or a page header.
const DEPTH_MAX: usize = 16;

const MAGIC: &[u8; 4] = b"PAR1";
const TRAILER_BYTES: usize = 8;
/// The nonce and the tag of what is encrypted.
const MODULE_BYTES_MIN: usize = 12 + 16;

/// A position in Thrift's compact protocol; `end` is where the structure must be over.
struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Checks the trailer and every count in the footer.
pub(super) fn check_footer(bytes: &[u8]) -> Result<(), StoreError> {
    if sealing::is_modular(bytes) {
        return check_sealed_footer(bytes).map(drop);
    }
    let mut footer = footer_of(bytes, *MAGIC)?;
    footer.fields(0, |footer, id, kind| match (id, kind) {
        (2, LIST) => footer.list(0, SCHEMA_ELEMENTS_MAX),
        (4, LIST) => footer.list(0, ROW_GROUPS_MAX),
        _ => footer.skip(kind, 0),
    })
}

/// Checks the trailer of an encrypted file and what stands before its footer in clear text; returns what it says of
/// its key. What is encrypted needs no check: only who has the key can have written it.
pub(super) fn check_sealed_footer(bytes: &[u8]) -> Result<&[u8], StoreError> {
    let mut footer = footer_of(bytes, *MODULAR_MAGIC)?;
    let mut key_metadata: &[u8] = &[];
    footer.fields(0, |footer, id, kind| match (id, kind) {
        (2, BINARY) => {
            let length = footer.count()?;
            key_metadata = footer.bytes.get(footer.at..footer.at + length).unwrap_or_default();
            footer.advance(length)
        }
        _ => footer.skip(kind, 0),
    })?;
    footer.module()?;
    if footer.at != footer.bytes.len() {
        return Err(footer.damaged("its footer does not end where it should"));
    }
    Ok(key_metadata)
}

/// Returns a file's footer, which starts and ends with `magic`.
fn footer_of(bytes: &[u8], magic: [u8; 4]) -> Result<Compact<'_>, StoreError> {
    let not_parquet = |reason| StoreError::NotParquet { reason };
    let Some(body) = bytes.len().checked_sub(TRAILER_BYTES).filter(|&body| body >= MAGIC.len()) else {
        return Err(not_parquet("it is too short"));
    };
    if !bytes.starts_with(&magic) || !bytes.ends_with(&magic) {
        let is_plain = magic == *MAGIC;
        let expected = if is_plain {
            "it does not start and end with `PAR1`"
        } else {
            "it does not start and end with `PARE`"
        };
        return Err(not_parquet(expected));
    }
    let length = bytes[body..body + 4].iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte));
    let Some(start) = body.checked_sub(length).filter(|&start| start >= MAGIC.len()) else {
        return Err(not_parquet("its footer is longer than itself"));
    };
    Ok(Compact { bytes: &bytes[..body], at: start })
}

/// Checks the place of every column chunk that will be read, and every page header in it.
pub(super) fn check_pages(
    bytes: &[u8],
    metadata: &ParquetMetaData,
    columns: &[usize],
) -> Result<(), StoreError> {
    for row_group in metadata.row_groups() {
        for &column in columns {
            let Some(chunk) = row_group.columns().get(column) else {
                return Err(StoreError::Damaged { at: 0, reason: "a row group lacks a column" });
            };
            check_chunk(bytes, chunk)?;
        }
    }
    Ok(())
}

fn check_chunk(bytes: &[u8], chunk: &ColumnChunkMetaData) -> Result<(), StoreError> {
    let compression = chunk.compression();
    if !matches!(compression, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_)) {
        let name = format!("{compression:?}");
        let codec = name.split('(').next().unwrap_or(&name).to_owned();
        return Err(StoreError::Compression { column: chunk.column_path().string(), codec });
    }
    let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
    let range = usize::try_from(start).ok().zip(usize::try_from(chunk.compressed_size()).ok());
    let range = range.and_then(|(start, length)| Some((start, start.checked_add(length)?)));
    let Some((start, end)) = range.filter(|&(_, end)| end <= bytes.len()) else {
        return Err(StoreError::Damaged { at: 0, reason: "a column lies outside of the file" });
    };
    let mut pages = Compact { bytes: &bytes[..end], at: start };
    if sealing::is_sealed(chunk) {
        while pages.at < end {
            pages.module()?;
        }
        return Ok(());
    }
    while pages.at < end {
        let encoding = pages.page()?;
        if UNBOUNDED_ENCODINGS.contains(&encoding) {
            let column = chunk.column_path().string();
            return Err(StoreError::Encoding { column, encoding });
        }
    }
    Ok(())
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

impl Compact<'_> {
    /// Passes a page, its header and the bytes that this announces; returns the encoding of its values.
    fn page(&mut self) -> Result<i64, StoreError> {
        let (mut unpacked, mut packed, mut dictionary_values, mut encoding) = (0, 0, 0, 0);
        self.fields(0, |header, id, kind| match (id, kind) {
            (2, I32) => header.integer().map(|bytes| unpacked = bytes),
            (3, I32) => header.integer().map(|bytes| packed = bytes),
            (5, STRUCT) => header.integer_field(2, &mut encoding),
            (7, STRUCT) => header.integer_field(1, &mut dictionary_values),
            (8, STRUCT) => header.integer_field(4, &mut encoding),
            _ => header.skip(kind, 0),
        })?;
        let sizes_are_possible = (0..=PAGE_BYTES_MAX).contains(&unpacked)
            && (0..=unpacked).contains(&dictionary_values)
            && (0..=(self.bytes.len() - self.at) as i64).contains(&packed);
        if !sizes_are_possible {
            return Err(self.damaged("a page has an impossible size"));
        }
        self.at += packed as usize;
        Ok(encoding)
    }

    /// Passes something encrypted: its length, a nonce, the content and a tag.
    fn module(&mut self) -> Result<(), StoreError> {
        let mut length = [0; 4];
        for byte in &mut length {
            *byte = self.byte()?;
        }
        let length = u32::from_le_bytes(length) as usize;
        if length < MODULE_BYTES_MIN {
            return Err(self.damaged("something encrypted is shorter than it can be"));
        }
        self.advance(length)
    }

    /// Passes a structure within a page header and notes one of its numbers.
    fn integer_field(&mut self, wanted: i64, found: &mut i64) -> Result<(), StoreError> {
        self.fields(1, |inner, id, kind| match kind {
            I32 if id == wanted => inner.integer().map(|number| *found = number),
            _ => inner.skip(kind, 1),
        })
    }

    /// Visits the fields of a structure; `visit` passes each field's value.
    fn fields(
        &mut self,
        depth: usize,
        mut visit: impl FnMut(&mut Self, i64, u8) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if depth >= DEPTH_MAX {
            return Err(self.damaged("structures are nested too deep"));
        }
        let mut id = 0;
        loop {
            let head = self.byte()?;
            let (step, kind) = (i64::from(head >> 4), head & 0x0f);
            if kind == 0 {
                return Ok(());
            }
            id = if step == 0 { self.integer()? } else { id + step };
            visit(self, id, kind)?;
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), StoreError> {
        match kind {
            TRUE | FALSE => Ok(()),
            BYTE => self.advance(1),
            I16 | I32 | I64 => self.varint().map(drop),
            DOUBLE => self.advance(8),
            UUID => self.advance(16),
            BINARY => {
                let length = self.count()?;
                self.advance(length)
            }
            LIST | SET => self.list(depth, usize::MAX),
            MAP => self.map(depth),
            STRUCT => self.fields(depth + 1, |inner, _, kind| inner.skip(kind, depth + 1)),
            _ => Err(self.damaged("a field has an unknown type")),
        }
    }

    fn list(&mut self, depth: usize, length_max: usize) -> Result<(), StoreError> {
        let head = self.byte()?;
        let length = if head >> 4 == 15 { self.count()? } else { usize::from(head >> 4) };
        if length > length_max || length > self.bytes.len() - self.at {
            return Err(self.damaged("a list is longer than it can be"));
        }
        (0..length).try_for_each(|_| self.element(head & 0x0f, depth))
    }

    fn map(&mut self, depth: usize) -> Result<(), StoreError> {
        let length = self.count()?;
        if length == 0 {
            return Ok(());
        }
        let kinds = self.byte()?;
        (0..length).try_for_each(|_| {
            self.element(kinds >> 4, depth)?;
            self.element(kinds & 0x0f, depth)
        })
    }

    /// Passes an element of a list or map, where even a truth value takes a byte.
    fn element(&mut self, kind: u8, depth: usize) -> Result<(), StoreError> {
        if depth >= DEPTH_MAX {
            return Err(self.damaged("lists are nested too deep"));
        }
        if matches!(kind, TRUE | FALSE) { self.advance(1) } else { self.skip(kind, depth + 1) }
    }

    /// Reads the length of something that takes at least a byte per unit.
    fn count(&mut self) -> Result<usize, StoreError> {
        let count = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        if count > self.bytes.len() - self.at {
            return Err(self.damaged("a length goes beyond the end"));
        }
        Ok(count)
    }

    /// Reads a signed number in zigzag form.
    fn integer(&mut self) -> Result<i64, StoreError> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn varint(&mut self) -> Result<u64, StoreError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.damaged("a number is too long"))
    }

    fn byte(&mut self) -> Result<u8, StoreError> {
        let Some(&byte) = self.bytes.get(self.at) else {
            return Err(self.damaged("it ends within a header"));
        };
        self.at += 1;
        Ok(byte)
    }

    fn advance(&mut self, count: usize) -> Result<(), StoreError> {
        if count > self.bytes.len().saturating_sub(self.at) {
            return Err(self.damaged("it ends within a header"));
        }
        self.at += count;
        Ok(())
    }

    fn damaged(&self, reason: &'static str) -> StoreError {
        StoreError::Damaged { at: self.at, reason }
    }
}
