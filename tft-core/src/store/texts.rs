//! Columns of text that hardly change from row to row, as a dictionary and runs of its keys.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use parquet::basic::Encoding;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::ColumnDescPtr;

use super::chunk::{Chunk, push_run};

/// Rows of a run from which on it takes no more bytes than its keys side by side.
const RUN_ROWS: usize = 8;

/// The texts of a column's rows; none is null.
#[derive(Default)]
pub(super) struct TextRuns<'w> {
    texts: Vec<&'w str>,
    keys: HashMap<&'w str, u32>,
    /// Keys, and how many rows in a row have them.
    runs: Vec<(Option<u32>, usize)>,
    rows: usize,
    nulls: usize,
}

impl<'w> TextRuns<'w> {
    /// Adds the text of rows that follow each other.
    pub(super) fn push(&mut self, text: Option<&'w str>, rows: usize) {
        if rows == 0 {
            return;
        }
        let key = text.map(|text| {
            *self.keys.entry(text).or_insert_with(|| {
                self.texts.push(text);
                self.texts.len() as u32 - 1
            })
        });
        match self.runs.last_mut().filter(|(last, _)| *last == key) {
            Some((_, count)) => *count += rows,
            None => self.runs.push((key, rows)),
        }
        self.rows += rows;
        self.nulls += if key.is_none() { rows } else { 0 };
    }

    /// Returns whether the runs are long enough to be written as such.
    pub(super) fn are_long(&self) -> bool {
        !self.texts.is_empty() && self.runs.len() * RUN_ROWS <= self.rows && i32::try_from(self.rows).is_ok()
    }

    /// Returns the column for the writer of the parquet crate.
    pub(super) fn into_array(self) -> ArrayRef {
        let keys =
            self.runs.iter().flat_map(|&(key, rows)| std::iter::repeat_n(key.map(|key| key as i32), rows));
        let keys = keys.collect::<Int32Array>();
        // A key is the position of a text.
        Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(StringArray::from(self.texts))))
    }

    /// Appends the column to a row group: one page of the dictionary, and one of runs.
    pub(super) fn append<W: Write + Send>(
        &self,
        column: ColumnDescPtr,
        with_statistics: bool,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        let dictionary = self.dictionary_page();
        let mut chunk = Chunk::new(Vec::new(), &dictionary)?;
        chunk.push_dictionary(&dictionary, self.texts.len())?;
        let data = self.data_page(column.max_def_level() > 0);
        chunk.push_data(&data, self.rows, Encoding::RLE_DICTIONARY)?;
        chunk.append(column, with_statistics.then(|| self.statistics()), group)?;
        Ok(())
    }

    fn dictionary_page(&self) -> Vec<u8> {
        let mut page = Vec::new();
        for text in &self.texts {
            page.extend_from_slice(&(text.len() as u32).to_le_bytes());
            page.extend_from_slice(text.as_bytes());
        }
        page
    }

    fn data_page(&self, is_optional: bool) -> Vec<u8> {
        let mut page = Vec::new();
        if is_optional {
            let mut levels = Vec::new();
            for present in self.runs.chunk_by(|(key, _), (next, _)| key.is_some() == next.is_some()) {
                let rows = present.iter().map(|(_, rows)| rows).sum();
                push_run(u32::from(present[0].0.is_some()), rows, 1, &mut levels);
            }
            page.extend_from_slice(&(levels.len() as u32).to_le_bytes());
            page.append(&mut levels);
        }
        let key_max = self.texts.len().saturating_sub(1) as u32;
        let bits = (u32::BITS - key_max.leading_zeros()).max(1);
        page.push(bits as u8);
        for &(key, rows) in &self.runs {
            if let Some(key) = key {
                push_run(key, rows, bits.div_ceil(8) as usize, &mut page);
            }
        }
        page
    }

    fn statistics(&self) -> Statistics {
        let bound = |text: Option<&&str>| text.map(|text| ByteArray::from(*text));
        let (min, max) = (bound(self.texts.iter().min()), bound(self.texts.iter().max()));
        Statistics::byte_array(min, max, None, Some(self.nulls as u64), false)
    }
}
