//! `tft-service check`: what a configuration means, without starting anything.

use std::fmt::{self, Display, Formatter};
use std::io::Write;

use tft_core::schema::Schema;

use super::ServeArgs;
use crate::audit::AuditTarget;
use crate::auth::KeyRing;
use crate::config::{Config, ConfigError};
use crate::engine::Engine;
use crate::error::ServiceError;
use crate::tls::{Identity, TlsSource};

/// Checks the settings and the model, and prints what is on.
///
/// # Errors
/// What `serve` would refuse.
pub(super) fn run(args: ServeArgs) -> Result<(), ServiceError> {
    let config = args.into_config()?;
    if let Some(source) = &config.tls.source {
        Identity::check(source)?;
    }
    let mut engine = Engine::load(config.model_dir.as_deref(), &Schema::server_metrics())?;
    engine.take_rules(&config)?;
    let keys = KeyRing::describe(&config).map_err(ConfigError::from)?;
    let text = Summary { config: &config, keys, model_id: &engine.facts().model_id }.to_string();
    std::io::stdout().write_all(text.as_bytes()).map_err(|source| ServiceError::Output { source })
}

/// A configuration in lines for people; never a secret.
struct Summary<'a> {
    config: &'a Config,
    keys: String,
    model_id: &'a str,
}

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let config = self.config;
        let mut line = |name: &str, value: &dyn Display| writeln!(f, "{name:<18}{value}");
        line("listen", &std::net::SocketAddr::new(config.host, config.port))?;
        if !config.extra_ports.is_empty() {
            line("extra ports", &listed(&config.extra_ports, ""))?;
        }
        line("tls", &Tls(config))?;
        line("model", &self.model_id)?;
        match &config.persistence_file {
            Some(path) => {
                line("checkpoint", &format!("{} (sync {})", path.display(), config.store.sync.as_str()))?;
            }
            None => line("checkpoint", &"off, nothing is kept")?,
        }
        match config.history.place.directory(config.persistence_file.as_deref()) {
            Some(path) => {
                let days = config.history.bounds.retention_days;
                line("history", &format!("{} ({days} days)", path.display()))?;
            }
            None => line("history", &"off")?,
        }
        line("keys", &self.keys)?;
        let is_open = !config.auth.is_development_mode() || config.insecure_no_auth;
        let otherwise = if is_open { "any" } else { "those of the loopback address" };
        line("hosts", &listed(&config.allowed_hosts, otherwise))?;
        line("clients", &listed(&config.allowed_clients, "any"))?;
        line("trusted proxies", &listed(&config.trusted_proxies, "none"))?;
        line("origins", &config.cors_origins)?;
        let rates = &config.rate_limits;
        let per_minute = format!(
            "feed {}, predictions {}, alerts {}, other {}",
            rates.feed, rates.predictions, rates.alerts, rates.other
        );
        line("per minute", &per_minute)?;
        line("metrics", &if config.metrics_open { "open" } else { "as other routes" })?;
        let receivers: Vec<_> = config.notify.receivers().collect();
        line("receivers", &listed(&receivers, "none, nobody is told of alerts"))?;
        match &config.audit {
            AuditTarget::Off => line("audit", &"off"),
            AuditTarget::Stdout => line("audit", &"standard output"),
            AuditTarget::File(path) => line("audit", &path.display()),
        }
    }
}

/// What is known of TLS.
struct Tls<'a>(&'a Config);

impl Display for Tls<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0.tls.source {
            None => f.write_str("off, plain HTTP")?,
            Some(TlsSource::Files(files)) => write!(f, "{}", files.certificate.display())?,
            Some(TlsSource::SelfSigned(wanted)) => {
                write!(f, "self-signed, in {}", wanted.directory.display())?;
            }
            Some(TlsSource::Acme(wanted)) => {
                write!(f, "{} from {}", wanted.names.join(", "), wanted.directory_url)?;
            }
        }
        match self.0.tls.redirect {
            Some(redirect) => write!(f, ", redirected to from port {}", redirect.port),
            None => Ok(()),
        }
    }
}

fn listed(entries: &[impl Display], otherwise: &str) -> String {
    if entries.is_empty() {
        return otherwise.to_owned();
    }
    entries.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AuthConfig, HostPattern};

    #[test]
    fn a_summary_tells_what_is_on_and_no_secret() {
        let config = Config {
            auth: AuthConfig::with_key("0f1e2d3c4b5a69788796a5b4c3d2e1f0"),
            allowed_hosts: vec![HostPattern::parse("*.example.com").unwrap()],
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..Config::default()
        };
        insta::assert_snapshot!(Summary { config: &config, keys: KeyRing::describe(&config).unwrap(), model_id: "built-in" }, @"
        listen            127.0.0.1:8000
        tls               off, plain HTTP
        model             built-in
        checkpoint        inference_rolling_window.parquet (sync interval)
        history           inference_rolling_window.history (90 days)
        keys              1 of TFT_API_KEY
        hosts             *.example.com
        clients           any
        trusted proxies   10.0.0.0/8
        origins           http://localhost:8501
        per minute        feed 60, predictions 30, alerts 30, other 60
        metrics           as other routes
        receivers         none, nobody is told of alerts
        audit             off
        ");
    }
}
