//! What RFC 9113 and RFC 7541 say that a server must refuse, frame by frame, and what it must take.
//!
//! A rule that is about one stream may also end the connection (RFC 9113, section 5.4.2). Of the codes that tell why, the
//! library knows some only as `PROTOCOL_ERROR`: what counts is that the connection ends.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::client::connect;
use crate::harness::{KEY, TestServer};
use crate::http2::{PREFACE, frame, get_health};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame that the server sent.
#[derive(Debug)]
struct Sent {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A connection whose preface and settings are exchanged.
struct Raw(TcpStream);

impl Raw {
    fn open(server: &TestServer) -> Self {
        let mut stream = connect(server.address);
        stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
        Self(stream)
    }

    fn write(&mut self, bytes: &[u8]) {
        // The server may have gone before all of it is written.
        let _ = self.0.write_all(bytes);
    }

    /// Reads a frame; none at the end of the connection.
    fn read(&mut self) -> Option<Sent> {
        let mut head = [0; 9];
        if let Err(error) = self.0.read_exact(&mut head) {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the server says nothing");
            return None;
        }
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Sent { kind: head[3], flags: head[4], stream, payload })
    }

    fn read_kind(&mut self, kind: u8) -> Sent {
        std::iter::from_fn(|| self.read()).find(|sent| sent.kind == kind).expect("the connection ended")
    }

    /// Returns with what code the connection, or a stream if that is enough, ends, 0 if none is told; none if it
    /// goes on.
    fn ends(&mut self, is_stream_enough: bool) -> Option<u32> {
        while let Some(sent) = self.read() {
            match sent.kind {
                GOAWAY => return Some(number(&sent.payload[4..])),
                RST_STREAM if is_stream_enough => return Some(number(&sent.payload)),
                PING if sent.flags == ACK => return None,
                _ => {}
            }
        }
        Some(0)
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

fn literal(name: &str, value: &str) -> Vec<u8> {
    [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

/// A header block of literal fields.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/health"), (":authority", "localhost")];

fn get_with(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&[&GET, fields].concat()))
}

/// The head of a request whose body is waited for.
fn post(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    let post = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/feed/data"),
        (":authority", "localhost"),
        ("x-api-key", KEY),
        ("content-type", "application/json"),
    ];
    frame(HEADERS, END_HEADERS, stream, &block(&[&post, fields].concat()))
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// What ends the connection, and with what codes it may.
fn refused_connections() -> Vec<(&'static str, Vec<u8>, &'static [u32])> {
    let head = block(&GET);
    let open = || frame(HEADERS, END_STREAM, 1, &head);
    let raw = |block: &[u8]| frame(HEADERS, END_STREAM | END_HEADERS, 1, block);
    vec![
        // RFC 9113, sections 4.2 and 4.3
        ("headers over the frame size", frame(HEADERS, 5, 1, &[0; 16_385]), &[FRAME_SIZE_ERROR]),
        ("settings over the frame size", frame(SETTINGS, 0, 0, &[0; 16_386]), &[FRAME_SIZE_ERROR]),
        ("a header block that is cut off", raw(&[0x3f]), &[COMPRESSION_ERROR]),
        ("priority within headers", [open(), frame(PRIORITY, 0, 1, &[0; 5])].concat(), &[PROTOCOL_ERROR]),
        ("an unknown frame within headers", [open(), frame(0xfe, 0, 1, b"x")].concat(), &[PROTOCOL_ERROR]),
        ("headers within headers", [open(), get_health(3)].concat(), &[PROTOCOL_ERROR]),
        (
            "continuation of another stream",
            [open(), frame(CONTINUATION, END_HEADERS, 3, b"")].concat(),
            &[PROTOCOL_ERROR],
        ),
        // 5.1
        ("data on an idle stream", frame(DATA, END_STREAM, 1, b"x"), &[STREAM_CLOSED]),
        ("reset of an idle stream", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), &[PROTOCOL_ERROR]),
        ("window of an idle stream", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), &[PROTOCOL_ERROR]),
        ("continuation on an idle stream", frame(CONTINUATION, END_HEADERS, 1, &head), &[PROTOCOL_ERROR]),
        ("an even stream", get_health(2), &[PROTOCOL_ERROR]),
        (
            "continuation after all headers",
            [get_health(1), frame(CONTINUATION, END_HEADERS, 1, &literal("a", "b"))].concat(),
            &[STREAM_CLOSED],
        ),
        // 6.1 and 6.2
        ("data on stream 0", frame(DATA, 0, 0, b"x"), &[PROTOCOL_ERROR]),
        (
            "data that is all padding and more",
            [post(1, &[]), frame(DATA, PADDED, 1, &[6, 0, 0])].concat(),
            &[PROTOCOL_ERROR],
        ),
        ("headers on stream 0", frame(HEADERS, 5, 0, &head), &[PROTOCOL_ERROR]),
        ("headers that are all padding", frame(HEADERS, 5 | PADDED, 1, &[9, 0, 0]), &[PROTOCOL_ERROR]),
        // 6.3 and 6.4
        ("priority on stream 0", frame(PRIORITY, 0, 0, &[0; 5]), &[PROTOCOL_ERROR]),
        ("reset of stream 0", frame(RST_STREAM, 0, 0, &[0; 4]), &[PROTOCOL_ERROR]),
        (
            "a reset of three bytes",
            [post(1, &[]), frame(RST_STREAM, 0, 1, &[0; 3])].concat(),
            &[FRAME_SIZE_ERROR],
        ),
        // 6.5
        ("an acknowledgement with settings", frame(SETTINGS, ACK, 0, &[0; 6]), &[FRAME_SIZE_ERROR]),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[]), &[PROTOCOL_ERROR]),
        ("settings of five bytes", frame(SETTINGS, 0, 0, &[0; 5]), &[FRAME_SIZE_ERROR]),
        ("push that is neither on nor off", setting(2, 2), &[PROTOCOL_ERROR]),
        ("a window of 2^31", setting(4, 1 << 31), &[FLOW_CONTROL_ERROR]),
        ("frames that are too small", setting(5, 16_383), &[PROTOCOL_ERROR]),
        ("frames that are too large", setting(5, 1 << 24), &[PROTOCOL_ERROR]),
        // 6.6 to 6.8
        ("a promise of a client", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), &[PROTOCOL_ERROR]),
        ("a ping of a stream", frame(PING, 0, 1, &[0; 8]), &[PROTOCOL_ERROR]),
        ("a ping of six bytes", frame(PING, 0, 0, &[0; 6]), &[FRAME_SIZE_ERROR]),
        ("going away from a stream", frame(GOAWAY, 0, 1, &[0; 8]), &[PROTOCOL_ERROR]),
        // 6.9
        ("a window of none more", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), &[PROTOCOL_ERROR]),
        ("a window of three bytes", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), &[FRAME_SIZE_ERROR]),
        (
            "a window beyond 2^31 - 1",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            &[FLOW_CONTROL_ERROR],
        ),
        // RFC 7541
        ("entry 0 of the table", raw(&[0x80]), &[COMPRESSION_ERROR]),
        ("an entry that is not there", raw(&[0xff, 0x80, 0x01]), &[COMPRESSION_ERROR]),
        (
            "a table beyond the settings",
            raw(&[&[0x3f, 0xe1, 0xff, 0x3f][..], &head].concat()),
            &[COMPRESSION_ERROR],
        ),
        ("a table that changes within a block", raw(&[&head[..], &[0x20]].concat()), &[COMPRESSION_ERROR]),
        (
            "Huffman text that ends in a whole byte of padding",
            raw(&[0x04, 0x82, 0x63, 0xff]),
            &[COMPRESSION_ERROR],
        ),
        ("a length of 2^35", raw(&[0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f]), &[COMPRESSION_ERROR]),
    ]
}

