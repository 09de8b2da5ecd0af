//! How long a chain of certificates is still good for.

use std::fmt;

use tft_core::time::Timestamp;

use super::certificate::Certificate;

/// How urgent it is to renew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    Good,
    /// Ends within the days in which it should be renewed.
    RenewSoon,
    /// Ends within a week, has ended or has not begun.
    Urgent,
}

/// What `cert status` prints of a chain.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) chain: &'a [Certificate],
    pub(crate) now: Timestamp,
}

impl Health {
    /// Judges a chain by the certificate that is worst off: clients need all of them.
    pub(crate) fn of(chain: &[Certificate], now: Timestamp, renewal_days_before: u32) -> Self {
        let of_one = |certificate: &Certificate| {
            let days = certificate.days_left(now);
            if days <= URGENT_DAYS || !certificate.is_valid_at(now) {
                Self::Urgent
            } else if days <= i64::from(renewal_days_before) {
                Self::RenewSoon
            } else {
                Self::Good
            }
        };
        chain.iter().map(of_one).max().unwrap_or(Self::Urgent)
    }

    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::RenewSoon => 1,
            Self::Urgent => 2,
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, certificate) in self.chain.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write_one(f, certificate, self.now)?;
        }
        Ok(())
    }
}

fn write_one(f: &mut fmt::Formatter<'_>, certificate: &Certificate, now: Timestamp) -> fmt::Result {
    writeln!(f, "subject     {}", certificate.subject)?;
    if !certificate.names.is_empty() {
        writeln!(f, "names       {}", certificate.names.join(", "))?;
    }
    writeln!(f, "issuer      {}", certificate.issuer)?;
    writeln!(f, "not before  {}", certificate.not_before)?;
    writeln!(f, "not after   {}", certificate.not_after)?;
    let days = certificate.days_left(now);
    let remark = if now < certificate.not_before {
        " (not valid yet)"
    } else if now > certificate.not_after {
        " (expired)"
    } else {
        ""
    };
    writeln!(f, "days left   {days}{remark}")
}

/// Too little time for a renewal that fails at first.
const URGENT_DAYS: i64 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(not_after: &str) -> Certificate {
        Certificate {
            subject: "CN=tft.example.com".into(),
            issuer: "CN=Example CA".into(),
            names: vec!["tft.example.com".into(), "10.0.0.7".into()],
            not_before: Timestamp::parse("2026-01-01T00:00:00Z").unwrap(),
            not_after: Timestamp::parse(not_after).unwrap(),
        }
    }

    fn now() -> Timestamp {
        Timestamp::parse("2026-02-01T00:00:00Z").unwrap()
    }

    #[test]
    fn a_chain_is_as_good_as_its_worst_certificate() {
        let good = || certificate("2026-06-01T00:00:00Z");
        let of = |chain: &[Certificate]| Health::of(chain, now(), 30);
        assert_eq!(of(&[good()]), Health::Good);
        assert_eq!(of(&[good(), certificate("2026-03-03T23:00:00Z")]), Health::RenewSoon);
        assert_eq!(of(&[certificate("2026-03-04T00:00:00Z")]), Health::Good);
        assert_eq!(of(&[certificate("2026-02-08T23:00:00Z"), good()]), Health::Urgent);
        assert_eq!(of(&[certificate("2026-01-02T00:00:00Z")]), Health::Urgent);
        assert_eq!(of(&[]), Health::Urgent);
        assert_eq!(Health::of(&[good()], good().not_before.plus_millis(-1), 30), Health::Urgent);
    }

    #[test]
    fn a_report_is_for_reading() {
        let chain = [certificate("2026-06-01T00:00:00Z"), certificate("2026-01-31T00:00:00Z")];
        insta::assert_snapshot!(Report { chain: &chain, now: now() }, @"
        subject     CN=tft.example.com
        names       tft.example.com, 10.0.0.7
        issuer      CN=Example CA
        not before  2026-01-01T00:00:00Z
        not after   2026-06-01T00:00:00Z
        days left   120

        subject     CN=tft.example.com
        names       tft.example.com, 10.0.0.7
        issuer      CN=Example CA
        not before  2026-01-01T00:00:00Z
        not after   2026-01-31T00:00:00Z
        days left   -1 (expired)
        ");
    }
}
