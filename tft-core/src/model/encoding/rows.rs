//! Raw rows before any encoding: named columns of numbers and texts.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind};

/// A table of raw rows, as a data scientist's data frame holds them.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    count: Option<usize>,
    columns: BTreeMap<String, Column>,
}

/// One column of [`Rows`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Column {
    /// Numbers.
    Reals(Vec<f64>),
    /// Texts, such as group names and categories.
    Texts(Vec<String>),
}

#[derive(Debug, thiserror::Error)]
enum RowsError {
    #[error("column `{name}` has {found} rows, the others have {expected}")]
    Length { name: String, found: usize, expected: usize },
    #[error("rows have no column `{name}`")]
    Missing { name: String },
    #[error("column `{name}` holds {found}, expected {expected}")]
    Kind { name: String, found: &'static str, expected: &'static str },
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

    pub(super) fn reals(&self, name: &str) -> Result<&[f64], Error> {
        match self.column(name)? {
            Column::Reals(values) => Ok(values),
            Column::Texts(_) => Err(kind_error(name, "texts", "numbers")),
        }
    }

    pub(super) fn texts(&self, name: &str) -> Result<&[String], Error> {
        match self.column(name)? {
            Column::Texts(values) => Ok(values),
            Column::Reals(_) => Err(kind_error(name, "numbers", "texts")),
        }
    }

    /// Returns a column of whole numbers, such as the time index.
    pub(super) fn integers(&self, name: &str) -> Result<Vec<i64>, Error> {
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
        let to_integer = |(row, &value): (usize, &f64)| {
            if value.fract() == 0.0 && value.abs() <= EXACT_MAX {
                Ok(value as i64)
            } else {
                Err(RowsError::NotWhole { name: name.to_owned(), value, row }.into())
            }
        };
        self.reals(name)?.iter().enumerate().map(to_integer).collect()
    }

    fn column(&self, name: &str) -> Result<&Column, Error> {
        self.columns.get(name).ok_or_else(|| RowsError::Missing { name: name.to_owned() }.into())
    }
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::Reals(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }
}

impl From<RowsError> for Error {
    fn from(error: RowsError) -> Self {
        Self::new(ErrorKind::InvalidInput, error)
    }
}

fn kind_error(name: &str, found: &'static str, expected: &'static str) -> Error {
    RowsError::Kind { name: name.to_owned(), found, expected }.into()
}
