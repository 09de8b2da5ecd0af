//! A minimal HTTP/1.1 client that sends exactly what a test says.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A reply, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// The body as text; what is not UTF-8 is replaced.
    pub(crate) body: String,
    pub(crate) bytes: Vec<u8>,
}

/// A request under construction.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    address: SocketAddr,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    /// The value of a header; the only one, or the test fails.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = values.next();
        assert!(values.next().is_none(), "{name} appears twice");
        value.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Request {
    pub(crate) fn new(address: SocketAddr, method: &str, target: &str) -> Self {
        Self::with_host(address, method, target, &address.to_string())
    }

    pub(crate) fn with_host(address: SocketAddr, method: &str, target: &str, host: &str) -> Self {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        Self { address, head, body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        write!(self.head, "{name}: {value}\r\n").unwrap();
        self
    }

    pub(crate) fn json(self, body: impl Into<Vec<u8>>) -> Self {
        self.header("Content-Type", "application/json").body(body)
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("Content-Length", &length)
    }

    /// Sends the request and reads the status and headers of the reply; none if the server goes away.
    pub(crate) fn try_send(self) -> Option<Reply> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        let bytes = [self.head.as_bytes(), b"\r\n", &self.body].concat();
        stream.write_all(&bytes).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Reply { status, headers: Vec::new(), body: body.to_owned(), bytes: Vec::new() })
    }

    pub(crate) fn send(self) -> Reply {
        let mut stream = connect(self.address);
        let mut bytes = self.head.clone().into_bytes();
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        // A server that refuses a body early may close before all of it is written.
        let _ = stream.write_all(&bytes);
        read_reply(&mut BufReader::new(stream), self.head.starts_with("HEAD "))
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Reads one reply; with `Content-Length`, which every reply of the service has.
pub(crate) fn read_reply(reader: &mut impl BufRead, is_head: bool) -> Reply {
    let status_line = read_line(reader);
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status line: {status_line:?}"));
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader);
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut reply = Reply { status, headers, body: String::new(), bytes: Vec::new() };
    let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
    if !is_head {
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        reply.body = String::from_utf8_lossy(&body).into_owned();
        reply.bytes = body;
    }
    reply
}

fn read_line(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}
