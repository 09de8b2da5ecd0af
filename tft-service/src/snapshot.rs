//! The newest forecasts with everything that follows from them, rendered.

use hyper::body::Bytes;

use crate::engine::Assessment;
use crate::wire;

/// One moment's view of the fleet: immutable, shared by all readers.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) assessment: Assessment,
    /// The whole reply of `GET /predictions/current`.
    pub(crate) predictions_json: Bytes,
    /// The whole reply of `GET /alerts/active`.
    pub(crate) alerts_json: Bytes,
}

impl Snapshot {
    /// Renders an assessment, so that readers only copy a pointer.
    pub(crate) fn new(assessment: Assessment) -> Self {
        let predictions_json = wire::render_predictions(&assessment, &wire::Selection::default()).into();
        let alerts_json = wire::render_alerts(&assessment).into();
        Self { assessment, predictions_json, alerts_json }
    }
}
