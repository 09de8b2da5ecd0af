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
    /// Warn of a certificate that ends within so many days; one of an ACME authority is renewed then, or when a third
    /// of its time is left if that is later.
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
    /// From an authority that is asked for it, and again before it ends; needs the feature `acme`.
    Acme(Acme),
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

/// A certificate from an authority that speaks ACME (RFC 8555), such as Let's Encrypt.
///
/// That the names are this service's is proven by handshakes of TLS-ALPN-01 (RFC 8737): the authority connects to port
/// 443 of each name, which must lead to a port that the service listens on. Whoever asks for one agrees to the
/// authority's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acme {
    /// Where the account, the certificate and the key are kept.
    pub directory: PathBuf,
    /// The names of the certificate; no addresses, and no wildcards.
    pub names: Vec<String>,
    /// Where the authority writes to, an address of mail; none is nobody.
    pub contact: Option<String>,
    /// The address of the authority's directory.
    pub directory_url: String,
    /// PEM file of issuers that the authority's own certificate may have, besides the public ones.
    pub ca_file: Option<PathBuf>,
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

impl Acme {
    /// The directory of Let's Encrypt.
    pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

    /// Asks Let's Encrypt for a certificate with these names, and keeps it in a directory.
    pub fn new(directory: impl Into<PathBuf>, names: Vec<String>) -> Self {
        let directory_url = Self::LETS_ENCRYPT.to_owned();
        Self { directory: directory.into(), names, contact: None, directory_url, ca_file: None }
    }

    /// Returns where the certificate and the key are kept.
    pub fn files(&self) -> TlsFiles {
        TlsFiles::new(self.directory.join("tft-acme.crt"), self.directory.join("tft-acme.key"))
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
