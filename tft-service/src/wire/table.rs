//! The predictions as a table: a stream in Arrow's IPC format.
//!
//! One row per server, metric and step, which data frames group and pivot as they like:
//!
//! | column | type | |
//! |---|---|---|
//! | `server_name`, `metric`, `method` | dictionary of text | `tft` or `fallback` made it |
//! | `timestamp` | timestamp, ms, UTC | the start of the step |
//! | `step` | int32 | steps after the origin, from 1 |
//! | `p10`, `p50`, `p90`, or those asked for | float32 | quantiles, in the metric's unit |
//!
//! The stream's metadata are those of the JSON reply: `model_id`, `prediction_time`, `forecast_start`,
//! `step_seconds`, `horizon_steps`.

use std::collections::HashMap;
use std::sync::Arc;

use hyper::body::Bytes;
use tft_core::arrow::array::types::{Int8Type, Int32Type};
use tft_core::arrow::array::{
    ArrayRef, DictionaryArray, Float32Array, Int8Array, Int32Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use tft_core::arrow::ipc::writer::StreamWriter;
use tft_core::arrow::schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use tft_core::forecast::{Forecast, Method, MetricForecast};

use super::alerts::utc;
use super::selection::Selection;
use crate::snapshot::FleetView;

/// Servers of one batch: a reader that takes them one by one needs little memory.
const SERVERS_PER_BATCH: usize = 256;

/// Renders the selected part of a view; none if Arrow refuses it, which is logged.
pub(crate) fn predictions_table(view: &FleetView, selection: &Selection) -> Option<Bytes> {
    let rendered = render(view, selection);
    rendered.inspect_err(|error| tracing::error!(%error, "the predictions could not be made a table")).ok()
}

fn render(view: &FleetView, selection: &Selection) -> Result<Bytes, ArrowError> {
    let table = Table::new(view, selection);
    let servers = view.assessment.forecast.servers.iter();
    let selected: Vec<_> = servers.filter(|server| selection.has_server(server.server.as_str())).collect();
    let mut writer = StreamWriter::try_new(Vec::new(), &table.schema)?;
    for servers in selected.chunks(SERVERS_PER_BATCH) {
        writer.write(&table.batch(servers)?)?;
    }
    Ok(writer.into_inner()?.into())
}

/// What all batches have in common.
struct Table<'a> {
    view: &'a FleetView,
    selection: &'a Selection,
    quantile_indices: Vec<usize>,
    schema: SchemaRef,
}

/// One metric of one server, and the position of the server in its batch.
type Entry<'a> = (i32, &'a MetricForecast);

impl<'a> Table<'a> {
    fn new(view: &'a FleetView, selection: &'a Selection) -> Self {
        let forecast = &view.assessment.forecast;
        let quantile_indices = selection.quantile_indices(&forecast.quantiles);
        let text = |key: DataType| DataType::Dictionary(Box::new(key), Box::new(DataType::Utf8));
        let mut fields = vec![
            Field::new("server_name", text(DataType::Int32), false),
            Field::new("metric", text(DataType::Int32), false),
            Field::new("method", text(DataType::Int8), false),
            Field::new("timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
            Field::new("step", DataType::Int32, false),
        ];
        let label = |&index: &usize| forecast.quantiles.as_slice()[index].label();
        let quantiles = quantile_indices.iter().map(label);
        fields.extend(quantiles.map(|label| Field::new(label, DataType::Float32, true)));
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata(view, selection)));
        Self { view, selection, quantile_indices, schema }
    }

    fn batch(&self, servers: &[&Forecast]) -> Result<RecordBatch, ArrowError> {
        let entries: Vec<Entry<'_>> = (0_i32..)
            .zip(servers)
            .flat_map(|(position, server)| {
                let metrics = server.metrics.iter().filter(|metric| self.selection.has_metric(metric.metric));
                metrics.map(move |metric| (position, metric))
            })
            .collect();
        let names = StringArray::from_iter_values(servers.iter().map(|server| server.server.as_str()));
        let metrics = self.view.facts.schema.metrics().iter().map(|metric| metric.name.as_str());
        let methods = StringArray::from_iter_values([Method::Tft, Method::Fallback].map(Method::as_str));
        let mut columns: Vec<ArrayRef> = vec![
            text(self.repeat(&entries, |entry| entry.0), names)?,
            text(
                self.repeat(&entries, |entry| entry.1.metric as i32),
                StringArray::from_iter_values(metrics),
            )?,
            Arc::new(DictionaryArray::<Int8Type>::try_new(
                Int8Array::from_iter_values(
                    self.repeat(&entries, |entry| i8::from(entry.1.method == Method::Fallback)),
                ),
                Arc::new(methods),
            )?),
            Arc::new(self.times(&entries)),
            Arc::new(Int32Array::from_iter_values(
                entries.iter().flat_map(|entry| 1..=self.steps(entry) as i32),
            )),
        ];
        for &index in &self.quantile_indices {
            let values = entries.iter().flat_map(|entry| {
                let steps = self.steps(entry);
                entry.1.path(index).into_iter().take(steps).map(|&value| (!value.is_nan()).then_some(value))
            });
            columns.push(Arc::new(values.collect::<Float32Array>()));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }

    fn steps(&self, entry: &Entry<'_>) -> usize {
        self.selection.horizon_steps(entry.1.horizon())
    }

    /// Returns what is true of an entry for each of its rows.
    fn repeat<'e, T: Copy + 'e>(
        &'e self,
        entries: &'e [Entry<'_>],
        of: impl Fn(&Entry<'_>) -> T + 'e,
    ) -> impl Iterator<Item = T> + 'e {
        entries.iter().flat_map(move |entry| std::iter::repeat_n(of(entry), self.steps(entry)))
    }

    fn times(&self, entries: &[Entry<'_>]) -> TimestampMillisecondArray {
        let forecast = &self.view.assessment.forecast;
        let start =
            |step: usize| forecast.step_length.start_of(forecast.origin.plus(1 + step as i64)).as_millis();
        let times = entries.iter().flat_map(|entry| (0..self.steps(entry)).map(start));
        TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC")
    }
}

fn text(keys: impl Iterator<Item = i32>, texts: StringArray) -> Result<ArrayRef, ArrowError> {
    let keys = Int32Array::from_iter_values(keys);
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(texts))?))
}

fn metadata(view: &FleetView, selection: &Selection) -> HashMap<String, String> {
    let forecast = &view.assessment.forecast;
    let start = forecast.step_length.end_of(forecast.origin);
    let mut metadata = HashMap::from([
        ("model_id", view.facts.model_id.clone()),
        ("prediction_time", utc(view.assessment.at)),
        ("step_seconds", (forecast.step_length.as_millis() / 1000).to_string()),
        ("horizon_steps", selection.horizon_steps(view.facts.horizon_steps).to_string()),
    ]);
    if !forecast.servers.is_empty() {
        metadata.insert("forecast_start", utc(start));
    }
    metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
