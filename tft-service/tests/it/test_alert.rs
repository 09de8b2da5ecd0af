//! `test-alert`: the real program tells receivers and says what they answered.

use std::path::Path;
use std::process::Command;

use crate::commands::run;
use crate::hook::Hook;
use crate::process::command;

pub(crate) fn test_alert(
    directory: &Path,
    change: impl FnOnce(&mut Command),
) -> (Option<i32>, String, String) {
    let mut command = command(directory);
    change(command.arg("test-alert"));
    run(&mut command)
}

#[test]
fn every_receiver_is_told_and_its_answer_printed() {
    let directory = tempfile::tempdir().unwrap();
    let (hook, chat, pager) =
        (Hook::answering(&["204 Nothing"]), Hook::answering(&["200 OK"]), Hook::answering(&["202 Accepted"]));
    let text = format!(
        "public_url = 'https://tft.example.com'
        [[receivers]]
        name = 'ops'
        type = 'webhook'
        url_file = 'hook-url'
        secret_env = 'HOOK_SECRET'
        [[receivers]]
        name = 'chat'
        type = 'slack'
        url_env = 'CHAT_URL'
        [[receivers]]
        name = 'pager'
        type = 'pagerduty'
        url = 'http://{}'
        routing_key_env = 'PAGER_KEY'",
        pager.address
    );
    std::fs::write(directory.path().join("receivers.toml"), text).unwrap();
    std::fs::write(directory.path().join("hook-url"), format!("http://{}/in/HOOKTOKEN1\n", hook.address))
        .unwrap();
    let told = |change: &dyn Fn(&mut Command)| {
        test_alert(directory.path(), |command| {
            command
                .env("TFT_NOTIFY_CONFIG", "receivers.toml")
                .env("HOOK_SECRET", "0f1e2d3c4b5a69788796a5b4c3d2e1f0");
            command.env("CHAT_URL", format!("http://{}/services/CHATTOKEN1", chat.address));
            change(command.env("PAGER_KEY", "ROUTINGKEY1234567890123456789012"));
        })
    };
    let (code, out, log) = told(&|_| ());
    assert_eq!(code, Some(0), "{out}{log}");
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 4, "{out}");
    assert!(
        lines[0].starts_with(&format!("ok     ops (webhook, http://{}) firing: 204 (", hook.address)),
        "{out}"
    );
    assert!(lines[3].contains("pager (pagerduty, ") && lines[3].contains(") resolved: 202"), "{out}");
    for secret in ["HOOKTOKEN1", "CHATTOKEN1", "ROUTINGKEY", "0f1e2d3c"] {
        assert!(!out.contains(secret) && !log.contains(secret), "{secret}: {out}{log}");
    }
    let posted = hook.next();
    assert!(posted.head.starts_with("POST /in/HOOKTOKEN1 HTTP/1.1\r\n"), "{}", posted.head);
    assert!(posted.header("webhook-signature").unwrap().starts_with("v1,"));
    assert_eq!(posted.json()["alerts"][0]["labels"]["alertname"], "test_alert");
    assert!(chat.next().json()["text"].as_str().unwrap().contains("test_alert"));
    let events: Vec<_> =
        [pager.next(), pager.next()].iter().map(|posted| posted.json()["event_action"].clone()).collect();
    assert_eq!(events, ["trigger", "resolve"]);

    let (code, out, _) = told(&|command| {
        command.args(["--receiver", "chat"]);
    });
    assert_eq!((code, out.lines().count()), (Some(0), 1), "{out}");
    let (code, _, log) = told(&|command| {
        command.args(["--receiver", "nobody"]);
    });
    assert_eq!(code, Some(1));
    assert!(log.contains("--receiver `nobody` is not the name of a receiver"), "{log}");
}

