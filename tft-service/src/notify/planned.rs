//! Where messages come from, and who hears what became of them.

use std::fmt;
use std::sync::Arc;

use tft_core::alert::Notification;

use super::worker::Outcomes;
use crate::clock::Clock;
use crate::state::ServiceState;

/// What deliveries ask for messages and tell of outcomes.
pub(crate) struct Planned {
    /// Returns the messages that are due.
    pub(crate) due: Box<dyn FnMut() -> Vec<Notification> + Send>,
    /// Hears of every message once, unless the service stops before.
    pub(crate) outcomes: Outcomes,
}

impl Planned {
    /// Delivers what a service's notifier decides.
    pub(crate) fn by_notifier(state: &Arc<ServiceState>, clock: &Arc<dyn Clock>) -> Self {
        let (of_due, now) = (Arc::clone(state), Arc::clone(clock));
        let due = move || {
            let now = now.now();
            let mut notifier = of_due.notifier().lock();
            let is_due = notifier.next_due().is_some_and(|at| at <= now);
            if is_due { notifier.due(now) } else { Vec::new() }
        };
        let (state, clock) = (Arc::clone(state), Arc::clone(clock));
        let outcomes: Outcomes = Arc::new(move |notification, outcome| {
            state.notifier().lock().delivered(notification, outcome, clock.now());
        });
        Self { due: Box::new(due), outcomes }
    }
}

impl fmt::Debug for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planned").finish_non_exhaustive()
    }
}
