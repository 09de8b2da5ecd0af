//! Raw rows before any encoding: named columns of numbers and texts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind};

/// A table of raw rows, as a data scientist's data frame holds them.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    count: Option<usize>,
    columns: BTreeMap<String, Column>,
}

/// One column of [`Rows`].
///
/// The type of a column of numbers matters: the reference transforms single-precision columns in single
/// precision, and the logarithm of a number next to 0 shows the difference.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Column {
    /// Numbers of double precision.
    Reals(Vec<f64>),
    /// Numbers of single precision.
    Singles(Vec<f32>),
    /// Whole numbers, such as the time index or a numeric group.
    Integers(Vec<i64>),
    /// Texts, such as group names and categories.
    Texts(Vec<String>),
}

/// A column of numbers, for reading.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Numbers<'a> {
    Doubles(&'a [f64]),
    Singles(&'a [f32]),
    Integers(&'a [i64]),
}

/// A column of labels, for reading: texts as they are, numbers as their text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Labels<'a> {
    Texts(&'a [String]),
    Numbers(Numbers<'a>),
}

#[derive(Debug, thiserror::Error)]
enum RowsError {
    #[error("column `{name}` has {found} rows, the others have {expected}")]
    Length { name: String, found: usize, expected: usize },
    #[error("column `{name}` is missing")]
    Missing { name: String },
    #[error("column `{name}` holds texts, expected numbers")]
    Texts { name: String },
    #[error("column `{name}` holds {value} in row {row}, which is not a whole number")]
    NotWhole { name: String, value: f64, row: usize },
}

impl Rows {
    /// Creates a table without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if its length differs from that of the columns before.
    pub fn with(mut self, name: impl Into<String>, column: Column) -> Result<Self, Error> {
        let name = name.into();
        let found = column.len();
        let expected = *self.count.get_or_insert(found);
        if found != expected {
            return Err(RowsError::Length { name, found, expected }.into());
        }
        self.columns.insert(name, column);
        Ok(self)
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.count.unwrap_or(0)
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the names of all columns, sorted.
    pub fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.keys().map(String::as_str)
    }

    /// Returns a column by its name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.get(name)
    }

    pub(crate) fn numbers(&self, name: &str) -> Result<Numbers<'_>, Error> {
        match self.required(name)? {
            Column::Reals(values) => Ok(Numbers::Doubles(values)),
            Column::Singles(values) => Ok(Numbers::Singles(values)),
            Column::Integers(values) => Ok(Numbers::Integers(values)),
            Column::Texts(_) => Err(RowsError::Texts { name: name.to_owned() }.into()),
        }
    }

    pub(crate) fn labels(&self, name: &str) -> Result<Labels<'_>, Error> {
        match self.required(name)? {
            Column::Texts(values) => Ok(Labels::Texts(values)),
            _ => Ok(Labels::Numbers(self.numbers(name)?)),
        }
    }

    /// Returns a column of whole numbers, such as the time index.
    pub(crate) fn integers(&self, name: &str) -> Result<Cow<'_, [i64]>, Error> {
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
        let numbers = self.numbers(name)?;
        if let Numbers::Integers(values) = numbers {
            return Ok(Cow::Borrowed(values));
        }
        let to_integer = |row: usize| {
            let value = numbers.at(row);
            if value.fract() == 0.0 && value.abs() <= EXACT_MAX {
                Ok(value as i64)
            } else {
                Err(RowsError::NotWhole { name: name.to_owned(), value, row }.into())
            }
        };
        (0..self.len()).map(to_integer).collect::<Result<Vec<i64>, Error>>().map(Cow::Owned)
    }

    fn required(&self, name: &str) -> Result<&Column, Error> {
        self.columns.get(name).ok_or_else(|| RowsError::Missing { name: name.to_owned() }.into())
    }
}

impl Column {
    /// Returns the values as numbers of double precision; NaN for texts.
    #[cfg(feature = "parquet")]
    pub(super) fn as_reals(&self) -> Vec<f64> {
        match self {
            Self::Reals(values) => values.clone(),
            Self::Singles(values) => values.iter().map(|&value| f64::from(value)).collect(),
            Self::Integers(values) => values.iter().map(|&value| value as f64).collect(),
            Self::Texts(values) => vec![f64::NAN; values.len()],
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Reals(values) => values.len(),
            Self::Singles(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }
}

impl Numbers<'_> {
    pub(crate) fn at(&self, row: usize) -> f64 {
        match self {
            Self::Doubles(values) => values[row],
            Self::Singles(values) => f64::from(values[row]),
            Self::Integers(values) => values[row] as f64,
        }
    }

    pub(crate) fn are_single(&self) -> bool {
        matches!(self, Self::Singles(_))
    }
}

impl<'a> Labels<'a> {
    pub(crate) fn at(&self, row: usize) -> Cow<'a, str> {
        match self {
            Self::Texts(values) => Cow::Borrowed(&values[row]),
            Self::Numbers(Numbers::Integers(values)) => Cow::Owned(values[row].to_string()),
            Self::Numbers(numbers) => Cow::Owned(format!("{:?}", numbers.at(row))),
        }
    }

    /// Compares the labels of two rows as a sort of the rows does.
    pub(crate) fn compare(&self, a: usize, b: usize) -> std::cmp::Ordering {
        match self {
            Self::Texts(values) => values[a].cmp(&values[b]),
            Self::Numbers(numbers) => numbers.at(a).total_cmp(&numbers.at(b)),
        }
    }

    /// Sorts distinct labels as the reference does: texts by their bytes, numbers by their value.
    pub(crate) fn sort(&self, labels: &mut [String]) {
        match self {
            Self::Texts(_) => labels.sort_unstable(),
            Self::Numbers(_) => labels.sort_by(|a, b| number(a).total_cmp(&number(b))),
        }
    }
}

impl From<RowsError> for Error {
    fn from(error: RowsError) -> Self {
        Self::new(ErrorKind::InvalidInput, error)
    }
}

fn number(label: &str) -> f64 {
    label.parse().unwrap_or(f64::NAN)
}
