//! Tokens: who made them, for how long, for whom, and what they allow.

use std::process::{Command, Stdio};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tft_service::config::TokenSources;

use crate::client::Reply;
use crate::harness::TestServer;
use crate::process::{Process, command};

const SECRET: &str = "5d8a1f0c7b3e46929ce4d7f1a0b8c635";

/// 2026-01-05T12:02:00Z, when the test clock starts.
const NOW_S: i64 = 1_767_614_520;

fn with_tokens(change: impl FnOnce(&mut TokenSources)) -> TestServer {
    TestServer::with(|config| {
        let mut tokens = TokenSources::default();
        tokens.secret = Some(SECRET.to_owned());
        change(&mut tokens);
        config.auth.tokens = Some(tokens);
        config.rate_limits.authentication_failures = 1000;
    })
}

fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

fn signed(claims: &Value) -> String {
    sign(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes()))
}

fn ask(server: &TestServer, token: &str) -> Reply {
    server.request("GET", "/alerts/active").header("Authorization", &format!("Bearer {token}")).send()
}

/// The description of a refusal's challenge, or the status of a reply without one.
fn refusal(reply: &Reply) -> String {
    let challenge = reply.header("WWW-Authenticate").unwrap_or_default();
    match challenge.strip_prefix("Bearer error=\"invalid_token\", error_description=\"the token") {
        Some(text) if reply.status == 401 => text.trim_matches(['"', ' ']).to_owned(),
        _ => reply.status.to_string(),
    }
}

fn claims(changes: &Value) -> Value {
    let mut claims = json!({ "sub": "ops", "scope": "read", "exp": NOW_S + 600 });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn tokens_and_keys_are_accepted_together() {
    let server = with_tokens(|_| ());
    assert_eq!(ask(&server, &signed(&claims(&json!({})))).status, 200);
    assert_eq!(server.get("/alerts/active").status, 200);
    let nothing = server.request("GET", "/alerts/active").send();
    assert_eq!((nothing.status, nothing.header("WWW-Authenticate")), (401, Some("Bearer")));
    let wrong_key = server.request("GET", "/alerts/active").header("X-API-Key", "wrong").send();
    assert_eq!(wrong_key.status, 403);
    let basic = server.request("GET", "/alerts/active").header("Authorization", "Basic b3BzOm9wcw==").send();
    assert_eq!((basic.status, basic.header("WWW-Authenticate")), (401, Some("Bearer")));
}

#[test]
fn what_a_token_must_say_is_checked_with_the_services_clock() {
    let server = with_tokens(|_| ());
    let told = |changes: Value| refusal(&ask(&server, &signed(&claims(&changes))));
    assert_eq!(told(json!({ "exp": NOW_S + 86_400, "nbf": NOW_S })), "200");
    assert_eq!(told(json!({ "exp": NOW_S - 60 })), "has expired");
    assert_eq!(told(json!({ "exp": null })), "has no 'exp'");
    assert_eq!(told(json!({ "exp": NOW_S + 86_460 })), "'s 'exp' is more than 24 hours ahead");
    assert_eq!(told(json!({ "nbf": NOW_S + 61 })), "'s 'nbf' is in the future");
    assert_eq!(told(json!({ "sub": null })), "has no 'sub' of 1 to 256 printable bytes");
    let token = signed(&claims(&json!({})));
    assert_eq!(ask(&server, &token).status, 200);
    server.clock.advance(std::time::Duration::from_mins(11));
    assert_eq!(refusal(&ask(&server, &token)), "has expired");
}

#[test]
fn issuer_and_audience_count_when_configured() {
    let server = with_tokens(|tokens| {
        tokens.issuer = Some("https://id.example.com".into());
        tokens.audience = Some("tft".into());
    });
    let told =
        |iss: &str, aud: Value| refusal(&ask(&server, &signed(&claims(&json!({ "iss": iss, "aud": aud })))));
    assert_eq!(told("https://id.example.com", json!(["tft"])), "200");
    assert_eq!(told("https://evil.example.com", json!("tft")), "'s 'iss' is not the configured issuer");
    assert_eq!(
        told("https://id.example.com", json!("other")),
        "'s 'aud' does not name the configured audience"
    );
}

#[test]
fn scopes_are_those_of_the_token() {
    let server = with_tokens(|_| ());
    let feed = |changes: Value| {
        let bearer = format!("Bearer {}", signed(&claims(&changes)));
        server.request("POST", "/feed/data").header("Authorization", &bearer).json("{}").send()
    };
    let refused = feed(json!({}));
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.header("WWW-Authenticate"),
        Some("Bearer error=\"insufficient_scope\", scope=\"write\"")
    );
    assert!(refused.body.contains("insufficient_scope"));
    assert_eq!(feed(json!({ "scopes": ["read", "write"] })).status, 400);
    assert_eq!(feed(json!({ "scope": "admin" })).status, 400);
}

