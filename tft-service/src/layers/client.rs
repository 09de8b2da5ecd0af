//! Who is calling, behind proxies too.
//!
//! A proxy that the operator trusts adds the address that it saw to the end of `X-Forwarded-For`. Walking from the
//! right, the first address that is no trusted proxy is the client; what stands further left may be invented.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::HeaderMap;
use ipnet::IpNet;

use super::{Call, Crossing, Next, Shared, call_mut, refuse};
use crate::config::Config;
use crate::http::{Refusal, Reply, Request};

/// Finds the client and refuses networks that are not served.
#[derive(Debug)]
pub(super) struct FindClient {
    shared: Arc<Shared>,
    proxies: Vec<IpNet>,
    allowed: Vec<IpNet>,
}

impl FindClient {
    pub(super) fn new(config: &Config, shared: &Arc<Shared>) -> Self {
        let (proxies, allowed) = (config.trusted_proxies.clone(), config.allowed_clients.clone());
        Self { shared: Arc::clone(shared), proxies, allowed }
    }

    /// Takes a trusted proxy's word.
    fn look_behind_proxies(&self, request: &mut Request) {
        let peer = Call::of(request).client;
        if !has(&self.proxies, peer) {
            return;
        }
        let client = forwarded_for(request.headers(), peer, &self.proxies);
        let proto = last_of(request.headers(), "x-forwarded-proto").map(|proto| proto == "https");
        let call = call_mut(request);
        call.client = client;
        call.is_secure = proto.unwrap_or(call.is_secure);
    }
}

impl Crossing for FindClient {
    async fn cross(&self, mut request: Request, next: impl Next) -> Reply {
        self.look_behind_proxies(&mut request);
        let call = Call::of(&request);
        let is_allowed = self.allowed.is_empty() || has(&self.allowed, call.client);
        let mut reply = if is_allowed {
            next.run(request).await
        } else {
            refuse(&self.shared, request, Refusal::ClientNotAllowed).await
        };
        reply.extensions_mut().insert(call);
        reply
    }
}

fn forwarded_for(headers: &HeaderMap, peer: IpAddr, proxies: &[IpNet]) -> IpAddr {
    let values = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let entries: Vec<_> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut client = peer;
    for entry in entries.iter().rev() {
        // What is no address ends the walk: the proxy before it is the best that is known.
        let Some(address) = parse_address(entry) else { break };
        client = address;
        if !has(proxies, client) {
            break;
        }
    }
    client
}

/// Reads an address, which some proxies write with a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let plain = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    plain.or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}

fn last_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim)
}

fn has(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(values: &[&str]) -> String {
        let headers: HeaderMap =
            values.iter().map(|value| ("x-forwarded-for".parse().unwrap(), value.parse().unwrap())).collect();
        let proxies = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        forwarded_for(&headers, "10.0.0.1".parse().unwrap(), &proxies).to_string()
    }

    #[test]
    fn the_walk_goes_from_the_right_to_the_first_who_is_no_proxy() {
        assert_eq!(client(&["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client(&["6.6.6.6, 192.0.2.1, 10.2.2.2"]), "192.0.2.1");
        assert_eq!(client(&["6.6.6.6", "192.0.2.1"]), "192.0.2.1");
        assert_eq!(client(&["192.0.2.1:4711, [2001:db8::1]"]), "192.0.2.1");
        assert_eq!(client(&["::ffff:192.0.2.1"]), "192.0.2.1");
    }

    #[test]
    fn what_is_no_address_ends_the_walk() {
        assert_eq!(client(&[]), "10.0.0.1");
        assert_eq!(client(&["192.0.2.1, unknown, 10.3.3.3"]), "10.3.3.3");
        assert_eq!(client(&["10.4.4.4"]), "10.4.4.4");
    }
}
