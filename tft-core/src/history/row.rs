//! Rows as columns: what the tables of the history have in common.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::entry::HistoryEntry;
use crate::time::Timestamp;

/// Which rows: what happened to alerts, or how the fleet was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Table {
    /// [`AlertEvent`](super::AlertEvent)s.
    Alerts,
    /// [`FleetSnapshot`](super::FleetSnapshot)s.
    Environment,
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Column {
    /// Its name, the same in files, exports and replies.
    pub name: &'static str,
    /// What its cells hold.
    pub kind: ColumnKind,
}

/// What the cells of a column hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnKind {
    /// Text.
    Text,
    /// A number with a fraction.
    Number,
    /// A whole number.
    Whole,
    /// An instant.
    Time,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Cell {
    /// There is none.
    Missing,
    /// Text.
    Text(String),
    /// A finite number.
    Number(f64),
    /// A whole number.
    Whole(i64),
    /// An instant.
    Time(Timestamp),
}

/// A row of a table.
pub trait HistoryRow: Clone + Send + Sync + sealed::Stored {
    /// Its table.
    const TABLE: Table;
    /// Its columns.
    const COLUMNS: &'static [Column];

    /// Returns its values in the order of the columns.
    fn cells(&self) -> Vec<Cell>;
}

pub(super) mod sealed {
    use super::{Cells, HistoryEntry};
    use crate::history::Query;
    use crate::time::Timestamp;

    /// What only rows of this module can do.
    pub trait Stored: Sized {
        /// Reads a row; none if a value that must be there is missing or unknown.
        fn of_cells(cells: &mut Cells<'_>) -> Option<Self>;
        fn of_entry(entry: &HistoryEntry) -> Option<&Self>;
        fn sequence(&self) -> u64;
        fn at(&self) -> Timestamp;
        /// Returns whether a query asks for it, its place and time aside.
        fn is_asked_for(&self, query: &Query) -> bool;
    }
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 2] = [Self::Alerts, Self::Environment];

    /// Returns the name, as files and routes have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Environment => "environment",
        }
    }

    /// Reads a table by its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.as_str() == name)
    }
}

impl Column {
    pub(super) const fn text(name: &'static str) -> Self {
        Self { name, kind: ColumnKind::Text }
    }

    pub(super) const fn number(name: &'static str) -> Self {
        Self { name, kind: ColumnKind::Number }
    }

    pub(super) const fn whole(name: &'static str) -> Self {
        Self { name, kind: ColumnKind::Whole }
    }

    pub(super) const fn time(name: &'static str) -> Self {
        Self { name, kind: ColumnKind::Time }
    }

    /// Returns whether a batch has it, with its type.
    pub(super) fn is_in(&self, batch: &RecordBatch) -> bool {
        let field = batch.schema_ref().field_with_name(self.name);
        field.is_ok_and(|field| field.data_type() == self.field().data_type())
    }

    fn field(self) -> Field {
        let kind = match self.kind {
            ColumnKind::Text => DataType::Utf8,
            ColumnKind::Number => DataType::Float64,
            ColumnKind::Whole => DataType::Int64,
            ColumnKind::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        };
        Field::new(self.name, kind, true)
    }
}

impl Cell {
    pub(super) fn text(text: &str) -> Self {
        if text.is_empty() { Self::Missing } else { Self::Text(text.to_owned()) }
    }

    pub(super) fn number(number: Option<f64>) -> Self {
        number.filter(|number| number.is_finite()).map_or(Self::Missing, Self::Number)
    }

    pub(super) fn whole(number: u64) -> Self {
        Self::Whole(i64::try_from(number).unwrap_or(i64::MAX))
    }

    pub(super) fn time(at: Option<Timestamp>) -> Self {
        at.map_or(Self::Missing, Self::Time)
    }

    /// Writes a value that has a name on the wire.
    pub(super) fn word(word: Option<&str>) -> Self {
        word.map_or(Self::Missing, Self::text)
    }
}

