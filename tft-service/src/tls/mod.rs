//! TLS: which certificate is served, and what is known of it.
//!
//! Owns the certificate and key files and their checks, the pair in use and its reload, self-signed
//! certificates for development, what stands in for one of an authority, and handshakes, also those that look at a
//! service from outside. Sockets are `server`'s. Without the feature `tls` only the settings remain, so that they can be refused.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod acme;
#[cfg(feature = "tls")]
mod certificate;
#[cfg(feature = "tls")]
mod challenges;
mod config;
#[cfg(feature = "tls")]
mod connector;
mod error;
#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "tls")]
mod handshake;
#[cfg(feature = "tls")]
mod identity;
#[cfg(feature = "tls")]
mod probe;
#[cfg(feature = "tls")]
mod self_signed;
#[cfg(feature = "tls")]
mod status;
#[cfg(feature = "tls")]
mod watch;

#[cfg(not(feature = "tls"))]
pub(crate) use absent::{Accepted, Connector, Identity, Watch, accept, look_through};
pub use config::{Acme, Redirect, SelfSigned, TlsConfig, TlsFiles, TlsSource};
pub use error::{Role, TlsError};
#[cfg(feature = "acme")]
pub(crate) use {
    certificate::Certificate,
    challenges::Challenges,
    files::{Contents, replace, write_pair},
};
#[cfg(feature = "tls")]
pub(crate) use {
    connector::Connector,
    files::read_certificates,
    handshake::{Accepted, accept},
    identity::Identity,
    probe::{Probe, Trust, look_through},
    status::{Health, Report},
    watch::Watch,
};
