//! All that is kept of one server, as JSON, CSV or Parquet.
//!
//! CSV and Parquet have the columns of the checkpoint, so that a store loads them: `timestamp`, `server_name`,
//! `profile`, `status` and one per metric.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use hyper::body::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use schemars::{JsonSchema, Schema as JsonType, SchemaGenerator, json_schema};
use tft_core::arrow::array::{ArrayRef, Float32Array, RecordBatch, StringArray, TimestampMillisecondArray};
use tft_core::arrow::schema::{DataType, Field, Schema, TimeUnit};
use tft_core::store::ServerExport;

use super::alerts::utc;

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExportFormat {
    Json,
    Csv,
    Parquet,
}

/// The JSON form of an export; stands for `tft-core`'s type in the OpenAPI document.
pub(crate) struct ServerExportReply;

impl ExportFormat {
    pub(crate) const ALL: [Self; 3] = [Self::Json, Self::Csv, Self::Parquet];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// Writes an export; none if Arrow or Parquet refuses it, which is logged.
pub(crate) fn render_export(export: &ServerExport, format: ExportFormat) -> Option<Bytes> {
    match format {
        ExportFormat::Json => Some(super::to_json(export).into()),
        ExportFormat::Csv => Some(csv(export).into()),
        ExportFormat::Parquet => {
            let written = parquet(export);
            let written =
                written.inspect_err(|error| tracing::error!(%error, "an export could not be written"));
            written.ok().map(Into::into)
        }
    }
}

/// No cell needs quotes, and none is a formula with a function to a spreadsheet: names of servers, profiles and metrics
/// have neither of `,"()=+@` nor line breaks, and states are the schema's.
fn csv(export: &ServerExport) -> String {
    let mut text = format!("timestamp,server_name,profile,status,{}\r\n", export.metrics.join(","));
    for sample in &export.samples {
        // Writing to a string cannot fail.
        let _ = write!(text, "{},{},{}", utc(sample.timestamp), export.server_name, export.profile);
        let _ = write!(text, ",{}", quoted(sample.status.as_deref().unwrap_or_default()));
        for value in &sample.values {
            let _ = match value {
                Some(value) => write!(text, ",{value}"),
                None => write!(text, ","),
            };
        }
        text.push_str("\r\n");
    }
    text
}

/// A schema may name its states as it likes.
fn quoted(text: &str) -> Cow<'_, str> {
    if !text.contains([',', '"', '\r', '\n']) {
        return text.into();
    }
    format!("\"{}\"", text.replace('"', "\"\"")).into()
}

fn parquet(export: &ServerExport) -> Result<Vec<u8>, ParquetError> {
    let batch = table(export)?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.into_inner()
}

fn table(export: &ServerExport) -> Result<RecordBatch, ParquetError> {
    let rows = export.samples.len();
    let times = export.samples.iter().map(|sample| sample.timestamp.as_millis());
    let repeated =
        |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows))) };
    let statuses = export.samples.iter().map(|sample| sample.status.as_deref());
    let mut fields = vec![
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
        Field::new("server_name", DataType::Utf8, false),
        Field::new("profile", DataType::Utf8, false),
        Field::new("status", DataType::Utf8, true),
    ];
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC")),
        repeated(&export.server_name),
        repeated(&export.profile),
        Arc::new(statuses.collect::<StringArray>()),
    ];
    for (position, metric) in export.metrics.iter().enumerate() {
        let values = export.samples.iter().map(|sample| sample.values.get(position).copied().flatten());
        fields.push(Field::new(metric, DataType::Float32, true));
        columns.push(Arc::new(values.collect::<Float32Array>()));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

impl JsonSchema for ServerExportReply {
    fn schema_name() -> Cow<'static, str> {
        "ServerExport".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> JsonType {
        json_schema!({
            "type": "object",
            "properties": {
                "server_name": { "type": "string" },
                "profile": { "type": "string" },
                "samples_accepted": { "type": "integer", "minimum": 0 },
                "metrics": { "type": "array", "items": { "type": "string" } },
                "samples": { "type": "array", "items": {
                    "type": "object",
                    "properties": {
                        "timestamp": { "type": "integer", "description": "Unix milliseconds." },
                        "status": { "type": ["string", "null"] },
                        "values": { "type": "array", "items": { "type": ["number", "null"] },
                            "description": "One per metric, in the order of `metrics`." },
                    },
                    "required": ["timestamp", "status", "values"],
                } },
            },
            "required": ["server_name", "profile", "samples_accepted", "metrics", "samples"],
        })
    }
}
