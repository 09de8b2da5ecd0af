//! Live streams over WebSocket: who may have one, what is said, and what ends it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tft_core::time::Timestamp;
use tft_service::config::AuthConfig;
use tft_service::{Config, StreamProtocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{KEY, TestServer, history};
use crate::websocket::Client;

fn fleet(server: &TestServer) {
    let (first, second) = (history("ppdb001", 10, |_| 20.0), history("ppml0002", 10, |_| 30.0));
    server.feed_records(&[first, second].concat());
    server.predictions_of(20);
}

/// Feeds a server's step that begins so long after the last one of `history`.
fn feed_step(server: &TestServer, name: &str, minutes: i64, busy: f64) {
    let at = Timestamp::parse("2026-01-05T12:00:00Z").unwrap().plus_millis(minutes * 60_000);
    let record = json!({
        "timestamp": at.to_string(), "server_name": name, "status": "OK",
        "cpu_user_pct": busy, "cpu_idle_pct": 100.0 - busy, "mem_used_pct": 60.0, "load_average": 4.0,
    });
    server.feed_records(&[record]);
}

/// Feeds steps of both servers, one of them as busy as told, until a message comes that is wanted.
async fn feed_until(
    server: &TestServer,
    client: &mut Client,
    minutes: &mut i64,
    busy: f64,
    state: &str,
) -> Value {
    for _ in 0..40 {
        *minutes += 5;
        server.clock.advance(Duration::from_mins(5));
        feed_step(server, "ppdb001", *minutes, busy);
        feed_step(server, "ppml0002", *minutes, 30.0);
        while let Some(message) = client.next_before_update(server).await {
            let alert = &message["alert"];
            // The clock jumps, also while a forecast is made, which the service then finds old.
            if message["type"] == "alert" && alert["state"] == state && alert["server"] != "tft-service" {
                return message;
            }
        }
    }
    panic!("no alert became {state}");
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_key_in_the_header_opens_a_stream_and_the_query_does_not() {
    let server = TestServer::start();
    fleet(&server);
    server.block_on(async {
        let mut client = Client::with_key(&server).await;
        let first = client.next_of("initial_data").await;
        assert_eq!(
            keys(&first),
            ["alerts", "environment", "servers", "summary", "tick", "timestamp", "type"]
        );
        assert_eq!(first["summary"]["total_servers"], 2);
        assert_eq!(keys(&first["servers"]), ["ppdb001", "ppml0002"]);
        assert_eq!(first["servers"]["ppdb001"]["current"]["cpu_user_pct"], 20.0);
        assert!(first["timestamp"].as_str().unwrap().ends_with('Z'));
        assert_eq!(server.streams.clients(StreamProtocol::WebSocket), 1);
        for wrong in [&[("x-api-key", "wrong-key-of-some-length")][..], &[("x-api-key", "")]] {
            assert_eq!(Client::open(server.address, wrong).await.err(), Some(403));
        }
    });
    let reply = server.request("GET", &format!("/ws?api_key={KEY}")).send();
    assert_eq!(reply.status, 403);
}

#[test]
fn the_first_message_may_have_the_key() {
    let server = TestServer::start();
    server.block_on(async {
        let mut client = Client::open(server.address, &[]).await.unwrap();
        client.send(json!({"type": "auth", "api_key": format!(" {KEY}\n")})).await;
        client.next_of("initial_data").await;
        insta::assert_snapshot!(client.refused(json!({"type": "auth", "api_key": KEY})).await, @"already_authenticated: the stream is authenticated already");
        for (first, reason) in [
            (json!({"type": "auth", "api_key": "wrong-key-of-some-length"}), "invalid or missing API key"),
            (json!({"type": "auth", "api_key": "line\nbreak"}), "invalid or missing API key"),
            (json!({"type": "auth", "token": "a.b.c"}), "invalid or missing API key"),
            (json!({"type": "auth"}), "invalid or missing API key"),
            (json!({"type": "ping"}), "the first message must be `auth`"),
        ] {
            let mut client = Client::open(server.address, &[]).await.unwrap();
            client.send(first).await;
            assert_eq!(client.ended().await, (1008, reason.to_owned()));
        }
    });
}

#[test]
fn who_does_not_authenticate_in_time_is_sent_away() {
    let server = TestServer::with(|config| config.stream.auth_timeout = Duration::from_millis(50));
    server.block_on(async {
        let mut client = Client::open(server.address, &[]).await.unwrap();
        assert_eq!(client.ended().await, (1008, "not authenticated in time".to_owned()));
    });
}

#[test]
fn a_key_that_a_reload_removes_ends_its_streams_and_no_others() {
    let keys = tempfile::NamedTempFile::new().unwrap();
    let other = KEY.replace('3', "4");
    std::fs::write(keys.path(), format!("ops:{KEY}\nlab:{other}\n")).unwrap();
    let server = TestServer::with(|config| {
        config.auth = AuthConfig::default();
        config.auth.keys.api_keys_file = Some(keys.path().into());
    });
    server.block_on(async {
        let mut removed = Client::with_key(&server).await;
        let mut kept = Client::open(server.address, &[("x-api-key", &other)]).await.unwrap();
        std::fs::write(keys.path(), format!("lab:{other}\n")).unwrap();
        server.reload.reload();
        assert_eq!(removed.ended().await, (1008, "the key or token is not valid any more".to_owned()));
        kept.send(json!({"type": "ping"})).await;
        kept.next_of("pong").await;
    });
}

#[test]
fn pages_of_other_origins_get_no_stream() {
    let server = TestServer::start();
    server.block_on(async {
        let origin = |origin: &'static str| [("origin", origin), ("x-api-key", KEY)];
        assert_eq!(Client::open(server.address, &origin("https://evil.com")).await.err(), Some(403));
        assert_eq!(Client::open(server.address, &[("origin", "https://evil.com")]).await.err(), Some(403));
        assert!(Client::open(server.address, &origin("http://localhost:8501")).await.is_ok());
        assert!(Client::open(server.address, &[("origin", "http://localhost:8501")]).await.is_ok());
    });
}

#[test]
fn a_subscription_really_filters() {
    let server = TestServer::start();
    fleet(&server);
    server.block_on(async {
        let mut client = Client::with_key(&server).await;
        let confirmed = client.subscribe(json!(["servers", "predictions"]), json!(["ppdb001", "web9"])).await;
        assert_eq!(confirmed["streams"], json!(["servers", "predictions"]));
        assert_eq!(confirmed["unknown_servers"], json!(["web9"]));
        let state = client.next_of("initial_data").await;
        assert_eq!(keys(&state), ["predictions", "servers", "tick", "timestamp", "type"]);
        assert_eq!(
            (keys(&state["servers"]), keys(&state["predictions"])),
            (vec!["ppdb001"], vec!["ppdb001"])
        );
        assert!(state["predictions"]["ppdb001"]["cpu_user_pct"]["p50"].is_array());
        feed_step(&server, "ppml0002", 5, 99.0);
        let update = client.next_in_time(&server, "data_update").await;
        assert_eq!(keys(&update), ["predictions", "servers", "tick", "timestamp", "type"]);
        assert_eq!(keys(&update["servers"]), ["ppdb001"]);
        client.subscribe(json!([]), json!(null)).await;
        assert_eq!(keys(&client.next_of("initial_data").await), ["tick", "timestamp", "type"]);
    });
}

#[test]
fn alerts_arrive_when_they_fire_and_when_they_end() {
    let server = TestServer::start();
    fleet(&server);
    server.block_on(async {
        let (mut all, mut other) = (Client::with_key(&server).await, Client::with_key(&server).await);
        assert_eq!(all.next_of("initial_data").await["alerts"], json!([]));
        other.subscribe(json!(["alerts", "summary"]), json!(["ppml0002"])).await;
        let mut minutes = 0;
        let alert = feed_until(&server, &mut all, &mut minutes, 99.0, "firing").await;
        assert_eq!(alert["alert"]["server"], "ppdb001");
        assert_eq!(alert["previous_state"], json!(null));
        let mut late = Client::with_key(&server).await;
        let known = late.next_of("initial_data").await;
        assert_eq!(known["alerts"][0]["server"], "ppdb001");
        let end = feed_until(&server, &mut all, &mut minutes, 1.0, "resolved").await;
        assert_eq!((&end["alert"]["server"], &end["previous_state"]), (&json!("ppdb001"), &json!("firing")));
        other.send(json!({"type": "ping"})).await;
        while let Some(Ok(Message::Text(text))) = other.socket.next().await {
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["type"] == "pong" {
                break;
            }
            assert!(message["type"] != "alert" || message["alert"]["server"] == "ppml0002", "{message}");
        }
    });
}

#[test]
fn rows_of_closed_steps_are_the_newest_ones_asked_for() {
    let server = TestServer::start();
    fleet(&server);
    server.block_on(async {
        let mut client = Client::with_key(&server).await;
        client.send(json!({"type": "request_data", "limit": 3})).await;
        let reply = client.next_of("data_response").await;
        let rows: Vec<_> = reply["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (&row["timestamp"], &row["server_name"]))
            .collect();
        let names = ["ppdb001", "ppml0002", "ppdb001"].map(|name| json!(name));
        assert_eq!(rows.iter().map(|row| row.1).collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
        assert!(rows[0].0 == rows[1].0 && rows[1].0.as_str() > rows[2].0.as_str());
        assert_eq!(reply["rows"][0]["cpu_user_pct"], 20.0);
        assert_eq!(reply["count"], 3);
        client.subscribe(json!(null), json!(["ppml0002"])).await;
        client.send(json!({"type": "request_data", "limit": 1000})).await;
        let reply = client.next_of("data_response").await;
        assert!(reply["rows"].as_array().unwrap().iter().all(|row| row["server_name"] == "ppml0002"));
        assert!((9..=10).contains(&reply["count"].as_u64().unwrap()), "{reply}");
    });
}

#[test]
fn what_cannot_be_carried_out_is_answered_and_the_stream_goes_on() {
    let server = TestServer::start();
    server.block_on(async {
        let mut client = Client::with_key(&server).await;
        insta::assert_snapshot!(client.refused(json!({"type": "shout"})).await, @"unknown_type: there is no message `shout`, there are auth, ping, subscribe and request_data");
        insta::assert_snapshot!(client.refused(json!({"type": "request_data", "limit": 1001})).await, @"invalid_limit: limit `1001` is not a number of rows, 1 to 1000");
        insta::assert_snapshot!(client.refused(json!([1])).await, @"malformed: the message cannot be read: a field is missing or of another type, column 2");
        let many: Vec<_> = (0..501).map(|number| format!("db{number}")).collect();
        insta::assert_snapshot!(client.refused(json!({"type": "subscribe", "servers": many})).await, @"invalid_subscription: 501 servers are named, allowed are at most 500");
        client.send(json!({"type": "ping"})).await;
        client.next_of("pong").await;
    });
}

#[test]
fn a_flood_of_messages_ends_the_stream() {
    let server = TestServer::with(|config| config.stream.messages_per_second_max = 5);
    server.block_on(async {
        let mut client = Client::with_key(&server).await;
        for _ in 0..20 {
            let _ = client.socket.send(Message::Ping(Vec::new().into())).await;
        }
        assert_eq!(client.ended().await, (1008, "too many messages".to_owned()));
    });
}

#[test]
fn heartbeats_come_and_who_answers_no_pings_is_dropped() {
    let server = TestServer::with(|config| config.stream.heartbeat_interval = Duration::from_millis(100));
    server.block_on(async {
        let mut client = Client::with_key(&server).await;
        for _ in 0..4 {
            client.next_of("heartbeat").await;
        }
        let mut silent = tokio::net::TcpStream::connect(server.address).await.unwrap();
        silent.write_all(handshake(&server).as_bytes()).await.unwrap();
        let mut read = Vec::new();
        tokio::time::timeout(Duration::from_secs(20), silent.read_to_end(&mut read)).await.unwrap().unwrap();
        assert!(read.ends_with(b"no answer to pings"));
    });
}

/// A client that opens a stream and leaves what it is sent unread, until it is told otherwise.
#[test]
fn a_slow_reader_is_dropped_and_the_others_go_on() {
    let server = TestServer::with(|config| {
        config.stream.send_timeout = Duration::from_millis(300);
        config.stream.close_timeout = Duration::from_millis(100);
    });
    let names = (0..200).map(|number| history(&format!("db{number}"), 1, |_| 20.0));
    server.feed_records(&names.flatten().collect::<Vec<_>>());
    server.predictions_of(200);
    server.block_on(async {
        let mut other = Client::with_key(&server).await;
        let mut slow = Client::with_key(&server).await;
        // Asks for megabytes, until what nobody reads fills every buffer on the way.
        let mut asked = 0;
        while server.streams.dropped() == 0 {
            assert!(asked < 200, "the client is never dropped");
            let ask = json!({"type": "subscribe", "streams": ["predictions"]}).to_string();
            let _ =
                tokio::time::timeout(Duration::from_millis(100), slow.socket.send(Message::text(ask))).await;
            asked += 1;
            other.send(json!({"type": "ping"})).await;
            other.next_of("pong").await;
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        other.send(json!({"type": "ping"})).await;
        other.next_of("pong").await;
    });
    assert_eq!(server.streams.dropped(), 1);
}

#[test]
fn places_are_limited_for_all_for_each_key_and_for_strangers() {
    let server = TestServer::with(|config| {
        config.stream.clients_max = 4;
        config.stream.clients_per_principal_max = 2;
        config.stream.clients_pending_max = 1;
    });
    server.block_on(async {
        let held = [Client::with_key(&server).await, Client::with_key(&server).await];
        assert_eq!(Client::open(server.address, &[("x-api-key", KEY)]).await.err(), Some(429));
        let mut stranger = Client::open(server.address, &[]).await.unwrap();
        assert_eq!(Client::open(server.address, &[]).await.err(), Some(503));
        stranger.send(json!({"type": "auth", "api_key": KEY})).await;
        assert_eq!(stranger.ended().await, (1008, "too many streams of this key or address".to_owned()));
        drop(held);
        // Places come back when the service notices.
        while server.streams.clients(StreamProtocol::WebSocket) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(Client::open(server.address, &[("x-api-key", KEY)]).await.is_ok());
    });
}

#[test]
fn stopping_ends_streams_at_once_and_says_so() {
    let server = TestServer::with(|config: &mut Config| config.limits.drain_timeout = Duration::from_mins(5));
    let clients = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut admitted, mut stranger) = clients.block_on(async {
        let mut admitted = Client::with_key(&server).await;
        admitted.next_of("initial_data").await;
        (admitted, Client::open(server.address, &[]).await.unwrap())
    });
    let stopping = std::thread::spawn(move || server.stop());
    let gone = (1001, "the service is stopping".to_owned());
    assert_eq!(clients.block_on(admitted.ended()), gone);
    assert_eq!(clients.block_on(stranger.ended()), gone);
    stopping.join().unwrap();
}

#[test]
fn requests_that_open_no_websocket_are_told_why() {
    let server = TestServer::start();
    let plain = server.get("/ws");
    assert_eq!((plain.status, plain.header("Upgrade")), (426, Some("websocket")));
    let upgrade = |name: &str, value: &str| {
        let request =
            server.with_key("GET", "/ws").header("Upgrade", "websocket").header("Connection", "upgrade");
        request.header(name, value)
    };
    let old = upgrade("Sec-WebSocket-Version", "8").send();
    assert_eq!((old.status, old.header("Sec-WebSocket-Version")), (426, Some("13")));
    let keyless = upgrade("Sec-WebSocket-Version", "13");
    assert_eq!(keyless.clone().send().status, 400);
    let with_body = keyless.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").body("{}");
    assert_eq!(with_body.send().status, 400);
}

/// The request that opens a WebSocket, as bytes.
pub(crate) fn handshake(server: &TestServer) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nX-API-Key: {KEY}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address
    )
}
