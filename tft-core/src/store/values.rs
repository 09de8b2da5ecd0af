//! Columns of values of which none is missing, as plain pages.

use std::io::Write;

use arrow_buffer::ToByteSlice;
use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::ColumnDescPtr;

use super::chunk::{Chunk, push_run};
use crate::window::StoredRows;

/// Values of a page.
const PAGE_ROWS: usize = 131_072;
/// Room before a page's values for its levels: their length, and a run of at most `PAGE_ROWS`.
const LEVELS_BYTES_MAX: usize = 4 + 3 + 1;

/// Buffers that are kept from column to column.
#[derive(Default)]
pub(super) struct ValuePages {
    page: Vec<u8>,
    chunk: Vec<u8>,
}

impl ValuePages {
    /// Appends a metric's column to a row group, unless a value is missing; returns whether it did.
    pub(super) fn append<W: Write + Send>(
        &mut self,
        (rows, metric): (&StoredRows<'_>, usize),
        column: ColumnDescPtr,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<bool, ParquetError> {
        self.page.clear();
        self.page.resize(LEVELS_BYTES_MAX, 0);
        let mut chunk = None;
        let mut buffer = std::mem::take(&mut self.chunk);
        let is_whole = rows.try_visit_values(metric, |mut values| {
            if has_nan(values) {
                return Ok::<_, ParquetError>(false);
            }
            while !values.is_empty() {
                let room = PAGE_ROWS - self.page_rows();
                let (now, later) = values.split_at(values.len().min(room));
                self.page.extend_from_slice(now.to_byte_slice());
                values = later;
                if self.page_rows() == PAGE_ROWS {
                    self.flush(&mut chunk, &mut buffer)?;
                }
            }
            Ok(true)
        })?;
        if !is_whole {
            return Ok(false);
        }
        if self.page_rows() > 0 {
            self.flush(&mut chunk, &mut buffer)?;
        }
        if let Some(chunk) = chunk {
            self.chunk = chunk.append(column, None, group)?;
        }
        Ok(true)
    }

    fn page_rows(&self) -> usize {
        (self.page.len() - LEVELS_BYTES_MAX) / size_of::<f32>()
    }

    fn flush(&mut self, chunk: &mut Option<Chunk>, buffer: &mut Vec<u8>) -> Result<(), ParquetError> {
        let rows = self.page_rows();
        let mut run = Vec::with_capacity(LEVELS_BYTES_MAX);
        push_run(1, rows, 1, &mut run);
        let start = LEVELS_BYTES_MAX - 4 - run.len();
        self.page[start..start + 4].copy_from_slice(&(run.len() as u32).to_le_bytes());
        self.page[start + 4..LEVELS_BYTES_MAX].copy_from_slice(&run);
        if chunk.is_none() {
            *chunk = Some(Chunk::new(std::mem::take(buffer), &self.page[LEVELS_BYTES_MAX..])?);
        }
        if let Some(chunk) = chunk {
            chunk.push_data(&self.page[start..], rows, Encoding::PLAIN)?;
        }
        self.page.truncate(LEVELS_BYTES_MAX);
        Ok(())
    }
}

fn has_nan(values: &[f32]) -> bool {
    // Without an early end within a part, so that several values are compared at once.
    values.chunks(512).any(|part| part.iter().fold(false, |found, value| found | value.is_nan()))
}
