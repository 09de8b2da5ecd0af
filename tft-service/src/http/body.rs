//! Reading a request's body within its limits of type, size and time.

use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::Request;
use hyper::body::{Body, Bytes};
use hyper::header::{self, HeaderMap};

use super::Refusal;
use crate::config::Limits;

/// Reads a body of JSON text; whether it is JSON is for the caller to find out.
///
/// # Errors
/// [`Refusal::UnsupportedMediaType`], [`Refusal::BodyTooLarge`] (at once if the length is declared),
/// [`Refusal::BodyTimeout`], or [`Refusal::BadRequest`] if the body ends early.
pub(crate) async fn read_json_body<B>(request: Request<B>, limits: &Limits) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if !is_plain_json(request.headers()) {
        return Err(Refusal::UnsupportedMediaType);
    }
    let bytes_max = limits.body_bytes_max;
    if request.body().size_hint().lower() > bytes_max as u64 {
        return Err(Refusal::BodyTooLarge { bytes_max });
    }
    collect(request.into_body(), bytes_max, limits.body_timeout).await
}

async fn collect<B>(body: B, bytes_max: usize, timeout: Duration) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let reading = Box::pin(Limited::new(body, bytes_max)).collect();
    match tokio::time::timeout(timeout, reading).await {
        Err(_) => Err(Refusal::BodyTimeout { seconds: timeout.as_secs() }),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge { bytes_max }),
        Ok(Err(_)) => Err(Refusal::BadRequest("the request's body ended early".into())),
    }
}

/// Requiring the type also keeps other sites' HTML forms out: they cannot send it without a preflight.
fn is_plain_json(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let essence = text(header::CONTENT_TYPE).and_then(|value| value.split(';').next()).map(str::trim);
    let is_json = essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    is_json && text(header::CONTENT_ENCODING).is_none_or(|encoding| encoding.eq_ignore_ascii_case("identity"))
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use hyper::StatusCode;

    use super::*;

    fn read(content_type: &str, body: &str, bytes_max: usize) -> Result<Bytes, StatusCode> {
        let request = Request::builder().header(header::CONTENT_TYPE, content_type);
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let limits = Limits { body_bytes_max: bytes_max, ..Limits::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(read_json_body(request, &limits)).map_err(|refusal| refusal.status())
    }

    #[test]
    fn the_limit_itself_passes() {
        assert_eq!(read("application/json", "{}", 2).unwrap(), "{}");
        assert_eq!(read("application/json", "{ }", 2), Err(StatusCode::PAYLOAD_TOO_LARGE));
    }

    #[test]
    fn only_json_is_read() {
        assert!(read("Application/JSON; charset=utf-8", "{}", 2).is_ok());
        for other in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
            assert_eq!(read(other, "{}", 2), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE), "{other}");
        }
    }
}