/// What ends its stream, or the connection, and with what codes it may.
fn refused_streams() -> Vec<(&'static str, Vec<u8>, &'static [u32])> {
    let without = |left_out: &str| {
        let rest: Vec<_> = GET.into_iter().filter(|(name, _)| *name != left_out).collect();
        frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&rest))
    };
    let other_order = [&[("accept", "a")][..], &GET].concat();
    // The library passes over pseudo-headers in trailers, which the service does not read.
    let endless =
        [post(1, &[]), frame(DATA, 0, 1, b"x"), frame(HEADERS, END_HEADERS, 1, &block(&[("a", "b")]))];
    let body = |declared: &str, parts: &[&[u8]]| {
        let mut bytes = post(1, &[("content-length", declared)]);
        for (at, part) in parts.iter().enumerate() {
            bytes.extend(frame(DATA, u8::from(at + 1 == parts.len()), 1, part));
        }
        bytes
    };
    vec![
        // 5.1 and 6.9
        ("data after the end", [get_health(1), frame(DATA, END_STREAM, 1, b"x")].concat(), &[STREAM_CLOSED]),
        ("headers after the end", [get_health(1), get_health(1)].concat(), &[STREAM_CLOSED]),
        (
            "a stream's window of none more",
            [post(1, &[]), frame(WINDOW_UPDATE, 0, 1, &[0; 4])].concat(),
            &[PROTOCOL_ERROR],
        ),
        (
            "a stream's window beyond 2^31 - 1",
            [post(1, &[]), frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])].concat(),
            &[FLOW_CONTROL_ERROR],
        ),
        (
            "data over the frame size",
            [post(1, &[]), frame(DATA, 0, 1, &[0; 16_385])].concat(),
            &[FRAME_SIZE_ERROR],
        ),
        // 8.2 and 8.3
        ("an upper-case name", get_with(&[("X-Test", "a")]), &[PROTOCOL_ERROR]),
        ("a name with a space", get_with(&[("x test", "a")]), &[PROTOCOL_ERROR]),
        ("a line break in a value", get_with(&[("x-test", "a\r\nb: c")]), &[PROTOCOL_ERROR]),
        ("a zero byte in a value", get_with(&[("x-test", "a\0b")]), &[PROTOCOL_ERROR]),
        ("connection", get_with(&[("connection", "keep-alive")]), &[PROTOCOL_ERROR]),
        ("transfer-encoding", get_with(&[("transfer-encoding", "chunked")]), &[PROTOCOL_ERROR]),
        ("te that is not trailers", get_with(&[("te", "trailers, deflate")]), &[PROTOCOL_ERROR]),
        ("an unknown pseudo-header", get_with(&[(":test", "a")]), &[PROTOCOL_ERROR]),
        ("a reply's pseudo-header", get_with(&[(":status", "200")]), &[PROTOCOL_ERROR]),
        ("a pseudo-header after others", frame(HEADERS, 5, 1, &block(&other_order)), &[PROTOCOL_ERROR]),
        ("two methods", get_with(&[(":method", "POST")]), &[PROTOCOL_ERROR]),
        ("two paths", get_with(&[(":path", "/status")]), &[PROTOCOL_ERROR]),
        ("two schemes", get_with(&[(":scheme", "https")]), &[PROTOCOL_ERROR]),
        ("no method", without(":method"), &[PROTOCOL_ERROR]),
        ("no scheme", without(":scheme"), &[PROTOCOL_ERROR]),
        ("no path", without(":path"), &[PROTOCOL_ERROR]),
        ("trailers that do not end the stream", endless.concat(), &[PROTOCOL_ERROR]),
        // 8.1.1
        ("a body longer than declared", body("1", &[b"four"]), &[PROTOCOL_ERROR]),
        ("a body shorter than declared", body("9", &[b"four"]), &[PROTOCOL_ERROR]),
        ("two parts longer than declared", body("5", &[b"four", b"four"]), &[PROTOCOL_ERROR]),
        ("two lengths", post(1, &[("content-length", "1"), ("content-length", "2")]), &[PROTOCOL_ERROR]),
    ]
}

