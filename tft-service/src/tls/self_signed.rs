//! Certificates that the service makes for itself, for development.
//!
//! They are kept, so that a browser's exception outlives a restart, and made anew when they are about to end or
//! do not name what is asked for.

use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rcgen::{KeyUsagePurpose, date_time_ymd};
use rustls::pki_types::{DnsName, IpAddr};
use tft_core::time::Timestamp;

use super::config::{SelfSigned, TlsFiles};
use super::error::TlsError;
use super::files::{Contents, write_pair};

/// Returns a pair of files that is valid for a while and has all names; makes it if there is none.
///
/// # Errors
/// [`TlsError`] if a name is not acceptable or a file cannot be written.
pub(crate) fn ensure(wanted: &SelfSigned, now: Timestamp) -> Result<TlsFiles, TlsError> {
    check(wanted)?;
    let names = all_names(&wanted.names);
    let directory = &wanted.directory;
    let files = TlsFiles::new(directory.join(CERTIFICATE_NAME), directory.join(KEY_NAME));
    if is_good(&files, &names, now) {
        return Ok(files);
    }
    let (certificate, key) =
        make(&names, now).map_err(|reason| TlsError::SelfSigned { names: names.join(","), reason })?;
    write_pair(&files, &certificate, &key)?;
    tracing::info!(certificate = %files.certificate.display(), names = names.join(","), "made a self-signed certificate");
    Ok(files)
}

/// Checks the names.
///
/// # Errors
/// [`TlsError::SelfSigned`] naming the one that is not acceptable.
pub(crate) fn check(wanted: &SelfSigned) -> Result<(), TlsError> {
    let Some(name) = wanted.names.iter().find(|name| !is_acceptable(name)) else { return Ok(()) };
    let reason = format!("`{name}` is neither a host name nor an address");
    Err(TlsError::SelfSigned { names: wanted.names.join(","), reason })
}

fn is_good(files: &TlsFiles, names: &[String], now: Timestamp) -> bool {
    let Ok(pair) = Contents::read(files).and_then(|contents| contents.into_pair(files)) else { return false };
    pair.chain.first().is_some_and(|certificate| {
        certificate.is_valid_at(now)
            && certificate.days_left(now) > RENEW_DAYS_BEFORE
            && names.iter().all(|name| certificate.names.contains(name))
    })
}

fn all_names(more: &[String]) -> Vec<String> {
    let mut names = LOOPBACK_NAMES.map(String::from).to_vec();
    for name in more {
        // An address has more than one spelling, a certificate one.
        let name =
            name.parse().map_or_else(|_| name.to_ascii_lowercase(), |ip: std::net::IpAddr| ip.to_string());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Returns the certificate and the key as PEM.
pub(super) fn make(names: &[String], now: Timestamp) -> Result<(String, String), String> {
    let mut params = CertificateParams::new(names).map_err(|error| error.to_string())?;
    let now = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0));
    let now = date_time_ymd(1970, 1, 1) + now;
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + VALIDITY;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "tft-service self-signed");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn is_acceptable(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    IpAddr::try_from(name).is_ok() || DnsName::try_from(host).is_ok()
}

const CERTIFICATE_NAME: &str = "tft-self-signed.crt";
const KEY_NAME: &str = "tft-self-signed.key";

const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Less than the 398 days that browsers accept.
const VALIDITY: Duration = Duration::from_hours(365 * 24);

/// Clients' clocks may be slow.
const CLOCK_SKEW: Duration = Duration::from_hours(24);

const RENEW_DAYS_BEFORE: i64 = 30;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn now() -> Timestamp {
        Timestamp::parse("2026-01-05T12:00:00Z").unwrap()
    }

    fn pem(files: &TlsFiles) -> String {
        std::fs::read_to_string(&files.certificate).unwrap()
    }

    #[test]
    fn a_certificate_is_made_once_and_again_shortly_before_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let wanted = SelfSigned::new(directory.path().join("tls"), vec!["Dash.example.com".into()]);
        let files = ensure(&wanted, now()).unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&files.key), 0o600);
        let pair = Contents::read(&files).unwrap().into_pair(&files).unwrap();
        assert_eq!(pair.chain[0].names, ["localhost", "127.0.0.1", "::1", "dash.example.com"]);
        assert_eq!(pair.chain[0].days_left(now()), 365);
        let first = pem(&files);
        ensure(&wanted, now().plus_millis(300 * DAY_MS)).unwrap();
        assert_eq!(pem(&files), first);
        ensure(&wanted, now().plus_millis(336 * DAY_MS)).unwrap();
        assert_ne!(pem(&files), first);
        assert_eq!(std::fs::read_dir(&wanted.directory).unwrap().count(), 2);
    }

    #[test]
    fn another_name_or_a_lost_key_needs_another_certificate() {
        let directory = tempfile::tempdir().unwrap();
        let wanted = |names: &[&str]| {
            SelfSigned::new(directory.path(), names.iter().map(ToString::to_string).collect())
        };
        let first = pem(&ensure(&wanted(&["10.0.0.7", "0:0::1"]), now()).unwrap());
        let files = ensure(&wanted(&["10.0.0.7"]), now()).unwrap();
        assert_eq!(pem(&files), first);
        let second = pem(&ensure(&wanted(&["10.0.0.8"]), now()).unwrap());
        assert_ne!(second, first);
        std::fs::remove_file(&files.key).unwrap();
        assert_ne!(pem(&ensure(&wanted(&["10.0.0.8"]), now()).unwrap()), second);
    }

    #[test]
    fn names_that_are_none_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["", "a b", "exa mple.com", "dé.example", "*", "a,b", "https://a"] {
            let error = ensure(&SelfSigned::new(directory.path(), vec![name.into()]), now()).unwrap_err();
            assert!(error.to_string().contains("neither a host name nor an address"), "{error}");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = ensure(&SelfSigned::new(file.join("tls"), Vec::new()), now()).unwrap_err();
        assert!(error.to_string().ends_with("tft-self-signed.key` cannot be written"), "{error}");
    }
}
