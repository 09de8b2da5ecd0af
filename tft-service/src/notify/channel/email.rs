//! E-mail over SMTP.
//!
//! Plain text. Subjects and addresses are encoded by the library and have no line breaks to begin with, so no server's
//! name can add a header. Each recipient has a transaction of its own: an address that is refused keeps the message from
//! nobody else.

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message as Mail, Tokio1Executor};
use serde::Deserialize;
use tokio::time::timeout;

use super::{Builder, Built, Reply, Sending};
use crate::notify::failure::Failure;
use crate::notify::http_client::Timeouts;
use crate::notify::message::{Message, one_line};
use crate::notify::secret::{Secret, Source, redacted};
use crate::outgoing::is_loopback;

/// Recipients of mail, and the server that takes it.
#[derive(Debug)]
pub(crate) struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    /// Host and port.
    server: String,
    from: Mailbox,
    to: Vec<Mailbox>,
    password: Option<Secret>,
    timeouts: Timeouts,
}

/// The settings of a receiver of type `email`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EmailSettings {
    host: String,
    port: Option<u16>,
    tls: Security,
    username: Option<String>,
    password_env: Option<String>,
    password_file: Option<String>,
    from: String,
    to: Vec<String>,
}

/// How the connection is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Security {
    /// By the command STARTTLS, which the server must know.
    #[default]
    Starttls,
    /// From the first byte.
    Implicit,
    /// Not at all, on loopback only.
    None,
}

impl Email {
    pub(super) fn build(settings: EmailSettings, builder: &mut Builder<'_>) -> Built<Self> {
        let problems = builder.problems.len();
        let host = settings.host.trim().to_owned();
        if host.is_empty() {
            builder.problem("`host` is missing");
        }
        if settings.tls == Security::None && !is_loopback(&host) {
            builder.problem("`tls` `none` is for a server on a loopback address only");
        }
        let from = builder.keep(mailbox("from", &settings.from));
        let to: Vec<_> = settings.to.iter().filter_map(|text| builder.keep(mailbox("to", text))).collect();
        if settings.to.is_empty() || settings.to.len() > RECIPIENTS_MAX {
            builder.problem(format!(
                "`to` has {} addresses, allowed are 1 to {RECIPIENTS_MAX}",
                settings.to.len()
            ));
        }
        let source = Source { text: None, variable: settings.password_env, file: settings.password_file };
        let password = builder.optional("password", &source);
        let username = settings.username.filter(|name| !name.trim().is_empty());
        if username.is_some() != password.is_some() {
            builder.problem("`username` and a password go together");
        }
        let tls = tls(settings.tls, &host, builder)?;
        if builder.problems.len() > problems {
            return None;
        }
        let from = from?;
        let port = settings.port.unwrap_or(settings.tls.port());
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&host)
            .port(port)
            .tls(tls)
            .hello_name(ClientId::Domain(from.email.domain().to_owned()))
            .timeout(Some(builder.timeouts.connect));
        if let (Some(username), Some(password)) = (username, &password) {
            transport = transport.credentials(Credentials::new(username, password.expose().to_owned()));
        }
        let (server, timeouts) = (format!("{host}:{port}"), builder.timeouts);
        Some(Self { transport: transport.build(), server, from, to, password, timeouts })
    }

    /// Returns the server, and how many recipients there are.
    pub(super) fn target(&self) -> String {
        format!("smtp://{}", self.server)
    }

    pub(super) async fn send(&self, message: &Message<'_>, sending: &Sending) -> Result<Reply, Failure> {
        let mail = self.compose(message, *sending)?;
        let late = || Failure::temporary(format!("took longer than {} ms", self.timeouts.total.as_millis()));
        let (mut taken, mut failures) = (0, Vec::new());
        for recipient in &self.to {
            let sent = timeout(self.timeouts.total, self.send_to(&recipient.email, &mail)).await;
            match sent.unwrap_or_else(|_| Err((late(), false))) {
                Ok(()) => taken += 1,
                // Without a server the next recipient would fail in the same way, and take as long.
                Err((failure, false)) if taken == 0 => return Err(failure),
                Err((failure, _)) => failures.push((&recipient.email, failure)),
            }
        }
        let refused = failures.iter().map(|(address, failure)| format!("{address}: {failure}"));
        let refused = refused.collect::<Vec<_>>().join("; ");
        if taken == 0 {
            let is_final = failures.iter().all(|(_, failure)| failure.is_permanent());
            return Err(if is_final { Failure::permanent(refused) } else { Failure::temporary(refused) });
        }
        let said = format!("accepted for {taken} of {}", self.to.len());
        Ok(Reply { said, refused: Some(refused).filter(|refused| !refused.is_empty()) })
    }

    /// An error comes with whether the server has answered.
    async fn send_to(&self, recipient: &Address, mail: &Mail) -> Result<(), (Failure, bool)> {
        let envelope = lettre::address::Envelope::new(Some(self.from.email.clone()), vec![recipient.clone()])
            .map_err(|error| (Failure::permanent(error.to_string()), true))?;
        let sent = self.transport.send_raw(&envelope, &mail.formatted()).await;
        sent.map(|_| ()).map_err(|error| (self.failure(&error), error.status().is_some()))
    }

    fn failure(&self, error: &lettre::transport::smtp::Error) -> Failure {
        let password = self.password.iter().map(Secret::expose);
        let reason = redacted(&error.to_string(), password);
        if error.is_permanent() || error.is_client() {
            Failure::permanent(reason)
        } else {
            Failure::temporary(reason)
        }
    }

    fn compose(&self, message: &Message<'_>, sending: Sending) -> Result<Mail, Failure> {
        let domain = self.from.email.domain();
        let mut builder = Mail::builder()
            .from(self.from.clone())
            .date(sending.system_time())
            .subject(message.title())
            .message_id(Some(format!("<{}@{domain}>", message.id())))
            // All messages about a group are answers to one that was never sent, so that they form a thread.
            .references(format!("<{}@{domain}>", &message.thread()[..32]))
            .header(ContentType::TEXT_PLAIN)
            .raw_header(automatic());
        for recipient in &self.to {
            builder = builder.to(recipient.clone());
        }
        builder
            .body(text(message))
            .map_err(|error| Failure::permanent(format!("no mail can be made: {error}")))
    }
}

