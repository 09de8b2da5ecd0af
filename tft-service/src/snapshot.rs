//! The newest forecasts with everything that follows from them, rendered.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use hyper::body::Bytes;
use tft_core::FleetAssessment;

use crate::engine::Facts;
use crate::suppression::Suppression;
use crate::wire::{self, AlertFilter, CascadeStatusReply, DriftReportReply, Selection};

/// One moment's view of the fleet: immutable, shared by all readers.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) view: FleetView,
    /// The whole reply of `GET /predictions/current`.
    pub(crate) predictions_json: Bytes,
    /// The same as an Arrow stream, made for the first who asks; none if it cannot be made.
    predictions_arrow: OnceLock<Option<Bytes>>,
    /// The whole reply of `GET /alerts/active`, as long as no other alerts are suppressed.
    pub(crate) alerts_json: Bytes,
    /// The whole reply of `GET /cascade/status`, made for the first who asks.
    cascade_json: OnceLock<Bytes>,
    /// The whole reply of `GET /drift/report`, made for the first who asks.
    drift_json: OnceLock<Bytes>,
    /// The whole replies of `GET /explain/{server}` that somebody has asked for, by server.
    explanations: Mutex<BTreeMap<String, Bytes>>,
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
    /// Which of the alerts are not told to anybody, and why.
    pub(crate) suppression: Suppression,
}

impl Snapshot {
    /// Renders a view, so that readers only copy a pointer.
    pub(crate) fn new(view: FleetView) -> Self {
        let predictions_json = wire::render_predictions(&view, &Selection::default()).into();
        let alerts_json = wire::render_alerts(&view, &view.suppression, &AlertFilter::default()).into();
        Self {
            view,
            predictions_json,
            predictions_arrow: OnceLock::new(),
            alerts_json,
            cascade_json: OnceLock::new(),
            drift_json: OnceLock::new(),
            explanations: Mutex::default(),
        }
    }

    /// Returns the whole reply of `GET /predictions/current` as an Arrow stream.
    pub(crate) fn predictions_arrow(&self) -> Option<Bytes> {
        self.predictions_arrow
            .get_or_init(|| wire::predictions_table(&self.view, &Selection::default()))
            .clone()
    }

    /// Returns the whole reply of `GET /cascade/status`.
    pub(crate) fn cascade_json(&self) -> Bytes {
        let render = || wire::to_json(&CascadeStatusReply::new(&self.view)).into();
        self.cascade_json.get_or_init(render).clone()
    }

    /// Returns the whole reply of `GET /drift/report`.
    pub(crate) fn drift_json(&self) -> Bytes {
        let render = || wire::to_json(&DriftReportReply::new(&self.view)).into();
        self.drift_json.get_or_init(render).clone()
    }

    /// Returns the explanation of a server, if it was made.
    pub(crate) fn explanation(&self, server: &str) -> Option<Bytes> {
        self.explanations.lock().unwrap_or_else(PoisonError::into_inner).get(server).cloned()
    }

    /// Keeps an explanation for as long as the snapshot is the newest; of too many one is forgotten.
    pub(crate) fn keep_explanation(&self, server: &str, json: Bytes) {
        let mut kept = self.explanations.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(server.to_owned(), json);
        if kept.len() > EXPLANATIONS_MAX {
            kept.pop_first();
        }
    }
}

/// Most explanations that are kept, of some ten kilobytes each.
const EXPLANATIONS_MAX: usize = 256;
