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

impl Row {
    fn is_empty(&self, values: &[f32]) -> bool {
        self.status.is_none() && values.iter().all(|value| value.is_nan())
    }
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

    /// Gives the collected rows to the window in the order in which they came: most of a server's rows at once,
    /// where they stand together and each is a step of its own.
    pub(super) fn restore(&mut self) -> Result<(), StoreError> {
        let mut run = Vec::new();
        let mut start = 0;
        while start < self.pending.len() {
            self.run_from(start, &mut run);
            let end = start + run.len().max(1);
            start += self.restore_closed(start, &run)?;
            (start..end).try_for_each(|row| self.restore_row(row))?;
            start = end;
        }
        self.pending.clear();
        self.values.clear();
        Ok(())
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
        order.into_iter().try_for_each(|row| self.restore_row(row))?;
        self.pending.clear();
        self.values.clear();
        Ok(())
    }

    /// Collects the heads of the rows from `start` on that have the same server and profile, and any content.
    fn run_from(&self, start: usize, run: &mut Vec<(Timestamp, Option<Status>)>) {
        let (first, stride) = (&self.pending[start], self.window.schema().metrics().len());
        let rows = self.pending[start..].iter().zip(self.values[start * stride..].chunks_exact(stride));
        let belongs = |(row, values): &(&Row, &[f32])| {
            row.server == first.server && row.profile == first.profile && !row.is_empty(values)
        };
        run.clear();
        run.extend(rows.take_while(belongs).map(|(row, _)| (row.at, row.status)));
    }

    /// Returns how many rows of a run the window took.
    fn restore_closed(
        &mut self,
        start: usize,
        run: &[(Timestamp, Option<Status>)],
    ) -> Result<usize, StoreError> {
        let stride = self.window.schema().metrics().len();
        let values = &self.values[start * stride..(start + run.len()) * stride];
        let Row { server, profile, .. } = &self.pending[start];
        let taken = self.window.restore_closed(&self.names.names[*server], profile.as_ref(), run, values);
        taken.map_err(|source| StoreError::Window { source })
    }

    fn restore_row(&mut self, row: usize) -> Result<(), StoreError> {
        let stride = self.window.schema().metrics().len();
        let values = &self.values[row * stride..(row + 1) * stride];
        let row = &self.pending[row];
        let sample = StoredSample { at: row.at, status: row.status, values };
        let mut restore = || self.window.restore(&self.names.names[row.server], row.profile.as_ref(), sample);
        let taken = !row.is_empty(values) && restore().map_err(|source| StoreError::Window { source })?;
        self.report.rows_dropped += u64::from(!taken);
        Ok(())
    }
}

/// Reads a profile's name, or returns it if it is not acceptable.
pub(super) fn profile_of(text: &str) -> Result<Profile, String> {
    Profile::new(text).map_err(|_| abbreviate(text))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::schema::{Metric, MetricKind, Schema, SchemaConfig};
    use crate::window::WindowConfig;

    const STEP_MS: i64 = 300_000;

    /// The pause before a row in tenths of a step, whether another server begins, and what it says.
    type Head = (i64, bool, u8);

    fn rows(heads: &[Head], config: &WindowConfig) -> Rows {
        let metrics = ["a", "b"].map(|name| Metric::new(name, MetricKind::Continuous)).into();
        let schema = Schema::new(SchemaConfig { metrics, ..Default::default() }).unwrap();
        let window = RollingWindow::new(schema, config.clone()).unwrap();
        let mut rows = Rows::new(window, LoadReport::default());
        let (mut at, mut server) = (0, 0);
        for &(pause, begins_server, content) in heads {
            (at, server) = if begins_server { (pause, (server + 1) % 3) } else { (at + pause, server) };
            let position = rows.names.position(&format!("ppdb{server}")).unwrap();
            let values = [f32::from(content), f32::NAN];
            rows.values.extend(values.map(|value| if content % 4 == 0 { f32::NAN } else { value }));
            rows.pending.push(Row {
                at: Timestamp::from_millis(at * STEP_MS / 10),
                server: position,
                profile: (content % 17 == 0).then(|| Profile::new("other").unwrap()),
                status: (content % 3 == 0).then_some(Status(content % 8)),
            });
        }
        rows
    }

    fn encoded(rows: Rows) -> (Vec<u8>, u64) {
        let (window, report) = rows.finish(1, []);
        (crate::store::encode(&window, Timestamp::from_millis(0)).unwrap(), report.rows_dropped)
    }

    proptest! {
        #[test]
        fn rows_taken_together_make_the_window_that_they_make_one_by_one(
            heads in vec((prop_oneof![8 => Just(10_i64), 2 => 0_i64..25, 1 => -9_i64..90], prop::bool::weighted(0.1), 0_u8..255), 0..80),
            (steps_per_server, grace_steps, cut) in (8_usize..20, 0_usize..4, 0_usize..80),
        ) {
            let config = WindowConfig { steps_per_server, grace_steps, samples_per_step_max: 3, servers_max: 2, gap_fill_steps_max: 1, ..Default::default() };
            // A run may be cut anywhere between two batches of the reader.
            let (first, second) = heads.split_at(cut.min(heads.len()));
            let mut together = rows(first, &config);
            let mut one_by_one = rows(first, &config);
            let results = (together.restore().is_ok(), one_by_one.restore_in(0..first.len()).is_ok());
            prop_assert_eq!(results.0, results.1);
            for rest in [second, first] {
                let more = rows(rest, &config);
                for rows in [&mut together, &mut one_by_one] {
                    let positions: Vec<_> = more.names.names.iter().map(|name| rows.names.position(name.as_str()).unwrap()).collect();
                    rows.pending = more.pending.iter().map(|row| Row { server: positions[row.server], profile: row.profile.clone(), ..*row }).collect();
                    rows.values.clone_from(&more.values);
                }
                let results = (together.restore().is_ok(), one_by_one.restore_in(0..rest.len()).is_ok());
                prop_assert_eq!(results.0, results.1);
            }
            if results.0 {
                prop_assert_eq!(encoded(together), encoded(one_by_one));
            }
        }
    }
}
