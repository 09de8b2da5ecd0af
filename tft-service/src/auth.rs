//! Who is calling: the check of `X-API-Key`.
//!
//! Owns the comparison and the [`Principal`]; where a refusal goes is decided in `layers::auth`.

use std::net::{IpAddr, Ipv6Addr};

use hyper::HeaderMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::ApiKey;

/// Who a request is from, as rate limits see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Principal {
    /// The holder of the key at a position of the key set.
    Key(usize),
    /// A network address: an IPv4 address, or the /64 network of an IPv6 address.
    Network(IpAddr),
}

/// The keys that are accepted, as digests.
#[derive(Debug)]
pub(crate) struct KeySet {
    digests: Vec<[u8; 32]>,
}

/// The key is missing or wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidKey;

impl Principal {
    /// Returns the principal of an address: one host with IPv4, one site with IPv6, where a single host
    /// can choose among 2⁶⁴ addresses.
    pub(crate) fn of_address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(ip) => Self::Network(ip.into()),
            IpAddr::V6(ip) => Self::Network(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into()),
        }
    }
}

impl Principal {
    /// Returns the name of the key in logs; none for an address.
    pub(crate) fn key_id(self) -> Option<String> {
        match self {
            Self::Key(position) => Some(format!("key-{position}")),
            Self::Network(_) => None,
        }
    }
}

impl KeySet {
    pub(crate) fn new(keys: &[ApiKey]) -> Self {
        Self { digests: keys.iter().map(|key| Sha256::digest(key.as_bytes()).into()).collect() }
    }

    /// Returns whether no key is configured, so that everyone may call.
    pub(crate) fn is_development_mode(&self) -> bool {
        self.digests.is_empty()
    }

    /// Returns who sent a request.
    ///
    /// # Errors
    /// [`InvalidKey`] unless exactly one `X-API-Key` header holds a known key. Takes the same time whichever
    /// key, and how much of it, is wrong: digests have one length and are all compared in constant time.
    pub(crate) fn authenticate(&self, headers: &HeaderMap, address: IpAddr) -> Result<Principal, InvalidKey> {
        if self.is_development_mode() {
            return Ok(Principal::of_address(address));
        }
        let mut given = headers.get_all(API_KEY_HEADER).iter();
        let (Some(key), None) = (given.next(), given.next()) else { return Err(InvalidKey) };
        let digest: [u8; 32] = Sha256::digest(key.as_bytes().trim_ascii()).into();
        let position = |found: Option<usize>, (index, known): (usize, &[u8; 32])| {
            if bool::from(digest.ct_eq(known)) { Some(index) } else { found }
        };
        self.digests.iter().enumerate().fold(None, position).map(Principal::Key).ok_or(InvalidKey)
    }
}

const API_KEY_HEADER: &str = "x-api-key";

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn keys(keys: &[&str]) -> KeySet {
        KeySet::new(&keys.iter().map(|key| ApiKey::parse(key).unwrap().unwrap()).collect::<Vec<_>>())
    }

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (API_KEY_HEADER.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn any_of_the_keys_passes_and_nothing_else() {
        let set = keys(&["your-secret-key-here\n", "another-secret-key-x"]);
        let check = |values: &[&str]| set.authenticate(&headers(values), ADDRESS);
        assert_eq!(check(&["your-secret-key-here"]), Ok(Principal::Key(0)));
        assert_eq!(check(&["another-secret-key-x "]), Ok(Principal::Key(1)));
        for wrong in [&[][..], &[""], &["your-secret-key-her"], &["your-secret-key-here2"]] {
            assert_eq!(check(wrong), Err(InvalidKey), "{wrong:?}");
        }
        assert_eq!(check(&["your-secret-key-here", "your-secret-key-here"]), Err(InvalidKey));
    }

    #[test]
    fn addresses_are_grouped_by_who_can_hold_them() {
        let of = |text: &str| Principal::of_address(text.parse().unwrap());
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
