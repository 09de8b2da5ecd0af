//! The newest forecasts with everything that follows from them, rendered.

use std::sync::OnceLock;

use hyper::body::Bytes;
use tft_core::FleetAssessment;

use crate::engine::Facts;
use crate::wire::{self, Selection};

/// One moment's view of the fleet: immutable, shared by all readers.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) view: FleetView,
    /// The whole reply of `GET /predictions/current`.
    pub(crate) predictions_json: Bytes,
    /// The same as an Arrow stream, made for the first who asks; none if it cannot be made.
    predictions_arrow: OnceLock<Option<Bytes>>,
    /// The whole reply of `GET /alerts/active`.
    pub(crate) alerts_json: Bytes,
}

/// What replies are rendered from.
#[derive(Debug, Clone)]
pub(crate) struct FleetView {
    pub(crate) facts: Facts,
    pub(crate) assessment: FleetAssessment,
    /// Feeds that were ever taken, when the forecasts were made.
    pub(crate) tick: u64,
    /// Steps with samples that the forecasts were made from, over all servers.
    pub(crate) input_points: usize,
}

impl Snapshot {
    /// Renders a view, so that readers only copy a pointer.
    pub(crate) fn new(view: FleetView) -> Self {
        let predictions_json = wire::render_predictions(&view, &Selection::default()).into();
        let alerts_json = wire::render_alerts(&view).into();
        Self { view, predictions_json, predictions_arrow: OnceLock::new(), alerts_json }
    }

    /// Returns the whole reply of `GET /predictions/current` as an Arrow stream.
    pub(crate) fn predictions_arrow(&self) -> Option<Bytes> {
        self.predictions_arrow
            .get_or_init(|| wire::predictions_table(&self.view, &Selection::default()))
            .clone()
    }
}
