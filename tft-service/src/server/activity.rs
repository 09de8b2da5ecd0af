//! What a connection is doing, for those who decide whether it has done nothing for too long.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::Instant;

use crate::config::Limits;
use crate::http::{BodyError, ReplyBody};

/// Whether a connection is between requests, and by when its replies must be delivered; shared by the stream and
/// what is behind it.
#[derive(Debug, Clone)]
pub(crate) struct Activity(Arc<Mutex<State>>);

/// A request that is being answered, until dropped.
#[derive(Debug)]
pub(crate) struct UnderWay {
    activity: Activity,
    id: u64,
}

/// A reply's body that counts as under way until the client has it, but for what is in buffers.
///
/// Handed on in parts, so that a client that does not read is noticed while most of the body is still here.
#[derive(Debug)]
pub(crate) struct Delivered {
    body: ReplyBody,
    rest: Bytes,
    _under_way: UnderWay,
}

#[derive(Debug)]
struct State {
    /// Requests that are being answered, and by when each must be delivered.
    active: Vec<(u64, Option<Instant>)>,
    begun: u64,
    /// When a request last began or ended.
    changed: Instant,
    changes: u64,
}

impl Activity {
    pub(crate) fn new() -> Self {
        let state = State { active: Vec::new(), begun: 0, changed: Instant::now(), changes: 0 };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Marks that a request's header is complete.
    pub(crate) fn begin(&self) -> UnderWay {
        let mut state = self.state();
        state.begun += 1;
        let id = state.begun;
        state.active.push((id, None));
        state.change();
        UnderWay { activity: self.clone(), id }
    }

    /// Returns whether no request is being answered, and how often that has changed.
    pub(crate) fn between_requests(&self) -> (bool, u64) {
        let state = self.state();
        (state.active.is_empty(), state.changes)
    }

    /// Resolves when the connection has been idle for too long, or a reply is not delivered in time.
    pub(crate) async fn overdue(&self, idle_timeout: Duration) -> &'static str {
        loop {
            tokio::time::sleep(LOOK_EVERY.min(idle_timeout)).await;
            let (state, now) = (self.state(), Instant::now());
            if state.active.is_empty() && now.duration_since(state.changed) >= idle_timeout {
                return "it was idle for too long";
            }
            if state.active.iter().any(|(_, deadline)| deadline.is_some_and(|deadline| deadline <= now)) {
                return "a reply was not read in time";
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn change(&mut self) {
        self.changed = Instant::now();
        self.changes += 1;
    }
}

impl UnderWay {
    /// Lets a reply that has begun be delivered within its time; a live stream may last.
    pub(crate) fn deliver(self, body: ReplyBody, is_live: bool, limits: &Limits) -> Delivered {
        if !is_live {
            let bytes = body.size_hint().lower();
            let pace = Duration::from_secs(bytes / Limits::REPLY_BYTES_PER_S);
            let deadline = Instant::now() + limits.reply_timeout + pace;
            let mut state = self.activity.state();
            state
                .active
                .iter_mut()
                .filter(|(id, _)| *id == self.id)
                .for_each(|entry| entry.1 = Some(deadline));
        }
        Delivered { body, rest: Bytes::new(), _under_way: self }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.active.retain(|(id, _)| *id != self.id);
        state.change();
    }
}

impl Body for Delivered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        let part = self.rest.len().min(PART_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, inner) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest + inner.lower());
        if let Some(upper) = inner.upper() {
            hint.set_upper(rest + upper);
        }
        hint
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(1);

const PART_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Either, Full};

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(future)
    }

    fn body(bytes: usize) -> ReplyBody {
        Either::Left(Full::new(vec![7; bytes].into()))
    }

    #[test]
    fn a_body_arrives_whole_and_in_parts() {
        block_on(async {
            let delivered =
                Activity::new().begin().deliver(body(PART_BYTES * 2 + 1), false, &Limits::default());
            assert_eq!(delivered.size_hint().exact(), Some(PART_BYTES as u64 * 2 + 1));
            let collected = delivered.collect().await.unwrap().to_bytes();
            assert_eq!(collected, vec![7; PART_BYTES * 2 + 1]);
        });
    }

    #[test]
    fn a_long_reply_has_more_time_and_a_live_one_all_of_it() {
        block_on(async {
            let limits = Limits { reply_timeout: Duration::from_secs(10), ..Limits::default() };
            let overdue_after = async |bytes: usize, is_live| {
                let activity = Activity::new();
                let _delivered = activity.begin().deliver(body(bytes), is_live, &limits);
                let started = Instant::now();
                let waited =
                    tokio::time::timeout(Duration::from_mins(10), activity.overdue(limits.idle_timeout));
                waited.await.ok().map(|_| started.elapsed().as_secs())
            };
            assert_eq!(overdue_after(10, false).await, Some(10));
            assert_eq!(overdue_after(20 * (64 << 10), false).await, Some(30));
            assert_eq!(overdue_after(10, true).await, None);
        });
    }

    #[test]
    fn idle_time_begins_when_the_last_request_ends() {
        block_on(async {
            let activity = Activity::new();
            let idle = Duration::from_secs(5);
            let under_way = activity.begin();
            assert!(tokio::time::timeout(Duration::from_mins(1), activity.overdue(idle)).await.is_err());
            drop(under_way);
            assert!(tokio::time::timeout(Duration::from_secs(4), activity.overdue(idle)).await.is_err());
            assert_eq!(activity.overdue(idle).await, "it was idle for too long");
        });
    }
}
