//! What the original system pickled, as rows of a window.

use super::error::PickleError;
use super::limits;
use super::value::{Graph, Value};
use crate::schema::Schema;
use crate::store::LoadReport;
use crate::store::error::StoreError;
use crate::store::rows::{Row, Rows, profile_of};
use crate::time::Timestamp;
use crate::window::RollingWindow;

/// Fills an empty window with what a pickle says.
pub(super) fn read(
    graph: &Graph<'_>,
    top: Value,
    window: RollingWindow,
) -> Result<(RollingWindow, LoadReport), StoreError> {
    let state = State::find(graph, top)?;
    let saved_at = state.timestamp.and_then(|value| time_of(graph, value)?.ok());
    let report = LoadReport { format_version: "1.0".to_owned(), saved_at, ..LoadReport::default() };
    let metrics = window.schema().metrics().len();
    let mut loader = Loader {
        graph,
        rows: Rows::new(window, report),
        taken: vec![false; graph.len()],
        last_row: vec![None; metrics],
    };
    loader.take_all(state.rolling_window)?;
    loader.rows.restore_in_time_order()?;
    let tick_count = state.tick_count.map_or(Ok(0), |value| counter(graph, "tick_count", value))?;
    let samples = state.samples_accepted(graph)?;
    Ok(loader.rows.finish(tick_count, samples))
}

/// The values of the topmost dict's keys.
struct State<'g> {
    rolling_window: &'g [Value],
    tick_count: Option<Value>,
    server_timesteps: Option<Value>,
    timestamp: Option<Value>,
}

impl<'g> State<'g> {
    fn find(graph: &'g Graph<'_>, top: Value) -> Result<Self, PickleError> {
        let entries = graph.dict(top).ok_or_else(|| PickleError::NotADict { found: graph.describe(top) })?;
        let find = |key: &str| {
            let found = entries.iter().rev().find(|(name, _)| graph.short_text(*name) == Some(key));
            found.map(|&(_, value)| value)
        };
        let key = "rolling_window";
        let rows = find(key).ok_or(PickleError::MissingKey { key })?;
        let found = || PickleError::Key { key, found: graph.describe(rows), expected: "a list" };
        Ok(Self {
            rolling_window: graph.items(rows).ok_or_else(found)?,
            tick_count: find("tick_count"),
            server_timesteps: find("server_timesteps"),
            timestamp: find("timestamp"),
        })
    }

    fn samples_accepted(&self, graph: &'g Graph<'_>) -> Result<Vec<(&'g str, u64)>, PickleError> {
        let key = "server_timesteps";
        let Some(value) = self.server_timesteps else { return Ok(Vec::new()) };
        let found = || PickleError::Key { key, found: graph.describe(value), expected: "a dict of numbers" };
        let entries = graph.dict(value).ok_or_else(found)?;
        let named = entries.iter().filter_map(|&(name, count)| Some((graph.short_text(name)?, count)));
        named.map(|(name, count)| Ok((name, counter(graph, key, count)?))).collect()
    }
}

fn counter(graph: &Graph<'_>, key: &'static str, value: Value) -> Result<u64, PickleError> {
    match value {
        Value::Int(count) => u64::try_from(count).ok(),
        _ => None,
    }
    .ok_or_else(|| PickleError::Key { key, found: graph.describe(value), expected: "a number from 0" })
}

/// Rows on their way into the window.
struct Loader<'g, 'a> {
    graph: &'g Graph<'a>,
    rows: Rows,
    /// Which objects were taken as a row. The same row again would change nothing; that it costs nothing either
    /// bounds the work by the number of instructions.
    taken: Vec<bool>,
    /// The last row that had each metric.
    last_row: Vec<Option<u64>>,
}

/// The fields of a row that are no metrics, as they are.
#[derive(Default)]
struct Fields {
    timestamp: Option<Value>,
    server: Option<Value>,
    profile: Option<Value>,
    status: Option<Value>,
}

impl Loader<'_, '_> {
    fn take_all(&mut self, rows: &[Value]) -> Result<(), StoreError> {
        if rows.len() > limits::ROWS_MAX {
            return Err(PickleError::TooMany { what: "rows", max: limits::ROWS_MAX }.into());
        }
        for &row in rows {
            let is_new = match row {
                Value::Object(id) => !std::mem::replace(&mut self.taken[id.index()], true),
                _ => true,
            };
            if is_new {
                self.take(row)?;
            }
            self.rows.report.rows += 1;
        }
        let metrics = self.rows.window.schema().metrics().iter().zip(&self.last_row);
        let missing = metrics.filter(|(_, row)| row.is_none()).map(|(metric, _)| metric.name.clone());
        let missing: Vec<_> = missing.collect();
        if missing.len() == self.last_row.len() && !rows.is_empty() {
            return Err(StoreError::NoMetricColumn { metrics: missing.len() });
        }
        self.rows.report.missing_metrics = missing;
        Ok(())
    }

