//! Column chunks that are written without the parquet crate's own column writers.
//!
//! Those look every row's text up in a dictionary, copy values several times and compress what does not get smaller.
//! A checkpoint has hundreds of rows of a server in a row, and of most metrics no value is missing: here a page of
//! text takes as many steps as there are runs, and one of values is copied once.

use std::io::Write;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

/// Bytes of a page's beginning that are compressed to see whether it is worth while.
const PROBE_BYTES: usize = 64 << 10;

/// A column chunk in the making.
pub(super) struct Chunk {
    sink: TrackedWrite<Vec<u8>>,
    codec: Option<snap::raw::Encoder>,
    dictionary_offset: Option<u64>,
    data_offset: Option<u64>,
    bytes_unpacked: usize,
    rows: usize,
}

impl Chunk {
    /// Begins a chunk in a buffer, which keeps its capacity. `sample` are bytes from which it is seen whether the
    /// chunk is compressed.
    pub(super) fn new(mut buffer: Vec<u8>, sample: &[u8]) -> Result<Self, ParquetError> {
        buffer.clear();
        let mut encoder = snap::raw::Encoder::new();
        let sample = &sample[..sample.len().min(PROBE_BYTES)];
        let packed = encoder.compress_vec(sample).map_err(packing)?;
        let is_worth_while = packed.len() < sample.len() - sample.len() / 32;
        Ok(Self {
            sink: TrackedWrite::new(buffer),
            codec: is_worth_while.then_some(encoder),
            dictionary_offset: None,
            data_offset: None,
            bytes_unpacked: 0,
            rows: 0,
        })
    }

    /// Adds the page of the dictionary, before all others.
    pub(super) fn push_dictionary(&mut self, page: &[u8], texts: usize) -> Result<(), ParquetError> {
        let (buf, encoding) = (self.pack(page)?, Encoding::PLAIN);
        let packed = Page::DictionaryPage { buf, num_values: texts as u32, encoding, is_sorted: false };
        self.dictionary_offset = Some(self.write(packed, page.len())?);
        Ok(())
    }

    /// Adds a page of data in an encoding.
    pub(super) fn push_data(
        &mut self,
        page: &[u8],
        rows: usize,
        encoding: Encoding,
    ) -> Result<(), ParquetError> {
        let packed = Page::DataPage {
            buf: self.pack(page)?,
            num_values: rows as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let offset = self.write(packed, page.len())?;
        self.data_offset.get_or_insert(offset);
        self.rows += rows;
        Ok(())
    }

    /// Appends the chunk to a row group; returns its buffer.
    pub(super) fn append<W: Write + Send>(
        self,
        column: ColumnDescPtr,
        statistics: Option<Statistics>,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<Vec<u8>, ParquetError> {
        let codec = if self.codec.is_some() { Compression::SNAPPY } else { Compression::UNCOMPRESSED };
        let encodings = match self.dictionary_offset {
            Some(_) => vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY],
            None => vec![Encoding::PLAIN, Encoding::RLE],
        };
        let bytes = Bytes::from(self.sink.into_inner()?);
        let mut metadata = ColumnChunkMetaData::builder(column)
            .set_compression(codec)
            .set_encodings(encodings)
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(self.bytes_unpacked as i64)
            .set_num_values(self.rows as i64)
            .set_dictionary_page_offset(self.dictionary_offset.map(|offset| offset as i64))
            .set_data_page_offset(self.data_offset.unwrap_or_default() as i64);
        if let Some(statistics) = statistics {
            metadata = metadata.set_statistics(statistics);
        }
        let closed = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: self.rows as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        group.append_column(&bytes, closed)?;
        Ok(bytes.into())
    }

    fn pack(&mut self, page: &[u8]) -> Result<Bytes, ParquetError> {
        match &mut self.codec {
            Some(encoder) => Ok(encoder.compress_vec(page).map_err(packing)?.into()),
            None => Ok(Bytes::copy_from_slice(page)),
        }
    }

    /// Writes a page; returns where it begins.
    fn write(&mut self, page: Page, bytes_unpacked: usize) -> Result<u64, ParquetError> {
        let mut pages = SerializedPageWriter::new(&mut self.sink);
        let written = pages.write_page(CompressedPage::new(page, bytes_unpacked))?;
        pages.close()?;
        self.bytes_unpacked += written.uncompressed_size;
        Ok(written.offset)
    }
}

/// Adds a run in Parquet's encoding of levels and keys: twice its length as a varint, and the value.
pub(super) fn push_run(value: u32, rows: usize, value_bytes: usize, out: &mut Vec<u8>) {
    let mut head = (rows as u64) << 1;
    while head >= 0x80 {
        out.push(head as u8 | 0x80);
        head >>= 7;
    }
    out.push(head as u8);
    out.extend_from_slice(&value.to_le_bytes()[..value_bytes]);
}

fn packing(error: snap::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}
