//! Where the service listens, who may reach it, and what it loads.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::values::{fill, flag, list, number, refused, set};
use crate::config::ssl_config::SslConfig;
use crate::config::{Config, ConfigError, HostPattern};

/// `[network]`: where the service listens and who may reach it.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NetworkSettings {
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, env = "TFT_HOST", value_name = "ADDRESS")]
    pub host: Option<String>,
    /// Port to listen on; 0 lets the system choose [default: 8000]
    #[arg(long, env = "PORT", value_name = "PORT")]
    pub port: Option<String>,
    /// Ports besides, separated by commas, on which the same is served [default: none]
    #[arg(long, env = "EXTRA_PORTS", value_name = "PORTS")]
    pub extra_ports: Option<String>,
    /// Names that clients may call the service by, like `tft.example.com,*.internal` [default: any with a key, only
    /// those of the loopback address without]
    #[arg(long, env = "ALLOWED_HOSTS", value_name = "NAMES")]
    pub allowed_hosts: Option<String>,
    /// Networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed [default: none]
    #[arg(long, env = "TRUSTED_PROXIES", value_name = "CIDRS")]
    pub trusted_proxies: Option<String>,
    /// Networks of clients that are served [default: all]
    #[arg(long, env = "ALLOWED_CLIENTS", value_name = "CIDRS")]
    pub allowed_clients: Option<String>,
    /// Serve without a key even where others can reach the service
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub insecure_no_auth: Option<String>,
}

impl NetworkSettings {
    /// Checks what is given and sets it.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        set(&mut config.host, self.host.as_deref(), parse_host)?;
        set(&mut config.port, self.port.as_deref(), parse_port)?;
        set(&mut config.extra_ports, self.extra_ports.as_deref(), |text| {
            list(text, |port| number("EXTRA_PORTS", port, 0..=u16::MAX, "is not a port number, 0 to 65535"))
        })?;
        set(&mut config.insecure_no_auth, self.insecure_no_auth.as_deref(), |text| {
            flag("--insecure-no-auth", text)
        })?;
        let hosts = self.allowed_hosts.as_deref();
        set(&mut config.allowed_hosts, hosts, |text| list(text, HostPattern::parse))?;
        let networks = |key| move |text: &str| list(text, |entry| parse_network(key, entry));
        set(&mut config.trusted_proxies, self.trusted_proxies.as_deref(), networks("TRUSTED_PROXIES"))?;
        set(&mut config.allowed_clients, self.allowed_clients.as_deref(), networks("ALLOWED_CLIENTS"))
    }
}

impl NetworkSettings {
    /// Takes from `lower` what is not given.
    pub(super) fn fill_from(&mut self, lower: &SslConfig) {
        fill(&mut self.port, Some(lower.port().to_string()));
        let ports: Vec<_> = lower.extra_ports().iter().map(u16::to_string).collect();
        fill(&mut self.extra_ports, Some(ports.join(",")));
    }
}

fn parse_host(text: &str) -> Result<IpAddr, ConfigError> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    text.parse().map_err(|_| refused("TFT_HOST", text, "is not an IP address or `localhost`"))
}

/// Reads a port.
pub(crate) fn parse_port(text: &str) -> Result<u16, ConfigError> {
    number("PORT", text, 0..=u16::MAX, "is not a port number, 0 to 65535")
}

/// Reads a network, or an address, which is a network of one.
fn parse_network(key: &'static str, text: &str) -> Result<IpNet, ConfigError> {
    let network = text.parse().or_else(|_| text.parse().map(|address: IpAddr| address.into()));
    network.map_err(|_| refused(key, text, "is not a network like `10.0.0.0/8` or an address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(settings: &NetworkSettings) -> Result<Config, String> {
        let mut config = Config::default();
        settings.apply(&mut config).map_err(|error| error.to_string()).map(|()| config)
    }

    #[test]
    fn errors_name_the_setting_and_the_value() {
        let refused = |settings: NetworkSettings| applied(&settings).unwrap_err();
        let some = |text: &str| Some(text.to_owned());
        insta::assert_snapshot!(refused(NetworkSettings { port: some("80a"), ..Default::default() }), @"PORT `80a` is not a port number, 0 to 65535");
        insta::assert_snapshot!(refused(NetworkSettings { host: some("example.com"), ..Default::default() }), @"TFT_HOST `example.com` is not an IP address or `localhost`");
        insta::assert_snapshot!(refused(NetworkSettings { trusted_proxies: some("10.0.0.0/8,proxy"), ..Default::default() }), @"TRUSTED_PROXIES `proxy` is not a network like `10.0.0.0/8` or an address");
        insta::assert_snapshot!(refused(NetworkSettings { allowed_hosts: some("a b"), ..Default::default() }), @"ALLOWED_HOSTS `a b` is not a name like `tft.example.com` or `*.example.com`");
        insta::assert_snapshot!(refused(NetworkSettings { insecure_no_auth: some("perhaps"), ..Default::default() }), @"--insecure-no-auth `perhaps` is not `true` or `false`");
    }

    #[test]
    fn an_address_is_a_network_of_one() {
        let settings = NetworkSettings {
            trusted_proxies: Some("192.0.2.1, 2001:db8::/32".into()),
            ..Default::default()
        };
        let config = applied(&settings).unwrap();
        assert_eq!(
            config.trusted_proxies,
            ["192.0.2.1/32".parse().unwrap(), "2001:db8::/32".parse().unwrap()]
        );
    }
}
