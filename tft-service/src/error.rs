//! Why the service does not start, or ends.

use std::error::Error as StdError;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::ConfigError;
use crate::rules::FileError;

/// Why the service does not start, or ends before it is told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The model, or a rule for it, cannot be used.
    #[error("the model cannot be used")]
    Model {
        /// What is wrong with it.
        #[from]
        source: tft_core::Error,
    },
    /// A file of rules, or of what tries them out, cannot be used.
    #[error(transparent)]
    Rules(#[from] FileError),
    /// There is no preset of rules of this name.
    #[error("there is no preset `{name}`, there are tft, nifty, monitorx, mfc and service")]
    UnknownPreset {
        /// The name.
        name: String,
    },
    /// The checkpoint cannot be read or written.
    #[error("PERSISTENCE_FILE `{path}` cannot be used")]
    Persistence {
        /// The checkpoint's file.
        path: PathBuf,
        /// What the operating system or the file's content says.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The history cannot be read or written.
    #[error("TFT_HISTORY_DIR `{path}` cannot be used")]
    History {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it, or what the operating system says.
        source: tft_core::Error,
    },
    /// The original system's pickle cannot be taken over.
    #[error("`{path}` cannot be migrated")]
    Migration {
        /// The pickle's file.
        path: PathBuf,
        /// What is wrong with it, or what the operating system says.
        source: tft_core::Error,
    },
    /// The audit log cannot be opened.
    #[error("AUDIT_FILE `{path}` cannot be used")]
    Audit {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The certificate cannot be served; plain HTTP is no substitute.
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The demo's data cannot be read, or its summary not be written.
    #[error("the demo cannot run")]
    Demo {
        /// What is wrong.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The result cannot be written to standard output.
    #[error("cannot write the result")]
    Output {
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread {
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A thread ended by a panic; its message is in the log.
    #[error("a background thread ended unexpectedly")]
    ThreadPanicked,
}

/// Writes an error and its causes in one line.
pub(crate) fn in_one_line(error: &dyn StdError) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(line, ": {error}");
        cause = error.source();
    }
    line.replace(['\n', '\r'], " ")
}
