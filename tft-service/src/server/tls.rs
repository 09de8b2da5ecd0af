//! The handshake of an accepted connection.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::tls::Identity;

/// Makes the handshake with the certificate that is in use now.
///
/// # Errors
/// What went wrong, or [`io::ErrorKind::TimedOut`] when it took longer than `timeout`. Nothing but an alert of TLS
/// has been sent then.
pub(super) async fn handshake(
    stream: TcpStream,
    identity: &Identity,
    timeout: Duration,
) -> io::Result<TlsStream<TcpStream>> {
    let handshake = TlsAcceptor::from(identity.handshakes()).accept(stream);
    match tokio::time::timeout(timeout, handshake).await {
        Ok(made) => made,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
