//! A connection that does not wait for ever.
//!
//! hyper has one timer for both a slow header and an idle connection. This guard tells them apart: from the
//! first byte of a request its header has a deadline of its own, and a write that makes no progress ends the
//! connection. Bodies have their deadline in `body`, and idle connections hyper's timer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::config::Limits;

/// A stream with deadlines for headers and for writes.
#[derive(Debug)]
pub(crate) struct StallGuard<S> {
    stream: S,
    phase: RequestPhase,
    phase_seen: u64,
    header: Deadline,
    write: Deadline,
}

/// Whether a connection is between requests; shared by the stream and the service behind it.
///
/// Counts beginnings and ends, so that an odd number means that a request is being answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestPhase(Arc<AtomicU64>);

/// A request that is being answered, until dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(RequestPhase);

#[derive(Debug)]
struct Deadline {
    after: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> StallGuard<S> {
    pub(crate) fn new(stream: S, phase: RequestPhase, limits: &Limits) -> Self {
        Self {
            stream,
            phase,
            phase_seen: 0,
            header: Deadline { after: limits.header_timeout, timer: None },
            write: Deadline { after: limits.write_stall_timeout, timer: None },
        }
    }

    /// Returns whether the next bytes belong to a header; forgets the deadline of the one before.
    fn is_between_requests(&mut self) -> bool {
        let phase = self.phase.0.load(Ordering::Acquire);
        if phase != self.phase_seen {
            self.phase_seen = phase;
            self.header.timer = None;
        }
        phase.is_multiple_of(2)
    }

    /// Ends a write that is pending for too long.
    fn guard_write<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.write.timer = None;
            return polled;
        }
        self.write.start();
        ready!(self.write.poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl RequestPhase {
    /// Marks that a request's header is complete.
    pub(crate) fn begin(&self) -> UnderWay {
        self.0.fetch_add(1, Ordering::AcqRel);
        UnderWay(self.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::AcqRel);
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
        if !self.is_between_requests() {
            return polled;
        }
        if polled.is_ready() {
            if buffer.filled().len() > filled {
                self.header.start();
            }
            return polled;
        }
        ready!(self.header.poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.guard_write(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.guard_write(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

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
            let mut guard = StallGuard::new(server, RequestPhase::default(), &limits(50));
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
            let phase = RequestPhase::default();
            let mut guard = StallGuard::new(server, phase.clone(), &limits(50));
            client.write_all(b"G").await.unwrap();
            guard.read_u8().await.unwrap();
            let under_way = phase.begin();
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
            let mut guard = StallGuard::new(server, RequestPhase::default(), &limits(50));
            let error = guard.write_all(&[0; 1000]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }
}
