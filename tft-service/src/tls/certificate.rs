//! What a certificate says: whom it names, who issued it and when it ends.
//!
//! Reads only; whether to believe it is rustls's part.

use std::fmt::Write;
use std::net::IpAddr;

use tft_core::time::Timestamp;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// DNS names and addresses, in the certificate's order.
    pub(crate) names: Vec<String>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl Certificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// What is wrong with the bytes, to follow "is not a certificate: ".
    pub(crate) fn read(der: &[u8]) -> Result<Self, String> {
        let certificate = CertificateInner::<Raw>::from_der(der).map_err(|error| error.to_string())?;
        let content = certificate.tbs_certificate();
        let names = content.get_extension::<SubjectAltName>().map_err(|error| error.to_string())?;
        Ok(Self {
            subject: printable(&content.subject().to_string()),
            issuer: printable(&content.issuer().to_string()),
            names: names.map(|(_, names)| names.0.iter().map(name).collect()).unwrap_or_default(),
            not_before: timestamp(content.validity().not_before),
            not_after: timestamp(content.validity().not_after),
        })
    }

    /// Returns how many whole days the certificate is still valid; negative once it has ended.
    pub(crate) fn days_left(&self, now: Timestamp) -> i64 {
        (self.not_after.as_millis() - now.as_millis()).div_euclid(DAY_MS)
    }

    pub(crate) fn is_valid_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

fn timestamp(time: Time) -> Timestamp {
    // Certificates end before the year 10000.
    Timestamp::from_millis(i64::try_from(time.to_unix_duration().as_millis()).unwrap_or(i64::MAX))
}

fn name(name: &GeneralName) -> String {
    match name {
        GeneralName::DnsName(name) => printable(name.as_str()),
        GeneralName::IpAddress(octets) => address(octets.as_bytes()),
        GeneralName::Rfc822Name(name) => printable(&format!("email:{name}")),
        GeneralName::UniformResourceIdentifier(name) => printable(&format!("uri:{name}")),
        GeneralName::DirectoryName(name) => printable(&format!("directory:{name}")),
        _ => "(another kind of name)".into(),
    }
}

fn address(octets: &[u8]) -> String {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return IpAddr::from(octets).to_string();
    }
    match <[u8; 16]>::try_from(octets) {
        Ok(octets) => IpAddr::from(octets).to_string(),
        Err(_) => "(an address of an odd length)".into(),
    }
}

/// Escapes what a terminal might obey: a certificate may come from anyone.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            // Writing to a string cannot fail.
            let _ = write!(printable, "{}", character.escape_unicode());
        } else {
            printable.push(character);
        }
    }
    printable
}

const DAY_MS: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let names = ["tft.example.com", "*.example.org", "10.0.0.7", "::1"].map(String::from);
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 3, 1);
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_tells_its_names_and_dates() {
        let der = certificate(|params| {
            params.distinguished_name.push(DnType::CommonName, "tft.example.com");
            params.distinguished_name.push(DnType::OrganizationName, "Example\u{1b}[31m");
        });
        let read = Certificate::read(&der).unwrap();
        insta::assert_debug_snapshot!(read.names, @r#"
        [
            "tft.example.com",
            "*.example.org",
            "10.0.0.7",
            "::1",
        ]
        "#);
        assert_eq!(read.not_before, Timestamp::parse("2026-01-01T00:00:00Z").unwrap());
        assert_eq!(read.not_after, Timestamp::parse("2026-03-01T00:00:00Z").unwrap());
        assert!(read.subject.contains("CN=tft.example.com"), "{}", read.subject);
        assert_eq!(read.subject, read.issuer);
        assert!(!read.subject.contains('\u{1b}'), "{}", read.subject);
    }

    #[test]
    fn days_are_whole_and_negative_after_the_end() {
        let read = Certificate::read(&certificate(|_| ())).unwrap();
        let days = |at: &str| read.days_left(Timestamp::parse(at).unwrap());
        assert_eq!(days("2026-02-27T23:59:59Z"), 1);
        assert_eq!(days("2026-02-28T00:00:01Z"), 0);
        assert_eq!(days("2026-03-01T00:00:01Z"), -1);
        assert!(!read.is_valid_at(Timestamp::parse("2025-12-31T00:00:00Z").unwrap()));
        assert!(read.is_valid_at(Timestamp::parse("2026-02-01T00:00:00Z").unwrap()));
    }

    #[test]
    fn bytes_that_are_no_certificate_are_an_error_wherever_they_end() {
        let der = certificate(|_| ());
        for length in 0..der.len() {
            assert!(Certificate::read(&der[..length]).is_err(), "{length}");
        }
    }
}
