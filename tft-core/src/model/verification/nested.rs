//! Nested lists of numbers to arrays.

use std::fmt;

use ndarray::{ArrayD, IxDyn};
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Reads lists of numbers, as deep as `expected` is long, into an array of the expected shape; `None` takes
/// any length. What is wrong is a clause for an error's message.
pub(super) fn array(text: &RawValue, expected: &[Option<usize>]) -> Result<ArrayD<f64>, String> {
    let mut lists = Lists { shape: vec![None; expected.len()], values: Vec::new() };
    let mut deserializer = serde_json::Deserializer::from_str(text.get());
    Level { lists: &mut lists, axis: 0 }
        .deserialize(&mut deserializer)
        .map_err(|error| format!("is not lists of numbers, {} deep: {}", expected.len(), reason(&error)))?;
    let fits = |(found, expected): (&Option<usize>, &Option<usize>)| {
        found.is_none() || expected.is_none() || found == expected
    };
    if !lists.shape.iter().zip(expected).all(fits) {
        return Err(format!("has shape {}, expected {}", shown(&lists.shape), shown(expected)));
    }
    let shape: Vec<usize> =
        lists.shape.iter().zip(expected).map(|(found, expected)| found.or(*expected).unwrap_or(0)).collect();
    ArrayD::from_shape_vec(IxDyn(&shape), lists.values).map_err(|error| error.to_string())
}

/// Returns what an error says, without the position, which is one within the field.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.split(" at line ").next().unwrap_or_default().to_owned()
}

/// Writes a shape; `?` where any length will do or none is known.
fn shown(shape: &[Option<usize>]) -> String {
    let lengths = shape.iter().map(|length| length.map_or("?".to_owned(), |length| length.to_string()));
    format!("[{}]", lengths.collect::<Vec<_>>().join(", "))
}

/// What has been read; the length of an axis is unknown until a list of it has ended.
struct Lists {
    shape: Vec<Option<usize>>,
    values: Vec<f64>,
}

/// Reads one list of an axis, or a number below the last.
struct Level<'a> {
    lists: &'a mut Lists,
    axis: usize,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.axis < self.lists.shape.len() {
            return deserializer.deserialize_seq(self);
        }
        self.lists.values.push(serde::Deserialize::deserialize(deserializer)?);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { lists, axis } = self;
        let mut length = 0;
        while items.next_element_seed(Level { lists, axis: axis + 1 })?.is_some() {
            length += 1;
        }
        let expected = *lists.shape[axis].get_or_insert(length);
        if length == expected {
            return Ok(());
        }
        Err(A::Error::custom(format_args!("a list of {length} after one of {expected}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr2;

    fn read(text: &str, expected: &[Option<usize>]) -> Result<ArrayD<f64>, String> {
        array(&RawValue::from_string(text.to_owned()).unwrap(), expected)
    }

    #[test]
    fn lists_become_arrays() {
        let found = read("[[1, 2.5], [-3e2, 4]]", &[Some(2), None]).unwrap();
        assert_eq!(found, arr2(&[[1.0, 2.5], [-300.0, 4.0]]).into_dyn());
        assert_eq!(read("[[], []]", &[Some(2), Some(0)]).unwrap().shape(), [2, 0]);
        assert_eq!(read("[]", &[None, Some(3)]).unwrap().shape(), [0, 3]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let problem = |text| read(text, &[Some(2), None]).unwrap_err();
        insta::assert_snapshot!(problem("[[1], [2, 3]]"), @"is not lists of numbers, 2 deep: a list of 2 after one of 1");
        insta::assert_snapshot!(problem("[[1]]"), @"has shape [1, 1], expected [2, ?]");
        insta::assert_snapshot!(problem("[1]"), @"is not lists of numbers, 2 deep: invalid type: integer `1`, expected a list");
        insta::assert_snapshot!(problem("[[null]]"), @"is not lists of numbers, 2 deep: invalid type: null, expected f64");
        insta::assert_snapshot!(problem("[[1e999]]"), @"is not lists of numbers, 2 deep: number out of range");
    }
}
