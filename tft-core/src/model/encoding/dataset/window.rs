//! Cutting each group's last steps into a window.

use std::collections::BTreeMap;

use super::{DatasetEncoding, DatasetError};
use crate::error::Error;
use crate::model::encoding::rows::Rows;

/// The steps of one group that become a window: a row per step, gaps filled with the row before.
pub(super) struct Window {
    pub(super) group: Vec<String>,
    pub(super) rows: Vec<usize>,
    pub(super) first_idx: i64,
    pub(super) encoder_length: usize,
}

impl DatasetEncoding {
    /// Cuts each group's last steps, in the order in which the reference returns them.
    pub(super) fn windows(&self, rows: &Rows) -> Result<Vec<Window>, Error> {
        let time = rows.integers(&self.time_idx)?;
        let mut members: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
        let columns: Result<Vec<_>, _> = self.group_ids.iter().map(|name| rows.texts(name)).collect();
        let columns = columns?;
        for row in 0..rows.len() {
            members.entry(columns.iter().map(|column| column[row].clone()).collect()).or_default().push(row);
        }
        let mut windows = Vec::new();
        let mut longest = 0;
        for (group, mut rows_of_group) in members {
            rows_of_group.sort_by_key(|&row| time[row]);
            let steps = self.fill_gaps(&group, &rows_of_group, &time)?;
            longest = longest.max(steps.len());
            windows.extend(self.cut(group, steps, &rows_of_group, &time));
        }
        if windows.is_empty() {
            let needed = self.min_encoder_length + self.max_prediction_length;
            return Err(DatasetError::TooShort { needed, longest }.into());
        }
        windows.sort_by_cached_key(|window| self.hidden_codes_key(&window.group));
        Ok(windows)
    }

    /// Returns one row per step of the group's last window, repeating the row before a gap.
    fn fill_gaps(&self, group: &[String], sorted: &[usize], time: &[i64]) -> Result<Vec<usize>, Error> {
        let wanted = self.max_encoder_length + self.max_prediction_length;
        let mut steps = Vec::with_capacity(wanted);
        let mut later: Option<i64> = None;
        for &row in sorted.iter().rev() {
            let gap = later.map_or(1, |later| later - time[row]);
            if gap == 0 {
                return Err(DatasetError::DuplicateStep { group: group.to_vec(), time_idx: time[row] }.into());
            }
            if gap > 1 && !self.allow_missing_timesteps {
                return Err(DatasetError::Gap { group: group.to_vec(), time_idx: time[row] }.into());
            }
            let room = (wanted - steps.len()) as i64;
            steps.extend(std::iter::repeat_n(row, gap.min(room) as usize));
            later = Some(time[row]);
            if steps.len() == wanted {
                break;
            }
        }
        steps.reverse();
        Ok(steps)
    }

    fn cut(&self, group: Vec<String>, steps: Vec<usize>, sorted: &[usize], time: &[i64]) -> Option<Window> {
        if steps.len() < self.min_encoder_length + self.max_prediction_length {
            return None;
        }
        let last_idx = time[*sorted.last()?];
        Some(Window {
            group,
            first_idx: last_idx + 1 - steps.len() as i64,
            encoder_length: steps.len() - self.max_prediction_length,
            rows: steps,
        })
    }

    /// The order of the reference: by the hidden group codes, unknown groups after the known ones.
    fn hidden_codes_key(&self, group: &[String]) -> Vec<(u32, String)> {
        let code = |(name, label): (&String, &String)| {
            let known = self.hidden_encoder(name).and_then(|encoder| encoder.known_code(label));
            (known.unwrap_or(u32::MAX), label.clone())
        };
        self.group_ids.iter().zip(group).map(code).collect()
    }
}