/// Puts rows into columns.
pub(super) fn to_batch<R: HistoryRow>(rows: &[R]) -> Result<RecordBatch, ArrowError> {
    let mut columns: Vec<Vec<Cell>> = R::COLUMNS.iter().map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, cell) in columns.iter_mut().zip(row.cells()) {
            column.push(cell);
        }
    }
    let arrays = R::COLUMNS.iter().zip(&columns).map(|(column, cells)| array(column.kind, cells));
    let fields: Vec<_> = R::COLUMNS.iter().map(|column| column.field()).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays.collect())
}

fn array(kind: ColumnKind, cells: &[Cell]) -> ArrayRef {
    match kind {
        ColumnKind::Text => {
            let texts = cells.iter().map(|cell| if let Cell::Text(text) = cell { Some(text) } else { None });
            Arc::new(texts.collect::<StringArray>())
        }
        ColumnKind::Number => {
            let numbers =
                cells.iter().map(|cell| if let Cell::Number(number) = cell { Some(*number) } else { None });
            Arc::new(numbers.collect::<Float64Array>())
        }
        ColumnKind::Whole => {
            let numbers =
                cells.iter().map(|cell| if let Cell::Whole(number) = cell { Some(*number) } else { None });
            Arc::new(numbers.collect::<Int64Array>())
        }
        ColumnKind::Time => {
            let times =
                cells.iter().map(|cell| if let Cell::Time(at) = cell { Some(at.as_millis()) } else { None });
            Arc::new(times.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
        }
    }
}

/// The values of one row of a batch, by name; a column that is not there, or of another type, has none.
pub struct Cells<'b> {
    columns: HashMap<&'b str, &'b ArrayRef>,
    row: usize,
}

impl std::fmt::Debug for Cells<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cells").field("row", &self.row).finish_non_exhaustive()
    }
}

impl<'b> Cells<'b> {
    /// Shows each row of a batch.
    pub(super) fn each(batch: &'b RecordBatch, mut visit: impl FnMut(&mut Self) -> bool) -> bool {
        let columns = batch.schema_ref().fields().iter().map(|field| field.name().as_str());
        let columns = columns.zip(batch.columns()).collect();
        let mut cells = Self { columns, row: 0 };
        (0..batch.num_rows()).all(|row| {
            cells.row = row;
            visit(&mut cells)
        })
    }

    fn array(&self, name: &str) -> Option<&'b ArrayRef> {
        self.columns.get(name).copied().filter(|array| array.is_valid(self.row))
    }

    pub(super) fn text(&self, name: &str) -> &'b str {
        let array = self.array(name).and_then(|array| array.as_string_opt::<i32>());
        array.map_or("", |array| array.value(self.row))
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        let array = self.array(name)?.as_primitive_opt::<Float64Type>()?;
        Some(array.value(self.row)).filter(|number| number.is_finite())
    }

    pub(super) fn whole(&self, name: &str) -> Option<u64> {
        let array = self.array(name)?.as_primitive_opt::<Int64Type>()?;
        u64::try_from(array.value(self.row)).ok()
    }

    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        let array = self.array(name)?.as_primitive_opt::<TimestampMillisecondType>()?;
        Some(Timestamp::from_millis(array.value(self.row)))
    }

    /// Reads a value that has a name on the wire: nothing if it is missing, and not at all if it is unknown.
    #[allow(clippy::option_option, reason = "what is missing and what is unknown are told apart")]
    pub(super) fn word<T: DeserializeOwned>(&self, name: &str) -> Option<Option<T>> {
        let text = self.text(name);
        if text.is_empty() {
            return Some(None);
        }
        serde_json::from_value(serde_json::Value::from(text)).ok().map(Some)
    }

    /// Reads a value that was written as JSON.
    pub(super) fn json<T: DeserializeOwned + Default>(&self, name: &str) -> Option<T> {
        let text = self.text(name);
        if text.is_empty() { Some(T::default()) } else { serde_json::from_str(text).ok() }
    }
}
