//! Rows on their way into a window, whatever file they come from.
//!
//! Owns how rows are held, in which order the window takes them and what of them is left out. Knows nothing
//! of columns or of encodings.

use std::collections::HashMap;

use super::LoadReport;
use super::error::StoreError;
use crate::schema::{Profile, ServerName, Status};
use crate::time::{Timestamp, abbreviate};
use crate::window::{RollingWindow, StoredSample};

/// Rows on their way into a window.
pub(super) struct Rows {
    pub(super) window: RollingWindow,
    pub(super) names: Names,
    /// Rows that the window has not taken yet.
    pub(super) pending: Vec<Row>,
    /// Theirs, `[row][metric]`; NaN is a missing value.
    pub(super) values: Vec<f32>,
    pub(super) report: LoadReport,
}

/// What a row says beside its metrics.
pub(super) struct Row {
    pub(super) at: Timestamp,
    /// The position of its name.
    pub(super) server: usize,
    pub(super) profile: Option<Profile>,
    pub(super) status: Option<Status>,
}

/// The servers' names, each held once.
#[derive(Default)]
pub(super) struct Names {
    names: Vec<ServerName>,
    index: HashMap<ServerName, usize>,
}

impl Names {
    /// Returns the position of a name, or the name if it is not acceptable.
    pub(super) fn position(&mut self, text: &str) -> Result<usize, String> {
        if let Some(&position) = self.index.get(text) {
            return Ok(position);
        }
        let name = ServerName::new(text).map_err(|_| abbreviate(text))?;
        self.index.insert(name.clone(), self.names.len());
        self.names.push(name);
        Ok(self.names.len() - 1)
    }
}

impl Rows {
    pub(super) fn new(window: RollingWindow, report: LoadReport) -> Self {
        Self { window, names: Names::default(), pending: Vec::new(), values: Vec::new(), report }
    }

    /// Gives the collected rows to the window in the order in which they came.
    pub(super) fn restore(&mut self) -> Result<(), StoreError> {
        self.restore_in(0..self.pending.len())
    }

    /// Gives the collected rows to the window, the oldest first.
    pub(super) fn restore_in_time_order(&mut self) -> Result<(), StoreError> {
        let mut order: Vec<usize> = (0..self.pending.len()).collect();
        order.sort_by_key(|&row| self.pending[row].at);
        self.restore_in(order)
    }

    /// Returns the window with the counters that its file keeps.
    pub(super) fn finish<'n>(
        mut self,
        tick_count: u64,
        samples_accepted: impl IntoIterator<Item = (&'n str, u64)>,
    ) -> (RollingWindow, LoadReport) {
        self.window.restore_counters(tick_count, samples_accepted);
        (self.window, self.report)
    }

    fn restore_in(&mut self, order: impl IntoIterator<Item = usize>) -> Result<(), StoreError> {
        let stride = self.window.schema().metrics().len();
        for row in order {
            let values = &self.values[row * stride..(row + 1) * stride];
            let Row { at, server, profile, status } = &self.pending[row];
            let sample = StoredSample { at: *at, status: *status, values };
            let is_empty = status.is_none() && values.iter().all(|value| value.is_nan());
            let name = &self.names.names[*server];
            let taken = !is_empty
                && self
                    .window
                    .restore(name, profile.as_ref(), sample)
                    .map_err(|source| StoreError::Window { source })?;
            self.report.rows_dropped += u64::from(!taken);
        }
        self.pending.clear();
        self.values.clear();
        Ok(())
    }
}

/// Reads a profile's name, or returns it if it is not acceptable.
pub(super) fn profile_of(text: &str) -> Result<Profile, String> {
    Profile::new(text).map_err(|_| abbreviate(text))
}
