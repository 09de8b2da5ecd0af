//! Where a request goes: an address that may hold a secret, and is shown by its host only.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;

/// The address of a server over HTTP.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    is_tls: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// As in the header `Host`.
    authority: String,
    /// Path and query, which often are the secret.
    target: String,
}

impl Endpoint {
    /// Reads an address like `https://hooks.example.com/services/…`.
    ///
    /// # Errors
    /// A reason that does not repeat the address: it is no absolute URL of http or https, it has a user, or it is plain
    /// HTTP to another machine without `allow_http`.
    pub(crate) fn parse(text: &str, allow_http: bool) -> Result<Self, String> {
        let text = text.trim();
        let uri: Uri = text.parse().map_err(|_| NO_URL.to_owned())?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(NO_URL.into()),
        };
        let authority = uri.authority().ok_or(NO_URL)?;
        if authority.as_str().contains('@') {
            return Err(
                "has a user or a password in it: use `authorization_env` or `authorization_file`".into()
            );
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let has_port = authority.as_str().len() > authority.host().len();
        let port = match authority.port_u16() {
            Some(port) => port,
            None if has_port => return Err(NO_URL.into()),
            None if is_tls => 443,
            None => 80,
        };
        if !is_tls && !allow_http && !is_loopback(&host) {
            return Err("is plain HTTP to another machine: use https, or set `allow_http`".into());
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        Ok(Self { is_tls, host, port, authority: authority.as_str().to_owned(), target })
    }

    /// Returns the address with something after its path, which loses its query.
    pub(crate) fn join(mut self, path: &str) -> Self {
        let base = self.target.split('?').next().unwrap_or_default().trim_end_matches('/');
        self.target = format!("{base}{path}");
        self
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.is_tls
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// Returns the parts that may be a secret: long segments of the path, and the query.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.target.split(['/', '?', '&', '=']).filter(|part| part.len() >= SECRET_LENGTH_MIN)
    }
}

/// Scheme, host and port; the rest is a secret.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_tls { "https" } else { "http" }, self.authority)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self}/…)")
    }
}

/// Returns whether a host can only be this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

const NO_URL: &str = "is not an address like https://host/path";

/// Shorter parts of a path are words like `services`; tokens are longer.
const SECRET_LENGTH_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shown_without_its_path() {
        let endpoint =
            Endpoint::parse(" https://hooks.example.com/services/T0/SECRETTOKEN?x=1\n", false).unwrap();
        assert_eq!((endpoint.host(), endpoint.port()), ("hooks.example.com", 443));
        assert_eq!(endpoint.target(), "/services/T0/SECRETTOKEN?x=1");
        assert_eq!(
            format!("{endpoint} {endpoint:?}"),
            "https://hooks.example.com Endpoint(https://hooks.example.com/…)"
        );
        assert_eq!(endpoint.secrets().collect::<Vec<_>>(), ["services", "SECRETTOKEN"]);
        let endpoint = Endpoint::parse("http://[::1]:9093/prefix/", false).unwrap().join("/api/v2/alerts");
        assert_eq!((endpoint.host(), endpoint.port()), ("::1", 9093));
        assert_eq!((endpoint.authority(), endpoint.target()), ("[::1]:9093", "/prefix/api/v2/alerts"));
    }

    #[test]
    fn what_is_unsafe_or_no_address_is_refused_without_repeating_it() {
        let refused = |text: &str| Endpoint::parse(text, false).unwrap_err();
        for text in [
            "",
            "hooks/SECRET",
            "ftp://host/SECRET",
            "https://",
            "https:///SECRET",
            "/SECRET",
            "https://h:x/SECRET",
        ] {
            assert_eq!(refused(text), NO_URL, "{text}");
        }
        assert!(refused("https://user:SECRET@host/").contains("user or a password"));
        assert!(refused("http://10.0.0.1/SECRET").contains("`allow_http`"));
        assert!(refused("http://localhost.example.com/").contains("`allow_http`"));
        assert!(Endpoint::parse("http://10.0.0.1/", true).is_ok());
        for loopback in ["http://127.0.0.1:80/", "http://localhost/", "http://[::1]/"] {
            assert!(Endpoint::parse(loopback, false).is_ok(), "{loopback}");
        }
    }
}
