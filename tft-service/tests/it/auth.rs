//! Keys: from where, with which scopes, and their replacement while requests come in.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tft_service::config::{AuthConfig, FailureStatus};
use tft_service::routes::ROUTES;

use crate::harness::{KEY, TestServer};
use crate::process::{Process, command, fails};

const A: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const B: &str = "7c6b5a4938271605f4e3d2c1b0a99887";

fn of_file(path: &Path) -> AuthConfig {
    let mut auth = AuthConfig::default();
    auth.keys.api_keys_file = Some(path.into());
    auth
}

fn of_list(list: &str) -> AuthConfig {
    let mut auth = AuthConfig::default();
    auth.keys.api_keys = Some(list.to_owned());
    auth
}

fn status(server: &TestServer, target: &str, key: &str) -> u16 {
    server.request("GET", target).header("X-API-Key", key).send().status
}

#[test]
fn no_route_answers_without_a_key_unless_it_is_open() {
    let server = TestServer::with(|config| config.rate_limits.authentication_failures = 1000);
    for route in ROUTES {
        let reply = server.request(route.method.as_str(), &route.path.replace(['{', '}'], "x")).send();
        assert_eq!(reply.status == 403, !route.is_open, "{} {}: {}", route.method, route.path, reply.body);
    }
}

#[test]
fn keys_of_all_sources_pass_and_several_headers_do_not() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("api_keys"), format!("# of the laboratory\nlab:{B}\n")).unwrap();
    let server = TestServer::with(|config| {
        config.auth = AuthConfig::with_key(&format!("{KEY}\n"));
        config.auth.keys.api_keys = Some(format!("ops:{A}"));
        config.auth.keys.credentials_directory = Some(directory.path().into());
    });
    for key in [KEY, A, B] {
        assert_eq!(status(&server, "/alerts/active", key), 200);
    }
    let twice = server.with_key("GET", "/alerts/active").header("X-API-Key", A);
    assert_eq!(twice.send().status, 403);
    let in_query = format!("/alerts/active?api_key={KEY}&X-API-Key={KEY}&key={KEY}");
    assert_eq!(server.request("GET", &in_query).send().status, 403);
    let as_bearer = server.request("GET", "/alerts/active").header("Authorization", &format!("Bearer {KEY}"));
    assert_eq!(as_bearer.send().status, 403);
}

#[test]
fn scopes_say_what_a_key_may_do() {
    let server = TestServer::with(|config| config.auth = of_list(&format!("r:{A}:read,w:{B}:write,{KEY}")));
    let feed = |key: &str| server.request("POST", "/feed/data").header("X-API-Key", key).json("{}").send();
    assert_eq!((status(&server, "/alerts/active", A), status(&server, "/alerts/active", B)), (200, 403));
    assert_eq!((feed(A).status, feed(B).status, feed(KEY).status), (403, 400, 400));
    let refused = feed(A);
    insta::assert_snapshot!(refused.body, @r#"{"detail":{"error":"insufficient_scope","scope":"write"}}"#);
    assert_eq!(refused.header("WWW-Authenticate"), None);
}

#[test]
fn strict_clients_get_401_with_a_challenge() {
    let server = TestServer::with(|config| config.auth.failure_status = FailureStatus::Unauthorized);
    let reply = server.request("GET", "/alerts/active").send();
    assert_eq!((reply.status, reply.header("WWW-Authenticate")), (401, Some("ApiKey header=\"X-API-Key\"")));
    assert!(reply.body.contains("Invalid or missing API key. Set TFT_API_KEY environment variable."));
}

#[test]
fn a_removed_key_is_refused_at_once_and_a_broken_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys");
    std::fs::write(&file, format!("ops:{A}\nlab:{B}\n")).unwrap();
    let server = TestServer::with(|config| config.auth = of_file(&file));
    assert_eq!(status(&server, "/alerts/active", A), 200);
    std::fs::write(&file, format!("lab:{B}\n")).unwrap();
    server.reload.reload();
    assert_eq!((status(&server, "/alerts/active", A), status(&server, "/alerts/active", B)), (403, 200));
    for broken in ["", "lab:short\n"] {
        std::fs::write(&file, broken).unwrap();
        server.reload.reload();
        assert_eq!((status(&server, "/alerts/active", A), status(&server, "/alerts/active", B)), (403, 200));
    }
}

