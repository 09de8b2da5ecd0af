//! The thread that writes to the history.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use tft_core::Error;
use tft_core::history::{History, HistoryEntry, HistoryRemoval};

use super::HistoryCounters;
use crate::background::spawn;
use crate::clock::Clock;
use crate::error::{ServiceError, in_one_line};

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Write these.
    Rows(Vec<HistoryEntry>),
    /// Write what was handed over before, and remove every trace of a server.
    Remove(String, SyncSender<Result<HistoryRemoval, Error>>),
    /// Write what is left, and end.
    Stop,
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct HistoryWriter {
    handle: HistoryHandle,
    thread: JoinHandle<()>,
}

/// What changes the history beside the thread's own rows.
#[derive(Debug, Clone)]
pub(crate) struct HistoryHandle {
    pub(crate) history: Arc<History>,
    queue: SyncSender<Message>,
}

struct Work {
    history: Arc<History>,
    clock: Arc<dyn Clock>,
    counters: Arc<HistoryCounters>,
    /// Rows that could not be written yet.
    pending: Vec<HistoryEntry>,
    /// By the monotonic clock, when the history was last looked after.
    maintained_at: Duration,
}

impl HistoryWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`ServiceError::Thread`] if the operating system refuses it.
    pub(super) fn start(
        history: Arc<History>,
        clock: Arc<dyn Clock>,
        counters: Arc<HistoryCounters>,
    ) -> Result<Self, ServiceError> {
        let (queue, messages) = mpsc::sync_channel(MESSAGES_MAX);
        let handle = HistoryHandle { history: Arc::clone(&history), queue };
        let work = Work { history, maintained_at: clock.monotonic(), clock, counters, pending: Vec::new() };
        let thread = spawn("history", move || work.run(&messages))?;
        Ok(Self { handle, thread })
    }

    /// Returns the end of the queue that rows come in by.
    pub(super) fn queue(&self) -> SyncSender<Message> {
        self.handle.queue.clone()
    }

    /// Returns what changes the history beside the thread's own rows.
    pub(crate) fn handle(&self) -> HistoryHandle {
        self.handle.clone()
    }

    /// Waits until everything that was handed over is written or given up.
    ///
    /// # Errors
    /// [`ServiceError::ThreadPanicked`].
    pub(crate) fn stop(self) -> Result<(), ServiceError> {
        // A thread that has ended takes no messages.
        let _ = self.handle.queue.send(Message::Stop);
        self.thread.join().map_err(|_| ServiceError::ThreadPanicked)
    }
}

impl HistoryHandle {
    /// Removes every trace of a server, from the rows that wait to be written too; blocks. None if the thread has ended.
    pub(crate) fn remove_server(&self, name: &str) -> Option<Result<HistoryRemoval, Error>> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.queue.send(Message::Remove(name.to_owned(), answer)).ok()?;
        answered.recv().ok()
    }
}

impl Work {
    fn run(mut self, messages: &Receiver<Message>) {
        self.maintain();
        loop {
            match messages.recv_timeout(LOOK_EVERY) {
                Ok(Message::Rows(rows)) => {
                    self.take(rows);
                    self.write();
                }
                Ok(Message::Remove(name, answer)) => {
                    // Who asked may have given up waiting.
                    let _ = answer.send(self.remove(&name));
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.write();
                    if self.clock.monotonic().saturating_sub(self.maintained_at) >= MAINTAIN_EVERY {
                        self.maintain();
                    }
                }
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.write();
                    self.counters.lost.add(self.pending.len() as u64);
                    return;
                }
            }
        }
    }

    /// Adds rows to those that wait; what is too much is lost.
    fn take(&mut self, mut rows: Vec<HistoryEntry>) {
        let room = ROWS_PENDING_MAX.saturating_sub(self.pending.len());
        self.counters.lost.add(rows.len().saturating_sub(room) as u64);
        rows.truncate(room);
        self.pending.append(&mut rows);
    }

    /// Writes all that waits; what cannot be written waits on.
    fn write(&mut self) {
        while !self.pending.is_empty() {
            let count = self.pending.len().min(ROWS_AT_A_TIME);
            match self.history.append(&self.pending[..count]) {
                Ok(_) => drop(self.pending.drain(..count)),
                Err(error) => {
                    self.counters.failures.add(1);
                    tracing::error!(error = in_one_line(&error), "the history could not be written");
                    return;
                }
            }
        }
    }

    fn remove(&mut self, name: &str) -> Result<HistoryRemoval, Error> {
        self.write();
        self.pending.retain(|row| !names(row, name));
        self.history.remove_server(name, self.clock.now())
    }

    fn maintain(&mut self) {
        self.maintained_at = self.clock.monotonic();
        match self.history.maintain(self.clock.now()) {
            Ok(expiry) if expiry.rows > 0 => {
                tracing::info!(rows = expiry.rows, "removed history that was too old or too much");
            }
            Ok(_) => {}
            Err(error) => {
                self.counters.failures.add(1);
                tracing::error!(error = in_one_line(&error), "the history could not be looked after");
            }
        }
    }
}

/// Returns whether a row that waits to be written is about a server.
fn names(row: &HistoryEntry, name: &str) -> bool {
    match row {
        HistoryEntry::Alert(event) => event.server == name,
        HistoryEntry::Snapshot(snapshot) => snapshot.top_risks.iter().any(|risk| risk.server == name),
        _ => true,
    }
}

/// Most forecasts whose rows wait in the queue.
const MESSAGES_MAX: usize = 64;
/// Most rows that wait because they could not be written.
const ROWS_PENDING_MAX: usize = 100_000;
/// Rows that are made durable together; within [`History::BATCH_BYTES_MAX`] even if each is as large as it may be.
const ROWS_AT_A_TIME: usize = History::BATCH_BYTES_MAX / HistoryEntry::BYTES_MAX;
const LOOK_EVERY: Duration = Duration::from_millis(500);
const MAINTAIN_EVERY: Duration = Duration::from_mins(10);
