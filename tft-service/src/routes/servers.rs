//! `/servers`: which servers are known, and what is kept of each.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use tft_core::schema::ServerName;

use super::Context;
use crate::admin::AdminError;
use crate::clock::Clock;
use crate::http::{Query, Refusal, Reply, Request, bytes, json_of};
use crate::layers::{Call, Outcome};
use crate::openapi::{Operation, integer, one_of, text};
use crate::state::ServiceState;
use crate::wire::{ExportFormat, RemovalReply, ServerExportReply, ServersReply, render_export, shorten};

/// Answers with a page of servers.
pub(super) fn list(
    state: &ServiceState,
    clock: &Arc<dyn Clock>,
    request: &Request,
) -> Result<Reply, Refusal> {
    let query = Query::parse(request.uri().query())?;
    let limit = query.value("limit").map_or(Ok(PAGE_SERVERS), parse_limit)?;
    let after = query.value("after").unwrap_or("");
    let window = state.store().window().clone();
    let needed_steps = state.snapshot().view.facts.history_steps_needed;
    let reply = ServersReply::new(&window, (after, limit), (window.origin(clock.now()), needed_steps));
    Ok(json_of(StatusCode::OK, &reply))
}

pub(super) fn describe_list(operation: Operation<'_>) -> Operation<'_> {
    operation
        .query("after", "The name after which the page begins.", text())
        .query("limit", "Most servers of the page; 100 if left out.", integer(1, PAGE_SERVERS_MAX))
        .replies::<ServersReply>(200, "A page of servers.")
}

/// Answers with everything that is kept of a server.
pub(super) async fn export(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let query = Query::parse(request.uri().query())?;
    let wanted = query.value("format").unwrap_or(ExportFormat::Json.name());
    let format = ExportFormat::ALL.into_iter().find(|format| format.name() == wanted);
    let offered = "`format=json`, `format=csv` and `format=parquet`";
    let format = format.ok_or(Refusal::NotAcceptable { offered })?;
    let name = name_of(request);
    let (state, wanted) = (Arc::clone(&context.state), name.clone());
    let exported = tokio::task::spawn_blocking(move || {
        let export = state.store().export_server(&wanted)?;
        Some(render_export(&export, format))
    });
    let exported = exported.await.map_err(|_| Refusal::Internal)?.ok_or_else(|| unknown(&name))?;
    let mut reply = bytes(StatusCode::OK, format.media_type(), exported.ok_or(Refusal::Internal)?);
    // A known name has no character that a quoted text could not have.
    let disposition = format!("attachment; filename=\"{name}.{}\"", format.name());
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        reply.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(reply)
}

pub(super) fn describe_export(operation: Operation<'_>) -> Operation<'_> {
    let [json, csv, parquet] = ExportFormat::ALL;
    operation
        .path("name", "The server's name.", text())
        .query("format", "`json` if left out.", one_of(&[json.name(), csv.name(), parquet.name()]))
        .replies::<ServerExportReply>(200, "All samples that are kept, in time order.")
        .replies_with(200, csv.media_type(), "", text())
        .replies_with(200, parquet.media_type(), "", serde_json::json!({}))
        .refuses(&[406])
}

/// Removes every trace of a server, and says so when nothing is left.
///
/// # Cancel safety
/// The removal goes on to its end even if the client goes away.
pub(super) async fn remove(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let name = name_of(request);
    let (admin, wanted) = (Arc::clone(&context.admin), name.clone());
    let removed = tokio::task::spawn_blocking(move || admin.remove_server(&wanted));
    let removed = removed.await.map_err(|_| Refusal::Internal)?.map_err(|error| refusal_of(&error, &name))?;
    let mut reply = json_of(StatusCode::OK, &RemovalReply::new(name.clone(), &removed));
    let reason = Some(format!("server `{name}` deleted"));
    reply.extensions_mut().insert(Outcome { reason, ..Outcome::default() });
    Ok(reply)
}

pub(super) fn describe_removal(operation: Operation<'_>) -> Operation<'_> {
    operation
        .path("name", "The server's name.", text())
        .replies::<RemovalReply>(
            200,
            "Nothing of the server is in the window, the log, the checkpoint or the alerts.",
        )
        .refuses(&[409])
}

/// Text that can be no name stands for a server that is not known.
fn name_of(request: &Request) -> String {
    let name = Call::of(request).parameter.unwrap_or_default();
    if ServerName::new(&name).is_ok() { name } else { shorten(&name) }
}

fn refusal_of(error: &AdminError, name: &str) -> Refusal {
    match error {
        AdminError::UnknownServer(_) => unknown(name),
        AdminError::Changing => Refusal::Conflict(error.message()),
        _ => {
            tracing::error!(error = error.message(), server = name, "a server could not be removed");
            Refusal::Busy
        }
    }
}

fn unknown(name: &str) -> Refusal {
    Refusal::NotFound(format!("there is no server `{name}`"))
}

fn parse_limit(text: &str) -> Result<usize, Refusal> {
    let limit = text.parse().ok().filter(|limit| (1..=PAGE_SERVERS_MAX).contains(limit));
    let text = shorten(text);
    limit.ok_or_else(|| {
        Refusal::BadRequest(format!("limit `{text}` is not a number of servers, 1 to {PAGE_SERVERS_MAX}"))
    })
}

const PAGE_SERVERS: usize = 100;
const PAGE_SERVERS_MAX: usize = 1000;
