//! Certificates, and what browsers are told about https.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::values::{fill, flag, given, list, number, refused, set};
use crate::config::ssl_config::SslConfig;
use crate::config::{Config, ConfigError, HostPattern};
use crate::tls::{Acme, Redirect, SelfSigned, TlsFiles, TlsSource};

/// `[tls]`: the certificate, and what browsers are told about https.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TlsSettings {
    /// PEM file of the certificate and its issuers; read again when it changes [default: plain HTTP]
    #[arg(id = "tls_cert_file", long = "tls-cert-file", env = "TLS_CERT_FILE", value_name = "FILE")]
    pub cert_file: Option<String>,
    /// PEM file of the certificate's key, which other users must not be able to read
    #[arg(id = "tls_key_file", long = "tls-key-file", env = "TLS_KEY_FILE", value_name = "FILE")]
    pub key_file: Option<String>,
    /// Make a certificate that nobody vouches for, for development [default: false]
    #[arg(
        id = "tls_self_signed",
        long = "tls-self-signed",
        env = "TLS_SELF_SIGNED",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub self_signed: Option<String>,
    /// Where the self-signed certificate is kept [default: beside the checkpoint]
    #[arg(
        id = "tls_self_signed_dir",
        long = "tls-self-signed-dir",
        env = "TLS_SELF_SIGNED_DIR",
        value_name = "DIR"
    )]
    pub self_signed_dir: Option<String>,
    /// Names and addresses of the self-signed certificate besides localhost, 127.0.0.1, `::1` and the address listened on
    #[arg(
        id = "tls_self_signed_san",
        long = "tls-self-signed-san",
        env = "TLS_SELF_SIGNED_SAN",
        value_name = "NAMES"
    )]
    pub self_signed_san: Option<String>,
    /// Get the certificate from an authority that speaks ACME, and agree to its terms; it connects to port 443 of each name
    /// [default: false]
    #[arg(
        id = "tls_acme",
        long = "tls-acme",
        env = "TLS_ACME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub acme: Option<String>,
    /// Names of the authority's certificate besides `TLS_DOMAIN`
    #[arg(id = "tls_acme_san", long = "tls-acme-san", env = "TLS_ACME_SAN", value_name = "NAMES")]
    pub acme_san: Option<String>,
    /// Address of mail that the authority may write to [default: none]
    #[arg(id = "tls_acme_contact", long = "tls-acme-contact", env = "TLS_ACME_CONTACT", value_name = "MAIL")]
    pub acme_contact: Option<String>,
    /// The authority's directory [default: Let's Encrypt's]
    #[arg(
        id = "tls_acme_directory_url",
        long = "tls-acme-directory-url",
        env = "TLS_ACME_DIRECTORY_URL",
        value_name = "URL"
    )]
    pub acme_directory_url: Option<String>,
    /// PEM file of issuers that the authority itself may have besides the public ones [default: none]
    #[arg(id = "tls_acme_ca_file", long = "tls-acme-ca-file", env = "TLS_ACME_CA_FILE", value_name = "FILE")]
    pub acme_ca_file: Option<String>,
    /// Where the account and the authority's certificate are kept [default: beside the checkpoint]
    #[arg(id = "tls_acme_dir", long = "tls-acme-dir", env = "TLS_ACME_DIR", value_name = "DIR")]
    pub acme_dir: Option<String>,
    /// Refuse to start without a certificate [default: false]
    #[arg(
        id = "tls_required",
        long = "tls-required",
        env = "TLS_REQUIRED",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub required: Option<String>,
    /// Name under which clients reach the service
    #[arg(id = "tls_domain", long = "tls-domain", env = "TLS_DOMAIN", value_name = "NAME")]
    pub domain: Option<String>,
    /// Plain port that sends browsers to https and refuses calls [default: none]
    #[arg(
        id = "tls_redirect_port",
        long = "tls-redirect-port",
        env = "TLS_REDIRECT_PORT",
        value_name = "PORT"
    )]
    pub redirect_port: Option<String>,
    /// Port that browsers are sent to [default: the port listened on]
    #[arg(id = "tls_public_port", long = "tls-public-port", env = "TLS_PUBLIC_PORT", value_name = "PORT")]
    pub public_port: Option<String>,
    /// Days before its end from which the log warns of a certificate [default: 30]
    #[arg(
        id = "tls_renewal_days_before",
        long = "tls-renewal-days-before",
        env = "TLS_RENEWAL_DAYS_BEFORE",
        value_name = "DAYS"
    )]
    pub renewal_days_before: Option<String>,
    /// Send Strict-Transport-Security over https, but never for localhost [default: true]
    #[arg(long, env = "ENABLE_HSTS", value_name = "BOOL")]
    pub enable_hsts: Option<String>,
}

