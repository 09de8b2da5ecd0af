//! The names that a service may be called by.

use std::fmt;

use super::ConfigError;

/// A host name, or with a leading `*.` all names below one; case does not count, nor does a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    name: String,
    is_wildcard: bool,
}

impl HostPattern {
    /// Checks and normalises a pattern: a name, an address, or `*.` and a name.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if it is neither.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let lower = text.trim().to_ascii_lowercase();
        let (name, is_wildcard) = match lower.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (lower.as_str(), false),
        };
        if is_name(name) {
            return Ok(Self { name: name.to_owned(), is_wildcard });
        }
        let reason = "is not a name like `tft.example.com` or `*.example.com`";
        Err(ConfigError::Value { key: "ALLOWED_HOSTS", value: text.to_owned(), reason })
    }

    /// Returns whether a request's host, with or without a port, is meant.
    pub fn matches(&self, host: &str) -> bool {
        let host = without_port(host).to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        if !self.is_wildcard {
            return host == self.name;
        }
        host.strip_suffix(self.name.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_wildcard { "*." } else { "" })?;
        f.write_str(&self.name)
    }
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(at) if host[at + 1..].bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(']') => {
            &host[..at]
        }
        _ => host,
    }
}

fn is_name(text: &str) -> bool {
    if let Some(ip) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return ip.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| !label.is_empty())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_itself_and_a_wildcard_what_lies_below() {
        let matches = |pattern: &str, host: &str| HostPattern::parse(pattern).unwrap().matches(host);
        for (pattern, host, expected) in [
            ("tft.example.com", "TFT.example.com:8000", true),
            ("tft.example.com", "tft.example.com.", true),
            ("tft.example.com", "tft.example.com.evil.org", false),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "evilexample.com", false),
            ("*.example.com", ".example.com", false),
            ("127.0.0.1", "127.0.0.1:1", true),
            ("[::1]", "[::1]:8000", true),
            ("[::1]", "[::1]", true),
            ("localhost", "localhost@evil.org", false),
        ] {
            assert_eq!(matches(pattern, host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "*", "a..b", "*.*.b", "a/b", "a:80", "[::1", "é.example"] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }
}
