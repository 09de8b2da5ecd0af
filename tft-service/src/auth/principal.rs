//! Who a request is from.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use tft_core::time::Timestamp;

use super::key_set::Key;
use super::scope::{Scope, Scopes};
use super::token::TokenFacts;

/// Who a request is from, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    name: Arc<str>,
    scopes: Scopes,
    tier: Option<Arc<str>>,
    proof: Proof,
}

/// What the caller showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// A key, by its digest.
    Key([u8; 32]),
    /// A token, by the digest of what it was verified with.
    Token { verified_with: [u8; 32], expires_at: Timestamp },
    /// Nothing: in development mode nothing is needed.
    None,
}

/// Whose calls are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// The holders of a key, by its id.
    Key(Arc<str>),
    /// The holder of tokens, by their subject.
    Subject(Arc<str>),
    /// A network address: an IPv4 address, or the /64 network of an IPv6 address.
    Network(IpAddr),
}

impl Principal {
    pub(super) fn of_key(key: &Key) -> Self {
        Self {
            name: Arc::clone(&key.id),
            scopes: key.scopes,
            tier: key.tier.clone(),
            proof: Proof::Key(key.digest),
        }
    }

    pub(super) fn of_token(facts: TokenFacts, verified_with: [u8; 32]) -> Self {
        let proof = Proof::Token { verified_with, expires_at: facts.expires_at };
        Self { name: facts.subject, scopes: facts.scopes, tier: None, proof }
    }

    /// Returns everyone: no key is configured.
    pub(super) fn anyone() -> Self {
        Self { name: "none".into(), scopes: Scopes::ALL, tier: None, proof: Proof::None }
    }

    /// Returns the name for logs: a key's id, `jwt:` and a token's subject, or `none`.
    pub(crate) fn key_id(&self) -> String {
        match self.proof {
            Proof::Token { .. } => format!("jwt:{}", self.name),
            Proof::Key(_) | Proof::None => self.name.to_string(),
        }
    }

    /// Returns whether a route that requires a scope may be used.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }

    pub(super) fn scopes(&self) -> Scopes {
        self.scopes
    }

    /// Returns the name of the rate limit that a key has instead of the usual ones.
    pub(crate) fn tier(&self) -> Option<&str> {
        self.tier.as_deref()
    }

    /// Returns whether a token was shown.
    pub(crate) fn is_token(&self) -> bool {
        matches!(self.proof, Proof::Token { .. })
    }

    /// Returns with whom calls from an address are counted.
    pub(crate) fn client(&self, address: IpAddr) -> Client {
        match self.proof {
            Proof::Key(_) => Client::Key(Arc::clone(&self.name)),
            Proof::Token { .. } => Client::Subject(Arc::clone(&self.name)),
            Proof::None => Client::of_address(address),
        }
    }

    pub(super) fn proof(&self) -> &Proof {
        &self.proof
    }
}

impl Client {
    /// Returns the client of an address: one host with IPv4, one site with IPv6, where a single host
    /// can choose among 2⁶⁴ addresses.
    pub(crate) fn of_address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(ip) => Self::Network(ip.into()),
            IpAddr::V6(ip) => Self::Network(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_grouped_by_who_can_hold_them() {
        let of = |text: &str| Client::of_address(text.parse().unwrap());
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
