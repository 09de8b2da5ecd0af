//! The recorded days that the program brings along.

use std::error::Error;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, TimestampMillisecondType};
use arrow_array::{Array, RecordBatch};
use hyper::body::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tft_core::schema::ServerName;
use tft_core::time::Timestamp;

use crate::error::ServiceError;

/// Recorded samples of several servers.
pub(super) struct Excerpt {
    pub(super) metrics: Vec<String>,
    /// In the order of time.
    pub(super) rows: Vec<Row>,
}

/// One server's sample.
pub(super) struct Row {
    pub(super) at: Timestamp,
    pub(super) server: ServerName,
    /// In the order of [`Excerpt::metrics`]; NaN where missing.
    pub(super) values: Vec<f32>,
    /// Whether the people who ran the service called this an incident.
    pub(super) is_incident: bool,
}

impl Excerpt {
    /// Reads the excerpt that is part of the program.
    pub(super) fn embedded() -> Result<Self, ServiceError> {
        Self::read(Bytes::from_static(FILE)).map_err(|source| ServiceError::Demo { source })
    }

    fn read(file: Bytes) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.build()?;
        let mut excerpt = Self { metrics: Vec::new(), rows: Vec::new() };
        for batch in reader {
            excerpt.add(&batch?)?;
        }
        excerpt.rows.sort_by(|a, b| (a.at, &a.server).cmp(&(b.at, &b.server)));
        Ok(excerpt)
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), Box<dyn Error + Send + Sync>> {
        let column =
            |name: &str| batch.column_by_name(name).ok_or(format!("the excerpt has no column `{name}`"));
        let at = column("timestamp")?.as_primitive::<TimestampMillisecondType>();
        let server = column("server_name")?.as_string::<i32>();
        let incident = column("incident")?.as_boolean();
        let schema = batch.schema();
        let is_metric = |name: &&String| !["timestamp", "server_name", "incident"].contains(&name.as_str());
        self.metrics = schema.fields().iter().map(|field| field.name()).filter(is_metric).cloned().collect();
        let values: Result<Vec<_>, String> = self.metrics.iter().map(|name| column(name)).collect();
        let values: Vec<_> = values?.into_iter().map(AsArray::as_primitive::<Float32Type>).collect();
        for row in 0..batch.num_rows() {
            let value = |column: &&_| value_or_nan(column, row);
            self.rows.push(Row {
                at: Timestamp::from_millis(at.value(row)),
                server: ServerName::new(server.value(row))?,
                values: values.iter().map(value).collect(),
                is_incident: incident.value(row),
            });
        }
        Ok(())
    }
}

fn value_or_nan(column: &arrow_array::Float32Array, row: usize) -> f32 {
    if column.is_null(row) { f32::NAN } else { column.value(row) }
}

/// See `demo/ATTRIBUTION.md` for where it comes from and under which licence.
const FILE: &[u8] = include_bytes!("../../demo/fleet_excerpt.parquet");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_excerpt_is_whole() {
        let excerpt = Excerpt::embedded().unwrap();
        assert_eq!((excerpt.metrics.len(), excerpt.rows.len()), (16, 10_080));
        assert!(excerpt.rows.iter().any(|row| row.is_incident));
    }
}