    fn take(&mut self, row: Value) -> Result<(), StoreError> {
        let graph = self.graph;
        let number = self.rows.report.rows;
        let not_a_dict = || PickleError::Row { row: number, found: graph.describe(row) };
        let entries = graph.dict(row).ok_or_else(not_a_dict)?;
        let schema = self.rows.window.schema().clone();
        let start = self.rows.values.len();
        self.rows.values.resize(start + schema.metrics().len(), f32::NAN);
        let mut fields = Fields::default();
        for &(name, value) in entries {
            // What is too long for a name is a field that nobody knows.
            let Some(name) = graph.short_text(name) else { continue };
            match schema.metric_index(name) {
                Some(metric) => self.take_metric(&schema, (metric, name), start, value)?,
                None => fields.take(&schema, name, value)?,
            }
        }
        self.take_fields(&fields, &schema)
    }

    fn take_metric(
        &mut self,
        schema: &Schema,
        (metric, name): (usize, &str),
        start: usize,
        value: Value,
    ) -> Result<(), StoreError> {
        let row = self.rows.report.rows;
        let definition = &schema.metrics()[metric];
        if self.last_row[metric].replace(row) == Some(row) {
            return Err(StoreError::RepeatedColumn {
                column: name.to_owned(),
                first: definition.name.clone(),
            });
        }
        let number = match value {
            Value::None => f64::NAN,
            Value::Int(number) => number as f64,
            Value::HugeInt => f64::INFINITY,
            Value::Float(number) => number,
            _ => return Err(self.unreadable(name, value, "a number")),
        };
        if definition.accepts(number) {
            self.rows.values[start + metric] = definition.clamp(number) as f32;
        } else {
            self.rows.report.values_out_of_range += u64::from(!number.is_nan());
        }
        Ok(())
    }

    fn take_fields(&mut self, fields: &Fields, schema: &Schema) -> Result<(), StoreError> {
        let (graph, row) = (self.graph, self.rows.report.rows);
        let null = |column: &str| StoreError::Null { column: column.to_owned(), row };
        let time = fields.timestamp.ok_or_else(|| null("timestamp"))?;
        let at = match time_of(graph, time) {
            Some(Ok(at)) => at,
            Some(Err(())) => return Err(self.unreadable("timestamp", time, "a time")),
            None => return Err(null("timestamp")),
        };
        let name = fields.server.ok_or_else(|| null("server_name"))?;
        let server = graph.short_text(name).and_then(|name| self.rows.names.position(name).ok());
        let server = server.ok_or_else(|| self.unreadable("server_name", name, "a server's name"))?;
        let profile = match told(fields.profile) {
            Some(profile) => {
                let known = graph.short_text(profile).and_then(|profile| profile_of(profile).ok());
                Some(known.ok_or_else(|| self.unreadable("profile", profile, "a profile"))?)
            }
            None => None,
        };
        let status = match told(fields.status) {
            Some(Value::Text(_)) | None => told(fields.status)
                .map(|word| graph.short_text(word).and_then(|word| schema.statuses().parse(word))),
            Some(other) => return Err(self.unreadable("status", other, "text")),
        };
        self.rows.report.statuses_unknown += u64::from(status == Some(None));
        self.rows.pending.push(Row { at, server, profile, status: status.flatten() });
        Ok(())
    }

    fn unreadable(&self, column: &str, value: Value, expected: &'static str) -> StoreError {
        let (column, value) = (column.to_owned(), self.graph.describe(value));
        StoreError::Value { column, value, row: self.rows.report.rows, expected }
    }
}

impl Fields {
    fn take(&mut self, schema: &Schema, name: &str, value: Value) -> Result<(), StoreError> {
        let (field, first) = match name {
            "timestamp" => (&mut self.timestamp, "timestamp"),
            "profile" => (&mut self.profile, "profile"),
            "status" | "state" => (&mut self.status, "status"),
            _ if schema.is_server_name_field(name) => (&mut self.server, "server_name"),
            _ => return Ok(()),
        };
        if field.replace(value).is_some() {
            return Err(StoreError::RepeatedColumn { column: name.to_owned(), first: first.to_owned() });
        }
        Ok(())
    }
}

/// Returns a value unless it is what Python and pandas have for nothing.
fn told(value: Option<Value>) -> Option<Value> {
    value.filter(|value| {
        !matches!(value, Value::None) && !matches!(value, Value::Float(number) if number.is_nan())
    })
}

/// Reads a time, or finds that it is none; nothing where no time is told.
fn time_of(graph: &Graph<'_>, value: Value) -> Option<Result<Timestamp, ()>> {
    let value = told(Some(value))?;
    Some(match value {
        Value::Time(time) => Ok(time),
        Value::Int(number) => Timestamp::from_number(number as f64).map_err(drop),
        Value::Float(number) => Timestamp::from_number(number).map_err(drop),
        _ => graph.short_text(value).ok_or(()).and_then(|text| Timestamp::parse(text).map_err(drop)),
    })
}