/// Sends each case on a connection of its own, and returns those that end otherwise.
fn misjudged(cases: Vec<(&'static str, Vec<u8>, &'static [u32])>, is_stream_enough: bool) -> Vec<String> {
    let server = TestServer::start();
    let mut misjudged = Vec::new();
    for (name, bytes, codes) in cases {
        let mut raw = Raw::open(&server);
        raw.write(&bytes);
        let code = raw.ends(is_stream_enough);
        if code.is_none_or(|code| code != PROTOCOL_ERROR && !codes.contains(&code)) {
            misjudged.push(format!("{name}: {code:?} is not {codes:?}"));
        }
    }
    assert_eq!(server.request("GET", "/health").send().status, 200);
    misjudged
}

#[test]
fn what_breaks_a_connection_ends_it_with_the_code() {
    // A ping that is answered shows that the connection goes on.
    let with_ping = |bytes| [bytes, frame(PING, 0, 0, &[1; 8])].concat();
    let cases = refused_connections().into_iter().map(|(name, bytes, codes)| (name, with_ping(bytes), codes));
    assert_eq!(misjudged(cases.collect(), false), Vec::<String>::new());
}

#[test]
fn a_malformed_request_ends_its_stream_with_the_code() {
    assert_eq!(misjudged(refused_streams(), true), Vec::<String>::new());
}

