//! Parquet to a window: the footer, the batches, and the rows in the order in which they were taken.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Field, Schema as ArrowSchema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::columns::{Columns, Texts, metric_values, text_type, times};
use super::error::StoreError;
use super::footer::Footer;
use super::rows::{ColumnRows, Rows, Run, profile_of};
use super::sealing::Keyring;
use super::{LoadReport, checksum, guard};
use crate::schema::{Schema, Status};
use crate::time::abbreviate;
use crate::window::{RollingWindow, WindowConfig};

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 4_096;
/// Most rows of a file that is not known to be in time order: they are held until the last one is read. The
/// original system kept 6,000.
const UNORDERED_ROWS_MAX: u64 = 4_000_000;

/// Reads a file into an empty window.
pub(super) fn read(
    bytes: Bytes,
    window: RollingWindow,
    keyring: &Keyring,
) -> Result<(RollingWindow, LoadReport), StoreError> {
    guard::check_footer(&bytes)?;
    // The reader (parquet 59.3) asserts what it should check: one flipped byte in the definition levels of a
    // column ends in "offset + len out of bounds" (`flipped_bytes_of_a_foreign_file_never_panic`). What it
    // works on is dropped with it, so that no broken state is left behind.
    caught(|| read_checked(bytes, window, keyring))
}

/// Returns the columns of a file, whatever they are.
pub(super) fn fields(bytes: &Bytes, keyring: &Keyring) -> Result<SchemaRef, StoreError> {
    guard::check_footer(bytes)?;
    caught(|| {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::try_new(Arc::new(keyring.read_footer(bytes)?), options);
        Ok(metadata.map_err(reading)?.schema().clone())
    })
}

/// Reads the rows of a file in their order, and gives none to the window, which tells the schema.
pub(super) fn read_rows(bytes: Bytes, window: RollingWindow, keyring: &Keyring) -> Result<Rows, StoreError> {
    guard::check_footer(&bytes)?;
    caught(|| {
        let metadata = keyring.read_footer(&bytes)?;
        checksum::verify(&bytes, &metadata)?;
        let footer = Footer::read(&metadata)?;
        check_row_count(&metadata, UNORDERED_ROWS_MAX)?;
        let file = File::open(bytes, metadata, window.schema())?;
        let mut loader = Loader::new(window, file.columns.projected(), &footer);
        loader.is_ordered = false;
        loader.take_all(&file)?;
        Ok(loader.rows)
    })
}

fn caught<T>(read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|panic| Err(StoreError::Panicked { message: message_of(&*panic) }))
}

pub(super) fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    abbreviate(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message"))
}

fn read_checked(
    bytes: Bytes,
    window: RollingWindow,
    keyring: &Keyring,
) -> Result<(RollingWindow, LoadReport), StoreError> {
    let metadata = keyring.read_footer(&bytes)?;
    checksum::verify(&bytes, &metadata)?;
    let footer = Footer::read(&metadata)?;
    let rows_max = if footer.is_ordered() { rows_max(window.config()) } else { UNORDERED_ROWS_MAX };
    check_row_count(&metadata, rows_max)?;
    let file = File::open(bytes, metadata, window.schema())?;
    let mut loader = Loader::new(window, file.columns.projected(), &footer);
    loader.take_all(&file)?;
    loader.finish(&footer)
}

/// A file whose pages have been checked, and the columns in it that the schema knows.
struct File {
    bytes: Bytes,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    columns: Columns,
}

impl File {
    fn open(bytes: Bytes, metadata: ParquetMetaData, schema: &Schema) -> Result<Self, StoreError> {
        let metadata = Arc::new(metadata);
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let plain = ArrowReaderMetadata::try_new(metadata.clone(), options).map_err(reading)?;
        let columns = Columns::find(plain.schema(), schema)?;
        let mask = ProjectionMask::roots(plain.parquet_schema(), columns.positions());
        let leaves = (0..plain.parquet_schema().num_columns()).filter(|&leaf| mask.leaf_included(leaf));
        guard::check_pages(&bytes, &metadata, &leaves.collect::<Vec<_>>())?;
        let options = ArrowReaderOptions::new().with_schema(with_dictionaries(plain.schema(), &columns));
        let metadata = ArrowReaderMetadata::try_new(metadata, options).map_err(reading)?;
        Ok(Self { bytes, metadata, mask, columns })
    }

