//! Everything that is kept of one server, for handing out.

use serde::Serialize;

use crate::time::Timestamp;
use crate::window::ServerView;

/// Everything that is kept of one server.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServerExport {
    /// The server's name.
    pub server_name: String,
    /// Its profile.
    pub profile: String,
    /// How many samples of it were ever accepted.
    pub samples_accepted: u64,
    /// The metrics, in the order of each sample's values.
    pub metrics: Vec<String>,
    /// Its samples in time order: closed steps as one sample at their first instant, open ones as they came.
    pub samples: Vec<ExportedSample>,
}

/// One sample of an export.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExportedSample {
    /// The instant, in Unix milliseconds.
    pub timestamp: Timestamp,
    /// The status, if one was told.
    pub status: Option<String>,
    /// One value per metric, in the metric's unit; none is a missing value.
    pub values: Vec<Option<f32>>,
}

impl ServerExport {
    pub(super) fn of(server: ServerView<'_>) -> Self {
        let schema = server.schema();
        let mut samples = Vec::new();
        let visited: Result<(), std::convert::Infallible> = server.visit_stored(|sample| {
            samples.push(ExportedSample {
                timestamp: sample.at,
                status: sample.status.map(|status| schema.statuses().name(status).to_owned()),
                values: sample.values.iter().map(|&value| (!value.is_nan()).then_some(value)).collect(),
            });
            Ok(())
        });
        let Ok(()) = visited;
        Self {
            server_name: server.name().to_string(),
            profile: server.profile().to_string(),
            samples_accepted: server.samples_accepted(),
            metrics: schema.metrics().iter().map(|metric| metric.name.clone()).collect(),
            samples,
        }
    }
}
