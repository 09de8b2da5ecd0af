//! The rows of a batch as records, or why they are refused.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};

use super::columns::{Columns, Meaning};
use super::text::TextColumn;
use crate::schema::{Profile, Schema, ServerName, Status};
use crate::time::{Timestamp, abbreviate};
use crate::window::Record;
use crate::window::fault::{Fault, Reason, fault_of_value};

/// A cell that cannot be used: its value as text, and the reason.
type Bad = (String, Reason);

/// A row under construction.
struct Draft {
    timestamp: Option<Timestamp>,
    server: Option<ServerName>,
    profile: Option<Profile>,
    status: Option<Status>,
    values: Box<[f32]>,
    /// The first in the order of the columns.
    fault: Option<Fault>,
}

/// Reads the rows of a batch.
pub(super) fn read(
    batch: &RecordBatch,
    columns: &Columns,
    schema: &Schema,
) -> impl Iterator<Item = Result<Record, Fault>> {
    let mut drafts: Vec<_> = (0..batch.num_rows()).map(|_| Draft::new(schema)).collect();
    for &(position, meaning) in &columns.known {
        let mut column = Column {
            name: batch.schema_ref().field(position).name(),
            array: batch.column(position),
            drafts: &mut drafts,
        };
        match meaning {
            Meaning::Timestamp => column.read_times(),
            Meaning::Server => column.read_servers(),
            Meaning::Profile => column.read_profiles(),
            Meaning::Status => column.read_statuses(schema),
            Meaning::Metric(metric) => column.read_metric(metric, schema),
        }
    }
    drafts.into_iter().map(|draft| draft.finish(schema))
}

impl Draft {
    fn new(schema: &Schema) -> Self {
        let values = vec![f32::NAN; schema.metrics().len()].into_boxed_slice();
        Self { timestamp: None, server: None, profile: None, status: None, values, fault: None }
    }

    fn finish(self, schema: &Schema) -> Result<Record, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let missing = |field: &'static str| Fault::new(field, "", Reason::Missing);
        let timestamp = self.timestamp.ok_or_else(|| missing("timestamp"))?;
        let server = self.server.ok_or_else(|| missing("server_name"))?;
        Ok(Record::from_parts(schema, timestamp, server, (self.profile, self.status), self.values))
    }
}

/// A column on its way into the drafts of its rows.
struct Column<'a> {
    name: &'a str,
    array: &'a dyn Array,
    drafts: &'a mut [Draft],
}

impl Column<'_> {
    /// Sets what each row's cell says, or notes what is wrong with it.
    fn fill<T>(&mut self, cells: impl Iterator<Item = Result<T, Bad>>, mut set: impl FnMut(&mut Draft, T)) {
        for (draft, cell) in self.drafts.iter_mut().zip(cells) {
            match cell {
                Ok(value) => set(draft, value),
                Err((value, reason)) => {
                    draft.fault.get_or_insert_with(|| Fault::new(self.name.to_owned(), &value, reason));
                }
            }
        }
    }

    fn read_times(&mut self) {
        self.fill(times(self.array).into_iter(), |draft, time| draft.timestamp = Some(time));
    }

    fn read_servers(&mut self) {
        let mut texts = TextColumn::new(self.array);
        let name = |text: &str| ServerName::new(text).map_err(|_| quoted(text));
        let cells = (0..self.array.len()).map(|row| match texts.get(row, name) {
            Some(name) => name.map_err(|value| (value, Reason::BadServerName)),
            None => Err((NULL.to_owned(), Reason::NotText)),
        });
        self.fill(cells, |draft, server| draft.server = Some(server));
    }

    fn read_profiles(&mut self) {
        let mut texts = TextColumn::new(self.array);
        let profile = |text: &str| Profile::new(text).map_err(|_| quoted(text));
        let cells = (0..self.array.len()).map(|row| texts.get(row, profile).transpose());
        let cells = cells.map(|cell| cell.map_err(|value| (value, Reason::BadProfile)));
        self.fill(cells, |draft, profile| draft.profile = profile);
    }

    fn read_statuses(&mut self, schema: &Schema) {
        let mut texts = TextColumn::new(self.array);
        let status = |text: &str| schema.statuses().parse(text).ok_or_else(|| quoted(text));
        let cells = (0..self.array.len()).map(|row| texts.get(row, status).transpose());
        let cells = cells.map(|cell| cell.map_err(|value| (value, Reason::UnknownStatus)));
        self.fill(cells, |draft, status| draft.status = status);
    }

    fn read_metric(&mut self, metric: usize, schema: &Schema) {
        let definition = &schema.metrics()[metric];
        let array = self.array;
        let cells = numbers(array).into_iter().map(|number| {
            let Some(value) = number else { return Ok(f32::NAN) };
            match fault_of_value(definition, value) {
                None => Ok(definition.clamp(value) as f32),
                Some(reason) => Err((shown(value, array), reason)),
            }
        });
        self.fill(cells, |draft, value| draft.values[metric] = value);
    }
}

