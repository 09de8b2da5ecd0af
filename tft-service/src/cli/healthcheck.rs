//! `tft-service healthcheck`: asks a running service whether it is there, for containers that have no other program.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use crate::tls;

/// The settings of `healthcheck`, as given.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct HealthcheckArgs {
    /// What to ask; a certificate is not verified [default: `/health` at 127.0.0.1 and the port in PORT, or 8000, by
    /// https if `TLS_CERT_FILE` or `TLS_SELF_SIGNED` is set]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Port of the service on this machine
    #[arg(long, env = "PORT", value_name = "PORT", conflicts_with = "url")]
    port: Option<u16>,
}

/// Exits with 0 if the service answers with 200 within five seconds, with 1 and a line of explanation otherwise.
pub(super) fn run(args: &HealthcheckArgs) -> ExitCode {
    let is_set = |name| std::env::var_os(name).is_some_and(|text| !text.is_empty() && text != "false");
    let scheme = if is_set("TLS_CERT_FILE") || is_set("TLS_SELF_SIGNED") { "https" } else { "http" };
    let local = || format!("{scheme}://127.0.0.1:{}/health", args.port.unwrap_or(8000));
    let url = args.url.clone().unwrap_or_else(local);
    match ask(&url) {
        Ok(200) => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("tft-service: {url} answered with {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("tft-service: {url}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the status of a reply.
fn ask(url: &str) -> io::Result<u16> {
    let invalid = |reason| io::Error::new(io::ErrorKind::InvalidInput, reason);
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return Err(invalid("is not a URL like http://127.0.0.1:8000/health")),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, "health"));
    let has_port = authority.rsplit(']').next().is_some_and(|end| end.contains(':'));
    let address = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
    let address = address.to_socket_addrs()?.next().ok_or_else(|| invalid("has no address"))?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    if scheme == "http" {
        return status_of(stream, authority, path);
    }
    let host = authority.rsplit_once(':').filter(|_| has_port).map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    status_of(tls::look_through(stream, host)?, authority, path)
}

fn status_of(mut stream: impl Read + Write, authority: &str, path: &str) -> io::Result<u16> {
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
    let mut head = [0; STATUS_LINE_BYTES];
    stream.read_exact(&mut head)?;
    let status = std::str::from_utf8(&head[9..]).ok().and_then(|code| code.parse().ok());
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "does not answer in HTTP"))
}

const PATIENCE: Duration = Duration::from_secs(5);

/// `HTTP/1.1 200`.
const STATUS_LINE_BYTES: usize = 12;
