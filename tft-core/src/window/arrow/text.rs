//! A column of text, whichever of Arrow's types it has.

use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, LargeStringArray, StringArray, StringViewArray};
use arrow_buffer::ArrowNativeType;
use arrow_schema::DataType;

/// Returns whether a column of this type can be read as text.
pub(super) fn is_text(found: &DataType) -> bool {
    match found {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => {
            matches!(**values, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        }
        _ => false,
    }
}

/// A column of text; what a dictionary's text means is found out once.
pub(super) struct TextColumn<'a, T> {
    /// The position in the dictionary of each row that is not null; none if there is no dictionary.
    keys: Option<Vec<Option<usize>>>,
    texts: Texts<'a>,
    meanings: HashMap<usize, T>,
}

enum Texts<'a> {
    Small(&'a StringArray),
    Large(&'a LargeStringArray),
    View(&'a StringViewArray),
    None,
}

impl<'a, T: Clone> TextColumn<'a, T> {
    /// Reads a column; one of another type than [`is_text`] allows has no text in any row.
    pub(super) fn new(column: &'a dyn Array) -> Self {
        let (keys, values) = match column.data_type() {
            DataType::Dictionary(keys, _) => dictionary(column, keys),
            _ => (None, column),
        };
        Self { keys, texts: Texts::of(values), meanings: HashMap::new() }
    }

    /// Returns what the text of a row means; none where it is null.
    pub(super) fn get(&mut self, row: usize, meaning: impl FnOnce(&str) -> T) -> Option<T> {
        let Some(keys) = &self.keys else { return self.texts.get(row).map(meaning) };
        let key = keys.get(row).copied().flatten()?;
        if let Some(known) = self.meanings.get(&key) {
            return Some(known.clone());
        }
        let known = meaning(self.texts.get(key)?);
        self.meanings.insert(key, known.clone());
        Some(known)
    }
}

impl<'a> Texts<'a> {
    fn of(values: &'a dyn Array) -> Self {
        match values.data_type() {
            DataType::Utf8 => Self::Small(values.as_string()),
            DataType::LargeUtf8 => Self::Large(values.as_string()),
            DataType::Utf8View => Self::View(values.as_string_view()),
            _ => Self::None,
        }
    }

    fn get(&self, index: usize) -> Option<&'a str> {
        match self {
            Self::Small(texts) => (index < texts.len() && texts.is_valid(index)).then(|| texts.value(index)),
            Self::Large(texts) => (index < texts.len() && texts.is_valid(index)).then(|| texts.value(index)),
            Self::View(texts) => (index < texts.len() && texts.is_valid(index)).then(|| texts.value(index)),
            Self::None => None,
        }
    }
}

/// The positions of a dictionary's rows among its values, and the values.
type Dictionary<'a> = (Option<Vec<Option<usize>>>, &'a dyn Array);

fn dictionary<'a>(column: &'a dyn Array, keys: &DataType) -> Dictionary<'a> {
    match keys {
        DataType::Int8 => keys_of::<Int8Type>(column),
        DataType::Int16 => keys_of::<Int16Type>(column),
        DataType::Int32 => keys_of::<Int32Type>(column),
        DataType::Int64 => keys_of::<Int64Type>(column),
        DataType::UInt8 => keys_of::<UInt8Type>(column),
        DataType::UInt16 => keys_of::<UInt16Type>(column),
        DataType::UInt32 => keys_of::<UInt32Type>(column),
        DataType::UInt64 => keys_of::<UInt64Type>(column),
        _ => (None, column),
    }
}

fn keys_of<K: ArrowDictionaryKeyType>(column: &dyn Array) -> Dictionary<'_> {
    let dictionary = column.as_dictionary::<K>();
    let keys = dictionary.keys().iter().map(|key| key.and_then(ArrowNativeType::to_usize));
    (Some(keys.collect()), dictionary.values().as_ref())
}