impl Security {
    fn port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }
}

fn mailbox(name: &str, text: &str) -> Result<Mailbox, String> {
    let is_clean = one_line(text) == text && text.is_ascii();
    let parsed = text.trim().parse().ok().filter(|_| is_clean);
    parsed.ok_or_else(|| format!("`{name}` `{}` is not an address like `ops@example.com`", one_line(text)))
}

fn tls(security: Security, host: &str, builder: &mut Builder<'_>) -> Option<Tls> {
    if security == Security::None {
        return Some(Tls::None);
    }
    let mut parameters =
        TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::WebpkiRoots);
    if let Some(path) = builder.ca_file.clone() {
        let refused = |reason: String| format!("`ca_file` `{}` {reason}", path.display());
        let read = std::fs::read(&path).map_err(|error| refused(format!("cannot be read: {error}")));
        let pem = builder.keep(read)?;
        let parsed = Certificate::from_pem(&pem).map_err(|error| refused(format!("cannot be used: {error}")));
        parameters = parameters.add_root_certificate(builder.keep(parsed)?);
    }
    let built = parameters.build_rustls().map_err(|error| format!("`host` `{host}` cannot be used: {error}"));
    let parameters = builder.keep(built)?;
    Some(match security {
        Security::Implicit => Tls::Wrapper(parameters),
        _ => Tls::Required(parameters),
    })
}

/// RFC 3834: nothing shall answer by itself.
fn automatic() -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned())
}

