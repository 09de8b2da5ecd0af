//! The threads behind the requests: one forecasts, one saves, and one syncs the log if that is to be done at
//! an interval.
//!
//! Owns their lives and the pace of forecasting. Inference has a thread of its own so that no request ever
//! computes a forecast, and any number of readers cost one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tft_core::alert::{AlertState, Policies};
use tft_core::store::SyncMode;
use tft_core::time::{Step, Timestamp};
use tft_core::window::RollingWindow;
use tokio::sync::oneshot;

use crate::admin::Command;
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::Engine;
use crate::error::{ServiceError, in_one_line};
use crate::explain::Asked;
use crate::history::{HistoryFeed, HistoryWriter};
use crate::metrics::Metrics;
use crate::persistence::{self, Checkpointer};
use crate::self_watch::{self, Moment, SelfWatch};
use crate::snapshot::{FleetView, Snapshot};
use crate::state::ServiceState;
use crate::suppression::Suppression;

/// The running threads.
#[derive(Debug)]
pub(crate) struct Background {
    is_stopping: Arc<AtomicBool>,
    wake: SyncSender<()>,
    inference: JoinHandle<()>,
    /// Resolves when the inference thread ends.
    inference_ended: oneshot::Receiver<()>,
    /// Dropping it stops the checkpoint thread.
    stop_checkpoints: Sender<()>,
    checkpoints: JoinHandle<Result<(), ServiceError>>,
    /// Dropping it stops the thread that syncs the log.
    stop_syncs: Option<Sender<()>>,
    history: Option<HistoryWriter>,
}

/// What the inference thread works with.
struct Inference {
    engine: Engine,
    state: Arc<ServiceState>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    commands: Receiver<Command>,
    interval: Duration,
    is_stopping: Arc<AtomicBool>,
    self_watch: SelfWatch,
    last: Option<LastRun>,
    history: Option<HistoryFeed>,
    /// Dropped when the thread ends, for whatever reason.
    _ended: oneshot::Sender<()>,
}

/// What the threads share with requests, beside the state.
pub(crate) struct Parts {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) commands: Receiver<Command>,
    pub(crate) wake: WakeChannel,
    pub(crate) self_watch: SelfWatch,
    pub(crate) history: (Option<HistoryWriter>, Option<HistoryFeed>),
}

/// For what, and when, the newest snapshot was made.
#[derive(Debug, Clone, Copy)]
struct LastRun {
    generation: u64,
    origin: Option<Step>,
    at: Duration,
    cost: Duration,
}

/// The two ends of the channel that wakes the inference thread.
pub(crate) type WakeChannel = (SyncSender<()>, Receiver<()>);

/// Builds the channel; it holds one message, because being woken once is enough.
pub(crate) fn wake_channel() -> WakeChannel {
    mpsc::sync_channel(1)
}

impl Background {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`ServiceError::Thread`] if the operating system refuses one.
    pub(crate) fn start(
        config: &Config,
        engine: Engine,
        state: &Arc<ServiceState>,
        parts: Parts,
    ) -> Result<Self, ServiceError> {
        let Parts { clock, metrics, commands, wake: (wake, woken), self_watch, history } = parts;
        let (history, history_feed) = history;
        let (ended, inference_ended) = oneshot::channel();
        let is_stopping = Arc::new(AtomicBool::new(false));
        let inference = Inference {
            engine,
            state: Arc::clone(state),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            commands,
            interval: config.intervals.inference,
            is_stopping: Arc::clone(&is_stopping),
            self_watch,
            last: None,
            history: history_feed,
            _ended: ended,
        };
        let inference = spawn("inference", move || inference.run(&woken))?;
        let checkpointer = Checkpointer::new(config.persistence_file.clone(), state.clone(), clock, metrics);
        let (stop_checkpoints, stopped) = mpsc::channel();
        let interval = config.intervals.checkpoint;
        let checkpoints = spawn("checkpoints", move || checkpointer.run(&stopped, interval))?;
        let stop_syncs = start_syncs(config, state)?;
        Ok(Self {
            is_stopping,
            wake,
            inference,
            inference_ended,
            stop_checkpoints,
            checkpoints,
            stop_syncs,
            history,
        })
    }

    /// Resolves if the inference thread ends before it is told to.
    pub(crate) async fn inference_ended(&mut self) {
        // The sender never sends: an error says that it was dropped.
        let _ = (&mut self.inference_ended).await;
    }

    /// Stops the threads and saves the window; does not wait for long for a forecast that is being made.
    ///
    /// # Errors
    /// That of the last save, or [`ServiceError::ThreadPanicked`].
    pub(crate) fn stop(self) -> Result<(), ServiceError> {
        self.is_stopping.store(true, Ordering::Release);
        let _ = self.wake.try_send(());
        drop(self.stop_syncs);
        drop(self.stop_checkpoints);
        let saved = self.checkpoints.join().unwrap_or(Err(ServiceError::ThreadPanicked));
        let is_finished = is_finished_soon(&self.inference);
        // After the last forecast that is waited for.
        let written = self.history.map_or(Ok(()), HistoryWriter::stop);
        let saved = saved.and(written);
        if !is_finished {
            tracing::info!("a forecast is still being made and is given up");
            return saved;
        }
        self.inference.join().map_err(|_| ServiceError::ThreadPanicked).and(saved)
    }
}

