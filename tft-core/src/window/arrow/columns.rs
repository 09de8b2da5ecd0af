//! Which column of a batch is what, found by name and checked by type.

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field};

use super::ArrowFeedError;
use super::text::is_text;
use crate::schema::Schema;

/// The columns of a batch, in their order.
pub(super) struct Columns {
    pub(super) known: Vec<(usize, Meaning)>,
    /// How many columns neither schema nor format knows.
    pub(super) unknown: usize,
}

/// What a column says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Timestamp,
    Server,
    Profile,
    Status,
    Metric(usize),
}

/// Finds the columns of a batch.
pub(super) fn find(batch: &RecordBatch, schema: &Schema) -> Result<Columns, ArrowFeedError> {
    let mut columns = Columns { known: Vec::new(), unknown: 0 };
    let fields = batch.schema_ref().fields();
    for (position, field) in fields.iter().enumerate() {
        match meaning_of(field.name(), schema) {
            Some(meaning) => {
                if let Some((first, _)) = columns.known.iter().find(|(_, known)| *known == meaning) {
                    let (column, first) = (field.name().clone(), fields[*first].name().clone());
                    return Err(ArrowFeedError::RepeatedColumn { column, first });
                }
                check_type(field, meaning)?;
                columns.known.push((position, meaning));
            }
            None if matches!(field.name().as_str(), "problem_child" | "notes") => {}
            None => columns.unknown += 1,
        }
    }
    for (needed, column) in [(Meaning::Timestamp, "timestamp"), (Meaning::Server, "server_name")] {
        if !columns.known.iter().any(|(_, meaning)| *meaning == needed) {
            return Err(ArrowFeedError::MissingColumn { column });
        }
    }
    Ok(columns)
}

fn meaning_of(name: &str, schema: &Schema) -> Option<Meaning> {
    if let Some(metric) = schema.metric_index(name) {
        return Some(Meaning::Metric(metric));
    }
    match name {
        "timestamp" => Some(Meaning::Timestamp),
        "profile" => Some(Meaning::Profile),
        "status" | "state" => Some(Meaning::Status),
        _ => schema.is_server_name_field(name).then_some(Meaning::Server),
    }
}

fn check_type(field: &Field, meaning: Meaning) -> Result<(), ArrowFeedError> {
    let found = field.data_type();
    let is_number = found.is_integer() || found.is_floating();
    let (is_valid, expected) = match meaning {
        Meaning::Timestamp => {
            let is_time = matches!(found, DataType::Timestamp(..)) || is_number || is_text(found);
            (is_time, "a timestamp, text or a number")
        }
        Meaning::Server => (is_text(found), "text"),
        Meaning::Profile | Meaning::Status => (is_text(found) || *found == DataType::Null, "text"),
        Meaning::Metric(_) => (is_number || *found == DataType::Null, "a number"),
    };
    if is_valid {
        return Ok(());
    }
    let (column, found) = (crate::time::abbreviate(field.name()), found.clone());
    Err(ArrowFeedError::ColumnType { column, found, expected })
}
