//! What stands in for TLS in a program without the feature: types without values.

use std::future::Ready;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tft_core::time::Timestamp;
use tokio::net::TcpStream;

use super::config::TlsSource;
use super::error::TlsError;

/// A certificate in use, of which there is none.
#[derive(Debug)]
pub(crate) enum Identity {}

/// Whoever looks after a certificate.
#[derive(Debug)]
pub(crate) enum Watch {}

/// Encrypts connections to others, which nobody can.
#[derive(Debug, Clone)]
pub(crate) enum Connector {}

/// An encrypted stream, of which there is none.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) is_http2: bool,
}

impl Identity {
    pub(crate) fn open(_: &TlsSource, _: Timestamp) -> Result<Self, TlsError> {
        Err(TlsError::NotBuilt)
    }

    pub(crate) fn check(_: &TlsSource) -> Result<(), TlsError> {
        Err(TlsError::NotBuilt)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        match *self {}
    }

    pub(crate) fn not_after_seconds(&self) -> i64 {
        match *self {}
    }
}

impl Watch {
    #[expect(clippy::needless_pass_by_value, reason = "who has a certificate keeps it")]
    pub(crate) fn new(identity: Arc<Identity>, _: u32, _: Timestamp) -> Self {
        match *identity {}
    }

    pub(crate) fn look(&mut self, _: Timestamp) {
        match *self {}
    }
}

impl Connector {
    pub(crate) fn new(_: Option<&Path>) -> Result<Self, TlsError> {
        Err(TlsError::NotBuilt)
    }

    pub(crate) fn connect(&self, _: &str, _: TcpStream) -> Ready<io::Result<TcpStream>> {
        match *self {}
    }
}

/// Encrypts nothing.
pub(crate) fn look_through(_: std::net::TcpStream, _: &str) -> io::Result<std::net::TcpStream> {
    Err(io::Error::new(io::ErrorKind::Unsupported, TlsError::NotBuilt))
}

pub(crate) async fn accept(_: TcpStream, identity: &Identity, _: Duration) -> io::Result<Accepted> {
    match *identity {}
}
