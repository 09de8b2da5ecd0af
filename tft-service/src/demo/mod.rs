//! `demo`: recorded days of real services, replayed at full speed through the real window, model and rules.
//!
//! Owns the order: read the excerpt, replay it, print what was forecast and what happened, then serve the
//! state that the replay ended in. Everything that is computed is computed by `tft-core`.

mod excerpt;
mod incidents;
mod replay;
mod report;
mod schema;

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Instant;

use tft_core::time::{StepLength, Timestamp};
use tft_core::window::RollingWindow;

use crate::clock::StoppedClock;
use crate::config::args::DemoConfig;
use crate::engine::Engine;
use crate::error::ServiceError;
use excerpt::Excerpt;
use replay::Replay;
use report::Report;

/// The state in which a replay ended.
pub(crate) struct Replayed {
    pub(crate) engine: Engine,
    pub(crate) window: RollingWindow,
    /// Shows the end of the recording, for ever.
    pub(crate) clock: Arc<StoppedClock>,
}

/// Replays the excerpt and prints the summary to standard output.
///
/// # Errors
/// [`ServiceError::Model`] if the model cannot be used, [`ServiceError::Demo`] if the excerpt cannot be read
/// or the summary not be written.
pub(crate) fn replay_and_report(config: &DemoConfig) -> Result<Replayed, ServiceError> {
    let excerpt = Excerpt::embedded()?;
    let schema = schema::describe(&excerpt)?;
    let engine = Engine::load(config.serve.model_dir.as_deref(), &schema)?;
    let (replayed, report) = replay(&excerpt, engine, config.every_steps)?;
    let mut output = std::io::stdout().lock();
    let written =
        if config.is_json { report.write_json(&mut output) } else { report.write_text(&mut output) };
    written.map_err(|source| ServiceError::Demo { source: source.into() })?;
    Ok(replayed)
}

fn replay(excerpt: &Excerpt, engine: Engine, every_steps: usize) -> Result<(Replayed, Report), ServiceError> {
    let started = Instant::now();
    let mut replay = Replay::new(excerpt, engine, every_steps)?;
    let mut progress = Progress::new(excerpt.rows.len());
    for rows in excerpt.rows.chunk_by(|a, b| a.at == b.at) {
        replay.step(rows)?;
        progress.advance(rows.len(), rows[0].at);
    }
    progress.end();
    let clock = Arc::new(StoppedClock::new(replay.now()));
    let report = replay.report(started.elapsed())?;
    let (engine, window) = replay.into_parts();
    Ok((Replayed { engine, window, clock }, report))
}

/// Returns when a step is closed for a window with one step of grace.
fn closing_time(step_length: StepLength, at: Timestamp) -> Timestamp {
    step_length.end_of(step_length.step_at(at)).plus_millis(step_length.as_millis())
}

/// Tells on standard error how far the replay is: a bar on a terminal, a line per tenth elsewhere.
struct Progress {
    rows: usize,
    done: usize,
    shown: usize,
    is_terminal: bool,
}

impl Progress {
    const WIDTH: usize = 40;

    fn new(rows: usize) -> Self {
        Self { rows, done: 0, shown: 0, is_terminal: std::io::stderr().is_terminal() }
    }

    fn advance(&mut self, rows: usize, at: Timestamp) {
        self.done += rows;
        let parts = if self.is_terminal { Self::WIDTH } else { 10 };
        let reached = self.done * parts / self.rows.max(1);
        if reached == self.shown {
            return;
        }
        self.shown = reached;
        // Nobody to tell is no reason to stop.
        let mut output = std::io::stderr().lock();
        let _ = if self.is_terminal {
            let rest = Self::WIDTH - reached;
            write!(output, "\rreplaying [{}{}] {at}", "#".repeat(reached), " ".repeat(rest))
        } else {
            writeln!(output, "replaying: {} %, at {at}", reached * 10)
        };
    }

    fn end(&self) {
        if self.is_terminal {
            let _ = writeln!(std::io::stderr());
        }
    }
}