#[test]
fn what_the_protocol_allows_is_answered() {
    let server = TestServer::start();
    let head = block(&GET);
    let (start, end) = head.split_at(20);
    let priority = [&[0x80, 0, 0, 3, 7][..], &head].concat();
    let padded = [&[3][..], &head, &[0; 3]].concat();
    let cookies = get_with(&[("cookie", "a=b"), ("cookie", "c=d"), ("te", "trailers")]);
    let split = [
        frame(HEADERS, END_STREAM, 1, start),
        frame(CONTINUATION, 0, 1, &[]),
        frame(CONTINUATION, END_HEADERS, 1, end),
    ];
    // Four bytes of a reserved bit and a stream.
    let mut reserved = get_health(1);
    reserved[5] |= 0x80;
    let cases = [
        ("an unknown frame", [frame(0x16, 0xff, 0, &[0; 8]), get_health(1)].concat()),
        ("unknown flags", [frame(PING, 0x16, 0, &[0; 8]), get_health(1)].concat()),
        ("a reserved bit", reserved),
        ("a header block in three frames", split.concat()),
        (
            "priorities",
            [frame(PRIORITY, 0, 7, &[0, 0, 0, 1, 5]), frame(HEADERS, 0x25, 1, &priority)].concat(),
        ),
        ("padding", frame(HEADERS, 5 | PADDED, 1, &padded)),
        ("cookies in two fields", cookies),
        ("unknown settings", [setting(0xff, 1), get_health(1)].concat()),
        ("a window of all but one", [setting(4, i32::MAX as u32), get_health(1)].concat()),
        (
            "an acknowledgement of a ping that was not sent",
            [frame(PING, ACK, 0, &[1; 8]), get_health(1)].concat(),
        ),
        ("a table of nothing", frame(HEADERS, 5, 1, &[&[0x20][..], &head].concat())),
    ];
    for (name, bytes) in cases {
        let mut raw = Raw::open(&server);
        raw.write(&bytes);
        let reply = raw.read_kind(HEADERS);
        assert_eq!((reply.stream, reply.payload.first()), (1, Some(&0x88)), "{name}");
    }
}

#[test]
fn settings_and_pings_are_acknowledged() {
    let server = TestServer::start();
    let mut raw = Raw::open(&server);
    raw.write(&frame(PING, 0, 0, b"12345678"));
    let mut acknowledged = Vec::new();
    while acknowledged.len() < 2 {
        let sent = raw.read().expect("the connection ended");
        if sent.flags & ACK != 0 && [SETTINGS, PING].contains(&sent.kind) {
            acknowledged.push((sent.kind, sent.payload));
        }
    }
    acknowledged.sort();
    assert_eq!(acknowledged, [(SETTINGS, Vec::new()), (PING, b"12345678".to_vec())]);
}

#[test]
fn a_reply_keeps_to_the_clients_windows() {
    let server = TestServer::start();
    let mut raw = Raw::open(&server);
    raw.write(&[setting(4, 1), get_health(1)].concat());
    assert_eq!(raw.read_kind(DATA).payload.len(), 1);
    // A smaller window takes back what was granted: it is negative until three more bytes are.
    raw.write(&[setting(4, 0), frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 3])].concat());
    assert_eq!(raw.read_kind(DATA).payload.len(), 2);
    raw.write(&setting(4, 1 << 16));
    let mut left = raw.read_kind(DATA);
    while left.flags & END_STREAM == 0 {
        left = raw.read_kind(DATA);
    }
}

#[test]
fn a_stream_too_many_is_refused() {
    let server = TestServer::start();
    let mut raw = Raw::open(&server);
    let heads: Vec<u8> = (0..101).flat_map(|at| post(2 * at + 1, &[("content-length", "9")])).collect();
    raw.write(&[frame(SETTINGS, ACK, 0, &[]), heads].concat());
    loop {
        let sent = raw.read().expect("the connection ended");
        if sent.kind == RST_STREAM || sent.kind == GOAWAY {
            assert!(sent.kind == GOAWAY || sent.stream == 201, "{sent:?}");
            break;
        }
    }
}

#[test]
fn floods_end_their_connection_and_nothing_else() {
    let server = TestServer::start();
    let floods = [
        (
            "continuations that never end",
            frame(HEADERS, END_STREAM, 1, &[]),
            frame(CONTINUATION, 0, 1, &literal("a", "b")),
        ),
        ("empty continuations", frame(HEADERS, END_STREAM, 1, &[]), frame(CONTINUATION, 0, 1, &[])),
        (
            "a header list without end",
            frame(HEADERS, END_STREAM, 1, &block(&GET)),
            frame(CONTINUATION, 0, 1, &[0x82; 1000]),
        ),
    ];
    for (name, first, next) in floods {
        let mut raw = Raw::open(&server);
        let flood = next.repeat(1 + (8 << 20) / next.len());
        raw.write(&[first, flood].concat());
        let code = raw.ends(true).unwrap();
        let codes = [0, PROTOCOL_ERROR, COMPRESSION_ERROR, ENHANCE_YOUR_CALM];
        assert!(codes.contains(&code), "{name}: {code}");
    }
    assert_eq!(server.request("GET", "/health").send().status, 200);
}
