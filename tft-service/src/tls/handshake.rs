//! The handshake of an accepted connection.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

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
/// has been sent then.
pub(crate) async fn accept(
    stream: TcpStream,
    identity: &Identity,
    timeout: Duration,
) -> io::Result<Accepted> {
    let handshake = TlsAcceptor::from(identity.handshakes()).accept(stream);
    match tokio::time::timeout(timeout, handshake).await {
        Ok(made) => {
            let stream = made?;
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok(Accepted { stream, is_http2 })
        }
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
