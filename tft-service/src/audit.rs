//! One line per request, for those who must know who did what.
//!
//! Owns the lines and where they go. Lines are written by a thread of their own from a bounded queue, so that
//! a disk or a pipe that stalls does not stall requests; lines for which there is no room are counted, and the
//! count is in the next line that is written.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::error::ServiceError;

/// Where audit lines go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AuditTarget {
    /// Nowhere.
    #[default]
    Off,
    /// Standard output.
    Stdout,
    /// A file that is appended to; created readable for its owner and group.
    File(PathBuf),
}

/// What is told of one request: who asked for what, and what came of it. Never a secret, not even a wrong one.
#[derive(Debug, Serialize)]
pub(crate) struct AuditLine<'a> {
    /// RFC 3339, UTC.
    pub(crate) timestamp: String,
    pub(crate) request_id: &'a str,
    pub(crate) method: &'a str,
    /// Without its query.
    pub(crate) path: &'a str,
    pub(crate) client_ip: String,
    /// The key's or token's name; `none` if none was needed or given, `invalid` if a wrong one was.
    pub(crate) key_id: &'a str,
    pub(crate) status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'a str>,
    pub(crate) duration_ms: f64,
}

/// The queue of lines; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Audit {
    queue: Option<SyncSender<Entry>>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Entry {
    Line(String),
    Reopen,
    /// Says, by being dropped, that everything before it is written.
    Barrier(#[expect(dead_code, reason = "held until it is dropped")] SyncSender<()>),
}

/// The end of the queue at which lines are written.
#[derive(Debug)]
struct Writer {
    target: Target,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Target {
    Stdout,
    File(PathBuf, File),
}

impl AuditTarget {
    /// Reads `stdout`, `off` or the name of a file.
    pub fn parse(text: &str) -> Self {
        match text {
            "off" => Self::Off,
            "stdout" | "-" => Self::Stdout,
            path => Self::File(path.into()),
        }
    }
}

impl Audit {
    /// Starts to write lines.
    ///
    /// # Errors
    /// [`ServiceError::Audit`] if the file cannot be opened, [`ServiceError::Thread`].
    pub(crate) fn start(target: &AuditTarget) -> Result<Self, ServiceError> {
        let target = match target {
            AuditTarget::Off => return Ok(Self::default()),
            AuditTarget::Stdout => Target::Stdout,
            AuditTarget::File(path) => {
                let opened = open(path);
                let refused = |source| ServiceError::Audit { path: path.clone(), source };
                Target::File(path.clone(), opened.map_err(refused)?)
            }
        };
        let (queue, entries) = mpsc::sync_channel(LINES_WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer { target, lost: Arc::clone(&lost) };
        let thread = thread::Builder::new().name("audit".into());
        thread.spawn(move || writer.run(&entries)).map_err(|source| ServiceError::Thread { source })?;
        Ok(Self { queue: Some(queue), lost })
    }

    /// Queues one line; counts it as lost if there is no room.
    pub(crate) fn write(&self, line: &AuditLine<'_>) {
        let Some(queue) = &self.queue else { return };
        // A struct of text and numbers always has a JSON form.
        let json = serde_json::to_string(line).unwrap_or_default();
        if queue.try_send(Entry::Line(format!("AUDIT: {json}\n"))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was queued is written, but not for long.
    pub(crate) fn flush(&self) {
        let Some(queue) = &self.queue else { return };
        let (barrier, passed) = mpsc::sync_channel(0);
        if queue.try_send(Entry::Barrier(barrier)).is_ok() {
            let _ = passed.recv_timeout(FLUSH_PATIENCE);
        }
    }

    /// Opens the file anew, after it was moved away.
    pub(crate) fn reopen(&self) {
        if let Some(queue) = &self.queue {
            let _ = queue.try_send(Entry::Reopen);
        }
    }
}

impl Writer {
    fn run(mut self, entries: &Receiver<Entry>) {
        while let Ok(entry) = entries.recv() {
            let written = match entry {
                Entry::Line(line) => self.write(&line),
                Entry::Reopen => self.reopen(),
                Entry::Barrier(_) => Ok(()),
            };
            if let Err(error) = written {
                tracing::error!(%error, "the audit log cannot be written");
            }
        }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let notice = if lost > 0 { format!("AUDIT: {{\"lines_lost\":{lost}}}\n") } else { String::new() };
        let text = notice + line;
        match &mut self.target {
            Target::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes())?;
                out.flush()
            }
            Target::File(_, file) => file.write_all(text.as_bytes()),
        }
    }

    /// Keeps writing to the old file if the new one cannot be opened.
    fn reopen(&mut self) -> io::Result<()> {
        if let Target::File(path, file) = &mut self.target {
            *file = open(path)?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// About a second of a busy service.
const LINES_WAITING_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn line(request_id: &str) -> AuditLine<'_> {
        AuditLine {
            timestamp: "2026-01-05T12:00:00Z".into(),
            request_id,
            method: "GET",
            path: "/status",
            client_ip: "192.0.2.1".into(),
            key_id: "none",
            status_code: 200,
            reason: None,
            duration_ms: 0.25,
        }
    }

    fn wait_for(path: &Path, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !std::fs::read_to_string(path).is_ok_and(|content| content.contains(text)) {
            assert!(Instant::now() < deadline, "{text} is not in {}", path.display());
            thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn a_file_that_was_moved_away_is_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let audit = Audit::start(&AuditTarget::File(path.clone())).unwrap();
        audit.write(&line("1"));
        wait_for(&path, "\"request_id\":\"1\"");
        let moved = directory.path().join("audit.log.1");
        std::fs::rename(&path, &moved).unwrap();
        audit.reopen();
        audit.write(&line("2"));
        wait_for(&path, "\"request_id\":\"2\"");
        insta::assert_snapshot!(std::fs::read_to_string(&moved).unwrap(), @r#"AUDIT: {"timestamp":"2026-01-05T12:00:00Z","request_id":"1","method":"GET","path":"/status","client_ip":"192.0.2.1","key_id":"none","status_code":200,"duration_ms":0.25}"#);
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap()) & 0o137, 0);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_at_start() {
        let directory = tempfile::tempdir().unwrap();
        let target = AuditTarget::File(directory.path().join("missing").join("audit.log"));
        assert!(matches!(Audit::start(&target), Err(ServiceError::Audit { .. })));
    }
}
