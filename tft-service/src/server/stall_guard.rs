//! A connection that does not wait for ever.
//!
//! hyper has one timer for both a slow header and an idle connection. This guard tells them apart: from the
//! first byte of a request its header has a deadline of its own, and a write that makes no progress, or next to none,
//! ends the connection. Bodies have their deadline in `body`, and idle connections hyper's timer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::activity::Activity;
use crate::config::Limits;

/// A stream with deadlines for headers and for writes.
#[derive(Debug)]
pub(crate) struct StallGuard<S> {
    stream: S,
    activity: Activity,
    changes_seen: u64,
    /// None if several requests may be under way at once: their headers have no beginning that can be seen here.
    header: Option<Deadline>,
    write: Deadline,
    /// Bytes written since the client last took all that there was.
    written_slowly: u64,
    pace_bytes: u64,
}

#[derive(Debug)]
struct Deadline {
    after: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> StallGuard<S> {
    /// Guards the stream of a connection on which one request follows another.
    pub(crate) fn new(stream: S, activity: Activity, limits: &Limits) -> Self {
        Self {
            stream,
            activity,
            changes_seen: 0,
            header: Some(Deadline { after: limits.header_timeout, timer: None }),
            write: Deadline { after: limits.write_stall_timeout, timer: None },
            written_slowly: 0,
            pace_bytes: limits.write_stall_timeout.as_secs().max(1) * BYTES_PER_S_MIN,
        }
    }

    /// Guards the stream of a connection on which requests are interleaved.
    pub(crate) fn interleaved(stream: S, activity: Activity, limits: &Limits) -> Self {
        Self { header: None, ..Self::new(stream, activity, limits) }
    }

    /// Returns the deadline of the header that the next bytes belong to, if they do; that of the one before is
    /// forgotten.
    fn header_deadline(&mut self) -> Option<&mut Deadline> {
        let (is_between, changes) = self.activity.between_requests();
        let header = self.header.as_mut()?;
        if changes != self.changes_seen {
            self.changes_seen = changes;
            header.timer = None;
        }
        is_between.then_some(header)
    }

    /// Ends a flush that is pending for too long: an encrypted stream takes bytes that the client has not taken.
    fn guard_flush(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if polled.is_ready() {
            self.write.timer = None;
            return polled;
        }
        self.write.start();
        ready!(self.write.poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Ends a write that is pending for too long, or goes on too slowly; `wanted` is how much was to be written.
    fn guard_write(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
        wanted: usize,
    ) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Ok(written)) => {
                self.written_slowly += written as u64;
                if written >= wanted || self.written_slowly >= self.pace_bytes {
                    self.write.timer = None;
                    self.written_slowly = 0;
                }
                polled
            }
            Poll::Ready(Err(_)) => polled,
            Poll::Pending => {
                self.write.start();
                ready!(self.write.poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl Deadline {
    fn start(&mut self) {
        let after = self.after;
        self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
    }

    /// Ready once the deadline has passed; pending for ever if it was not started.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let Some(header) = self.header_deadline() else { return polled };
        if polled.is_ready() {
            if buffer.filled().len() > filled {
                header.start();
            }
            return polled;
        }
        ready!(header.poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.guard_write(cx, polled, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.guard_write(cx, polled, slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.guard_flush(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.guard_flush(cx, polled)
    }
}

/// The slowest pace at which a client may read while there is something to write.
const BYTES_PER_S_MIN: u64 = 1 << 10;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn limits(header_ms: u64) -> Limits {
        let after = Duration::from_millis(header_ms);
        Limits { header_timeout: after, write_stall_timeout: after, ..Limits::default() }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_header_that_stops_coming_ends_the_connection_and_silence_before_it_does_not() {
        block_on(async {
            let (mut client, server) = tokio::io::duplex(64);
            let mut guard = StallGuard::new(server, Activity::new(), &limits(50));
            let silence = tokio::time::timeout(Duration::from_millis(150), guard.read_u8()).await;
            assert!(silence.is_err());
            client.write_all(b"G").await.unwrap();
            assert_eq!(guard.read_u8().await.unwrap(), b'G');
            let started = Instant::now();
            assert_eq!(guard.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert!(started.elapsed() < Duration::from_secs(5));
        });
    }

    #[test]
    fn a_body_and_the_idle_time_after_it_are_not_a_header() {
        block_on(async {
            let (mut client, server) = tokio::io::duplex(64);
            let activity = Activity::new();
            let mut guard = StallGuard::new(server, activity.clone(), &limits(50));
            client.write_all(b"G").await.unwrap();
            guard.read_u8().await.unwrap();
            let under_way = activity.begin();
            let waited = Duration::from_millis(150);
            assert!(tokio::time::timeout(waited, guard.read_u8()).await.is_err());
            drop(under_way);
            assert!(tokio::time::timeout(waited, guard.read_u8()).await.is_err());
        });
    }

    #[test]
    fn a_reader_who_stops_reading_is_dropped() {
        block_on(async {
            let (_client, server) = tokio::io::duplex(64);
            let mut guard = StallGuard::new(server, Activity::new(), &limits(50));
            let error = guard.write_all(&[0; 1000]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }
}
