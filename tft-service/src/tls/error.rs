//! Why a certificate cannot be served, or a handshake did not come about.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a certificate cannot be served, or a handshake did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("the {role} `{path}` cannot be {attempt}")]
    File {
        /// Which of the two files.
        role: Role,
        /// Its path.
        path: PathBuf,
        /// `read` or `written`.
        attempt: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file holds something that cannot be served.
    #[error("the {role} `{path}` {reason}")]
    Content {
        /// Which of the two files.
        role: Role,
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate was made for another key.
    #[error("the certificate `{certificate}` was not made for the key in `{key}`")]
    OtherKey {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A self-signed certificate cannot be made.
    #[error("a self-signed certificate for `{names}` cannot be made: {reason}")]
    SelfSigned {
        /// The names asked for.
        names: String,
        /// What is wrong.
        reason: String,
    },
    /// No certificate can be asked for.
    #[error("a certificate for `{names}` cannot be asked for: {reason}")]
    Acme {
        /// The names asked for.
        names: String,
        /// What is wrong.
        reason: String,
    },
    /// The other side could not be reached, or did not complete a handshake.
    #[error("{target}: {reason}")]
    Handshake {
        /// Host and port.
        target: String,
        /// What is wrong.
        reason: String,
    },
    /// The program was built without TLS.
    #[cfg(not(feature = "tls"))]
    #[error("TLS was asked for, and this program was built without the feature `tls`")]
    NotBuilt,
}

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// The certificate and those of its issuers.
    Certificate,
    /// The private key.
    Key,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate file",
            Self::Key => "key file",
        })
    }
}
