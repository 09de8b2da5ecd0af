//! Reading a request's body within its limits of type, size and time.

use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{self, HeaderMap};
use serde::de::DeserializeOwned;

use super::{Refusal, Request};
use crate::config::Limits;

/// What a body says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyType {
    Json,
    ArrowStream,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The media type of a stream in Arrow's IPC format.
pub(crate) const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";

/// Reads a body; whether it is what it says is for the caller to find out.
///
/// # Errors
/// [`Refusal::UnsupportedMediaType`], [`Refusal::BodyTooLarge`] (at once if the length is declared),
/// [`Refusal::BodyTimeout`], or [`Refusal::BadRequest`] if the body ends early.
pub(crate) async fn read_body<B>(
    headers: &HeaderMap,
    body: &mut B,
    limits: &Limits,
) -> Result<(BodyType, Bytes), Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let body_type = type_of(headers).ok_or(Refusal::UnsupportedMediaType)?;
    let (bytes_max, timeout) = (limits.body_bytes_max, limits.body_timeout);
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Refusal::BodyTooLarge { bytes_max });
    }
    match tokio::time::timeout(timeout, collect(Limited::new(body, bytes_max))).await {
        Err(_) => Err(Refusal::BodyTimeout { seconds: timeout.as_secs() }),
        Ok(Ok(body)) => Ok((body_type, body)),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge { bytes_max }),
        Ok(Err(_)) => Err(Refusal::BadRequest("the request's body ended early".into())),
    }
}

/// Reads a body of JSON that is smaller than a feed.
///
/// # Errors
/// Those of [`read_body`], and [`Refusal::BadRequest`] if it is not what is expected.
pub(crate) async fn read_json<T: DeserializeOwned>(
    request: &mut Request,
    limits: &Limits,
    bytes_max: usize,
) -> Result<T, Refusal> {
    let headers = request.headers().clone();
    let limits = Limits { body_bytes_max: bytes_max.min(limits.body_bytes_max), ..*limits };
    let (body_type, body) = read_body(&headers, request.body_mut(), &limits).await?;
    if body_type != BodyType::Json {
        return Err(Refusal::UnsupportedMediaType);
    }
    serde_json::from_slice(&body)
        .map_err(|error| Refusal::BadRequest(format!("the body is not usable: {error}")))
}

/// Copies each part as it comes, so that the connection's buffer is free again for the next one: a body is not held in
/// parts and as a whole. Memory for what is declared and never sent is not touched.
async fn collect<B: Body<Data = Bytes> + Unpin>(mut body: Limited<B>) -> Result<Bytes, BoxError>
where
    B::Error: Into<BoxError>,
{
    let declared = body.size_hint().lower() as usize;
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame?.into_data() else { continue };
        if whole.is_empty() {
            if body.is_end_stream() {
                return Ok(part);
            }
            whole.reserve_exact(declared);
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.into())
}

/// Reads and forgets what is left of a refused request's body, within limits.
///
/// Closing a connection while the client still writes makes its system throw away the reply that it has not
/// read yet; most clients write everything before they read.
pub(crate) async fn drain<B: Body<Data = Bytes> + Unpin>(headers: &HeaderMap, body: &mut B, limits: &Limits) {
    // A client that waits for `100 Continue` has not begun to write, and learns that it need not.
    if headers.contains_key(header::EXPECT) || body.is_end_stream() {
        return;
    }
    let bytes_max = 2 * limits.body_bytes_max;
    if body.size_hint().lower() > bytes_max as u64 {
        return;
    }
    let mut left = bytes_max;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
            left = rest;
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIMEOUT.min(limits.body_timeout), reading).await;
}

/// Requiring a type also keeps other sites' HTML forms out: they cannot send one of these without a preflight.
fn type_of(headers: &HeaderMap) -> Option<BodyType> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_plain =
        text(header::CONTENT_ENCODING).is_none_or(|encoding| encoding.eq_ignore_ascii_case("identity"));
    let essence = text(header::CONTENT_TYPE).filter(|_| is_plain)?.split(';').next()?.trim();
    let is = |known: &str| essence.eq_ignore_ascii_case(known);
    let arrow = is(ARROW_STREAM).then_some(BodyType::ArrowStream);
    arrow.or(is("application/json").then_some(BodyType::Json))
}

/// For how long the rest of a refused body is read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};
    use hyper::StatusCode;
    use hyper::body::Frame;

    use super::*;

    fn read(content_type: &str, body: &str, bytes_max: usize) -> Result<Bytes, StatusCode> {
        read_from(Full::new(Bytes::copy_from_slice(body.as_bytes())), content_type, bytes_max)
    }

    fn read_from<B>(mut body: B, content_type: &str, bytes_max: usize) -> Result<Bytes, StatusCode>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().unwrap())]);
        let limits = Limits { body_bytes_max: bytes_max, ..Limits::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let read = runtime.block_on(read_body(&headers, &mut body, &limits));
        read.map(|(_, bytes)| bytes).map_err(|refusal| refusal.status())
    }

    #[test]
    fn the_limit_itself_passes() {
        assert_eq!(read("application/json", "{}", 2).unwrap(), "{}");
        assert_eq!(read("application/json", "{ }", 2), Err(StatusCode::PAYLOAD_TOO_LARGE));
    }

    #[test]
    fn parts_are_put_together_up_to_the_limit() {
        let parts = || {
            let parts = ["", "{", "", "}", " "].map(|part| Ok::<_, BoxError>(Frame::data(Bytes::from(part))));
            StreamBody::new(futures_util::stream::iter(parts))
        };
        assert_eq!(read_from(parts(), "application/json", 3).unwrap(), "{} ");
        assert_eq!(read_from(parts(), "application/json", 2), Err(StatusCode::PAYLOAD_TOO_LARGE));
        let torn = [Ok(Frame::data(Bytes::from("{"))), Err(BoxError::from("reset"))];
        let torn = StreamBody::new(futures_util::stream::iter(torn));
        assert_eq!(read_from(torn, "application/json", 3), Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn only_json_and_arrow_streams_are_read() {
        assert!(read("Application/JSON; charset=utf-8", "{}", 2).is_ok());
        assert!(read(ARROW_STREAM, "{}", 2).is_ok());
        for other in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
            assert_eq!(read(other, "{}", 2), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE), "{other}");
        }
    }
}
