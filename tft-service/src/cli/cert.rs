//! `cert`: what a certificate says, and what a handshake shows.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::clock::{Clock, SystemClock};
use crate::error::{ServiceError, in_one_line};
use crate::tls::{Health, Probe, Report, TlsError, Trust, read_certificates};

/// The commands of `cert`.
#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum CertCommand {
    /// Print whom a certificate names, who issued it and when it ends
    ///
    /// The exit code is 0 if it and those of its issuers are valid for more than 30 days, 1 for 8 to 30 days, and 2 for
    /// less, or if the file cannot be read.
    Status {
        /// PEM file of the certificate
        #[arg(long, env = "TLS_CERT_FILE", value_name = "FILE")]
        cert: PathBuf,
    },
    /// Make a handshake with a service and verify its certificate as a client would
    ///
    /// Prints the version, the cipher, what was agreed on by ALPN, and the chain. The exit code is 0 if the chain can be
    /// trusted, 1 if not, and 2 if there was no handshake within ten seconds.
    Test {
        /// Service to call: `host`, `host:port` or `https://host:port`
        #[arg(long, visible_alias = "url", value_name = "HOST:PORT")]
        connect: String,
        /// PEM file of the authorities to trust [default: the public ones that Mozilla lists]
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// Name that the certificate must be for [default: the host]
        #[arg(long, value_name = "NAME")]
        server_name: Option<String>,
    },
}

/// Runs a command; its exit code tells monitoring what its output tells people.
pub(super) fn run(command: &CertCommand) -> ExitCode {
    let done = match command {
        CertCommand::Status { cert } => status(cert),
        CertCommand::Test { connect, ca, server_name } => {
            test(connect, ca.as_deref(), server_name.as_deref())
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("tft-service: {}", in_one_line(&error));
        ExitCode::from(FAILED)
    })
}

fn status(file: &Path) -> Result<ExitCode, ServiceError> {
    let chain: Vec<_> = read_certificates(file)?.into_iter().map(|(_, certificate)| certificate).collect();
    let now = SystemClock::new().now();
    print(&Report { chain: &chain, now })?;
    Ok(ExitCode::from(Health::of(&chain, now, RENEWAL_DAYS_BEFORE).exit_code()))
}

fn test(connect: &str, ca: Option<&Path>, name: Option<&str>) -> Result<ExitCode, ServiceError> {
    let (host, port) = host_and_port(connect)
        .ok_or_else(|| TlsError::Handshake { target: connect.into(), reason: NO_TARGET.into() })?;
    let trust = ca.map_or_else(Trust::public, Trust::from_file)?;
    let name = name.unwrap_or(host);
    let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let now = SystemClock::new().now();
    let probe = super::runtime()?.block_on(Probe::make(&target, name, trust, now))?;
    print(&probe)?;
    Ok(ExitCode::from(u8::from(!probe.is_trusted())))
}

fn print(text: &impl std::fmt::Display) -> Result<(), ServiceError> {
    let mut output = std::io::stdout().lock();
    write!(output, "{text}").and_then(|()| output.flush()).map_err(|source| ServiceError::Output { source })
}

/// Returns the host, without brackets, and the port; 443 if there is none.
fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let rest = match text.split_once("://") {
        Some(("https" | "wss", rest)) => rest.split(['/', '?', '#']).next()?,
        Some(_) => return None,
        None => text,
    };
    if let Some((host, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = if after.is_empty() { 443 } else { after.strip_prefix(':')?.parse().ok()? };
        return Some((host, port));
    }
    let (host, port) = match rest.matches(':').count() {
        1 => rest.split_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)))?,
        // None, or an address of IPv6.
        _ => (rest, 443),
    };
    (!host.is_empty()).then_some((host, port))
}

const NO_TARGET: &str = "is not `host`, `host:port` or `https://host:port`";

/// The code for what monitoring must not overlook.
const FAILED: u8 = 2;

const RENEWAL_DAYS_BEFORE: u32 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_a_port_or_a_url() {
        for (text, expected) in [
            ("example.com", Some(("example.com", 443))),
            ("example.com:8443", Some(("example.com", 8443))),
            ("https://example.com", Some(("example.com", 443))),
            ("https://example.com:8443/status?x=1", Some(("example.com", 8443))),
            ("wss://example.com/ws", Some(("example.com", 443))),
            ("[::1]:8443", Some(("::1", 8443))),
            ("https://[::1]/", Some(("::1", 443))),
            ("::1", Some(("::1", 443))),
            ("http://example.com", None),
            ("example.com:https", None),
            ("[::1]8443", None),
            (":8443", None),
            ("", None),
        ] {
            assert_eq!(host_and_port(text), expected, "{text}");
        }
    }
}
