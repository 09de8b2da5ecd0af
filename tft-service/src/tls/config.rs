//! What an operator can set of TLS.

use std::path::PathBuf;
use std::time::Duration;

/// How the service speaks TLS, if it does.
///
/// # Defaults
/// Plain HTTP; with a certificate, `Strict-Transport-Security` and ten seconds for a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsConfig {
    /// Where the certificate comes from; none is plain HTTP.
    pub source: Option<TlsSource>,
    /// From the acceptance of a connection to the end of its handshake.
    pub handshake_timeout: Duration,
    /// Between looks at whether the files have changed.
    pub reload_interval: Duration,
    /// Warn of a certificate that ends within so many days.
    pub renewal_days_before: u32,
    /// Send `Strict-Transport-Security` over TLS, except for `localhost`.
    pub enable_hsts: bool,
    /// The plain listener that sends browsers to https.
    pub redirect: Option<Redirect>,
    /// The name under which clients reach the service, if it was given.
    pub domain: Option<String>,
}

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsSource {
    /// From files that someone else renews.
    Files(TlsFiles),
    /// The service makes its own, for development.
    SelfSigned(SelfSigned),
}

/// A certificate and its key, each in a PEM file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFiles {
    /// The certificate, followed by those of its issuers.
    pub certificate: PathBuf,
    /// The key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// A certificate that nobody else vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SelfSigned {
    /// Where the certificate and the key are kept.
    pub directory: PathBuf,
    /// Names and addresses besides `localhost`, `127.0.0.1` and `::1`.
    pub names: Vec<String>,
}

/// The plain listener that sends browsers to https.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redirect {
    /// The port that it listens on.
    pub port: u16,
    /// The https port that browsers are sent to; none is the one that the service listens on.
    pub to_port: Option<u16>,
}

impl TlsFiles {
    /// Names the two files.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate: certificate.into(), key: key.into() }
    }
}

impl SelfSigned {
    /// Names the directory and the names beside those of this machine's loopback.
    pub fn new(directory: impl Into<PathBuf>, names: Vec<String>) -> Self {
        Self { directory: directory.into(), names }
    }
}

impl Redirect {
    /// Redirects from `port` to the port of the service, or to `to_port`.
    pub fn new(port: u16, to_port: Option<u16>) -> Self {
        Self { port, to_port }
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            source: None,
            handshake_timeout: Duration::from_secs(10),
            reload_interval: Duration::from_secs(5),
            renewal_days_before: 30,
            enable_hsts: true,
            redirect: None,
            domain: None,
        }
    }
}
