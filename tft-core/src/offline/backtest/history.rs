//! Recorded samples in the order of time.

use std::collections::BTreeMap;
#[cfg(feature = "parquet")]
use std::path::Path;

use super::Incident;
#[cfg(feature = "parquet")]
use crate::error::Error;
#[cfg(feature = "parquet")]
use crate::schema::{Metric, MetricKind, SchemaConfig};
use crate::schema::{Schema, ServerName};
#[cfg(feature = "parquet")]
use crate::store::{RecordedFile, Recording};
use crate::time::Timestamp;
use crate::window::Record;

/// Recorded samples of a fleet, and what people said about them.
///
/// # Performance
/// Held in memory: 4 bytes a value, and about a hundred a sample. A file has at most 4,000,000 rows.
#[derive(Debug, Clone)]
pub struct History {
    schema: Schema,
    /// In the order of time.
    records: Vec<Record>,
    incidents: Option<Vec<Incident>>,
    values_out_of_range: u64,
}

impl History {
    /// The column that labels samples as parts of incidents: booleans, or numbers that are 0 or not.
    pub const INCIDENT_COLUMN: &'static str = "incident";

    /// Takes samples in any order, and which of them are part of an incident, if somebody said.
    ///
    /// Samples that were made for another schema are left out when the history is replayed.
    pub fn new(schema: Schema, records: Vec<Record>, labels: Option<Vec<bool>>) -> Self {
        let mut order: Vec<usize> = (0..records.len()).collect();
        order.sort_by(|&a, &b| {
            let key = |index: usize| (records[index].timestamp(), records[index].server());
            key(a).cmp(&key(b))
        });
        let labels =
            labels.map(|labels| order.iter().map(|&index| labels.get(index) == Some(&true)).collect());
        let mut slots: Vec<_> = records.into_iter().map(Some).collect();
        let records: Vec<_> = order.iter().filter_map(|&index| slots[index].take()).collect();
        let incidents = labels.map(|labels: Vec<bool>| Incident::of_labels(&records, &labels));
        Self { schema, records, incidents, values_out_of_range: 0 }
    }

    /// Reads a Parquet file with the columns of a checkpoint, and perhaps [`INCIDENT_COLUMN`](Self::INCIDENT_COLUMN).
    ///
    /// Without a schema every column of numbers is a metric: those of [`Schema::server_metrics`] if it knows them all,
    /// otherwise metrics of the kinds that [`MetricKind::guess`] makes of their values. NaN, and a value that is out of
    /// its metric's range, is missing.
    ///
    /// # Errors
    /// As [`store::load`](crate::store::load); and [`InvalidConfig`](crate::ErrorKind::InvalidConfig) if the columns
    /// cannot be the metrics of a schema.
    #[cfg(feature = "parquet")]
    pub fn read(path: &Path, schema: Option<&Schema>) -> Result<Self, Error> {
        let file = RecordedFile::open(path)?;
        let columns = Columns::find(&file, schema)?;
        let recording = file.read(&columns.with_label()?)?;
        Ok(columns.history(recording))
    }

    /// Returns the schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns the samples in the order of time.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Returns the incidents that the samples' labels tell; none if there are no labels.
    pub fn incidents(&self) -> Option<&[Incident]> {
        self.incidents.as_deref()
    }

    /// Returns how many values were out of range, and are missing.
    pub fn values_out_of_range(&self) -> u64 {
        self.values_out_of_range
    }

    /// Returns the times of each server's samples.
    pub(super) fn times_by_server(&self) -> BTreeMap<&ServerName, Vec<Timestamp>> {
        let mut times: BTreeMap<&ServerName, Vec<Timestamp>> = BTreeMap::new();
        for record in &self.records {
            times.entry(record.server()).or_default().push(record.timestamp());
        }
        times
    }
}

/// What the columns of a file mean.
#[cfg(feature = "parquet")]
struct Columns {
    schema: Schema,
    /// Whether the kinds of the metrics are still to be guessed.
    is_guessed: bool,
    has_label: bool,
}

#[cfg(feature = "parquet")]
impl Columns {
    fn find(file: &RecordedFile, schema: Option<&Schema>) -> Result<Self, Error> {
        let fields = file.fields()?;
        let is_number = |field: &arrow_schema::Field| {
            let found = field.data_type();
            found.is_integer() || found.is_floating()
        };
        let has_label = fields.iter().any(|field| {
            let is_label = is_number(field) || *field.data_type() == arrow_schema::DataType::Boolean;
            field.name() == History::INCIDENT_COLUMN && is_label
        });
        if let Some(schema) = schema {
            let has_label = has_label && schema.metric_index(History::INCIDENT_COLUMN).is_none();
            return Ok(Self { schema: schema.clone(), is_guessed: false, has_label });
        }
        let names = fields.iter().filter(|field| is_number(field)).map(|field| field.name().as_str());
        let is_metric = |name: &&str| {
            *name != History::INCIDENT_COLUMN && *name != "timestamp" && !name.starts_with("__index_level_")
        };
        let names: Vec<_> = names.filter(is_metric).collect();
        let known = Schema::server_metrics();
        if names.iter().all(|name| known.metric_index(name).is_some()) {
            return Ok(Self { schema: known, is_guessed: false, has_label });
        }
        let metrics = names.iter().map(|name| Metric::new(*name, MetricKind::Continuous)).collect();
        let schema = Schema::new(SchemaConfig { metrics, ..SchemaConfig::default() })?;
        Ok(Self { schema, is_guessed: true, has_label })
    }

    /// The schema by which the file is read: the label is its last metric.
    fn with_label(&self) -> Result<Schema, Error> {
        let mut config = self.schema.config().clone();
        if self.has_label {
            config.metrics.push(Metric::new(History::INCIDENT_COLUMN, MetricKind::Continuous));
        }
        Schema::new(config)
    }

    fn history(mut self, recording: Recording) -> History {
        let metrics = self.schema.metrics().len();
        let stride = metrics + usize::from(self.has_label);
        if self.is_guessed {
            self.guess_kinds(&recording.values, stride);
        }
        let labels = self.has_label.then(|| {
            let labels = recording.values.iter().skip(metrics).step_by(stride);
            labels.map(|&label| !label.is_nan() && label != 0.0).collect()
        });
        let values = recording.values.chunks_exact(stride).map(|values| values[..metrics].into());
        let records = recording.rows.into_iter().zip(values).map(|(row, values)| {
            let server = recording.servers[row.server].clone();
            Record::from_parts(&self.schema, row.at, server, (row.profile, row.status), values)
        });
        let records = records.collect();
        let values_out_of_range = recording.values_out_of_range;
        History { values_out_of_range, ..History::new(self.schema.clone(), records, labels) }
    }

    fn guess_kinds(&mut self, values: &[f32], stride: usize) {
        let mut config = self.schema.config().clone();
        for (index, metric) in config.metrics.iter_mut().enumerate() {
            let kind = MetricKind::guess(values.iter().skip(index).step_by(stride).copied());
            *metric = Metric::new(metric.name.as_str(), kind);
        }
        // Other kinds of the same names make a schema if those did.
        self.schema = Schema::new(config).unwrap_or_else(|_| self.schema.clone());
    }
}