/// Reads a column of numbers; a row is none where it is null.
fn numbers(column: &dyn Array) -> Vec<Option<f64>> {
    match column.data_type() {
        DataType::Float16 => widened::<Float16Type>(column, f64::from),
        DataType::Float32 => widened::<Float32Type>(column, f64::from),
        DataType::Float64 => widened::<Float64Type>(column, |value| value),
        DataType::Int8 => widened::<Int8Type>(column, f64::from),
        DataType::Int16 => widened::<Int16Type>(column, f64::from),
        DataType::Int32 => widened::<Int32Type>(column, f64::from),
        DataType::Int64 => widened::<Int64Type>(column, |value| value as f64),
        DataType::UInt8 => widened::<UInt8Type>(column, f64::from),
        DataType::UInt16 => widened::<UInt16Type>(column, f64::from),
        DataType::UInt32 => widened::<UInt32Type>(column, f64::from),
        DataType::UInt64 => widened::<UInt64Type>(column, |value| value as f64),
        _ => vec![None; column.len()],
    }
}

fn widened<T: ArrowPrimitiveType>(column: &dyn Array, widen: impl Fn(T::Native) -> f64) -> Vec<Option<f64>> {
    column.as_primitive::<T>().iter().map(|value| value.map(&widen)).collect()
}

/// Writes a number of a column as the column's type does: 0.1 is not 0.10000000149011612.
fn shown(number: f64, column: &dyn Array) -> String {
    let is_narrow = matches!(column.data_type(), DataType::Float16 | DataType::Float32);
    if is_narrow { (number as f32).to_string() } else { number.to_string() }
}

fn times(column: &dyn Array) -> Vec<Result<Timestamp, Bad>> {
    let of_millis = |millis: i64| {
        let time = Timestamp::from_millis(millis);
        if time.as_millis() == millis {
            Ok(time)
        } else {
            Err((format!("{millis} ms"), Reason::UnreadableTime))
        }
    };
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            map::<TimestampSecondType>(column, |seconds| of_millis(seconds.saturating_mul(1000)))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => map::<TimestampMillisecondType>(column, of_millis),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            map::<TimestampMicrosecondType>(column, |micros| of_millis(micros.div_euclid(1000)))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            map::<TimestampNanosecondType>(column, |nanos| of_millis(nanos.div_euclid(1_000_000)))
        }
        found if found.is_numeric() => {
            let time = |number: Option<f64>| match number {
                None => Err((NULL.to_owned(), Reason::UnreadableTime)),
                Some(number) => Timestamp::from_number(number)
                    .map_err(|_| (shown(number, column), Reason::UnreadableTime)),
            };
            numbers(column).into_iter().map(time).collect()
        }
        _ => {
            let mut texts = TextColumn::new(column);
            let parse = |text: &str| Timestamp::parse(text).map_err(|_| quoted(text));
            let cell = |row| match texts.get(row, parse) {
                None => Err((NULL.to_owned(), Reason::UnreadableTime)),
                Some(time) => time.map_err(|value| (value, Reason::UnreadableTime)),
            };
            (0..column.len()).map(cell).collect()
        }
    }
}

fn map<T: ArrowPrimitiveType>(
    column: &dyn Array,
    read: impl Fn(T::Native) -> Result<Timestamp, Bad>,
) -> Vec<Result<Timestamp, Bad>> {
    let null = || Err((NULL.to_owned(), Reason::UnreadableTime));
    column.as_primitive::<T>().iter().map(|value| value.map_or_else(null, &read)).collect()
}

/// Writes text as it stands in a JSON feed, where messages show it.
fn quoted(text: &str) -> String {
    // Cut first: a text may have megabytes.
    let start: String = text.chars().take(SHOWN_CHARACTERS).collect();
    abbreviate(&serde_json::to_string(&start).unwrap_or(start))
}

/// How a missing value stands in a message.
const NULL: &str = "null";

/// At least as many as an abbreviation has.
const SHOWN_CHARACTERS: usize = 128;
