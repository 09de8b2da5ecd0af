//! One sample of one server, valid for its schema by construction.

use super::fault::{Fault, Reason, fault_of_value};
use crate::error::{Error, ErrorKind};
use crate::schema::{Profile, Schema, ServerName, Status};
use crate::time::Timestamp;

/// One sample: what a server's metrics were at an instant.
///
/// # Units
/// Those of the schema's metrics. Every value held is inside its metric's valid range.
///
/// # Examples
/// ```
/// use tft_core::schema::Schema;
/// use tft_core::time::Timestamp;
/// use tft_core::window::Record;
///
/// let schema = Schema::server_metrics();
/// let at = Timestamp::parse("2026-01-05T12:00:00Z")?;
/// let record = Record::new(&schema, "ppdb001", at)?.with("cpu_user_pct", 25.3)?.with_status("OK")?;
/// assert_eq!(record.value(0), Some(25.3));
/// # Ok::<(), tft_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Record {
    schema: Schema,
    timestamp: Timestamp,
    server: ServerName,
    profile: Option<Profile>,
    status: Option<Status>,
    /// In schema order; NaN is a missing value.
    values: Box<[f32]>,
}

impl Record {
    /// Builds a record without any value.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the server's name is not acceptable.
    pub fn new(schema: &Schema, server_name: &str, timestamp: Timestamp) -> Result<Self, Error> {
        Ok(Self::for_server(schema, ServerName::new(server_name)?, timestamp))
    }

    /// Builds a record without any value for a name that is already checked.
    pub fn for_server(schema: &Schema, server: ServerName, timestamp: Timestamp) -> Self {
        let values = vec![f32::NAN; schema.metrics().len()].into_boxed_slice();
        Self { schema: schema.clone(), timestamp, server, profile: None, status: None, values }
    }

    /// Sets a metric by its name or an alias of it; slightly exceeded percentages are limited to the range.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if there is no such metric, or the value is not finite or out of range.
    pub fn with(mut self, metric_name: &str, value: f64) -> Result<Self, Error> {
        let metric = self.schema.require_metric(metric_name)?;
        self.set(metric, value)?;
        Ok(self)
    }

    /// Sets the profile; without one it follows from the server's name.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// Sets the status by its name or a word for it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the word means no state of the schema.
    pub fn with_status(mut self, word: &str) -> Result<Self, Error> {
        let status = self.schema.statuses().parse(word);
        let status = status.ok_or_else(|| Fault::new("status", word, Reason::UnknownStatus))?;
        self.status = Some(status);
        Ok(self)
    }

    /// Sets a metric by its position in the schema.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if there is no such metric, or the value is not finite or out of range.
    pub fn set(&mut self, metric: usize, value: f64) -> Result<(), Error> {
        let Some(definition) = self.schema.metrics().get(metric) else {
            return Err(Fault::new(
                "metric index",
                &metric.to_string(),
                Reason::NoSuchMetric { metrics: self.values.len() },
            )
            .into());
        };
        if let Some(reason) = fault_of_value(definition, value) {
            return Err(Fault::new(definition.name.clone(), &value.to_string(), reason).into());
        }
        self.values[metric] = definition.clamp(value) as f32;
        Ok(())
    }

    /// Builds a record from parts that were checked against the schema.
    pub(crate) fn from_parts(
        schema: &Schema,
        timestamp: Timestamp,
        server: ServerName,
        told: (Option<Profile>, Option<Status>),
        values: Box<[f32]>,
    ) -> Self {
        let (profile, status) = told;
        Self { schema: schema.clone(), timestamp, server, profile, status, values }
    }

    /// Returns the schema that this record was made for.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns the instant of the sample.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Returns the server's name.
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// Returns the profile, if the record tells one.
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    /// Returns the status, if the record tells one.
    pub fn status(&self) -> Option<Status> {
        self.status
    }

    /// Returns all values in schema order; NaN is a missing value.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns the value of a metric by its position in the schema, unless it is missing.
    pub fn value(&self, metric: usize) -> Option<f32> {
        self.values.get(metric).copied().filter(|value| !value.is_nan())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.status.is_none() && self.values.iter().all(|value| value.is_nan())
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::new(ErrorKind::InvalidInput, fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record::new(&Schema::server_metrics(), "ppdb001", Timestamp::from_millis(0)).unwrap()
    }

    #[test]
    fn values_are_checked_and_limited_to_the_range() {
        let record = record().with("cpu_user", 100.4).unwrap();
        assert_eq!(record.value(0), Some(100.0));
        assert_eq!(record.value(1), None);
        assert!(!record.is_empty());
    }

    #[test]
    fn errors_name_field_and_value() {
        let message = |result: Result<Record, Error>| {
            let error = result.unwrap_err();
            assert!(error.is_invalid_input());
            error.to_string()
        };
        insta::assert_snapshot!(message(record().with("cpu_user_pct", 120.0)), @"cpu_user_pct `120` is above the largest valid value 100");
        insta::assert_snapshot!(message(record().with("load", -0.1)), @"load_average `-0.1` is below the smallest valid value 0");
        insta::assert_snapshot!(message(record().with("net_rx", f64::NAN)), @"net_in_mb_s `NaN` is not a finite single-precision number");
        insta::assert_snapshot!(message(record().with("net_rx", 1e300)), @"net_in_mb_s `1000000000000000000000000000000000000000000000000000000000000000…` is not a finite single-precision number");
        insta::assert_snapshot!(message(record().with("gpu", 1.0)), @"schema has no metric `gpu`");
        insta::assert_snapshot!(message(record().with_status("asleep")), @"status `asleep` is not a known status");
        insta::assert_snapshot!(record().set(99, 1.0).unwrap_err(), @"metric index `99` is not below 15");
    }
}
