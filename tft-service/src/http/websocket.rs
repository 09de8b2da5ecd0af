//! The request that opens a WebSocket.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Why a request opens no WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("this path speaks WebSocket: send `Connection: Upgrade` and `Upgrade: websocket`")]
    NotAnUpgrade,
    #[error("only version 13 of WebSocket is spoken")]
    WrongVersion,
    #[error("a WebSocket is opened over HTTP/1.1")]
    WrongHttp,
    #[error("`Sec-WebSocket-Key` must be 16 bytes in base64, once")]
    BadKey,
}

/// Returns whether a request asks for a WebSocket at all.
pub(crate) fn is_websocket_upgrade(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::GET
        && has_token(headers, &header::UPGRADE, "websocket")
        && has_token(headers, &header::CONNECTION, "upgrade")
}

/// Returns the value of `Sec-WebSocket-Accept` that opens a WebSocket.
///
/// # Errors
/// [`HandshakeError`] if the request is no opening handshake by section 4.2.1 of RFC 6455.
pub(crate) fn accept_websocket(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
) -> Result<HeaderValue, HandshakeError> {
    if version != Version::HTTP_11 {
        return Err(HandshakeError::WrongHttp);
    }
    if !is_websocket_upgrade(method, headers) {
        return Err(HandshakeError::NotAnUpgrade);
    }
    if single(headers, &header::SEC_WEBSOCKET_VERSION) != Some(b"13".as_slice()) {
        return Err(HandshakeError::WrongVersion);
    }
    let key = single(headers, &header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key));
    let accepted = derive_accept_key(key.ok_or(HandshakeError::BadKey)?);
    HeaderValue::try_from(accepted).map_err(|_| HandshakeError::BadKey)
}

/// Returns a header that may be there once only.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes().trim_ascii())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|given| given.trim().eq_ignore_ascii_case(token))
}

/// 16 bytes in base64 are 22 digits and two signs of equality.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    key.len() == 24 && key[..22].iter().all(is_digit) && key[22..] == *b"=="
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455.
    fn headers() -> HeaderMap {
        let given = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        given.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn refused(change: impl FnOnce(&mut HeaderMap)) -> HandshakeError {
        let mut headers = headers();
        change(&mut headers);
        accept_websocket(&Method::GET, Version::HTTP_11, &headers).unwrap_err()
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let accepted = accept_websocket(&Method::GET, Version::HTTP_11, &headers()).unwrap();
        assert_eq!(accepted, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn what_is_no_handshake_is_refused_for_its_reason() {
        use HandshakeError::{BadKey, NotAnUpgrade, WrongHttp, WrongVersion};
        let version = |version| accept_websocket(&Method::GET, version, &headers()).unwrap_err();
        assert_eq!((version(Version::HTTP_10), version(Version::HTTP_2)), (WrongHttp, WrongHttp));
        assert_eq!(accept_websocket(&Method::HEAD, Version::HTTP_11, &headers()).unwrap_err(), NotAnUpgrade);
        let set = |name, value: &'static str| {
            refused(|headers| {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            })
        };
        assert_eq!(set("upgrade", "h2c"), NotAnUpgrade);
        assert_eq!(set("connection", "close"), NotAnUpgrade);
        assert_eq!(set("sec-websocket-version", "8"), WrongVersion);
        assert_eq!(refused(|headers| drop(headers.remove("sec-websocket-version"))), WrongVersion);
        for key in ["", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=a", "dGhlIHNhbXBsZSBub25j!Q=="] {
            assert_eq!(set("sec-websocket-key", key), BadKey, "{key}");
        }
        let twice = |headers: &mut HeaderMap| {
            headers.append("sec-websocket-key", HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        };
        assert_eq!(refused(twice), BadKey);
    }
}
