//! One request to a receiver, and what its reply means.
//!
//! A reply is read to a bound, and a redirect is a refusal.

use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response};
use tokio::time::timeout;

use super::failure::Failure;
use super::retry::parse_retry_after;
use super::secret::{Secret, redacted};
use crate::outgoing::{Endpoint, Lost, connect, exchange};
use crate::tls::Connector;

/// How long a delivery may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// For the name, the connection and the handshake.
    pub(crate) connect: Duration,
    /// For everything.
    pub(crate) total: Duration,
}

/// Sends requests to one receiver.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    endpoint: Endpoint,
    /// None for plain HTTP.
    connector: Option<Connector>,
    timeouts: Timeouts,
}

/// A request to be posted as JSON.
#[derive(Debug)]
pub(crate) struct Post<'a> {
    /// Further headers.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    /// What must not be shown if the reply repeats it.
    pub(crate) secrets: Vec<&'a Secret>,
    /// The time of day, for a date in `Retry-After`.
    pub(crate) now: SystemTime,
}

impl HttpClient {
    pub(crate) fn new(endpoint: Endpoint, connector: Option<Connector>, timeouts: Timeouts) -> Self {
        Self { endpoint, connector, timeouts }
    }

    /// Returns where it sends to; shown by host only.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Posts, and returns the status of a reply that says that the message was taken.
    ///
    /// # Errors
    /// [`Failure`] if there is no reply in time or it has another status than 2xx.
    pub(crate) async fn post(&self, post: Post<'_>) -> Result<u16, Failure> {
        let late = |_| Failure::temporary(format!("took longer than {} ms", self.timeouts.total.as_millis()));
        timeout(self.timeouts.total, self.exchange(post)).await.map_err(late)?
    }

    async fn exchange(&self, post: Post<'_>) -> Result<u16, Failure> {
        let secrets: Vec<&str> =
            self.endpoint.secrets().chain(post.secrets.iter().map(|secret| secret.expose())).collect();
        let request = self.request(post.headers, post.body)?;
        let connecting = timeout(self.timeouts.connect, connect(&self.endpoint, self.connector.as_ref()));
        let late = |_| format!("no connection within {} ms", self.timeouts.connect.as_millis());
        let stream = match connecting.await.map_err(late) {
            Ok(connected) => {
                connected.map_err(|error| Failure::temporary(format!("cannot connect: {error}")))?
            }
            Err(late) => return Err(Failure::temporary(late)),
        };
        exchange(stream, request, async |reply| judge(reply, &secrets, post.now).await).await
    }

    fn request(
        &self,
        headers: Vec<(&'static str, String)>,
        body: String,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let builder = Request::builder()
            .method(Method::POST)
            .uri(self.endpoint.target())
            .header(HOST, self.endpoint.authority())
            .header(USER_AGENT, concat!("tft-service/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json");
        let builder = headers.into_iter().fold(builder, |builder, (name, value)| builder.header(name, value));
        let invalid =
            |_| Failure::permanent("the request cannot be made: a header has characters that none may have");
        builder.body(Full::from(body)).map_err(invalid)
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        Self::temporary(lost.to_string())
    }
}

/// Takes 2xx for success without waiting for a body that says no more.
async fn judge(reply: Response<Incoming>, secrets: &[&str], now: SystemTime) -> Result<u16, Failure> {
    let status = reply.status();
    if status.is_success() {
        return Ok(status.as_u16());
    }
    let asked = reply.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = asked.and_then(|text| parse_retry_after(text, now));
    let said = excerpt(reply.into_body()).await;
    Err(Failure::of_status(status.as_u16(), retry_after, &redacted(&said, secrets.iter().copied())))
}

/// Reads the beginning of a body that comes within a moment.
async fn excerpt(mut body: Incoming) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            if bytes.len() >= REPLY_BYTES_MAX {
                break;
            }
        }
    };
    // What has come until then is enough.
    let _ = timeout(REPLY_PATIENCE, reading).await;
    bytes.truncate(REPLY_BYTES_MAX);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Most bytes that are read of a reply's body.
const REPLY_BYTES_MAX: usize = 4 << 10;

/// How long the body of a refusal is waited for.
const REPLY_PATIENCE: Duration = Duration::from_secs(1);
