//! The JSON of replies, and the predictions as a table.
//!
//! Owns the shapes that clients know; computes nothing but differences for display. Numbers that are not
//! finite become null.

mod alert_filter;
mod alerts;
mod cascade;
mod csv;
mod display;
mod drift;
mod explanation;
mod export;
mod feed;
mod history;
mod interest;
mod live;
mod model;
mod names;
mod predictions;
mod rules;
mod selection;
mod server;
mod servers;
mod silences;
mod status;
mod summary;
mod table;

pub(crate) use alert_filter::AlertFilter;
pub(crate) use alerts::{AlertsReply, render_alerts};
pub(crate) use cascade::{CascadeHealthReply, CascadeStatusReply};
pub(crate) use csv::{add_csv_rows, csv_head};
pub(crate) use drift::{DriftReportReply, DriftStatusReply};
pub(crate) use explanation::{ExplanationReply, WhatIfReply, render_explanation, render_what_if};
pub(crate) use export::{ExportFormat, ServerExportReply, render_export};
pub(crate) use feed::feed_schema;
pub(crate) use history::{
    AlertHistoryReply, EnvironmentReply, HistorySummaryReply, Lives, NoteReply, ServerHistoryReply, TimeRange,
};
pub(crate) use interest::{Interest, StreamName, shorten};
pub(crate) use live::{LiveKind, render_alert_event, render_live, render_rows};
pub(crate) use model::{ModelCard, ModelInfoReply, ModelsReply, ReloadReply};
pub(crate) use predictions::{PredictionsReply, render_predictions};
pub(crate) use rules::RulesReply;
pub(crate) use selection::Selection;
pub(crate) use servers::{DiscardReply, RemovalReply, ServersReply};
pub(crate) use silences::{AcknowledgedReply, SilenceEntry, SilencesReply};
pub(crate) use status::{FeedReply, IgnoredFeed, StatusReply};
pub(crate) use table::predictions_table;

/// Renders a value as JSON text; numbers that are not finite become null.
///
/// # Panics
/// Never for the types of this crate: their keys are strings.
pub(crate) fn to_json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("invariant: wire types have string keys")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_does_not_have_become_null() {
        assert_eq!(to_json(&[f32::NAN, f32::INFINITY, 1.5]), b"[null,null,1.5]");
        assert_eq!(to_json(&[f64::NEG_INFINITY]), b"[null]");
    }
}