impl TlsSettings {
    /// Checks what is given and sets it.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        set(&mut config.tls.domain, self.domain.as_deref(), |text| parse_domain(text).map(Some))?;
        config.tls.source = self.source(config)?;
        let mut is_required = false;
        set(&mut is_required, self.required.as_deref(), |text| flag("TLS_REQUIRED", text))?;
        if is_required && config.tls.source.is_none() {
            return Err(ConfigError::NoCertificate { key: "TLS_REQUIRED" });
        }
        config.tls.redirect = self.redirect()?;
        let tls = &mut config.tls;
        set(&mut tls.renewal_days_before, self.renewal_days_before.as_deref(), |text| {
            number("TLS_RENEWAL_DAYS_BEFORE", text, 0..=3650, "is not a number of days, 0 to 3650")
        })?;
        set(&mut tls.enable_hsts, self.enable_hsts.as_deref(), |text| flag("ENABLE_HSTS", text))
    }

    /// Takes from `lower` what is not given. Whoever describes certificates wants one.
    pub(super) fn fill_from(&mut self, lower: &SslConfig) {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        let makes_its_own =
            [&self.self_signed, &self.acme].iter().any(|flag| given(flag.as_deref()).is_some());
        if !makes_its_own {
            fill(&mut self.cert_file, path(&lower.cert_file));
            fill(&mut self.key_file, path(&lower.key_file));
        }
        fill(&mut self.domain, lower.domain.clone());
        fill(&mut self.enable_hsts, lower.enable_hsts.map(|flag| flag.to_string()));
        fill(&mut self.renewal_days_before, lower.renewal_days_before.map(|days| days.to_string()));
        fill(&mut self.required, Some("true".into()));
    }

    fn source(&self, config: &Config) -> Result<Option<TlsSource>, ConfigError> {
        let files = match (given(self.cert_file.as_deref()), given(self.key_file.as_deref())) {
            (Some(certificate), Some(key)) => Some(TlsFiles::new(certificate, key)),
            (Some(file), None) => {
                return Err(refused("TLS_CERT_FILE", file, "needs TLS_KEY_FILE with its key"));
            }
            (None, Some(file)) => {
                return Err(refused("TLS_KEY_FILE", file, "needs TLS_CERT_FILE with its certificate"));
            }
            (None, None) => None,
        };
        let mut is_self_signed = false;
        set(&mut is_self_signed, self.self_signed.as_deref(), |text| flag("TLS_SELF_SIGNED", text))?;
        let mut is_acme = false;
        set(&mut is_acme, self.acme.as_deref(), |text| flag("TLS_ACME", text))?;
        match files {
            Some(_) if is_self_signed => {
                Err(refused("TLS_SELF_SIGNED", "true", "and TLS_CERT_FILE are both given"))
            }
            Some(_) if is_acme => Err(refused("TLS_ACME", "true", "and TLS_CERT_FILE are both given")),
            Some(files) => Ok(Some(TlsSource::Files(files))),
            None if is_self_signed && is_acme => {
                Err(refused("TLS_ACME", "true", "and TLS_SELF_SIGNED are both given"))
            }
            None if is_self_signed => Ok(Some(TlsSource::SelfSigned(self.self_signed(config)?))),
            None if is_acme => Ok(Some(TlsSource::Acme(self.acme(config)?))),
            None => Ok(None),
        }
    }

    fn acme(&self, config: &Config) -> Result<Acme, ConfigError> {
        let mut more = Vec::new();
        set(&mut more, self.acme_san.as_deref(), |text| list(text, |name| Ok(name.to_ascii_lowercase())))?;
        let names: Vec<_> = config.tls.domain.iter().cloned().chain(more).collect();
        if names.is_empty() {
            return Err(refused(
                "TLS_ACME",
                "true",
                "needs TLS_DOMAIN, the name that the certificate is for",
            ));
        }
        let directory = given(self.acme_dir.as_deref()).map_or_else(|| beside_checkpoint(config), Path::new);
        let mut acme = Acme::new(directory, names);
        acme.contact = given(self.acme_contact.as_deref()).map(str::to_owned);
        acme.ca_file = given(self.acme_ca_file.as_deref()).map(PathBuf::from);
        set(&mut acme.directory_url, self.acme_directory_url.as_deref(), |url| Ok(url.to_owned()))?;
        Ok(acme)
    }

    fn self_signed(&self, config: &Config) -> Result<SelfSigned, ConfigError> {
        let mut names = Vec::new();
        set(&mut names, self.self_signed_san.as_deref(), |text| list(text, |name| Ok(name.to_owned())))?;
        if !config.host.is_unspecified() {
            names.push(config.host.to_string());
        }
        names.extend(config.tls.domain.clone());
        let directory =
            given(self.self_signed_dir.as_deref()).map_or_else(|| beside_checkpoint(config), Path::new);
        Ok(SelfSigned::new(directory, names))
    }

    fn redirect(&self) -> Result<Option<Redirect>, ConfigError> {
        let port = |key, text| number(key, text, 0..=u16::MAX, "is not a port number, 0 to 65535");
        let to_port =
            given(self.public_port.as_deref()).map(|text| port("TLS_PUBLIC_PORT", text)).transpose()?;
        let from = given(self.redirect_port.as_deref()).map(|text| port("TLS_REDIRECT_PORT", text));
        Ok(from.transpose()?.map(|from| Redirect::new(from, to_port)))
    }
}

