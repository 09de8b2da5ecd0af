//! Why a request is refused, and what the client is told.

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use schemars::JsonSchema;

use super::{HandshakeError, Reply, json_of};
use crate::auth::{Denied, Scope};
use crate::limits::Verdict;

/// A request that is not carried out.
///
/// The message is what the client reads; it says what to change and nothing about the inside.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    Denied(Denied),
    #[error("insufficient_scope")]
    InsufficientScope { required: Scope, is_token: bool },
    #[error("CORS origin not allowed")]
    OriginNotAllowed,
    #[error("the service is not called by this name")]
    UnknownHost,
    #[error("this network is not served")]
    ClientNotAllowed,
    #[error("{0}")]
    NotFound(String),
    #[error("method not allowed, this path answers to {}", .allow.to_str().unwrap_or_default())]
    MethodNotAllowed { allow: HeaderValue },
    #[error("not acceptable, this path answers with {offered}")]
    NotAcceptable { offered: &'static str },
    #[error("the request's body did not arrive within {seconds} s")]
    BodyTimeout { seconds: u64 },
    #[error("the request's body is larger than {bytes_max} bytes")]
    BodyTooLarge { bytes_max: usize },
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Unprocessable(String),
    #[error("{0}")]
    TooLarge(String),
    #[error(
        "the request's body must be `Content-Type: application/json` or `application/vnd.apache.arrow.stream`, \
         without a content encoding"
    )]
    UnsupportedMediaType,
    #[error("rate limit exceeded")]
    TooManyRequests(Verdict),
    #[error("the service could not store it: send it again later")]
    NotKept,
    #[error("the service is busy: try again later")]
    Busy,
    #[error(transparent)]
    NoWebSocket(HandshakeError),
    #[error("too many streams of this key or address: close others first")]
    TooManyStreams,
    #[error("the service could not carry out the request")]
    Internal,
}

impl Refusal {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_)
            | Self::UnknownHost
            | Self::NoWebSocket(HandshakeError::WrongHttp | HandshakeError::BadKey) => {
                StatusCode::BAD_REQUEST
            }
            Self::Denied(denied) => denied.status(),
            Self::OriginNotAllowed | Self::ClientNotAllowed | Self::InsufficientScope { .. } => {
                StatusCode::FORBIDDEN
            }
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable { .. } => StatusCode::NOT_ACCEPTABLE,
            Self::BodyTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge { .. } | Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyRequests(_) | Self::TooManyStreams => StatusCode::TOO_MANY_REQUESTS,
            Self::NoWebSocket(HandshakeError::NotAnUpgrade | HandshakeError::WrongVersion) => {
                StatusCode::UPGRADE_REQUIRED
            }
            Self::NotKept | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What operators search their logs for, with the status in words; none if the refusal has nothing to do with
    /// security.
    pub(crate) fn security_reason(&self) -> Option<&'static str> {
        match self {
            Self::Denied(denied) => Some(denied.security_reason()),
            Self::InsufficientScope { .. } => Some("403 Forbidden: insufficient_scope"),
            Self::OriginNotAllowed => Some("403 Forbidden: CORS origin not allowed"),
            Self::ClientNotAllowed => Some("403 Forbidden: network not served"),
            Self::UnknownHost => Some("400 Bad Request: unknown host"),
            Self::TooManyRequests(_) | Self::TooManyStreams => Some("429 Too Many Requests"),
            _ => None,
        }
    }

    pub(crate) fn into_reply(self) -> Reply {
        let mut reply = match &self {
            Self::TooManyRequests(verdict) => json_of(self.status(), &RateLimited::new(verdict)),
            Self::InsufficientScope { required, .. } => json_of(self.status(), &ScopeMissing::new(*required)),
            _ => json_of(self.status(), &Problem { detail: self.to_string() }),
        };
        let headers = reply.headers_mut();
        match self {
            Self::TooManyRequests(verdict) => {
                headers.insert(header::RETRY_AFTER, verdict.retry_after_s().into());
            }
            Self::Denied(denied) => denied.add_challenges(headers),
            Self::InsufficientScope { required, is_token: true } => {
                let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{}\"", required.name());
                headers.extend(challenge.parse().map(|value| (header::WWW_AUTHENTICATE, value)).ok());
            }
            Self::MethodNotAllowed { allow } => {
                headers.insert(header::ALLOW, allow);
            }
            Self::NoWebSocket(error @ (HandshakeError::NotAnUpgrade | HandshakeError::WrongVersion)) => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                if error == HandshakeError::WrongVersion {
                    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                }
            }
            Self::TooManyStreams => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            Self::NotKept | Self::Busy => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // What may be left of the body is not worth reading: the connection ends instead.
            Self::BodyTimeout { .. } | Self::BodyTooLarge { .. } => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        reply
    }
}

/// The reply that refuses a request.
#[derive(Debug, serde::Serialize, JsonSchema)]
pub(crate) struct Problem {
    /// What to change.
    detail: String,
}

/// The reply to a request with a key or token that does not allow it.
#[derive(Debug, serde::Serialize, JsonSchema)]
pub(crate) struct ScopeMissing {
    detail: ScopeMissingDetail,
}

#[derive(Debug, serde::Serialize, JsonSchema)]
struct ScopeMissingDetail {
    error: &'static str,
    /// The scope that the route needs.
    scope: &'static str,
}

impl ScopeMissing {
    fn new(required: Scope) -> Self {
        Self { detail: ScopeMissingDetail { error: "insufficient_scope", scope: required.name() } }
    }
}

/// The reply to a request beyond a rate limit.
#[derive(Debug, serde::Serialize, JsonSchema)]
pub(crate) struct RateLimited {
    detail: RateLimitedDetail,
}

#[derive(Debug, serde::Serialize, JsonSchema)]
struct RateLimitedDetail {
    error: &'static str,
    /// Calls per window.
    limit: u32,
    /// The window's length, like `60s`.
    window: String,
    /// Seconds until a call can pass again.
    retry_after: u64,
}

impl RateLimited {
    fn new(verdict: &Verdict) -> Self {
        let window = format!("{}s", verdict.window.as_secs().max(1));
        let (limit, retry_after) = (verdict.limit, verdict.retry_after_s());
        Self { detail: RateLimitedDetail { error: "Rate limit exceeded", limit, window, retry_after } }
    }
}