#[test]
fn the_token_does_not_choose_its_algorithm() {
    let server = with_tokens(|_| ());
    let good = claims(&json!({}));
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let told = |token: &str| refusal(&ask(&server, token));
    let signature = "is not signed with the configured key and algorithm";
    assert_eq!(told(&sign(&Header::new(Algorithm::HS384), &good, &secret)), signature);
    assert_eq!(told(&sign(&Header::default(), &good, &EncodingKey::from_secret(&[7; 32]))), signature);
    let token = signed(&good);
    let (message, _) = token.rsplit_once('.').unwrap();
    let payload = message.split_once('.').unwrap().1;
    // {"alg":"none"} and {"alg":"HS256"} with nothing signed.
    for unsigned in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiJ9"] {
        assert_eq!(ask(&server, &format!("{unsigned}.{payload}.")).status, 401);
    }
    let other = signed(&claims(&json!({ "sub": "admin", "scope": "admin" })));
    let mixed = format!("{}.{}", other.rsplit_once('.').unwrap().0, token.rsplit_once('.').unwrap().1);
    assert_eq!(told(&mixed), signature);
}

/// The pairs were made with `openssl genpkey`, the public halves with `openssl pkey -pubout`.
#[test]
fn public_keys_of_each_kind_verify_and_are_no_secrets() {
    let directory = tempfile::tempdir().unwrap();
    for (kind, options, algorithm) in [
        ("RSA", "rsa_keygen_bits:2048", Algorithm::RS256),
        ("EC", "ec_paramgen_curve:P-256", Algorithm::ES256),
        ("ED25519", "", Algorithm::EdDSA),
    ] {
        let Some((public, private)) = key_pair(directory.path(), kind, options) else {
            eprintln!("skipped: there is no openssl program to make {kind} keys with");
            return;
        };
        let server = with_tokens(|tokens| {
            tokens.secret = None;
            tokens.public_key_file = Some(public.clone());
        });
        let key = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_der(&private),
            Algorithm::ES256 => EncodingKey::from_ec_der(&private),
            _ => EncodingKey::from_ed_der(&private),
        };
        let token = sign(&Header::new(algorithm), &claims(&json!({})), &key);
        assert_eq!(ask(&server, &token).status, 200, "{kind}");
        // The public key is known to everyone: it must not pass as the secret of another algorithm.
        let pem = std::fs::read(&public).unwrap();
        for secret in [pem.clone(), pem.trim_ascii().to_vec()] {
            let forged = sign(&Header::default(), &claims(&json!({})), &EncodingKey::from_secret(&secret));
            assert_eq!(
                refusal(&ask(&server, &forged)),
                "is not signed with the configured key and algorithm"
            );
        }
    }
}

/// Makes a key pair: the file of the public key, and the private key in the form that signing takes.
fn key_pair(directory: &std::path::Path, kind: &str, option: &str) -> Option<(std::path::PathBuf, Vec<u8>)> {
    let (private, public) = (directory.join(format!("{kind}.der")), directory.join(format!("{kind}.pem")));
    let openssl = |args: &[&str]| {
        let done = Command::new("openssl").args(args).stderr(Stdio::null()).output().ok()?;
        done.status.success().then_some(done.stdout)
    };
    let mut args = vec!["genpkey", "-algorithm", kind, "-outform", "DER", "-out", private.to_str()?];
    if !option.is_empty() {
        args.extend(["-pkeyopt", option]);
    }
    openssl(&args)?;
    let read = ["pkey", "-inform", "DER", "-in", private.to_str()?];
    openssl(&[&read[..], &["-pubout", "-out", public.to_str()?]].concat())?;
    let signing = match kind {
        "RSA" => {
            openssl(&["rsa", "-inform", "DER", "-in", private.to_str()?, "-traditional", "-outform", "DER"])?
        }
        _ => openssl(&[
            "pkcs8",
            "-topk8",
            "-nocrypt",
            "-inform",
            "DER",
            "-in",
            private.to_str()?,
            "-outform",
            "DER",
        ])?,
    };
    Some((public, signing))
}

#[test]
fn the_program_mints_tokens_and_makes_keys() {
    let directory = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = command(directory.path());
        let output =
            command.args(args).env("JWT_SECRET_KEY", SECRET).stdout(Stdio::piped()).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    };
    let (is_made, key) = run(&["gen-key"]);
    assert!(is_made && key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    let (is_made, token) = run(&["mint-token", "--sub", "ops", "--scope", "read"]);
    assert!(is_made);
    let process = Process::start_with(directory.path(), |command| {
        command.env("TFT_API_KEY", &key).env("JWT_ENABLED", "true").env("JWT_SECRET_KEY", SECRET);
    });
    let alerts = || process.request("GET", "/alerts/active");
    assert_eq!(alerts().header("X-API-Key", &key).send().status, 200);
    assert_eq!(alerts().header("Authorization", &format!("Bearer {token}")).send().status, 200);
    let feed = process.request("POST", "/feed/data").header("Authorization", &format!("Bearer {token}"));
    assert_eq!(feed.json("{}").send().status, 403);
    for wrong in [&["--scope", "root"][..], &["--scope", "read", "--minutes", "1441"], &["--scope", ""]] {
        assert!(!run(&[&["mint-token", "--sub", "ops"], wrong].concat()).0, "{wrong:?}");
    }
}
