//! Live streams as Server-Sent Events.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tft_service::StreamProtocol;

use crate::client::connect;
use crate::harness::{KEY, TestServer, history};

/// An event, or a comment, as it came.
#[derive(Debug, Default, PartialEq)]
struct Event {
    id: Option<String>,
    name: String,
    data: Value,
    comment: Option<String>,
    retry: Option<String>,
}

/// A stream of events over HTTP/1.1, whose chunks it takes apart.
struct Events {
    reader: BufReader<TcpStream>,
    headers: String,
    text: String,
}

impl Events {
    fn open(server: &TestServer, target: &str, headers: &str) -> Self {
        let mut stream = connect(server.address);
        write!(stream, "GET {target} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", server.address).unwrap();
        let mut reader = BufReader::new(stream);
        let mut headers = String::new();
        while reader.read_line(&mut headers).unwrap() > 2 {}
        Self { reader, headers, text: String::new() }
    }

    fn with_key(server: &TestServer, target: &str) -> Self {
        Self::open(server, target, &format!("X-API-Key: {KEY}\r\n"))
    }

    /// Reads a chunk; none at the end, `Err` where the connection is cut.
    fn read_chunk(&mut self) -> Result<Option<Vec<u8>>, std::io::Error> {
        let mut size = String::new();
        self.reader.read_line(&mut size)?;
        let length = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
        let mut chunk = vec![0; length + 2];
        self.reader.read_exact(&mut chunk)?;
        chunk.truncate(length);
        Ok((length > 0).then_some(chunk))
    }

    /// Returns the next event or comment; none at the end.
    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = parse(block);
                self.text = rest.to_owned();
                return Some(event);
            }
            let chunk = self.read_chunk().unwrap()?;
            self.text.push_str(&String::from_utf8(chunk).unwrap());
        }
    }

    fn next_of(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().expect("the stream ended");
            if event.name == name {
                return event;
            }
        }
    }
}

fn parse(block: &str) -> Event {
    let mut event = Event::default();
    for line in block.lines() {
        let (field, value) = line.split_once(": ").unwrap();
        match field {
            "id" => event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut event.name),
            "data" => event.data = serde_json::from_str(value).unwrap(),
            "retry" => event.retry = Some(value.to_owned()),
            "" => event.comment = Some(value.to_owned()),
            other => panic!("{other}"),
        }
    }
    event
}

fn fleet() -> TestServer {
    let server = TestServer::start();
    let (first, second) = (history("ppdb001", 10, |_| 20.0), history("ppml0002", 10, |_| 30.0));
    server.feed_records(&[first, second].concat());
    server.predictions_of(20);
    server
}

#[test]
fn events_have_ids_names_and_the_selection_asked_for() {
    let server = fleet();
    let mut events = Events::with_key(&server, "/events?streams=servers&servers=ppdb001");
    assert!(
        events.headers.starts_with("HTTP/1.1 200")
            && events.headers.contains("content-type: text/event-stream")
    );
    assert_eq!(events.next().unwrap().retry.as_deref(), Some("5000"));
    let first = events.next().unwrap();
    assert_eq!((first.name.as_str(), &first.data["type"]), ("initial_data", &json!("initial_data")));
    assert!(first.data["servers"]["ppdb001"].is_object() && first.data["servers"]["ppml0002"].is_null());
    assert!(first.data["summary"].is_null());
    assert_eq!(server.streams.clients(StreamProtocol::Events), 1);
    server.feed_records(&history("ppdb001", 11, |_| 21.0)[10..]);
    server.clock.advance(Duration::from_secs(30));
    let update = events.next_of("data_update");
    assert!(update.id.is_some() && update.id != first.id);
}

#[test]
fn who_has_the_present_state_is_not_sent_it_again() {
    let server = TestServer::with(|config| config.stream.heartbeat_interval = Duration::from_millis(100));
    server.feed_records(&history("ppdb001", 10, |_| 20.0));
    server.predictions_of(10);
    let present = Events::with_key(&server, "/events").next_of("initial_data").id.unwrap();
    let resumed = |id: &str| {
        let headers = format!("X-API-Key: {KEY}\r\nLast-Event-ID: {id}\r\n");
        let mut events = Events::open(&server, "/events", &headers);
        assert!(events.next().unwrap().retry.is_some());
        events.next().unwrap()
    };
    assert_eq!(resumed("0.0").name, "initial_data");
    assert_eq!(resumed(&present).comment.as_deref(), Some("heartbeat"));
}

#[test]
fn comments_keep_a_quiet_stream_alive() {
    let server = TestServer::with(|config| config.stream.heartbeat_interval = Duration::from_millis(20));
    let mut events = Events::with_key(&server, "/events?streams=alerts");
    let comments = std::iter::from_fn(|| events.next()).filter_map(|event| event.comment).take(3);
    assert_eq!(comments.collect::<Vec<_>>(), ["heartbeat"; 3]);
}

#[test]
fn a_selection_that_does_not_exist_is_refused() {
    let server = TestServer::start();
    let refused = |target: &str| {
        let reply = server.get(target);
        assert_eq!(reply.status, 400);
        reply.body
    };
    insta::assert_snapshot!(refused("/events?streams=metrics"), @r#"{"detail":"there is no stream `metrics`, there are summary, servers, predictions and alerts"}"#);
    insta::assert_snapshot!(refused("/events?servers=a%20b"), @r#"{"detail":"`a b` is not a server's name"}"#);
    assert_eq!(server.request("GET", "/events").send().status, 403);
    assert_eq!(server.with_key("HEAD", "/events").send().status, 200);
    assert_eq!(server.streams.clients(StreamProtocol::Events), 0);
}

#[test]
fn stopping_ends_events_in_good_order() {
    let server = TestServer::with(|config| config.limits.drain_timeout = Duration::from_mins(5));
    let mut events = Events::with_key(&server, "/events");
    events.next_of("initial_data");
    server.stop();
    while events.next().is_some() {}
}

#[test]
fn a_reader_who_stops_reading_is_dropped() {
    let server = TestServer::with(|config| config.stream.send_timeout = Duration::from_millis(200));
    let names = (0..300).map(|number| history(&format!("db{number}"), 1, |_| 20.0));
    server.feed_records(&names.flatten().collect::<Vec<_>>());
    server.predictions_of(300);
    // Its first message is larger than what the connection buffers.
    let mut stuck = Events::with_key(&server, "/events?streams=predictions");
    while server.streams.dropped() == 0 {
        // Each assessment is another message that nobody reads.
        server.clock.advance(Duration::from_mins(2));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.streams.clients(StreamProtocol::Events), 0);
    // It may read what was sent, and then finds no good end.
    while let Ok(Some(_)) = stuck.read_chunk() {}
    assert!(stuck.read_chunk().is_err());
}
