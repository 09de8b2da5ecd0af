//! The file `ssl-config.json`: settings of TLS in one place, with `MFC_*` variables over them.
//!
//! It is a layer of settings below the TOML file. What certbot does, it only describes.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;

/// What `ssl-config.json` says.
///
/// # Defaults
/// The ports 8443, and none besides; everything else is not given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SslConfig {
    /// The name under which clients reach the service.
    pub(crate) domain: Option<String>,
    /// Whom Let's Encrypt writes to; certbot's affair.
    pub(crate) email: Option<String>,
    /// The certificate is certbot's.
    pub(crate) use_letsencrypt: Option<bool>,
    /// Let's Encrypt's test authority; certbot's affair.
    pub(crate) staging: Option<bool>,
    pub(crate) cert_file: Option<PathBuf>,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) https_port_api: Option<u16>,
    pub(crate) https_port_frontend: Option<u16>,
    pub(crate) wss_port_streaming: Option<u16>,
    pub(crate) enable_hsts: Option<bool>,
    pub(crate) enable_csp: Option<bool>,
    /// Certbot's timer renews; certbot's affair.
    pub(crate) auto_renew: Option<bool>,
    pub(crate) renewal_days_before: Option<u32>,
}

impl SslConfig {
    /// Reads the file, if there is one, and the variables over it; none if neither is given.
    ///
    /// # Errors
    /// [`ConfigError`] naming the file or the variable, and what is wrong.
    pub(crate) fn load(
        path: Option<&Path>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ConfigError> {
        let mut config = path.map(Self::read).transpose()?;
        for (name, set) in VARIABLES {
            let Some(value) = variable(name) else { continue };
            let text = value.trim();
            if text.is_empty() {
                continue;
            }
            let set = set(config.get_or_insert_default(), text);
            set.map_err(|reason| ConfigError::Value { key: name, value: text.into(), reason })?;
        }
        if let Some(config) = &mut config {
            config.complete()?;
        }
        Ok(config)
    }

    /// Returns the port of the API.
    pub(crate) fn port(&self) -> u16 {
        self.https_port_api.unwrap_or(HTTPS_PORT)
    }

    /// Returns the ports besides the API's, each once.
    pub(crate) fn extra_ports(&self) -> Vec<u16> {
        let mut ports = Vec::new();
        for port in [self.https_port_frontend, self.wss_port_streaming].into_iter().flatten() {
            if port != self.port() && !ports.contains(&port) {
                ports.push(port);
            }
        }
        ports
    }

    /// Returns what an operator should know of settings that are someone else's affair.
    pub(crate) fn remarks(&self) -> Vec<&'static str> {
        let mut remarks = Vec::new();
        if self.use_letsencrypt == Some(true) {
            remarks.push(
                "use_letsencrypt: certbot obtains and renews the certificate; its files are reloaded when they change",
            );
        } else if self.auto_renew == Some(true) {
            remarks.push("auto_renew: whoever renews the files, they are reloaded when they change");
        }
        if self.enable_csp == Some(false) {
            remarks.push("enable_csp: Content-Security-Policy is sent always");
        }
        remarks
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let refused = |reason: String| ConfigError::File { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| refused(error.to_string()))
    }

    /// Names certbot's files where the configuration leaves that to it.
    fn complete(&mut self) -> Result<(), ConfigError> {
        if self.use_letsencrypt != Some(true) || (self.cert_file.is_some() && self.key_file.is_some()) {
            return Ok(());
        }
        let domain = self.domain.as_deref().ok_or_else(|| ConfigError::Value {
            key: "use_letsencrypt",
            value: "true".into(),
            reason: "needs a `domain`, or `cert_file` and `key_file`",
        })?;
        let live = Path::new(CERTBOT_DIRECTORY).join(domain);
        self.cert_file.get_or_insert_with(|| live.join("fullchain.pem"));
        self.key_file.get_or_insert_with(|| live.join("privkey.pem"));
        Ok(())
    }
}

type Set = fn(&mut SslConfig, &str) -> Result<(), &'static str>;

/// Each variable and the key that it overrides.
const VARIABLES: [(&str, Set); 13] = [
    ("MFC_SSL_DOMAIN", |config, text| text_into(&mut config.domain, text)),
    ("MFC_SSL_EMAIL", |config, text| text_into(&mut config.email, text)),
    ("MFC_SSL_USE_LETSENCRYPT", |config, text| flag_into(&mut config.use_letsencrypt, text)),
    ("MFC_SSL_STAGING", |config, text| flag_into(&mut config.staging, text)),
    ("MFC_SSL_CERT_FILE", |config, text| text_into(&mut config.cert_file, text)),
    ("MFC_SSL_KEY_FILE", |config, text| text_into(&mut config.key_file, text)),
    ("MFC_HTTPS_API_PORT", |config, text| port_into(&mut config.https_port_api, text)),
    ("MFC_HTTPS_FRONTEND_PORT", |config, text| port_into(&mut config.https_port_frontend, text)),
    ("MFC_WSS_STREAMING_PORT", |config, text| port_into(&mut config.wss_port_streaming, text)),
    ("MFC_SSL_ENABLE_HSTS", |config, text| flag_into(&mut config.enable_hsts, text)),
    ("MFC_SSL_ENABLE_CSP", |config, text| flag_into(&mut config.enable_csp, text)),
    ("MFC_SSL_AUTO_RENEW", |config, text| flag_into(&mut config.auto_renew, text)),
    ("MFC_SSL_RENEWAL_DAYS_BEFORE", |config, text| days_into(&mut config.renewal_days_before, text)),
];

