//! Certificates from an authority that speaks ACME (RFC 8555), such as Let's Encrypt.
//!
//! Owns when one is asked for, and the order: the account, the proof of each name, the certificate. The proof is a
//! handshake of TLS-ALPN-01 (RFC 8737) on the port that clients use, which `tls` makes. Without the feature `acme` nobody
//! asks.

#[cfg(not(feature = "acme"))]
mod absent;
#[cfg(feature = "acme")]
mod client;
#[cfg(feature = "acme")]
mod order;
#[cfg(feature = "acme")]
mod schedule;

#[cfg(not(feature = "acme"))]
pub(crate) use absent::Renewal;
#[cfg(feature = "acme")]
pub(crate) use schedule::Renewal;
