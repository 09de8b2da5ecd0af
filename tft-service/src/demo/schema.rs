//! A schema for metrics whose names say nothing.

use tft_core::schema::{Metric, MetricKind, Schema, SchemaConfig};

use super::excerpt::Excerpt;
use crate::error::ServiceError;

/// Describes the excerpt's metrics.
pub(super) fn describe(excerpt: &Excerpt) -> Result<Schema, ServiceError> {
    let metrics = excerpt.metrics.iter().enumerate().map(|(index, name)| {
        Metric::new(name, MetricKind::guess(excerpt.rows.iter().map(|row| row.values[index])))
    });
    Ok(Schema::new(SchemaConfig { metrics: metrics.collect(), ..SchemaConfig::default() })?)
}
