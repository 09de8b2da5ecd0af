//! The columns of a checkpoint: which there are, and their values whatever their type.

use std::borrow::Cow;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, DictionaryArray, Int32Array, StringArray};
use arrow_schema::{DataType, Field, Schema as ArrowSchema, TimeUnit};

use super::error::StoreError;
use crate::schema::{Metric, Schema};
use crate::time::{Timestamp, abbreviate};

/// The positions of the columns in the file.
pub(super) struct Columns {
    pub(super) timestamp: usize,
    pub(super) server: usize,
    pub(super) profile: Option<usize>,
    pub(super) status: Option<usize>,
    /// One per metric of the schema.
    pub(super) metrics: Vec<Option<usize>>,
}

/// Text columns are read as dictionaries: a server's name is then checked once per batch, and a long text
/// that many rows share is not copied for each of them.
pub(super) fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

impl Columns {
    /// Finds the columns by name and checks their types.
    pub(super) fn find(fields: &ArrowSchema, schema: &Schema) -> Result<Self, StoreError> {
        let metrics = schema.metrics().len();
        let only = |matches: &dyn Fn(&str) -> bool| only_column(fields, matches);
        let required = |column| move |found: Option<usize>| found.ok_or(StoreError::MissingColumn { column });
        let mut columns = Self {
            timestamp: only(&|name| name == "timestamp").and_then(required("timestamp"))?,
            server: only(&|name| schema.is_server_name_field(name)).and_then(required("server_name"))?,
            profile: only(&|name| name == "profile")?,
            status: only(&|name| name == "status" || name == "state")?,
            metrics: (0..metrics)
                .map(|metric| only(&|name| schema.metric_index(name) == Some(metric)))
                .collect::<Result<_, _>>()?,
        };
        if columns.metrics.iter().all(Option::is_none) {
            return Err(StoreError::NoMetricColumn { metrics });
        }
        columns.check_types(fields)?;
        let has_values = |position: &usize| *fields.field(*position).data_type() != DataType::Null;
        columns.profile = columns.profile.filter(has_values);
        columns.status = columns.status.filter(has_values);
        Ok(columns)
    }

    /// Returns the positions of all columns that are read, ascending.
    pub(super) fn positions(&self) -> Vec<usize> {
        let optional = self.metrics.iter().chain([&self.profile, &self.status]).flatten();
        let mut positions: Vec<_> = optional.copied().chain([self.timestamp, self.server]).collect();
        positions.sort_unstable();
        positions
    }

    /// Returns the positions of the columns that hold text and should be read as dictionaries.
    pub(super) fn text_positions(&self) -> impl Iterator<Item = usize> {
        [Some(self.timestamp), Some(self.server), self.profile, self.status].into_iter().flatten()
    }

    /// Returns the columns' positions among those that are read.
    pub(super) fn projected(&self) -> Self {
        let positions = self.positions();
        let projected = |position: usize| positions.partition_point(|&other| other < position);
        Self {
            timestamp: projected(self.timestamp),
            server: projected(self.server),
            profile: self.profile.map(projected),
            status: self.status.map(projected),
            metrics: self.metrics.iter().map(|metric| metric.map(projected)).collect(),
        }
    }

    fn check_types(&self, fields: &ArrowSchema) -> Result<(), StoreError> {
        let check = |position: usize, is_valid: fn(&DataType) -> bool, expected| {
            let field = fields.field(position);
            if is_valid(field.data_type()) {
                return Ok(());
            }
            let (column, found) = (field.name().clone(), field.data_type().clone());
            Err(StoreError::ColumnType { column, found, expected })
        };
        check(self.timestamp, is_time, "a timestamp, text or a 64-bit integer")?;
        check(self.server, |found| *found == DataType::Utf8, "text")?;
        for position in [self.profile, self.status].into_iter().flatten() {
            check(position, |found| matches!(found, DataType::Utf8 | DataType::Null), "text")?;
        }
        self.metrics.iter().flatten().try_for_each(|&position| check(position, is_number, "a number"))
    }
}