#[expect(clippy::unnecessary_wraps, reason = "the table has one type of function")]
fn text_into<T: for<'a> From<&'a str>>(target: &mut Option<T>, text: &str) -> Result<(), &'static str> {
    *target = Some(text.into());
    Ok(())
}

fn flag_into(target: &mut Option<bool>, text: &str) -> Result<(), &'static str> {
    *target = Some(text.to_ascii_lowercase().parse().map_err(|_| "is not `true` or `false`")?);
    Ok(())
}

fn port_into(target: &mut Option<u16>, text: &str) -> Result<(), &'static str> {
    *target = Some(text.parse().map_err(|_| "is not a port number, 0 to 65535")?);
    Ok(())
}

fn days_into(target: &mut Option<u32>, text: &str) -> Result<(), &'static str> {
    *target = Some(text.parse().map_err(|_| "is not a number of days")?);
    Ok(())
}

const HTTPS_PORT: u16 = 8443;

const CERTBOT_DIRECTORY: &str = "/etc/letsencrypt/live";

#[cfg(test)]
mod tests {
    use super::*;

    fn load(json: &str, variables: &[(&str, &str)]) -> Result<SslConfig, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ssl-config.json");
        std::fs::write(&path, json).unwrap();
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.to_string())
        };
        Ok(SslConfig::load(Some(&path), variable)?.unwrap())
    }

    fn message(json: &str, variables: &[(&str, &str)]) -> String {
        crate::error::in_one_line(&load(json, variables).unwrap_err())
    }

    #[test]
    fn a_production_file_is_read() {
        let config = load(
            r#"{
                "domain": "mfc-monitoring.company.com",
                "email": "admin@company.com",
                "use_letsencrypt": true,
                "staging": false,
                "cert_file": "/etc/letsencrypt/live/mfc-monitoring.company.com/fullchain.pem",
                "key_file": "/etc/letsencrypt/live/mfc-monitoring.company.com/privkey.pem",
                "https_port_api": 8443,
                "https_port_frontend": 8444,
                "wss_port_streaming": 8445,
                "enable_hsts": true,
                "enable_csp": true,
                "auto_renew": true,
                "renewal_days_before": 30
            }"#,
            &[],
        );
        let config = config.unwrap();
        assert_eq!((config.port(), config.extra_ports()), (8443, vec![8444, 8445]));
        assert_eq!((config.enable_hsts, config.renewal_days_before), (Some(true), Some(30)));
        insta::assert_debug_snapshot!(config.remarks(), @r#"
        [
            "use_letsencrypt: certbot obtains and renews the certificate; its files are reloaded when they change",
        ]
        "#);
    }

    #[test]
    fn ports_may_be_one() {
        let json = r#"{"https_port_api": 9000, "https_port_frontend": 9000, "wss_port_streaming": 9001}"#;
        let config = load(json, &[("MFC_HTTPS_API_PORT", "9001"), ("MFC_HTTPS_FRONTEND_PORT", "9002")]);
        let config = config.unwrap();
        assert_eq!((config.port(), config.extra_ports()), (9001, vec![9002]));
    }

    #[test]
    fn variables_are_enough_and_name_certbots_files() {
        assert_eq!(SslConfig::load(None, |_| None).unwrap(), None);
        let given = |name: &str| match name {
            "MFC_SSL_DOMAIN" => Some("your-domain.com".to_owned()),
            "MFC_SSL_USE_LETSENCRYPT" => Some("TRUE".to_owned()),
            "MFC_SSL_EMAIL" => Some(" ".to_owned()),
            _ => None,
        };
        let config = SslConfig::load(None, given).unwrap().unwrap();
        let certificate = Path::new("/etc/letsencrypt/live/your-domain.com/fullchain.pem");
        assert_eq!(config.cert_file.as_deref(), Some(certificate));
        assert_eq!((config.email.as_deref(), config.port()), (None, 8443));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let unknown = message(r#"{"domian": "example.com"}"#, &[]);
        assert!(unknown.contains("ssl-config.json` cannot be used: unknown field `domian`"), "{unknown}");
        let wrong = message(r#"{"https_port_api": "8443"}"#, &[]);
        assert!(wrong.contains("invalid type: string \"8443\", expected u16 at line 1"), "{wrong}");
        let message = |name, value| message("{}", &[(name, value)]);
        insta::assert_snapshot!(message("MFC_HTTPS_API_PORT", "https"), @"MFC_HTTPS_API_PORT `https` is not a port number, 0 to 65535");
        insta::assert_snapshot!(message("MFC_SSL_USE_LETSENCRYPT", "perhaps"), @"MFC_SSL_USE_LETSENCRYPT `perhaps` is not `true` or `false`");
        insta::assert_snapshot!(message("MFC_SSL_USE_LETSENCRYPT", "true"), @"use_letsencrypt `true` needs a `domain`, or `cert_file` and `key_file`");
        insta::assert_snapshot!(message("MFC_SSL_RENEWAL_DAYS_BEFORE", "-1"), @"MFC_SSL_RENEWAL_DAYS_BEFORE `-1` is not a number of days");
    }
}