#[test]
fn a_receiver_that_was_not_told_is_named_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    for (head, expected) in [
        ("404 Not Found", "answered with 404: ok"),
        (
            "302 Found\r\nLocation: http://127.0.0.1:1/",
            "answered with 302, and redirects are not followed: ok",
        ),
        ("503 Busy", "answered with 503: ok"),
    ] {
        let hook = Hook::answering(&[head]);
        let (code, out, _) = test_alert(directory.path(), |command| {
            command.env("ALERT_WEBHOOK_URL", format!("http://{}/TOKEN12345", hook.address));
        });
        assert_eq!(code, Some(1), "{out}");
        let line = format!("FAILED webhook (webhook, http://{}) firing: {expected} (", hook.address);
        assert!(out.starts_with(&line), "{out}");
        hook.next();
        assert!(hook.try_next().is_none(), "a test is one attempt");
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, out, _) = test_alert(directory.path(), |command| {
        command.env("ALERT_SLACK_WEBHOOK_URL", format!("http://{nobody}/"));
    });
    assert!(code == Some(1) && out.contains("cannot connect: Connection refused"), "{out}");
}

#[test]
fn a_reply_that_repeats_a_secret_is_not_repeated() {
    use std::io::Write;

    let directory = tempfile::tempdir().unwrap();
    let hook = Hook::with(|mut stream, send| {
        let posted = crate::hook::read(&mut stream).unwrap();
        let body = format!("{} {}", posted.head, posted.body).replace(['\r', '\n'], " ");
        let length = body.len();
        let _ =
            write!(stream, "HTTP/1.1 400 Bad\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        send(posted);
    });
    let (code, out, log) = test_alert(directory.path(), |command| {
        command.env("ALERT_WEBHOOK_URL", format!("http://{}/TOKEN12345?key=QUERY12345", hook.address));
    });
    assert_eq!(code, Some(1));
    assert!(out.contains("answered with 400: POST /…?key=…"), "{out}");
    assert!(!log.contains("TOKEN12345") && !log.contains("QUERY12345"), "{log}");
}

#[test]
fn what_cannot_be_used_is_refused_all_at_once_by_check_too() {
    let directory = tempfile::tempdir().unwrap();
    let text = "[[receivers]]\nname = 'a'\ntype = 'pigeon'\n[[receivers]]\nname = 'b'\ntype = 'slack'\nurl_env = 'PLAIN'\n";
    std::fs::write(directory.path().join("receivers.toml"), text).unwrap();
    for name in ["check", "test-alert"] {
        let mut command = command(directory.path());
        let (code, _, log) = run(command
            .args([name, "--notify-config", "receivers.toml"])
            .env("PLAIN", "http://10.0.0.1/TOKEN12345"));
        assert_eq!(code, Some(1), "{log}");
        assert!(
            log.contains("receiver `a`: `type` `pigeon` is none of")
                && log.contains("receiver `b`: `url` is plain HTTP"),
            "{log}"
        );
        assert!(!log.contains("TOKEN12345"), "{log}");
    }
    let (code, _, log) = test_alert(directory.path(), |_| ());
    assert!(code == Some(1) && log.contains("names no receiver"), "{log}");
}

#[cfg(feature = "tls")]
#[test]
fn a_certificate_counts_if_somebody_vouches_for_it() {
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    use std::io::Write;

    let directory = tempfile::tempdir().unwrap();
    let server = |names: &[&str]| {
        let pair = crate::tls::Pair::for_names(names);
        let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let hook = Hook::with(move |stream, send| {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            let Some(posted) = crate::hook::read(&mut stream) else { return };
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            send(posted);
        });
        (pair, hook)
    };
    let (pair, hook) = server(&["localhost"]);
    let (_, other_name) = server(&["other.example.com"]);
    std::fs::write(directory.path().join("ca.pem"), &pair.certificate).unwrap();
    let tell = |hook: &Hook, ca: bool| {
        test_alert(directory.path(), |command| {
            command.env("ALERT_WEBHOOK_URL", format!("https://localhost:{}/TOKEN12345", hook.address.port()));
            if ca {
                command.env("ALERT_CA_FILE", "ca.pem");
            }
        })
    };
    let (code, out, _) = tell(&hook, false);
    assert!(
        code == Some(1) && out.contains("cannot connect: invalid peer certificate: UnknownIssuer"),
        "{out}"
    );
    assert!(hook.try_next().is_none(), "something was sent to somebody unknown");
    let (code, out, _) = tell(&hook, true);
    assert_eq!(code, Some(0), "{out}");
    assert!(hook.next().head.contains("/TOKEN12345"));
    let (code, out, _) = tell(&other_name, true);
    assert!(code == Some(1) && out.contains("invalid peer certificate"), "{out}");
}