fn only_column(fields: &ArrowSchema, matches: &dyn Fn(&str) -> bool) -> Result<Option<usize>, StoreError> {
    let matching = |(_, field): &(usize, &std::sync::Arc<Field>)| matches(field.name());
    let mut found = fields.fields().iter().enumerate().filter(matching);
    let first = found.next();
    match (first, found.next()) {
        (Some((_, first)), Some((_, second))) => {
            let (column, first) = (second.name().clone(), first.name().clone());
            Err(StoreError::RepeatedColumn { column, first })
        }
        _ => Ok(first.map(|(position, _)| position)),
    }
}

fn is_time(found: &DataType) -> bool {
    matches!(found, DataType::Timestamp(..) | DataType::Int64 | DataType::Utf8)
}

fn is_number(found: &DataType) -> bool {
    // Writers give a column without any value the null type.
    found.is_integer() || found.is_floating() || matches!(found, DataType::Null | DataType::Boolean)
}

/// A text column of one batch; what a text means is found out once, when a row has it.
pub(super) struct Texts<'a, T> {
    keys: &'a Int32Array,
    values: &'a StringArray,
    meanings: Vec<Option<T>>,
}

impl<'a, T> Texts<'a, T> {
    pub(super) fn new(column: &'a dyn Array) -> Self {
        let dictionary: &DictionaryArray<Int32Type> = column.as_dictionary();
        let texts = dictionary.values().as_string::<i32>();
        Self { keys: dictionary.keys(), values: texts, meanings: (0..texts.len()).map(|_| None).collect() }
    }

    /// Returns the end of the rows from `row` on that have the same text, or all none.
    pub(super) fn run_end(&self, row: usize) -> usize {
        let keys = self.keys.values();
        if self.keys.null_count() == 0 {
            return row + keys[row..].iter().take_while(|&&key| key == keys[row]).count();
        }
        let is_same =
            |&other: &usize| self.keys.is_valid(other) == self.keys.is_valid(row) && keys[other] == keys[row];
        row + 1 + (row + 1..keys.len()).take_while(is_same).count()
    }

    /// Returns what the text of a row means, unless it is null.
    pub(super) fn get(&mut self, row: usize, meaning: impl FnOnce(&str) -> T) -> Option<&T> {
        let key = self.keys.is_valid(row).then(|| self.keys.value(row) as usize)?;
        let text = self.values.is_valid(key).then(|| self.values.value(key))?;
        Some(self.meanings.get_mut(key)?.get_or_insert_with(|| meaning(text)))
    }
}

/// A time, or the value that is none.
type Time = Result<Timestamp, String>;

/// Reads a column of times.
///
/// # Errors
/// The first row without a time, and what stands there; none if it is null.
pub(super) fn times(column: &dyn Array) -> Result<Vec<Timestamp>, (usize, Option<String>)> {
    if let Some(millis) =
        column.as_primitive_opt::<TimestampMillisecondType>().filter(|_| column.null_count() == 0)
    {
        let times = millis.values().iter().map(|&millis| Timestamp::from_millis(millis)).collect::<Vec<_>>();
        // Those that cannot be times have been moved to where they can. Counted to the end, so that several are
        // compared at once.
        let differing =
            times.iter().zip(millis.values()).filter(|(time, millis)| time.as_millis() != **millis);
        if differing.count() == 0 {
            return Ok(times);
        }
    }
    let times = times_or_values(column).into_iter().enumerate();
    times
        .map(|(row, time)| time.transpose().map_err(|value| (row, Some(value)))?.ok_or((row, None)))
        .collect()
}

fn times_or_values(column: &dyn Array) -> Vec<Option<Time>> {
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            map::<TimestampSecondType, _>(column, |seconds| time_of_millis(seconds.saturating_mul(1000)))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            map::<TimestampMillisecondType, _>(column, time_of_millis)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            map::<TimestampMicrosecondType, _>(column, |micros| time_of_millis(micros.div_euclid(1000)))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            map::<TimestampNanosecondType, _>(column, |nanos| time_of_millis(nanos.div_euclid(1_000_000)))
        }
        DataType::Int64 => map::<Int64Type, _>(column, |number| {
            Timestamp::from_number(number as f64).map_err(|_| number.to_string())
        }),
        _ => {
            let mut texts = Texts::new(column);
            let parse = |text: &str| Timestamp::parse(text).map_err(|_| abbreviate(text));
            (0..column.len()).map(|row| texts.get(row, parse).cloned()).collect()
        }
    }
}

