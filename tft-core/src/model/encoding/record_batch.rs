//! Rows from Arrow, such as a Parquet file of a data frame.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch, downcast_dictionary_array};
use arrow_schema::DataType;

use super::rows::{Column, Rows};
use crate::error::Error;

impl Rows {
    /// The label of a missing text, as the reference reads it.
    const MISSING_LABEL: &str = "nan";

    /// Copies the columns of record batches of one schema.
    ///
    /// Numbers keep their precision; a missing number becomes NaN, a missing text `nan`. Columns of other
    /// types, such as timestamps, are left out.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the batches' columns differ in number
    /// or length.
    pub fn from_record_batches(batches: &[RecordBatch]) -> Result<Self, Error> {
        let mut rows = Self::new();
        let Some(first) = batches.first() else { return Ok(rows) };
        for field in first.schema().fields() {
            let parts = batches.iter().filter_map(|batch| to_column(batch.column_by_name(field.name())?));
            if let Some(column) = parts.reduce(joined) {
                rows = rows.with(field.name(), column)?;
            }
        }
        Ok(rows)
    }
}

fn to_column(array: &dyn Array) -> Option<Column> {
    let column = match array.data_type() {
        DataType::Float64 => Column::Reals(numbers::<Float64Type, f64>(array, f64::NAN)),
        DataType::Float32 => Column::Singles(numbers::<Float32Type, f32>(array, f32::NAN)),
        DataType::Int8 => integers::<Int8Type>(array),
        DataType::Int16 => integers::<Int16Type>(array),
        DataType::Int32 => integers::<Int32Type>(array),
        DataType::Int64 => integers::<Int64Type>(array),
        DataType::UInt8 => integers::<UInt8Type>(array),
        DataType::UInt16 => integers::<UInt16Type>(array),
        DataType::UInt32 => integers::<UInt32Type>(array),
        DataType::UInt64 => integers::<UInt64Type>(array),
        DataType::Boolean => {
            Column::Integers(array.as_boolean().iter().map(|flag| i64::from(flag == Some(true))).collect())
        }
        DataType::Utf8 => texts(array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => texts(array.as_string::<i64>().iter()),
        DataType::Utf8View => texts(array.as_string_view().iter()),
        DataType::Dictionary(..) => {
            return downcast_dictionary_array!(
                array => dictionary(array),
                _ => None
            );
        }
        _ => return None,
    };
    Some(column)
}

fn numbers<T: ArrowPrimitiveType, N: From<T::Native> + Copy>(array: &dyn Array, missing: N) -> Vec<N> {
    array.as_primitive::<T>().iter().map(|value| value.map_or(missing, N::from)).collect()
}

/// Whole numbers; numbers with NaN if any is missing, as pandas reads them.
fn integers<T: ArrowPrimitiveType>(array: &dyn Array) -> Column
where
    T::Native: Into<i128>,
{
    let values = || array.as_primitive::<T>().iter().map(|value| value.map(Into::<i128>::into));
    if array.null_count() == 0 {
        return Column::Integers(values().map(|value| value.unwrap_or(0) as i64).collect());
    }
    Column::Reals(values().map(|value| value.map_or(f64::NAN, |value| value as f64)).collect())
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> Column {
    Column::Texts(values.map(|text| text.unwrap_or(Rows::MISSING_LABEL).to_owned()).collect())
}

/// The values that the keys of a dictionary stand for, as a categorical of pandas.
fn dictionary<K: ArrowDictionaryKeyType>(array: &arrow_array::DictionaryArray<K>) -> Option<Column> {
    let keys: Vec<Option<usize>> = array.keys_iter().collect();
    let is_complete = keys.iter().all(Option::is_some);
    let column = match to_column(array.values())? {
        Column::Texts(words) => {
            let word = |key: &Option<usize>| key.map_or(Rows::MISSING_LABEL, |key| words[key].as_str());
            Column::Texts(keys.iter().map(|key| word(key).to_owned()).collect())
        }
        Column::Integers(numbers) if is_complete => {
            Column::Integers(keys.iter().flatten().map(|&key| numbers[key]).collect())
        }
        numbers => {
            let numbers = numbers.as_reals();
            Column::Reals(keys.iter().map(|key| key.map_or(f64::NAN, |key| numbers[key])).collect())
        }
    };
    Some(column)
}

fn joined(left: Column, right: Column) -> Column {
    match (left, right) {
        (Column::Reals(mut left), Column::Reals(right)) => {
            left.extend(right);
            Column::Reals(left)
        }
        (Column::Singles(mut left), Column::Singles(right)) => {
            left.extend(right);
            Column::Singles(left)
        }
        (Column::Integers(mut left), Column::Integers(right)) => {
            left.extend(right);
            Column::Integers(left)
        }
        (Column::Texts(mut left), Column::Texts(right)) => {
            left.extend(right);
            Column::Texts(left)
        }
        (left, right) => Column::Reals([left, right].iter().flat_map(Column::as_reals).collect()),
    }
}
