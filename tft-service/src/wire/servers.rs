//! What administrators read about servers.

use schemars::JsonSchema;
use serde::Serialize;
use tft_core::time::Step;
use tft_core::window::{ReadinessState, RollingWindow, ServerView};

use super::alerts::utc;
use super::names;
use crate::admin::Removed;

/// The reply of `GET /servers`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ServersReply {
    /// All servers, on other pages too.
    total: usize,
    /// In the order of their names.
    servers: Vec<ServerLine>,
    /// What `after` must be to get the next page; none on the last one.
    next: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ServerLine {
    name: String,
    profile: String,
    #[schemars(schema_with = "names::readiness")]
    readiness: ReadinessState,
    /// Steps of history that end now, without a long gap.
    history_steps: usize,
    /// The instant of the newest sample.
    last_seen: String,
    /// Steps with samples that are kept.
    steps: usize,
    /// Samples that were ever accepted.
    samples_accepted: u64,
}

/// The reply of `DELETE /servers/{name}`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RemovalReply {
    status: &'static str,
    server: String,
    /// Whether neither the window nor the checkpoint has it, both read again; a feed may have named it meanwhile.
    is_confirmed: bool,
    /// Whether predictions and alerts are without it already; otherwise they will be with the next forecast.
    is_forecast_renewed: bool,
    /// Rows of the history that were about it or named it.
    history_rows: u64,
    /// Files that were set aside earlier and are not searched: they may still name it. `DELETE /admin/set-aside`
    /// removes them.
    files_set_aside: usize,
}

/// The reply of `DELETE /admin/set-aside`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DiscardReply {
    status: &'static str,
    /// Names of the files that are gone, all of them beside the checkpoint.
    files: Vec<String>,
}

impl ServersReply {
    /// Lists at most `limit` servers whose names come after `after`.
    pub(crate) fn new(
        window: &RollingWindow,
        (after, limit): (&str, usize),
        (origin, needed_steps): (Option<Step>, usize),
    ) -> Self {
        let mut rest = window.servers().filter(|server| server.name().as_str() > after).peekable();
        let mut servers = Vec::new();
        while servers.len() < limit
            && let Some(server) = rest.next()
        {
            servers.push(ServerLine::new(server, origin.unwrap_or(server.newest_step()), needed_steps));
        }
        let last = servers.last().map(|server| server.name.clone());
        let next = last.filter(|_| rest.peek().is_some());
        Self { total: window.server_count(), servers, next }
    }
}

impl ServerLine {
    fn new(server: ServerView<'_>, origin: Step, needed_steps: usize) -> Self {
        let readiness = server.readiness(origin, needed_steps);
        Self {
            name: server.name().to_string(),
            profile: server.profile().to_string(),
            readiness: readiness.state,
            history_steps: readiness.history_steps,
            last_seen: utc(server.last_sample_at()),
            steps: server.step_count(),
            samples_accepted: server.samples_accepted(),
        }
    }
}

impl RemovalReply {
    pub(crate) fn new(server: String, removed: &Removed) -> Self {
        let Removed { is_confirmed, is_renewed, history_rows, files_set_aside } = *removed;
        let is_forecast_renewed = is_renewed;
        Self { status: "deleted", server, is_confirmed, is_forecast_renewed, history_rows, files_set_aside }
    }
}

impl DiscardReply {
    pub(crate) fn new(files: Vec<String>) -> Self {
        Self { status: "discarded", files }
    }
}
