//! The reply of `/alerts/active`.

use serde::Serialize;
use tft_core::time::Timestamp;

use crate::engine::Assessment;

/// The reply of `GET /alerts/active`.
#[derive(Serialize)]
struct AlertsReply {
    timestamp: String,
    count: usize,
    alerts: Vec<AlertEntry>,
}

/// One alert, as old clients know it and more.
#[derive(Serialize)]
pub(super) struct AlertEntry {}

/// Renders the alerts that are pending or firing.
pub(crate) fn render_alerts(assessment: &Assessment) -> Vec<u8> {
    let alerts = entries(assessment);
    let reply = AlertsReply { timestamp: utc(assessment.at), count: alerts.len(), alerts };
    super::to_json(&reply)
}

pub(super) fn entries(_assessment: &Assessment) -> Vec<AlertEntry> {
    Vec::new()
}

/// Returns an instant as RFC 3339 with `Z`.
pub(super) fn utc(at: Timestamp) -> String {
    at.to_string()
}
