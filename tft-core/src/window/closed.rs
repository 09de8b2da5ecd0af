//! The closed steps of a server, as a checkpoint and record batches have them.

use super::ServerView;
use crate::schema::Status;
use crate::time::Timestamp;

/// One sample on its way out of a window, or back into it.
#[derive(Clone, Copy)]
pub(crate) struct StoredSample<'a> {
    pub(crate) at: Timestamp,
    pub(crate) status: Option<Status>,
    /// One value per metric; NaN is a missing value.
    pub(crate) values: &'a [f32],
}

impl ServerView<'_> {
    /// Visits the closed steps of this server, in time order.
    pub(crate) fn visit_closed(&self, mut visit: impl FnMut(StoredSample<'_>)) {
        let visited: Result<(), std::convert::Infallible> = self.try_visit_closed(|sample| {
            visit(sample);
            Ok(())
        });
        let Ok(()) = visited;
    }

    pub(super) fn try_visit_closed<E>(
        &self,
        mut visit: impl FnMut(StoredSample<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let rules = &self.window.rules;
        let mut values = Vec::with_capacity(rules.aggregations.len());
        for step in self.server.closed_steps(rules) {
            values.clear();
            values.extend(self.server.ring().row(step));
            let at = rules.config.step.start_of(step);
            visit(StoredSample { at, status: self.status_at(step), values: &values })?;
        }
        Ok(())
    }
}
