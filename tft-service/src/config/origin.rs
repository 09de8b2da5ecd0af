//! Browser origins: checked, and compared as browsers write them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::ConfigError;

/// A browser origin, such as `https://dashboard.example.com`, in lower case and without a default port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// The origins that may call from a browser.
///
/// # Defaults
/// `http://localhost:8501`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigins {
    listed: Vec<Origin>,
    any: bool,
}

impl Origin {
    /// Checks and normalises an origin.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless it is `http://` or `https://`, a host and perhaps a port.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::normalise(text).ok_or_else(|| ConfigError::Value {
            key: "CORS_ORIGINS",
            value: text.to_owned(),
            reason: "is not an origin like `https://dashboard.example.com` or `http://localhost:8501`",
        })
    }

    /// Normalises an origin; none if it is not one.
    pub(crate) fn normalise(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let (scheme, authority) = lower.split_once("://")?;
        let default_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return None,
        };
        let authority = authority.strip_suffix(default_port).unwrap_or(authority);
        is_authority(authority).then(|| Self(format!("{scheme}://{authority}")))
    }

    /// Returns the origins of pages that the service itself serves at an address, and perhaps by a name.
    pub(crate) fn own(scheme: &str, address: SocketAddr, domain: Option<&str>) -> Vec<Self> {
        let port = address.port();
        let mut hosts = match address.ip() {
            IpAddr::V4(ip) => vec![ip.to_string()],
            IpAddr::V6(ip) => vec![format!("[{ip}]")],
        };
        if address.ip().is_loopback() || address.ip().is_unspecified() {
            hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned));
        }
        hosts.extend(domain.map(str::to_owned));
        hosts.iter().filter_map(|host| Self::normalise(&format!("{scheme}://{host}:{port}"))).collect()
    }

    /// Returns the origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AllowedOrigins {
    /// Most origins in the list.
    pub const COUNT_MAX: usize = 100;

    /// Reads a list separated by commas; `*` alone means any origin.
    ///
    /// # Errors
    /// [`ConfigError::Value`] naming the entry that is no origin, or if the list is too long.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let entries: Vec<_> = text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
        if entries == ["*"] {
            return Ok(Self { listed: Vec::new(), any: true });
        }
        if entries.len() > Self::COUNT_MAX {
            let value = entries.len().to_string();
            return Err(ConfigError::Value { key: "CORS_ORIGINS", value, reason: "entries are too many" });
        }
        let listed: Result<Vec<_>, _> = entries.into_iter().map(Origin::parse).collect();
        Ok(Self { listed: listed?, any: false })
    }

    /// Returns whether every origin is allowed.
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// Returns whether the list has `origin`, or any origin is allowed.
    pub fn allows(&self, origin: &Origin) -> bool {
        self.any || self.listed.contains(origin)
    }
}

impl fmt::Display for AllowedOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.any {
            return f.write_str("any");
        }
        let listed: Vec<_> = self.listed.iter().map(Origin::as_str).collect();
        f.write_str(if listed.is_empty() { "only the service's own" } else { "" })?;
        f.write_str(&listed.join(", "))
    }
}

impl Default for AllowedOrigins {
    fn default() -> Self {
        Self { listed: vec![Origin("http://localhost:8501".into())], any: false }
    }
}

/// Returns whether text is a host with perhaps a port, and nothing else.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rfind(':') {
        Some(at) if !text.ends_with(']') => (&text[..at], Some(&text[at + 1..])),
        _ => (text, None),
    };
    let host_is_valid = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)),
    };
    host_is_valid && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_as_browsers_write_them() {
        let allowed = AllowedOrigins::parse(" https://Dash.example.com:443 ,http://localhost:8501,").unwrap();
        for (text, expected) in [
            ("https://dash.example.com", true),
            ("http://localhost:8501", true),
            ("http://dash.example.com", false),
            ("https://dash.example.com.evil.com", false),
            ("http://localhost:8502", false),
        ] {
            assert_eq!(allowed.allows(&Origin::parse(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in
            ["null", "localhost:8501", "http://", "http://a/b", "ftp://a", "http://a:b", "http://u@a", "*"]
        {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_own_origin_follows_from_the_address_and_not_from_the_host_header() {
        let own = Origin::own("http", "127.0.0.1:8000".parse().unwrap(), None);
        assert!(own.contains(&Origin::parse("http://localhost:8000").unwrap()));
        assert!(!own.contains(&Origin::parse("http://localhost:8001").unwrap()));
        let own = Origin::own("http", "192.0.2.7:80".parse().unwrap(), None);
        assert_eq!(own, [Origin::parse("http://192.0.2.7").unwrap()]);
    }
}
