//! A client that costs little: prepared requests over one connection, and replies that are only counted.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One connection that stays open.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that a reply has filled.
    filled: usize,
}

/// A reply, whose body the client still holds.
pub(crate) struct Reply<'c> {
    pub(crate) status: u16,
    pub(crate) body: &'c [u8],
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: vec![0; BUFFER_BYTES], filled: 0 })
    }

    /// Sends a request and reads the reply to its end.
    pub(crate) fn send(&mut self, head: &[u8], body: &[u8]) -> std::io::Result<Reply<'_>> {
        self.stream.write_all(head)?;
        self.stream.write_all(body)?;
        self.filled = 0;
        let head_end = loop {
            self.read()?;
            if let Some(at) = self.buffer[..self.filled].windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let (status, length) = parse_head(&self.buffer[..head_end])?;
        while self.filled < head_end + length {
            self.read()?;
        }
        Ok(Reply { status, body: &self.buffer[head_end..head_end + length] })
    }

    fn read(&mut self) -> std::io::Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(2 * self.filled, 0);
        }
        let read = self.stream.read(&mut self.buffer[self.filled..])?;
        self.filled += read;
        if read == 0 { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// The head of a request with a key; of a body's length, if it has one.
pub(crate) fn head(method: &str, path: &str, key: &str, body: Option<(&str, usize)>) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n");
    if let Some((content_type, length)) = body {
        let _ = write!(head, "Content-Type: {content_type}\r\nContent-Length: {length}\r\n");
    }
    (head + "\r\n").into_bytes()
}

fn parse_head(head: &[u8]) -> std::io::Result<(u16, usize)> {
    let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let text = str::from_utf8(head).map_err(|_| invalid())?;
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(invalid)?;
    let headers = text.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = headers.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lengths.next().and_then(|(_, length)| length.trim().parse().ok()).ok_or_else(invalid)?;
    Ok((status, length))
}

const PATIENCE: Duration = Duration::from_mins(2);
const BUFFER_BYTES: usize = 1 << 20;
