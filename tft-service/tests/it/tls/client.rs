//! A client that verifies what it is shown.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use super::Pair;
use crate::client::{Reply, read_reply};

pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A client that trusts some certificates; it resumes sessions where the server lets it.
#[derive(Clone)]
pub(crate) struct Client(Arc<ClientConfig>);

impl Client {
    pub(crate) fn trusting(pairs: &[&Pair]) -> Self {
        Self::with(pairs, &[&TLS13, &TLS12], &["http/1.1"])
    }

    pub(crate) fn with(
        pairs: &[&Pair],
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> Self {
        let pem: String = pairs.iter().map(|pair| pair.certificate.as_str()).collect();
        Self::trusting_pem(&pem, versions, alpn)
    }

    pub(crate) fn trusting_pem(
        pem: &str,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(der.unwrap()).unwrap();
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self(Arc::new(config))
    }

    /// Connects and completes the handshake.
    pub(crate) fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        self.connect_as(address, "localhost")
    }

    /// The same with a server that must have a certificate for `name`.
    pub(crate) fn connect_as(&self, address: SocketAddr, name: &str) -> io::Result<Stream> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(StreamOwned::new(connection, socket))
    }

    /// Asks for something open on a connection of its own, and reads to its orderly end.
    pub(crate) fn try_get(&self, address: SocketAddr, target: &str, host: &str) -> io::Result<Reply> {
        let mut stream = self.connect(address)?;
        write!(stream, "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut bytes = Vec::new();
        // Fails without a closing alert: whoever cuts the connection could have cut the reply.
        stream.read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(read_reply(&mut bytes.as_slice(), false))
    }

    pub(crate) fn get(&self, address: SocketAddr, target: &str) -> Reply {
        self.try_get(address, target, "localhost").unwrap()
    }

    /// The certificate that a new connection is shown.
    pub(crate) fn certificate(&self, address: SocketAddr) -> io::Result<Vec<u8>> {
        let stream = self.connect(address)?;
        Ok(stream.conn.peer_certificates().unwrap()[0].to_vec())
    }
}

/// The bytes of a certificate in PEM.
pub(crate) fn der(pair: &Pair) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap().to_vec()
}