    /// Reads a row group. A reader of several would have to join their dictionaries.
    fn read(&self, group: usize) -> Result<ParquetRecordBatchReader, StoreError> {
        let (bytes, metadata) = (self.bytes.clone(), self.metadata.clone());
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata);
        let builder = builder.with_projection(self.mask.clone()).with_row_groups(vec![group]);
        builder.with_batch_size(BATCH_ROWS).build().map_err(reading)
    }
}

fn with_dictionaries(fields: &SchemaRef, columns: &Columns) -> SchemaRef {
    let mut changed: Vec<Arc<Field>> = fields.fields().iter().cloned().collect();
    for position in columns.text_positions() {
        let field = &mut changed[position];
        if *field.data_type() == arrow_schema::DataType::Utf8 {
            *field = Arc::new(field.as_ref().clone().with_data_type(text_type()));
        }
    }
    Arc::new(ArrowSchema::new_with_metadata(changed, fields.metadata().clone()))
}

/// Returns how many rows a window of a configuration can have, and at least as many as any file may.
fn rows_max(config: &WindowConfig) -> u64 {
    let open_rows = (config.grace_steps + 1).saturating_mul(config.samples_per_step_max);
    let rows = config.steps_per_server.saturating_add(open_rows).saturating_mul(config.servers_max);
    UNORDERED_ROWS_MAX.max(rows as u64)
}

fn check_row_count(metadata: &ParquetMetaData, max: u64) -> Result<(), StoreError> {
    let counts =
        metadata.row_groups().iter().map(|group| u64::try_from(group.num_rows()).unwrap_or(u64::MAX));
    let count = counts.fold(0, u64::saturating_add);
    if count > max {
        return Err(StoreError::TooMany { what: "rows", count, max });
    }
    Ok(())
}

/// The columns of a file on their way into the window.
struct Loader {
    columns: Columns,
    rows: Rows,
    /// Whether rows can be taken as they come, or must be sorted by time first.
    is_ordered: bool,
}

impl Loader {
    fn new(window: RollingWindow, columns: Columns, footer: &Footer) -> Self {
        let metrics = window.schema().metrics().iter().zip(&columns.metrics);
        let missing = metrics.filter(|(_, column)| column.is_none()).map(|(metric, _)| metric.name.clone());
        let report = LoadReport {
            format_version: footer.format_version.clone(),
            saved_at: footer.saved_at,
            log_sequence: footer.log_sequence,
            missing_metrics: missing.collect(),
            ..LoadReport::default()
        };
        Self { columns, rows: Rows::new(window, report), is_ordered: footer.is_ordered() }
    }

    fn take_all(&mut self, file: &File) -> Result<(), StoreError> {
        for group in 0..file.metadata.metadata().num_row_groups() {
            for batch in file.read(group)? {
                self.take(&batch.map_err(decoding)?)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let rows = self.rows_of(batch)?;
        self.rows.report.rows += batch.num_rows() as u64;
        if self.is_ordered {
            return self.rows.restore(&rows);
        }
        self.rows.collect(&rows);
        Ok(())
    }

    fn finish(mut self, footer: &Footer) -> Result<(RollingWindow, LoadReport), StoreError> {
        self.rows.restore_in_time_order()?;
        let samples = footer.samples_accepted.iter().map(|(name, &count)| (name.as_str(), count));
        Ok(self.rows.finish(footer.tick_count, samples))
    }

    fn rows_of<'a>(&mut self, batch: &'a RecordBatch) -> Result<ColumnRows<'a>, StoreError> {
        let runs = self.runs(batch)?;
        let cell = |row| Cell { batch, row_in_file: self.rows.report.rows + row as u64 };
        let column = self.columns.timestamp;
        let times =
            times(batch.column(column)).map_err(|(row, value)| cell(row).refuse(column, value, "a time"))?;
        let samples = times.into_iter().zip(self.statuses(batch)).collect();
        let Rows { window, report, .. } = &mut self.rows;
        let metrics = window.schema().metrics().iter().zip(&self.columns.metrics);
        let values = metrics.map(|(metric, column)| {
            let Some(column) = column else { return vec![f32::NAN; batch.num_rows()].into() };
            let (values, out_of_range) = metric_values(batch.column(*column), metric);
            report.values_out_of_range += out_of_range;
            values
        });
        Ok(ColumnRows { samples, runs, values: values.collect() })
    }

