//! Frames that break the protocol of `WebSocket`, byte by byte.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

use crate::client::{connect, read_reply};
use crate::harness::TestServer;
use crate::stream::handshake;

const FIN: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;

/// A masked frame, whose mask changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ ..126 => bytes.push(0x80 | length as u8),
        length @ ..=0xffff => {
            bytes.push(0x80 | 0x7e);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 0x7f);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

struct Raw(BufReader<TcpStream>);

impl Raw {
    fn open(server: &TestServer) -> Self {
        let mut stream = connect(server.address);
        stream.write_all(handshake(server).as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        assert_eq!(read_reply(&mut reader, false).status, 101);
        Self(reader)
    }

    /// Reads a frame: its first byte and its payload; none at the end of the connection.
    fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        assert_eq!(head[1] & 0x80, 0, "servers do not mask");
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).ok()?;
                u64::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.0.read_exact(&mut length).ok()?;
                u64::from_be_bytes(length)
            }
            length => u64::from(length),
        };
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some((head[0], payload))
    }

    fn read_kind(&mut self, kind: u8) -> Vec<u8> {
        loop {
            let (first, payload) = self.read().expect("the connection ended");
            if first & 0xf == kind {
                return payload;
            }
        }
    }

    /// Sends bytes, and returns the code with which the service closes; nothing may follow.
    fn closed_for(server: &TestServer, bytes: &[u8]) -> u16 {
        let mut raw = Self::open(server);
        // The service may close before all of it is written.
        let _ = raw.0.get_ref().write_all(bytes);
        let payload = raw.read_kind(CLOSE);
        assert!(raw.read().is_none());
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

/// Waits until most places of streams before are free again.
fn free_place(server: &TestServer) {
    while server.streams.clients(tft_service::StreamProtocol::WebSocket) > 8 {
        std::thread::yield_now();
    }
}

#[test]
fn every_breach_of_the_protocol_has_its_code() {
    let server = TestServer::start();
    let unmasked = [&[FIN | TEXT, 2][..], b"{}"].concat();
    let oversize_header = [&[FIN | TEXT, 0xff][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat();
    let cases: [(&str, Vec<u8>, u16); 20] = [
        ("reserved bit 1", frame(FIN | 0x40 | TEXT, b"{}"), 1002),
        ("reserved bit 3", frame(FIN | 0x10 | TEXT, b"{}"), 1002),
        ("unmasked", unmasked, 1002),
        ("reserved data opcode", frame(FIN | 3, b"{}"), 1002),
        ("reserved control opcode", frame(FIN | 0xb, b""), 1002),
        ("fragmented control", frame(PING, b""), 1002),
        ("control of 126 bytes", frame(FIN | PING, &[0; 126]), 1002),
        ("continuation of nothing", frame(FIN, b"{}"), 1002),
        ("text within a text", [frame(TEXT, b"{"), frame(FIN | TEXT, b"}")].concat(), 1002),
        ("close of one byte", frame(FIN | CLOSE, &[3]), 1002),
        ("close with code 999", frame(FIN | CLOSE, &999_u16.to_be_bytes()), 1002),
        ("close with code 1005", frame(FIN | CLOSE, &1005_u16.to_be_bytes()), 1002),
        ("close with code 1006", frame(FIN | CLOSE, &1006_u16.to_be_bytes()), 1002),
        ("close with code 5000", frame(FIN | CLOSE, &5000_u16.to_be_bytes()), 1002),
        ("close with a reason that is not UTF-8", frame(FIN | CLOSE, b"\x03\xe8\xff"), 1007),
        ("binary", frame(FIN | BINARY, b"{}"), 1003),
        ("not UTF-8", frame(FIN | TEXT, b"\xc3\x28"), 1007),
        ("not UTF-8 across fragments", [frame(TEXT, b"\xc3"), frame(FIN, b"\x28")].concat(), 1007),
        ("one byte too big", frame(FIN | TEXT, &vec![b' '; (64 << 10) + 1]), 1009),
        ("a length of 2^64", oversize_header, 1009),
    ];
    for (name, bytes, code) in cases {
        free_place(&server);
        assert_eq!(Raw::closed_for(&server, &bytes), code, "{name}");
    }
}

#[test]
fn text_that_is_not_utf8_is_refused_wherever_it_is_cut() {
    let server = TestServer::with(|config| config.rate_limits.other = 1000);
    let bad: [&[u8]; 9] = [
        b"\x80",
        b"\xc0\xaf",
        b"\xc3\x28",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xff",
    ];
    for sequence in bad {
        let text = [b"{\"a\":\"", sequence, b"\"}"].concat();
        for cut in 6..=6 + sequence.len() {
            free_place(&server);
            let (first, rest) = text.split_at(cut);
            let bytes = [frame(TEXT, first), frame(FIN, rest)].concat();
            assert_eq!(Raw::closed_for(&server, &bytes), 1007, "{sequence:x?} cut at {cut}");
        }
    }
    // The rest of such a message is not waited for, and neither is that of a character that never comes.
    free_place(&server);
    assert_eq!(Raw::closed_for(&server, &frame(TEXT, b"\xed\xa0\x80")), 1007);
    assert_eq!(Raw::closed_for(&server, &[frame(TEXT, b"\xce"), frame(FIN, b"")].concat()), 1007);
}

#[test]
fn a_close_with_any_code_of_the_protocol_is_answered_with_it() {
    let server = TestServer::with(|config| config.rate_limits.other = 1000);
    for code in [1000_u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        free_place(&server);
        assert_eq!(Raw::closed_for(&server, &frame(FIN | CLOSE, &code.to_be_bytes())), code);
    }
    for code in [0_u16, 1004, 1016, 1100, 2000, 2999, 65535] {
        free_place(&server);
        assert_eq!(Raw::closed_for(&server, &frame(FIN | CLOSE, &code.to_be_bytes())), 1002, "{code}");
    }
    let mut raw = Raw::open(&server);
    raw.0.get_ref().write_all(&frame(FIN | CLOSE, b"")).unwrap();
    assert_eq!(raw.read_kind(CLOSE), b"");
    assert!(raw.read().is_none());
}

#[test]
fn fragments_that_grow_too_big_together_are_refused() {
    let server = TestServer::start();
    let half = vec![b' '; 40 << 10];
    let bytes = [frame(TEXT, &half), frame(0, &half)].concat();
    assert_eq!(Raw::closed_for(&server, &bytes), 1009);
}

#[test]
fn what_the_protocol_allows_is_taken() {
    let server = TestServer::start();
    let mut raw = Raw::open(&server);
    // A message of full size, in fragments that split a character, with a ping between them.
    let text = format!(r#"{{"type":"ping","note":"é{}"}}"#, "x".repeat((64 << 10) - 27));
    assert_eq!(text.len(), 64 << 10);
    let split = text.find('é').unwrap() + 1;
    let (first, rest) = text.as_bytes().split_at(split);
    let bytes = [frame(TEXT, first), frame(FIN | PING, b"hello"), frame(0, b""), frame(FIN, rest)].concat();
    raw.0.get_ref().write_all(&bytes).unwrap();
    assert_eq!(raw.read_kind(0xa), b"hello");
    let pong: serde_json::Value = loop {
        let text = raw.read_kind(TEXT);
        let message: serde_json::Value = serde_json::from_slice(&text).unwrap();
        if message["type"] == "pong" {
            break message;
        }
    };
    assert!(pong["timestamp"].is_string());
    raw.0.get_ref().write_all(&frame(FIN | CLOSE, b"\x03\xe8bye")).unwrap();
    assert_eq!(raw.read_kind(CLOSE), b"\x03\xe8bye");
    assert!(raw.read().is_none());
}

#[test]
fn a_message_that_never_ends_is_a_flood() {
    let server = TestServer::start();
    let empty: Vec<u8> = (0..400_000).flat_map(|_| frame(0, b"")).collect();
    assert_eq!(Raw::closed_for(&server, &[frame(TEXT, b"{"), empty].concat()), 1008);
}
