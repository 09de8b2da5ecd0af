//! Mail to a real SMTP server: aiosmtpd, which is a Debian package.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::test_alert::test_alert;
use crate::tls::Pair;

/// A mail server of the test's own; killed when dropped.
struct MailServer {
    child: Child,
    port: u16,
    output: BufReader<ChildStdout>,
}

impl MailServer {
    /// Starts one; none where there is no aiosmtpd.
    fn start(arguments: &[&str]) -> Option<Self> {
        let has_aiosmtpd = |python: &&str| {
            let mut command = Command::new(python);
            command.args(["-c", "import aiosmtpd"]).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let Some(python) = ["/usr/bin/python3", "python3"].into_iter().find(has_aiosmtpd) else {
            eprintln!("skipped: there is no aiosmtpd to send mail to");
            return None;
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/smtp_server.py");
        let mut child =
            Command::new(python).arg(script).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("the mail server did not start: {line}"));
        Some(Self { child, port, output })
    }

    /// The next message that it took.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no message: {line}"))
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mail(directory: &Path, server: &MailServer, to: &str, more: &[(&str, &str)]) -> (Option<i32>, String) {
    let (code, out, _) = test_alert(directory, |command| {
        command.env("ALERT_EMAIL_TO", to).env("ALERT_EMAIL_FROM", "TFT <tft@example.com>");
        command.env("SMTP_HOST", "localhost").env("SMTP_PORT", server.port.to_string());
        command.envs(more.iter().copied());
    });
    (code, out)
}

#[test]
fn a_mail_reaches_everybody_who_can_be_reached() {
    let Some(mut server) = MailServer::start(&["plain"]) else { return };
    let directory = tempfile::tempdir().unwrap();
    let plain = [("SMTP_TLS", "none")];
    let (code, out) = mail(directory.path(), &server, "a@example.com, b@example.org", &plain);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("firing: accepted for 2 of 2 ("), "{out}");
    for to in ["a@example.com", "b@example.org"] {
        let taken = server.next();
        assert_eq!((&taken["from"], &taken["to"]), (&"tft@example.com".into(), &vec![to].into()));
        let text = taken["text"].as_str().unwrap();
        for line in [
            "Subject: [FIRING:1] test_alert on tft-service",
            "Auto-Submitted: auto-generated",
            "nothing is wrong",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
    let (code, out) = mail(directory.path(), &server, "x@refused.example.com, a@example.com", &plain);
    assert_eq!(code, Some(1), "somebody was not told: {out}");
    assert!(
        out.contains("accepted for 1 of 2; x@refused.example.com: ") && out.contains("no such mailbox"),
        "{out}"
    );
    assert_eq!(server.next()["to"][0], "a@example.com");
    let (code, out) = mail(directory.path(), &server, "x@busy.example.com", &plain);
    assert!(code == Some(1) && out.contains("come back later"), "{out}");
}

#[test]
fn encryption_is_not_given_up() {
    let Some(server) = MailServer::start(&["plain"]) else { return };
    let directory = tempfile::tempdir().unwrap();
    let (code, out) = mail(directory.path(), &server, "a@example.com", &[]);
    assert!(
        code == Some(1) && out.contains("FAILED email (email, smtp://localhost:"),
        "a server without STARTTLS: {out}"
    );
    assert!(out.to_ascii_uppercase().contains("STARTTLS"), "{out}");
}

#[test]
fn both_ways_of_encryption_verify_the_server_and_log_in() {
    let directory = tempfile::tempdir().unwrap();
    let files = Pair::for_names(&["localhost"]).write(directory.path());
    let files = [files.certificate.to_str().unwrap(), files.key.to_str().unwrap()];
    for mode in ["starttls", "implicit"] {
        let Some(mut server) = MailServer::start(&[mode, files[0], files[1]]) else { return };
        let login = [
            ("SMTP_TLS", mode),
            ("SMTP_USERNAME", "tft"),
            ("SMTP_PASSWORD", "hunter2-hunter2"),
            ("ALERT_CA_FILE", files[0]),
        ];
        let (code, out) = mail(directory.path(), &server, "a@example.com", &login);
        assert_eq!(code, Some(0), "{mode}: {out}");
        let taken = server.next();
        assert_eq!((&taken["tls"], &taken["login"]), (&true.into(), &true.into()), "{mode}");
        let (code, out) = mail(directory.path(), &server, "a@example.com", &login[..3]);
        assert!(code == Some(1) && out.contains("certificate"), "{mode}, unknown issuer: {out}");
        let mut wrong = login;
        wrong[2].1 = "wrong-password-1";
        let (code, out) = mail(directory.path(), &server, "a@example.com", &wrong);
        assert!(code == Some(1) && out.contains("535") && !out.contains("wrong-password"), "{mode}: {out}");
    }
}
