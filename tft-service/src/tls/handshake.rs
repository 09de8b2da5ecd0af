//! The handshake of an accepted connection.

use std::io;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::identity::Identity;

/// An encrypted stream, and whether HTTP/2 was agreed on.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) is_http2: bool,
}

/// Makes the handshake with the certificate that is in use now.
///
/// # Errors
/// What went wrong, or [`io::ErrorKind::TimedOut`] when it took longer than `timeout`. Nothing but an alert of TLS
/// has been sent then. Also the handshake of an authority, which wants nothing more.
pub(crate) async fn accept(
    stream: TcpStream,
    identity: &Identity,
    timeout: Duration,
) -> io::Result<Accepted> {
    match tokio::time::timeout(timeout, shake_hands(stream, identity)).await {
        Ok(made) => {
            let stream = made?;
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok(Accepted { stream, is_http2 })
        }
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn shake_hands(stream: TcpStream, identity: &Identity) -> io::Result<TlsStream<TcpStream>> {
    if identity.challenges().is_empty() {
        return TlsAcceptor::from(identity.handshakes()).accept(stream).await;
    }
    let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    match identity.challenges().answer(&begun.client_hello()) {
        None => begun.into_stream(identity.handshakes()).await,
        Some(answer) => {
            begun.into_stream(answer).await?.shutdown().await?;
            Err(io::Error::other("it was the authority's, and is answered"))
        }
    }
}
