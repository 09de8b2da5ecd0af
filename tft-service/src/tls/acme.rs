//! The files of a certificate that an authority gives: a self-signed pair stands in until there is one, so that the
//! authority and whoever waits find a listener. Who asks is `renewal`.

use tft_core::time::Timestamp;

use super::config::{Acme, TlsFiles};
use super::error::TlsError;
use super::files::{Contents, write_pair};
use super::self_signed;
use crate::config::HostPattern;

/// Returns the files of the certificate, which hold a self-signed one where there is none yet.
///
/// # Errors
/// [`TlsError`] if the names are not acceptable, or the files cannot be read or written.
pub(super) fn ensure(wanted: &Acme, now: Timestamp) -> Result<TlsFiles, TlsError> {
    check(wanted)?;
    let files = wanted.files();
    if files.certificate.exists() && files.key.exists() {
        match Contents::read(&files)?.into_pair(&files) {
            Ok(_) => return Ok(files),
            // A crash came between the one and the other.
            Err(TlsError::OtherKey { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let (certificate, key) =
        self_signed::make(&wanted.names, now).map_err(|reason| refused(wanted, reason))?;
    write_pair(&files, &certificate, &key)?;
    tracing::warn!(
        names = wanted.names.join(","),
        "a self-signed certificate is served until the authority has given one"
    );
    Ok(files)
}

/// Checks what can be checked without asking anybody.
///
/// # Errors
/// [`TlsError::Acme`] naming what is not acceptable.
pub(super) fn check(wanted: &Acme) -> Result<(), TlsError> {
    if cfg!(not(feature = "acme")) {
        return Err(refused(wanted, "this program was built without the feature `acme`"));
    }
    if wanted.names.is_empty() {
        return Err(refused(wanted, "no name is given"));
    }
    for name in &wanted.names {
        let is_host = HostPattern::parse(name).is_ok() && name.parse::<std::net::IpAddr>().is_err();
        if !is_host || name.starts_with("*.") {
            return Err(refused(wanted, format!("`{name}` is no name that this service can prove to have")));
        }
    }
    if !wanted.directory_url.starts_with("https://") {
        return Err(refused(
            wanted,
            format!("`{}` is not an address like https://host/path", wanted.directory_url),
        ));
    }
    Ok(())
}

fn refused(wanted: &Acme, reason: impl Into<String>) -> TlsError {
    TlsError::Acme { names: wanted.names.join(","), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(names: &[&str]) -> Acme {
        Acme::new("/nowhere", names.iter().map(ToString::to_string).collect())
    }

    #[cfg(feature = "acme")]
    #[test]
    fn what_no_authority_would_take_is_refused() {
        let message = |wanted: &Acme| check(wanted).unwrap_err().to_string();
        assert!(check(&wanted(&["tft.example.com", "b.example.com"])).is_ok());
        insta::assert_snapshot!(message(&wanted(&[])), @"a certificate for `` cannot be asked for: no name is given");
        insta::assert_snapshot!(message(&wanted(&["*.example.com"])), @"a certificate for `*.example.com` cannot be asked for: `*.example.com` is no name that this service can prove to have");
        insta::assert_snapshot!(message(&wanted(&["10.0.0.7"])), @"a certificate for `10.0.0.7` cannot be asked for: `10.0.0.7` is no name that this service can prove to have");
        let plain = Acme { directory_url: "http://a/b".into(), ..wanted(&["a.example.com"]) };
        insta::assert_snapshot!(message(&plain), @"a certificate for `a.example.com` cannot be asked for: `http://a/b` is not an address like https://host/path");
    }

    #[cfg(feature = "acme")]
    #[test]
    fn a_pair_that_is_there_is_kept_and_half_a_pair_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let wanted = Acme::new(directory.path().join("acme"), vec!["tft.example.com".into()]);
        let now = Timestamp::parse("2026-01-05T12:00:00Z").unwrap();
        let files = ensure(&wanted, now).unwrap();
        let text = || std::fs::read_to_string(&files.certificate).unwrap();
        let first = text();
        ensure(&wanted, now).unwrap();
        assert_eq!(text(), first);
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        std::fs::write(&files.key, other).unwrap();
        ensure(&wanted, now).unwrap();
        assert_ne!(text(), first);
        std::fs::write(&files.key, "x").unwrap();
        assert!(matches!(ensure(&wanted, now), Err(TlsError::Content { .. })));
    }

    #[cfg(not(feature = "acme"))]
    #[test]
    fn without_the_feature_it_is_refused() {
        let error = check(&wanted(&["tft.example.com"])).unwrap_err();
        assert!(error.to_string().ends_with("built without the feature `acme`"), "{error}");
    }
}
