//! A receiver of webhooks that answers as a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// What was posted.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Answers connections with replies in turn, the last one for ever; then closes them.
pub(crate) struct Hook {
    pub(crate) address: SocketAddr,
    posted: Receiver<Posted>,
}

impl Hook {
    /// Answers with heads like `200 OK`.
    pub(crate) fn answering(heads: &[&str]) -> Self {
        let replies = heads
            .iter()
            .map(|head| format!("HTTP/1.1 {head}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"));
        let mut replies: Vec<_> = replies.collect();
        Self::with(move |mut stream, send| {
            let Some(posted) = read(&mut stream) else { return };
            send(posted);
            let _ = stream.write_all(replies[0].as_bytes());
            if replies.len() > 1 {
                replies.remove(0);
            }
        })
    }

    /// Treats each connection as a test says; `send` hands a request to the test.
    pub(crate) fn with(mut treat: impl FnMut(TcpStream, &dyn Fn(Posted)) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, posted) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                treat(stream, &|posted| {
                    let _ = sender.send(posted);
                });
            }
        });
        Self { address, posted }
    }

    /// The next request.
    pub(crate) fn next(&self) -> Posted {
        self.posted.recv_timeout(Duration::from_mins(1)).expect("nothing was posted in time")
    }

    /// A request that has come already.
    pub(crate) fn try_next(&self) -> Option<Posted> {
        self.posted.try_recv().ok()
    }
}

impl Posted {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find_map(|(known, value)| known.eq_ignore_ascii_case(name).then_some(value))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Reads one request; none if there is no whole one.
pub(crate) fn read(stream: impl Read) -> Option<Posted> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let posted = Posted { head, body: String::new() };
    let length = posted.header("content-length").unwrap_or("0").parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Posted { body: String::from_utf8(body).unwrap(), ..posted })
}