impl Inference {
    fn run(mut self, woken: &Receiver<()>) {
        while !self.is_stopping.load(Ordering::Acquire) {
            let is_more = self.obey_some();
            self.run_if_due();
            if is_more {
                continue;
            }
            if woken.recv_timeout(self.interval) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// Does what it is told, but not for so long that forecasts would be late; returns whether there may be more.
    fn obey_some(&mut self) -> bool {
        for _ in 0..COMMANDS_PER_FORECAST_MAX {
            let Ok(command) = self.commands.try_recv() else { return false };
            self.obey(command);
        }
        true
    }

    fn run_if_due(&mut self) {
        let window = self.state.store().window();
        let (generation, origin) = (window.generation(), window.origin(self.clock.now()));
        drop(window);
        let is_due = is_due(self.last, generation, origin, self.clock.monotonic(), self.interval);
        if is_due && let Err(error) = self.renew(Engine::view) {
            tracing::error!(error = in_one_line(&error), "the forecast failed");
        }
        // After the forecast, so that a clock that has jumped does not make it old.
        if self.self_watch.look(self.moment()) && self.state.has_forecast() {
            self.publish_own_news();
        }
    }

    fn moment(&self) -> Moment {
        let forecast_at = self.state.has_forecast().then(|| self.state.snapshot().view.assessment.at);
        Moment { now: self.clock.now(), monotonic: self.clock.monotonic(), forecast_at }
    }

    /// Publishes the service's own alerts beside forecasts that are as old as they are.
    fn publish_own_news(&mut self) {
        let mut view = self.state.snapshot().view.clone();
        view.assessment.transitions.clear();
        view.assessment.alerts.retain(|alert| !self_watch::is_own(alert));
        self.publish(view);
    }

    fn obey(&mut self, command: Command) {
        // Who asked may have given up waiting.
        match command {
            Command::Use(forecaster, answer) => {
                let used =
                    self.renew(|engine, window, now| engine.change_forecaster(*forecaster, window, now));
                let facts = self.engine.facts().clone();
                self.state.set_history_steps_needed(facts.history_steps_needed);
                let _ = answer.send(used.map(|()| facts));
            }
            Command::Forget(name, answer) => {
                self.engine.forget_server(&name);
                self.state.notifier().change(|notifier| notifier.forget(&name, self.clock.now()));
                // Also if the forecast fails, no file may name the server.
                let kept = self.keep();
                let _ = answer.send(self.renew(Engine::view).and(kept));
            }
            Command::Explain(asked) => self.explain(asked),
            Command::Judge(policies) => self.judge_by(*policies),
        }
    }

    fn judge_by(&mut self, policies: Policies) {
        let rules = policies.alerts.rules.len();
        let renewed = self.renew(|engine, window, now| {
            engine.set_policies(policies)?;
            engine.view(window, now)
        });
        match renewed {
            Ok(()) => tracing::info!(rules, "the rules were reloaded"),
            Err(error) => tracing::error!(error = in_one_line(&error), "the rules could not be applied"),
        }
    }

    /// Answers from the newest snapshot's point of view, once per snapshot and server. Works on a clone of the window,
    /// so that feeds do not wait.
    fn explain(&self, asked: Asked) {
        if asked.is_abandoned() {
            return;
        }
        let snapshot = self.state.snapshot();
        if asked.what_if.is_none()
            && let Some(kept) = snapshot.explanation(&asked.server)
        {
            return asked.answer(Ok(Some(kept)));
        }
        let window = self.state.store().window().clone();
        let answer = self.engine.explain(&window, &snapshot.view, (&asked.server, asked.what_if.as_ref()));
        self.metrics.explanations.add(1);
        if let (Ok(Some(json)), None) = (&answer, &asked.what_if) {
            snapshot.keep_explanation(&asked.server, json.clone());
        }
        asked.answer(answer);
    }

    /// Publishes a new view. Works on a clone of the window, which shares its histories, so that feeds do not wait for a
    /// forecast.
    fn renew(
        &mut self,
        view: impl FnOnce(&mut Engine, &RollingWindow, Timestamp) -> Result<FleetView, tft_core::Error>,
    ) -> Result<(), tft_core::Error> {
        let (started, begun) = (Instant::now(), self.clock.monotonic());
        let now = self.clock.now();
        let copy = self.state.store().window().clone();
        let (generation, origin) = (copy.generation(), copy.origin(now));
        let viewed = view(&mut self.engine, &copy, now).map(|view| self.publish(view));
        if let Err(error) = self.keep() {
            tracing::error!(error = in_one_line(&error), "the state of alerts could not be saved");
        }
        // That a clock was set forward meanwhile is no work, and must not make the thread rest for as long.
        let cost = started.elapsed().min(self.clock.monotonic().saturating_sub(begun));
        self.metrics.inference.observe(cost);
        let (servers, cost_ms) = (copy.server_count(), cost.as_millis() as u64);
        tracing::debug!(servers, cost_ms, "assessed the fleet");
        self.last = Some(LastRun { generation, origin, at: begun + cost, cost });
        viewed
    }

    /// Makes alerts, and what is told of them, survive a restart.
    fn keep(&self) -> Result<(), tft_core::Error> {
        self.state.keep_alerts(&self.engine.alert_state()).and(self.state.keep_notifier())
    }

    fn publish(&mut self, mut view: FleetView) {
        self.self_watch.join(&mut view.assessment);
        view.suppression = self.state.notifier().change(|notifier| {
            notifier.observe(&view.assessment.alerts, &view.assessment.transitions, self.clock.now());
            Suppression::of(notifier)
        });
        let transitions = &view.assessment.transitions;
        let resolved = transitions.iter().filter(|change| change.alert.state == AlertState::Resolved).count();
        self.metrics.alerts_resolved.add(resolved as u64);
        if let Some(history) = &mut self.history {
            history.take(&view, self.clock.monotonic());
        }
        self.state.publish(Snapshot::new(view));
    }
}

/// Most commands that are carried out before it is looked whether a forecast is due.
const COMMANDS_PER_FORECAST_MAX: usize = 8;

/// Starts the thread that syncs the log at an interval, if the configuration asks for it.
fn start_syncs(config: &Config, state: &Arc<ServiceState>) -> Result<Option<Sender<()>>, ServiceError> {
    if config.persistence_file.is_none() || config.store.sync != SyncMode::Interval {
        return Ok(None);
    }
    let (stop, stopped) = mpsc::channel();
    let (state, interval) = (Arc::clone(state), config.intervals.sync);
    spawn("log-sync", move || persistence::sync_log(&state, &stopped, interval))?;
    Ok(Some(stop))
}

/// Returns whether a new snapshot is worth its cost.
///
/// At once when the origin has moved; for late data and new servers after the interval, and never for more
/// than a third of the time; otherwise every minute, because alerts also depend on the time of day.
fn is_due(
    last: Option<LastRun>,
    generation: u64,
    origin: Option<Step>,
    now: Duration,
    interval: Duration,
) -> bool {
    const AT_LEAST_EVERY: Duration = Duration::from_mins(1);
    let Some(last) = last else { return true };
    let since = now.saturating_sub(last.at);
    let has_rested = since >= interval.max(last.cost * 2);
    origin != last.origin || has_rested && (generation != last.generation || since >= AT_LEAST_EVERY)
}

/// Waits for a thread, and returns whether it has ended.
fn is_finished_soon(thread: &JoinHandle<()>) -> bool {
    const PATIENCE: Duration = Duration::from_secs(2);
    const PAUSE: Duration = Duration::from_millis(10);
    let pauses = PATIENCE.as_millis() / PAUSE.as_millis();
    (0..pauses).any(|_| {
        if !thread.is_finished() {
            thread::sleep(PAUSE);
        }
        thread.is_finished()
    })
}

pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, ServiceError> {
    let builder = thread::Builder::new().name(name.to_owned());
    builder.spawn(run).map_err(|source| ServiceError::Thread { source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_origin_is_forecast_at_once_and_late_data_after_a_rest() {
        let seconds = Duration::from_secs;
        let last = |cost| {
            Some(LastRun { generation: 7, origin: Some(Step(3)), at: seconds(100), cost: seconds(cost) })
        };
        let due = |last, generation, origin, now| {
            is_due(last, generation, Some(Step(origin)), seconds(now), seconds(5))
        };
        assert!(due(None, 0, 0, 0));
        assert!(due(last(1), 8, 4, 100));
        assert!(!due(last(1), 8, 3, 104));
        assert!(due(last(1), 8, 3, 105));
        assert!(!due(last(20), 8, 3, 139));
        assert!(!due(last(1), 7, 3, 159));
        assert!(due(last(1), 7, 3, 160));
    }
}
