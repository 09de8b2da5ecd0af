//! Requests to an authority.

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HOST, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, Uri};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::time::timeout;

use crate::outgoing::{Endpoint, Lost, connect, exchange};
use crate::tls::{Connector, TlsError};

/// Sends requests to an authority, over TLS only.
#[derive(Debug)]
pub(super) struct Client {
    connector: Connector,
}

impl Client {
    /// Trusts the public issuers, and those in a file.
    ///
    /// # Errors
    /// [`TlsError`] if the file cannot be used.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, TlsError> {
        Ok(Self { connector: Connector::new(ca_file)? })
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let connector = self.connector.clone();
        Box::pin(async move {
            let late = |_| other(format!("no reply within {} s", PATIENCE.as_secs()));
            timeout(PATIENCE, send(request, &connector)).await.map_err(late)?
        })
    }
}

async fn send(
    mut request: Request<BodyWrapper<Bytes>>,
    connector: &Connector,
) -> Result<BytesResponse, Error> {
    let endpoint = Endpoint::parse(&request.uri().to_string(), false).map_err(other)?;
    if !endpoint.is_tls() {
        return Err(other("the authority leads to an address without TLS"));
    }
    let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    *request.uri_mut() = target.parse::<Uri>().map_err(|error| other(error.to_string()))?;
    let host = HeaderValue::try_from(endpoint.authority()).map_err(|error| other(error.to_string()))?;
    request.headers_mut().insert(HOST, host);
    let stream = connect(&endpoint, Some(connector)).await;
    let stream = stream.map_err(|error| other(format!("cannot connect to {endpoint}: {error}")))?;
    exchange(stream, request, read).await.map_err(|Unread(error)| error)
}

/// Reads a reply to a bound.
async fn read(reply: Response<Incoming>) -> Result<BytesResponse, Unread> {
    let (parts, body) = reply.into_parts();
    let body =
        Limited::new(body, REPLY_BYTES_MAX).collect().await.map_err(|error| Unread(Error::Other(error)))?;
    Ok(Response::from_parts(parts, Full::<Bytes>::from(body.to_bytes())).into())
}

/// Why there is no reply, in the words of the crate that asked.
struct Unread(Error);

impl From<Lost> for Unread {
    fn from(lost: Lost) -> Self {
        Self(Error::Other(lost.into()))
    }
}

fn other(reason: impl Into<String>) -> Error {
    Error::Other(reason.into().into())
}

/// For one request with its connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most bytes of a reply; a chain of certificates takes 20 KiB.
const REPLY_BYTES_MAX: usize = 1 << 20;