fn beside_checkpoint(config: &Config) -> &Path {
    let beside = config.persistence_file.as_deref().and_then(Path::parent);
    beside.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn parse_domain(text: &str) -> Result<String, ConfigError> {
    let domain = text.to_ascii_lowercase();
    let is_name = !domain.starts_with("*.") && HostPattern::parse(&domain).is_ok();
    is_name
        .then_some(domain)
        .ok_or_else(|| refused("TLS_DOMAIN", text, "is not a name like `tft.example.com`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &TlsSettings) -> Result<Config, String> {
        let mut config = Config::default();
        settings.apply(&mut config).map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[expect(clippy::unnecessary_wraps, reason = "every setting may be given or not")]
    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn files() -> TlsSettings {
        TlsSettings { cert_file: some("a.crt"), key_file: some("a.key"), ..Default::default() }
    }

    #[test]
    fn a_certificate_needs_its_key() {
        assert_eq!(config(&TlsSettings::default()).unwrap().tls.source, None);
        let expected = TlsSource::Files(TlsFiles::new("a.crt", "a.key"));
        assert_eq!(config(&files()).unwrap().tls.source, Some(expected));
        let refused = |settings: TlsSettings| config(&settings).unwrap_err();
        insta::assert_snapshot!(refused(TlsSettings { key_file: some(" "), ..files() }), @"TLS_CERT_FILE `a.crt` needs TLS_KEY_FILE with its key");
        insta::assert_snapshot!(refused(TlsSettings { cert_file: None, ..files() }), @"TLS_KEY_FILE `a.key` needs TLS_CERT_FILE with its certificate");
        insta::assert_snapshot!(refused(TlsSettings { self_signed: some("true"), ..files() }), @"TLS_SELF_SIGNED `true` and TLS_CERT_FILE are both given");
        insta::assert_snapshot!(refused(TlsSettings { required: some("true"), ..Default::default() }), @"TLS_REQUIRED needs a certificate: set TLS_CERT_FILE and TLS_KEY_FILE, or give --tls-self-signed");
        insta::assert_snapshot!(refused(TlsSettings { domain: some("*.a.b"), ..files() }), @"TLS_DOMAIN `*.a.b` is not a name like `tft.example.com`");
        insta::assert_snapshot!(refused(TlsSettings { redirect_port: some("http"), ..files() }), @"TLS_REDIRECT_PORT `http` is not a port number, 0 to 65535");
    }

    #[test]
    fn a_self_signed_certificate_lies_beside_the_checkpoint_and_names_the_address() {
        let settings = TlsSettings {
            self_signed: some("true"),
            self_signed_san: some("dash.local, 10.0.0.7"),
            domain: some("tft.example.com"),
            ..Default::default()
        };
        let mut config = Config {
            persistence_file: Some("/var/lib/tft/window.parquet".into()),
            host: [10, 1, 2, 3].into(),
            ..Config::default()
        };
        settings.apply(&mut config).unwrap();
        let names = ["dash.local", "10.0.0.7", "10.1.2.3", "tft.example.com"].map(String::from);
        let expected = SelfSigned::new("/var/lib/tft", names.to_vec());
        assert_eq!(config.tls.source, Some(TlsSource::SelfSigned(expected)));
    }

    #[test]
    fn an_authority_is_asked_for_the_domain_and_other_names() {
        let settings = TlsSettings {
            acme: some("true"),
            acme_san: some("Dash.example.com"),
            acme_contact: some("ops@example.com"),
            domain: some("tft.example.com"),
            ..Default::default()
        };
        let Some(TlsSource::Acme(acme)) = config(&settings).unwrap().tls.source else {
            panic!("no authority")
        };
        assert_eq!(acme.names, ["tft.example.com", "dash.example.com"]);
        assert_eq!(
            (acme.directory_url.as_str(), acme.contact.as_deref()),
            (Acme::LETS_ENCRYPT, Some("ops@example.com"))
        );
        let refused = |settings: TlsSettings| config(&settings).unwrap_err();
        insta::assert_snapshot!(refused(TlsSettings { acme_san: None, domain: None, ..settings.clone() }), @"TLS_ACME `true` needs TLS_DOMAIN, the name that the certificate is for");
        insta::assert_snapshot!(refused(TlsSettings { acme: some("true"), ..files() }), @"TLS_ACME `true` and TLS_CERT_FILE are both given");
        insta::assert_snapshot!(refused(TlsSettings { self_signed: some("true"), ..settings }), @"TLS_ACME `true` and TLS_SELF_SIGNED are both given");
    }

    #[test]
    fn what_is_given_beats_ssl_config() {
        let lower = SslConfig {
            cert_file: Some("/lower/a.crt".into()),
            key_file: Some("/lower/a.key".into()),
            enable_hsts: Some(false),
            renewal_days_before: Some(14),
            ..SslConfig::default()
        };
        let mut settings = TlsSettings { renewal_days_before: some("20"), ..files() };
        settings.fill_from(&lower);
        let tls = config(&settings).unwrap().tls;
        assert_eq!(tls.source, Some(TlsSource::Files(TlsFiles::new("a.crt", "a.key"))));
        assert_eq!((tls.enable_hsts, tls.renewal_days_before), (false, 20));
        let mut settings = TlsSettings { self_signed: some("true"), ..Default::default() };
        settings.fill_from(&lower);
        assert!(matches!(config(&settings).unwrap().tls.source, Some(TlsSource::SelfSigned(_))));
        let mut settings = TlsSettings::default();
        settings.fill_from(&SslConfig::default());
        assert!(config(&settings).unwrap_err().contains("TLS_REQUIRED needs a certificate"));
    }
}