fn time_of_millis(millis: i64) -> Time {
    let time = Timestamp::from_millis(millis);
    if time.as_millis() == millis { Ok(time) } else { Err(format!("{millis} ms")) }
}

/// Returns the values of a metric's column, NaN where there is none that the metric takes, and how many were out of
/// range. Values that can be used as they are, are not copied.
pub(super) fn metric_values<'a>(column: &'a dyn Array, metric: &Metric) -> (Cow<'a, [f32]>, u64) {
    let (values, out_of_range) = match column.data_type() {
        DataType::Float32 => {
            let column = column.as_primitive::<Float32Type>();
            if column.null_count() == 0 && are_within(column.values(), metric) {
                return (Cow::Borrowed(column.values()), 0);
            }
            copy::<Float32Type>(column, metric, f64::from)
        }
        DataType::Float16 => copy::<Float16Type>(column, metric, f64::from),
        DataType::Float64 => copy::<Float64Type>(column, metric, |value| value),
        DataType::Int8 => copy::<Int8Type>(column, metric, f64::from),
        DataType::Int16 => copy::<Int16Type>(column, metric, f64::from),
        DataType::Int32 => copy::<Int32Type>(column, metric, f64::from),
        DataType::Int64 => copy::<Int64Type>(column, metric, |value| value as f64),
        DataType::UInt8 => copy::<UInt8Type>(column, metric, f64::from),
        DataType::UInt16 => copy::<UInt16Type>(column, metric, f64::from),
        DataType::UInt32 => copy::<UInt32Type>(column, metric, f64::from),
        DataType::UInt64 => copy::<UInt64Type>(column, metric, |value| value as f64),
        DataType::Boolean => {
            let values = column.as_boolean().iter().map(|value| value.map(f64::from));
            accepted(values, metric)
        }
        _ => (vec![f32::NAN; column.len()], 0),
    };
    (Cow::Owned(values), out_of_range)
}

/// Returns whether all values are finite and inside the valid range without any tolerance.
fn are_within(values: &[f32], metric: &Metric) -> bool {
    let min = metric.min.map_or(f32::MIN, |min| {
        let rounded = min as f32;
        (if f64::from(rounded) < min { rounded.next_up() } else { rounded }).max(f32::MIN)
    });
    let max = metric.max.map_or(f32::MAX, |max| {
        let rounded = max as f32;
        (if f64::from(rounded) > max { rounded.next_down() } else { rounded }).min(f32::MAX)
    });
    // Counted to the end, so that several values are compared at once.
    values.iter().filter(|&&value| value >= min && value <= max).count() == values.len()
}

fn copy<T: ArrowPrimitiveType>(
    column: &dyn Array,
    metric: &Metric,
    widen: impl Fn(T::Native) -> f64,
) -> (Vec<f32>, u64) {
    accepted(column.as_primitive::<T>().iter().map(|value| value.map(&widen)), metric)
}

fn accepted(values: impl Iterator<Item = Option<f64>>, metric: &Metric) -> (Vec<f32>, u64) {
    let mut out_of_range = 0;
    let values = values.map(|value| {
        let value = value.unwrap_or(f64::NAN);
        if metric.accepts(value) {
            return metric.clamp(value) as f32;
        }
        out_of_range += u64::from(!value.is_nan());
        f32::NAN
    });
    (values.collect(), out_of_range)
}

fn map<T: ArrowPrimitiveType, R>(column: &dyn Array, read: impl Fn(T::Native) -> R) -> Vec<Option<R>> {
    column.as_primitive::<T>().iter().map(|value| value.map(&read)).collect()
}