fn text(message: &Message<'_>) -> String {
    let mut text = format!("{}\n\n", message.title());
    for line in message.lines() {
        text.push_str(&line);
        text.push('\n');
    }
    for line in message.rest().into_iter().chain(message.link()) {
        text.push('\n');
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Most recipients of a receiver.
const RECIPIENTS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::notify::message::tests::{alert, notification};

    fn build(text: &str) -> Result<Email, Vec<String>> {
        let timeouts = Timeouts { connect: Duration::from_secs(1), total: Duration::from_secs(1) };
        let environment = |name: &str| (name == "SMTP_PASSWORD").then(|| "hunter2hunter2".to_owned());
        let mut builder = Builder {
            environment: &environment,
            timeouts,
            allow_http: false,
            ca_file: None,
            problems: Vec::new(),
        };
        let settings = toml::from_str(text).unwrap();
        let email = Email::build(settings, &mut builder);
        email.filter(|_| builder.problems.is_empty()).ok_or(builder.problems)
    }

    const PLAIN: &str = "host = '127.0.0.1'\ntls = 'none'\nfrom = 'TFT <tft@example.com>'\nto = ['ops@example.com', 'b@example.org']";

    #[test]
    fn a_mail_names_everybody_and_can_be_threaded() {
        let notification =
            notification(vec![alert("db-1", "critical", "firing"), alert("db-2", "warning", "resolved")]);
        let message = Message { notification: &notification, public_url: Some("https://tft.example.com") };
        let mail = build(PLAIN).unwrap().compose(&message, Sending { at: notification.at }).unwrap();
        let text = String::from_utf8(mail.formatted()).unwrap();
        for line in [
            "Subject: [FIRING:1] mem_used_pct_high on db-1".to_owned(),
            "To: ops@example.com, b@example.org".to_owned(),
            format!("Message-ID: <{}@example.com>", message.id()),
            format!("References: <{}@example.com>", &message.thread()[..32]),
            "Auto-Submitted: auto-generated".to_owned(),
            "[resolved] mem_used_pct_high on db-2: ".to_owned(),
            "https://tft.example.com/alerts/active".to_owned(),
        ] {
            assert!(text.contains(&format!("\r\n{line}")), "{line}: {text}");
        }
    }

    #[test]
    fn no_name_can_add_a_header() {
        let mut odd = alert("db-1", "critical", "firing");
        odd.rule = "x\r\nBcc: evil@example.com\r\n\r\nbody ü".into();
        let notification = notification(vec![odd]);
        let message = Message { notification: &notification, public_url: None };
        let mail = build(PLAIN).unwrap().compose(&message, Sending { at: notification.at }).unwrap();
        let text = String::from_utf8(mail.formatted()).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    }

    #[test]
    fn every_problem_is_named() {
        let problems =
            build("tls = 'none'\nfrom = 'nobody'\nusername = 'u'\nto = ['a@b.c', \"x@y.z\\nBcc: a@b.c\"]")
                .unwrap_err();
        insta::assert_snapshot!(problems.join("\n"), @"
        `host` is missing
        `tls` `none` is for a server on a loopback address only
        `from` `nobody` is not an address like `ops@example.com`
        `to` `x@y.z Bcc: a@b.c` is not an address like `ops@example.com`
        `username` and a password go together
        ");
        let problems = build("host = 'mail.example.com'\ntls = 'none'\nfrom = 'a@b.c'").unwrap_err();
        insta::assert_snapshot!(problems.join("\n"), @"
        `tls` `none` is for a server on a loopback address only
        `to` has 0 addresses, allowed are 1 to 20
        ");
        let email = build(
            "host = 'mail.example.com'\nfrom = 'a@b.c'\nto = ['a@b.c']\nusername = 'u'\npassword_env = 'SMTP_PASSWORD'",
        );
        assert!(!format!("{:?}", email.as_ref().unwrap()).contains("hunter2"), "{email:?}");
        assert_eq!(email.unwrap().target(), "smtp://mail.example.com:587");
    }
}
