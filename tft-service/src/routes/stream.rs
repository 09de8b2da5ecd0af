//! `GET /ws` and `GET /events`: live streams, whose messages `stream` documents.

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

use super::Context;
use crate::http::{Query, Refusal, Reply, Request, bytes, empty, live};
use crate::layers::Call;
use crate::openapi::{Operation, text};
use crate::server::Connection;
use crate::stream::Caller;
use crate::wire::Interest;

/// Opens a WebSocket; what is said over it outlives the request.
pub(super) fn websocket(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let connection = request.extensions().get::<Connection>().cloned();
    let caller = caller(request);
    let accepted = context.streams.open_websocket(request, caller, connection)?;
    let mut reply = empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = reply.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
    Ok(reply)
}

/// Answers with events for as long as the client reads them.
pub(super) fn events(context: &Context, request: &Request) -> Result<Reply, Refusal> {
    let query = Query::parse(request.uri().query())?;
    let servers_max = context.streams.servers_max();
    let (streams, servers) = (query.list("streams"), query.list("servers"));
    let interest = Interest::parse(streams.as_deref(), servers.as_deref(), servers_max)
        .map_err(|error| Refusal::BadRequest(error.to_string()))?;
    let seen = request.headers().get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let mut reply = if request.method() == Method::HEAD {
        bytes(StatusCode::OK, EVENT_STREAM, "")
    } else {
        live(EVENT_STREAM, context.streams.open_events(caller(request), interest, seen)?)
    };
    // Proxies that collect replies would hold events back.
    let headers = reply.headers_mut();
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(reply)
}

pub(super) fn describe_websocket(operation: Operation<'_>) -> Operation<'_> {
    operation.replies_empty(101, "The connection is a WebSocket from here on.").refuses(&[426])
}

pub(super) fn describe_events(operation: Operation<'_>) -> Operation<'_> {
    operation
        .query("streams", "Names of streams, separated by commas; all if left out.", text())
        .query("servers", "Names of servers, separated by commas; all if left out.", text())
        .replies_with(200, EVENT_STREAM, "Events, for as long as the client reads them.", text())
}

fn caller(request: &Request) -> Caller {
    let call = Call::of(request);
    Caller { client: call.client, principal: call.principal }
}

const EVENT_STREAM: &str = "text/event-stream";
