//! Silences and acknowledgements as clients read them.

use schemars::JsonSchema;
use serde::Serialize;
use tft_core::alert::{Acknowledgement, Silence, SilenceState, Silences};
use tft_core::time::Timestamp;

use super::alerts::utc;
use super::names;

/// The reply of `GET /alerts/silences`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SilencesReply {
    timestamp: String,
    count: usize,
    silences: Vec<SilenceEntry>,
}

/// One silence.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SilenceEntry {
    id: String,
    #[schemars(schema_with = "names::silence_state")]
    state: SilenceState,
    /// Texts like `server=~"db-.*"`.
    matchers: Vec<String>,
    starts_at: String,
    ends_at: String,
    created_by: String,
    comment: String,
}

/// What became of an acknowledgement.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AcknowledgedReply {
    fingerprint: String,
    /// Null where it was taken back.
    acknowledged: Option<AcknowledgedEntry>,
}

/// Who knows of an alert.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AcknowledgedEntry {
    by: String,
    at: String,
    comment: String,
}

impl SilencesReply {
    /// Lists all silences by id.
    pub(crate) fn new(silences: &Silences, now: Timestamp) -> Self {
        let silences: Vec<_> = silences.list().map(|silence| SilenceEntry::new(silence, now)).collect();
        Self { timestamp: utc(now), count: silences.len(), silences }
    }
}

impl SilenceEntry {
    pub(crate) fn new(silence: &Silence, now: Timestamp) -> Self {
        Self {
            id: silence.id.clone(),
            state: silence.state(now),
            matchers: silence.matchers.iter().map(ToString::to_string).collect(),
            starts_at: utc(silence.starts_at),
            ends_at: utc(silence.ends_at),
            created_by: silence.created_by.clone(),
            comment: silence.comment.clone(),
        }
    }
}

impl AcknowledgedReply {
    pub(crate) fn new(fingerprint: String, acknowledgement: Option<&Acknowledgement>) -> Self {
        Self { fingerprint, acknowledged: acknowledgement.map(AcknowledgedEntry::new) }
    }
}

impl AcknowledgedEntry {
    pub(super) fn new(acknowledgement: &Acknowledgement) -> Self {
        Self {
            by: acknowledgement.by.clone(),
            at: utc(acknowledgement.at),
            comment: acknowledgement.comment.clone(),
        }
    }
}
