//! Replies, refusals and request bodies: what every route has in common.
//!
//! Owns the JSON forms of refusals and the headers that every reply carries. Knows no route.

mod body;
mod query;
mod refusal;
mod websocket;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Bytes};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};

pub(crate) use body::{ARROW_STREAM, BodyType, drain, read_body, read_json};
pub(crate) use query::{Query, decode_segment};
pub(crate) use refusal::{Problem, RateLimited, Refusal, ScopeMissing};
pub(crate) use websocket::{HandshakeError, accept_websocket, is_websocket_upgrade};

use crate::limits::Verdict;

/// What every route is given.
pub(crate) type Request = hyper::Request<RequestBody>;

/// A body that is being received.
pub(crate) type RequestBody = UnsyncBoxBody<Bytes, BodyError>;

/// What every route answers with.
pub(crate) type Reply = Response<ReplyBody>;

/// A body that is there as a whole, or one that comes in parts.
pub(crate) type ReplyBody = Either<Full<Bytes>, UnsyncBoxBody<Bytes, BodyError>>;

/// What went wrong with a body under way.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct BodyError(#[from] Box<dyn std::error::Error + Send + Sync>);

/// Marks a reply, by its extensions, as one whose body goes on for as long as the client stays.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LiveStream;

/// Takes a request as it came from a connection.
pub(crate) fn received<B>(request: hyper::Request<B>) -> Request
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    request.map(|body| body.map_err(|error| BodyError(error.into())).boxed_unsync())
}

/// Builds a reply of bytes.
pub(crate) fn bytes(status: StatusCode, content_type: &'static str, content: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Either::Left(Full::new(content.into())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// Builds a reply without a body.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Either::Left(Full::default()));
    *reply.status_mut() = status;
    reply
}

/// Builds a reply whose body goes on for as long as the client stays.
pub(crate) fn live<B>(content_type: &'static str, body: B) -> Reply
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = body.map_err(|error| BodyError(error.into())).boxed_unsync();
    let mut reply = Response::new(Either::Right(body));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply.extensions_mut().insert(LiveStream);
    reply
}

/// Builds a reply of JSON text.
pub(crate) fn json(status: StatusCode, text: impl Into<Bytes>) -> Reply {
    bytes(status, "application/json", text)
}

/// Builds a reply of a stream in Arrow's IPC format.
pub(crate) fn arrow_stream(stream: Bytes) -> Reply {
    bytes(StatusCode::OK, ARROW_STREAM, stream)
}

/// Builds a reply of a value as JSON.
pub(crate) fn json_of(status: StatusCode, value: &impl serde::Serialize) -> Reply {
    json(status, crate::wire::to_json(value))
}

/// Adds what is left of the client's quota.
pub(crate) fn add_quota_headers(headers: &mut HeaderMap, verdict: &Verdict, unix_time_s: i64) {
    let reset = unix_time_s + verdict.retry_after_s() as i64;
    headers.insert(HeaderName::from_static("x-ratelimit-limit"), verdict.limit.into());
    headers.insert(HeaderName::from_static("x-ratelimit-remaining"), verdict.remaining.into());
    headers.insert(HeaderName::from_static("x-ratelimit-reset"), reset.into());
}
