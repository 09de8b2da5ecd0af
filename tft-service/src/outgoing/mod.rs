//! Requests to other servers.
//!
//! Owns where they go and the connection that each has of its own: they are rare, and one that was kept would be one
//! more thing that can be half open. Redirects are not followed; what a reply means is the caller's business.

mod endpoint;

use std::future::pending;
use std::io;
use std::pin::pin;

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub(crate) use endpoint::Endpoint;
#[cfg(feature = "email")]
pub(crate) use endpoint::is_loopback;

use crate::error::in_one_line;
use crate::tls::Connector;

/// A connection, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("no reply: {0}")]
    Broken(String),
    #[error("the connection ended")]
    Ended,
}

/// Connects to where requests go; `connector` encrypts, and none is plain HTTP.
///
/// # Errors
/// What went wrong, an untrusted certificate included.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    connector: Option<&Connector>,
) -> io::Result<Box<dyn Stream>> {
    let (host, port) = (endpoint.host(), endpoint.port());
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    match connector {
        Some(connector) => Ok(Box::new(connector.connect(host, stream).await?)),
        None if endpoint.is_tls() => Err(io::Error::from(io::ErrorKind::Unsupported)),
        None => Ok(Box::new(stream)),
    }
}

/// Sends a request, and gives its reply to `read` while the connection is driven.
///
/// # Errors
/// [`Lost`] if there is no reply, and those of `read`.
pub(crate) async fn exchange<B, T, E>(
    stream: Box<dyn Stream>,
    request: Request<B>,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, E>,
) -> Result<T, E>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: From<Lost>,
{
    // An error of hyper alone does not say what happened; its cause does.
    let broken = |error: hyper::Error| Lost::Broken(in_one_line(&error));
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let exchange = pin!(async { read(sender.send_request(request).await.map_err(broken)?).await });
    // A connection that ends may have left a reply behind, and is felt by the exchange if it has not.
    let drive = async {
        let _ = connection.await;
        pending::<()>().await;
    };
    tokio::select! {
        read = exchange => read,
        () = drive => Err(Lost::Ended.into()),
    }
}

/// Most bytes of a reply's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
