//! The replies of `/status` and `/feed/data`.

use schemars::JsonSchema;
use serde::Serialize;
use tft_core::window::{IngestReport, Rejection};

use super::names;
use crate::state::Progress;

/// The reply of `GET /status`; without names, paths and versions, because it is open.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StatusReply {
    running: bool,
    tick_count: u64,
    window_size: usize,
    warmup: WarmUpReply,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WarmUpReply {
    is_warmed_up: bool,
    progress_percent: u32,
    threshold: u32,
    current_size: u64,
    required_size: usize,
    message: String,
}

/// The reply of `POST /feed/data` to a batch that has records.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FeedReply {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    tick: u64,
    window_size: usize,
    servers_tracked: usize,
    servers_ready: usize,
    warmup_complete: bool,
    accepted: usize,
    rejected: usize,
    #[serde(skip_serializing_if = "is_zero")]
    late: usize,
    #[serde(skip_serializing_if = "is_zero")]
    duplicates: usize,
    #[serde(skip_serializing_if = "is_zero")]
    unknown_fields: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "names::rejections")]
    errors: Vec<Rejection>,
}

/// The reply of `POST /feed/data` to a batch without records.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct IgnoredFeed {
    status: &'static str,
    reason: &'static str,
}

impl StatusReply {
    /// The number of steps that old clients know as the threshold; what is needed is `required_size`.
    const LEGACY_THRESHOLD: u32 = 150;

    pub(crate) fn new(progress: &Progress) -> Self {
        let warm_up = &progress.warm_up;
        let share = warm_up.history_steps / warm_up.needed_steps.max(1) as f64;
        let message = match progress.servers_tracked {
            0 => "Waiting for data...".to_owned(),
            _ if warm_up.is_complete => "Model ready - using TFT predictions".to_owned(),
            tracked => format!("Warming up: {}/{tracked} servers ready", warm_up.servers_ready),
        };
        Self {
            running: true,
            tick_count: progress.tick_count,
            window_size: progress.window_size,
            warmup: WarmUpReply {
                is_warmed_up: warm_up.is_complete,
                progress_percent: (share.clamp(0.0, 1.0) * 100.0) as u32,
                threshold: Self::LEGACY_THRESHOLD,
                current_size: warm_up.history_steps as u64,
                required_size: warm_up.needed_steps,
                message,
            },
        }
    }
}

impl FeedReply {
    pub(crate) fn new(report: IngestReport, progress: &Progress) -> Self {
        let is_accepted = report.accepted > 0;
        Self {
            status: if is_accepted { "accepted" } else { "rejected" },
            detail: (!is_accepted).then_some("no record was accepted"),
            tick: progress.tick_count,
            window_size: progress.window_size,
            servers_tracked: progress.servers_tracked,
            servers_ready: progress.warm_up.servers_ready,
            warmup_complete: progress.warm_up.is_complete,
            accepted: report.accepted,
            rejected: report.rejected,
            late: report.late,
            duplicates: report.duplicates,
            unknown_fields: report.unknown_fields,
            errors: report.errors,
        }
    }
}

impl Default for IgnoredFeed {
    fn default() -> Self {
        Self { status: "ignored", reason: "empty batch" }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}
