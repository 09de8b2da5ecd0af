//! Raw rows before any encoding: named columns of numbers and texts.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

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
    /// Texts that repeat.
    Labels {
        /// The place of each row's text among `words`.
        ids: Vec<u32>,
        /// The texts.
        words: Vec<String>,
    },
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
enum Labels<'a> {
    Texts(&'a [String]),
    Repeated(&'a [u32], &'a [String]),
    Numbers(Numbers<'a>),
}

/// A column of labels with each distinct one looked at once.
#[derive(Debug)]
pub(crate) struct LabelColumn<'a> {
    /// The place of each row's label among the distinct ones.
    pub(crate) ids: Cow<'a, [u32]>,
    /// The distinct labels.
    pub(crate) words: Vec<Cow<'a, str>>,
    are_numbers: bool,
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
    #[error("column `{name}` has the label {id} in row {row}, there are {words} words")]
    NoWord { name: String, id: u32, row: usize, words: usize },
}

impl Rows {
    /// Creates a table without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if its length differs from that of the columns before, or if it has a label
    /// without a word.
    pub fn with(mut self, name: impl Into<String>, column: Column) -> Result<Self, Error> {
        let name = name.into();
        let found = column.len();
        let expected = *self.count.get_or_insert(found);
        if found != expected {
            return Err(RowsError::Length { name, found, expected }.into());
        }
        if let Column::Labels { ids, words } = &column
            && let Some(row) = ids.iter().position(|&id| id as usize >= words.len())
        {
            return Err(RowsError::NoWord { name, id: ids[row], row, words: words.len() }.into());
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
            Column::Texts(_) | Column::Labels { .. } => {
                Err(RowsError::Texts { name: name.to_owned() }.into())
            }
        }
    }

    pub(crate) fn labels(&self, name: &str) -> Result<LabelColumn<'_>, Error> {
        Ok(LabelColumn::new(match self.required(name)? {
            Column::Texts(values) => Labels::Texts(values),
            Column::Labels { ids, words } => Labels::Repeated(ids, words),
            _ => Labels::Numbers(self.numbers(name)?),
        }))
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
            Self::Labels { ids, .. } => vec![f64::NAN; ids.len()],
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Reals(values) => values.len(),
            Self::Singles(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Texts(values) => values.len(),
            Self::Labels { ids, .. } => ids.len(),
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

    fn len(&self) -> usize {
        match self {
            Self::Doubles(values) => values.len(),
            Self::Singles(values) => values.len(),
            Self::Integers(values) => values.len(),
        }
    }

    /// A number that tells values apart.
    fn bits(&self, row: usize) -> u64 {
        match self {
            Self::Doubles(values) => values[row].to_bits(),
            Self::Singles(values) => f64::from(values[row]).to_bits(),
            Self::Integers(values) => values[row] as u64,
        }
    }

    /// The value as a label.
    fn text(&self, row: usize) -> String {
        match self {
            Self::Integers(values) => values[row].to_string(),
            _ => format!("{:?}", self.at(row)),
        }
    }
}

impl<'a> LabelColumn<'a> {
    fn new(labels: Labels<'a>) -> Self {
        match labels {
            Labels::Texts(values) => {
                let (ids, firsts) = distinct(values.len(), |row| values[row].as_str());
                let words = firsts.into_iter().map(|row| values[row].as_str().into()).collect();
                Self { ids: ids.into(), words, are_numbers: false }
            }
            Labels::Repeated(ids, words) => {
                let words = words.iter().map(|word| word.as_str().into()).collect();
                Self { ids: ids.into(), words, are_numbers: false }
            }
            Labels::Numbers(numbers) => {
                let (ids, firsts) = distinct(numbers.len(), |row| numbers.bits(row));
                let words = firsts.into_iter().map(|row| numbers.text(row).into()).collect();
                Self { ids: ids.into(), words, are_numbers: true }
            }
        }
    }

    /// Returns a row's label.
    pub(crate) fn at(&self, row: usize) -> &str {
        &self.words[self.ids[row] as usize]
    }

    /// Compares the labels of two rows as a sort of the rows does.
    pub(crate) fn compare(&self, a: usize, b: usize) -> std::cmp::Ordering {
        if self.ids[a] == self.ids[b] {
            return std::cmp::Ordering::Equal;
        }
        let (a, b) = (self.at(a), self.at(b));
        if self.are_numbers { number(a).total_cmp(&number(b)) } else { a.cmp(b) }
    }

    /// Sorts distinct labels as the reference does: texts by their bytes, numbers by their value.
    pub(crate) fn sort(&self, labels: &mut [String]) {
        if self.are_numbers {
            labels.sort_by(|a, b| number(a).total_cmp(&number(b)));
        } else {
            labels.sort_unstable();
        }
    }
}

/// Numbers the distinct values of rows; returns the number of each row and the first row of each number.
fn distinct<K: Eq + Hash + Copy>(rows: usize, key: impl Fn(usize) -> K) -> (Vec<u32>, Vec<usize>) {
    let mut numbers: HashMap<K, u32> = HashMap::new();
    let mut firsts = Vec::new();
    let mut ids: Vec<u32> = Vec::with_capacity(rows);
    for row in 0..rows {
        let key_of_row = key(row);
        // Labels mostly stay the same from row to row.
        let id = match ids.last().filter(|_| key(row - 1) == key_of_row) {
            Some(&same) => same,
            None => *numbers.entry(key_of_row).or_insert_with(|| {
                firsts.push(row);
                firsts.len() as u32 - 1
            }),
        };
        ids.push(id);
    }
    (ids, firsts)
}

impl From<RowsError> for Error {
    fn from(error: RowsError) -> Self {
        Self::new(ErrorKind::InvalidInput, error)
    }
}

fn number(label: &str) -> f64 {
    label.parse().unwrap_or(f64::NAN)
}