    /// Returns which rows that follow each other have the same server and profile.
    fn runs(&mut self, batch: &RecordBatch) -> Result<Vec<Run>, StoreError> {
        let mut servers = Texts::new(batch.column(self.columns.server));
        let mut profiles = self.columns.profile.map(|column| (column, Texts::new(batch.column(column))));
        let mut runs = Vec::new();
        let mut row = 0;
        while row < batch.num_rows() {
            let cell = Cell { batch, row_in_file: self.rows.report.rows + row as u64 };
            let server = servers.get(row, |text| self.rows.names.position(text)).cloned();
            let server = cell.require(self.columns.server, server, "a server's name")?;
            let mut rows = row..servers.run_end(row);
            let mut profile = None;
            if let Some((column, profiles)) = &mut profiles {
                rows.end = rows.end.min(profiles.run_end(row));
                if let Some(told) = profiles.get(row, profile_of).cloned() {
                    profile = Some(cell.require(*column, Some(told), "a profile")?);
                }
            }
            row = rows.end;
            runs.push(Run { rows, server, profile });
        }
        Ok(runs)
    }

    fn statuses(&mut self, batch: &RecordBatch) -> Vec<Option<Status>> {
        let mut statuses = Vec::with_capacity(batch.num_rows());
        if let Some(column) = self.columns.status {
            let Rows { window, report, .. } = &mut self.rows;
            let mut texts = Texts::new(batch.column(column));
            while statuses.len() < batch.num_rows() {
                let row = statuses.len();
                let told = texts.get(row, |text| window.schema().statuses().parse(text)).copied();
                let end = texts.run_end(row);
                report.statuses_unknown += if told == Some(None) { (end - row) as u64 } else { 0 };
                statuses.resize(end, told.flatten());
            }
        }
        statuses.resize(batch.num_rows(), None);
        statuses
    }
}

/// One row of a batch, for messages.
struct Cell<'a> {
    batch: &'a RecordBatch,
    row_in_file: u64,
}

impl Cell<'_> {
    /// Returns a value that must be there and readable.
    fn require<T>(
        &self,
        column: usize,
        value: Option<Result<T, String>>,
        expected: &'static str,
    ) -> Result<T, StoreError> {
        match value {
            Some(Ok(value)) => Ok(value),
            Some(Err(value)) => Err(self.refuse(column, Some(value), expected)),
            None => Err(self.refuse(column, None, expected)),
        }
    }

    fn refuse(&self, column: usize, value: Option<String>, expected: &'static str) -> StoreError {
        let (column, row) = (self.batch.schema_ref().field(column).name().clone(), self.row_in_file);
        match value {
            Some(value) => StoreError::Value { column, value, row, expected },
            None => StoreError::Null { column, row },
        }
    }
}

fn reading(source: ParquetError) -> StoreError {
    StoreError::Parquet { source }
}

fn decoding(error: ArrowError) -> StoreError {
    match error {
        ArrowError::ParquetError(message) => reading(ParquetError::General(message)),
        error => reading(ParquetError::ArrowError(error.to_string())),
    }
}