#[test]
fn keys_rotate_under_load_without_a_failed_request() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let server = TestServer::with(|config| {
        config.auth = of_file(&file);
        config.rate_limits.alerts = 100_000;
    });
    let (is_over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(server.get("/alerts/active").status, 200);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // The new key comes before the old one goes, as the guide says.
        for round in 0..20 {
            let other = if round % 2 == 0 { A } else { B };
            let before = sent.load(Ordering::Relaxed);
            replace(&file, &format!("{KEY}\n{other}\n"));
            server.reload.reload();
            assert_eq!(status(&server, "/alerts/active", other), 200);
            assert_eq!(status(&server, "/alerts/active", if round % 2 == 0 { B } else { A }), 403);
            while sent.load(Ordering::Relaxed) == before {
                std::thread::yield_now();
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_hangup_and_a_changed_file_reload_the_keys_of_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys");
    replace(&file, &format!("ops:{A}\n"));
    let process = Process::start_with(directory.path(), |command| {
        command.env_remove("TFT_API_KEY").env("API_KEYS_FILE", &file);
        command.env("RATE_LIMIT_AUTH_FAILURES", "100000");
    });
    assert!(process.start.iter().any(|line| line.contains("keys=1") && line.contains("API_KEYS_FILE")));
    let status =
        |key: &str| process.request("GET", "/predictions/current").header("X-API-Key", key).send().status;
    let wait_for = |key: &str| {
        let deadline = Instant::now() + Duration::from_mins(1);
        while status(key) == 403 {
            assert!(Instant::now() < deadline, "the file was not read anew");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    assert_eq!((status(A), status(B)), (200, 403));
    // Nobody tells the program: it looks at the file.
    replace(&file, &format!("ops:{B}\n# changed\n"));
    wait_for(B);
    assert_eq!(status(A), 403);
    replace(&file, &format!("ops:{A}\n# changed again\n"));
    process.signal("HUP");
    wait_for(A);
    let (code, log) = process.stop("TERM");
    assert_eq!(code, Some(0));
    assert!(!log.iter().any(|line| line.contains(A) || line.contains(B)), "{log:?}");
}

#[test]
fn what_contradicts_itself_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let line = |variables: &[(&str, &str)]| {
        let mut command = command(directory.path());
        fails(command.envs(variables.iter().copied()).env("PORT", "0"))
    };
    insta::assert_snapshot!(line(&[("API_KEY_ENABLED", "true")]), @"tft-service: API_KEY_ENABLED is true and there is no key: set TFT_API_KEY or API_KEYS (`tft-service gen-key` makes one)");
    insta::assert_snapshot!(line(&[("API_KEY_ENABLED", "false"), ("TFT_API_KEY", A)]), @"tft-service: API_KEY_ENABLED is false and there are keys: remove them, or leave the setting out");
    insta::assert_snapshot!(line(&[("TFT_REQUIRE_AUTH", "1")]), @"tft-service: TFT_REQUIRE_AUTH is set and there are no keys or tokens: set TFT_API_KEY, API_KEYS or JWT_ENABLED");
    insta::assert_snapshot!(line(&[("TFT_API_KEY", A), ("TFT_API_KEY_FILE", "key")]), @"tft-service: TFT_API_KEY and TFT_API_KEY_FILE are both given: give one of them");
    insta::assert_snapshot!(line(&[("TFT_API_KEY", "your-secret-key-here")]), @"tft-service: TFT_API_KEY is a placeholder that everyone knows: make a key with `tft-service gen-key`");
    insta::assert_snapshot!(line(&[("API_KEYS", &format!("a:{A}::gold"))]), @"tft-service: a key names the tier `gold`, which RATE_LIMIT_TIERS does not have");
    insta::assert_snapshot!(line(&[("JWT_ENABLED", "1"), ("JWT_SECRET_KEY", "short")]), @"tft-service: JWT_SECRET_KEY has fewer than 32 bytes: make one with `tft-service gen-key`");
    let file = line(&[("API_KEYS_FILE", "no/such/file")]);
    assert!(file.contains("API_KEYS_FILE `no/such/file` cannot be read: No such file"), "{file}");
}

/// Replaces a file in one step, as those who rotate keys should.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}
