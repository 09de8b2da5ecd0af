//! Cutting each group's last steps into a window.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{EncodedRows, Frame};
use crate::error::{Error, ErrorKind};
use crate::model::encoding::normalizer::EncoderFit;
use crate::problems::Problems;

/// The steps of one group that become a window, gaps filled with the row before.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) group: Vec<String>,
    /// The group's rows in time order.
    members: Vec<usize>,
    /// For each step the place of its row in `members`.
    places: Vec<usize>,
    /// For each step whether it repeats the row of the step before.
    pub(super) is_filled: Vec<bool>,
    /// The time index of the first step.
    pub(super) first_idx: i64,
    pub(super) encoder_length: usize,
}

/// The last steps of every group, to be encoded part by part.
pub struct GroupWindows<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) windows: Vec<Window>,
}

#[derive(Debug, thiserror::Error)]
#[error("no group has the {needed} steps that a window needs; the longest has {longest}")]
struct TooShort {
    needed: usize,
    longest: usize,
}

impl Window {
    pub(super) fn steps(&self) -> usize {
        self.places.len()
    }

    /// Returns the row of a step, or the group's row `lag` rows before it.
    pub(super) fn row(&self, step: usize, lag: usize) -> usize {
        self.members[self.places[step] - lag]
    }

    pub(super) fn has_gaps(&self) -> bool {
        self.is_filled.contains(&true)
    }
}

impl GroupWindows<'_> {
    /// Returns the number of windows.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Returns whether there are no windows.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Encodes some of the windows.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] naming every value of these windows that cannot be encoded.
    ///
    /// # Panics
    /// If the range reaches beyond the number of windows.
    pub fn encode(&self, windows: Range<usize>) -> Result<EncodedRows, Error> {
        let mut problems = Problems::default();
        let mut encode = |window: &Window| {
            self.frame.check_groups(window, &mut problems);
            self.frame.encode(window, &mut problems)
        };
        let encoded = self.windows[windows].iter().map(&mut encode).collect();
        problems.into_result(ErrorKind::InvalidInput, "rows cannot be encoded")?;
        Ok(EncodedRows::stack(self.frame.encoding, encoded))
    }
}

impl std::fmt::Debug for GroupWindows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupWindows").field("windows", &self.windows.len()).finish_non_exhaustive()
    }
}

impl Frame<'_> {
    /// Cuts each group's last steps, in the order in which the reference returns them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] naming the groups with repeated steps or gaps that are not allowed, or if
    /// no group is long enough.
    pub(super) fn windows(&self) -> Result<Vec<Window>, Error> {
        let earliest = self.earliest_idx();
        let mut members: BTreeMap<Vec<i64>, Vec<usize>> = BTreeMap::new();
        for row in (0..self.rows.len()).filter(|&row| self.time[row] >= earliest) {
            members.entry(self.codes.of_row(row)).or_default().push(row);
        }
        let mut problems = Problems::default();
        let mut windows = Vec::new();
        let mut longest = 0;
        for mut rows in members.into_values() {
            rows.sort_by_key(|&row| self.time[row]);
            let Some(window) = self.cut(rows, &mut problems) else { continue };
            longest = longest.max(window.steps());
            if self.is_long_enough(&window, &mut problems) {
                windows.push(window);
            }
        }
        problems.into_result(ErrorKind::InvalidInput, "rows cannot be encoded")?;
        if windows.is_empty() {
            let needed = self.encoding.min_encoder_length.max(1) + self.encoding.max_prediction_length;
            return Err(Error::new(ErrorKind::InvalidInput, TooShort { needed, longest }));
        }
        Ok(windows)
    }

    /// Cuts the last steps of rows that are one series in time order; none if they are too few or have
    /// problems.
    pub(super) fn window_of(&self, series: Range<usize>) -> Option<Window> {
        let mut problems = Problems::default();
        let window = self.cut(series.collect(), &mut problems)?;
        (self.is_long_enough(&window, &mut problems) && problems.is_empty()).then_some(window)
    }

    /// Rows before this time index are not looked at.
    fn earliest_idx(&self) -> i64 {
        let reach = (self.encoding.max_encoder_length + self.encoding.max_lag()) as i64;
        self.encoding.min_prediction_idx.map_or(i64::MIN, |first| first.saturating_sub(reach))
    }

    /// Returns one step per time index of the group's last window, which starts at a row.
    fn cut(&self, members: Vec<usize>, problems: &mut Problems) -> Option<Window> {
        let wanted = (self.encoding.max_encoder_length + self.encoding.max_prediction_length) as i64;
        let last_idx = self.time[*members.last()?];
        let is_inside = |&place: &usize| last_idx.saturating_sub(self.time[members[place]]) < wanted;
        let first = (self.encoding.max_lag()..members.len()).find(is_inside)?;
        let group = self.group_of(members[first]);
        let mut places = Vec::with_capacity(wanted as usize);
        let mut is_filled = Vec::with_capacity(wanted as usize);
        for place in first..members.len() {
            let time_idx = self.time[members[place]];
            let next = members.get(place + 1).map_or(last_idx.saturating_add(1), |&row| self.time[row]);
            match next - time_idx {
                0 => problems.push(format!("group {group:?} has time index {time_idx} twice")),
                1 => {}
                _ if self.encoding.allow_missing_timesteps => {}
                _ => problems.push(format!(
                    "group {group:?} has a gap after time index {time_idx}, and gaps are not allowed"
                )),
            }
            for repetition in 0..next - time_idx {
                places.push(place);
                is_filled.push(repetition > 0);
            }
        }
        let encoder_length = places.len().saturating_sub(self.encoding.max_prediction_length);
        let first_idx = self.time[members[first]];
        Some(Window { group, members, places, is_filled, first_idx, encoder_length })
    }

    fn is_long_enough(&self, window: &Window, problems: &mut Problems) -> bool {
        let (encoding, group) = (self.encoding, &window.group);
        if window.steps() < encoding.min_encoder_length + encoding.max_prediction_length {
            return false;
        }
        let end_idx = window.first_idx.saturating_add(window.steps() as i64);
        let prediction_steps = encoding.max_prediction_length as i64;
        if encoding.min_prediction_idx.is_some_and(|first| end_idx < first.saturating_add(prediction_steps)) {
            return false;
        }
        if window.encoder_length == 0 {
            problems
                .push(format!("group {group:?} has no encoder step, and an empty encoder has no meaning"));
        }
        let fits = encoding.normalizers().iter().filter_map(|normalizer| normalizer.encoder_fit());
        if fits.map(EncoderFit::steps_min).any(|needed| (1..needed).contains(&window.encoder_length)) {
            problems.push(format!("group {group:?} has 1 encoder step, its normaliser needs 2"));
        }
        true
    }

    fn group_of(&self, row: usize) -> Vec<String> {
        let label = |name: &String| {
            self.labels.get(name.as_str()).map(|labels| labels.at(row).to_owned()).unwrap_or_default()
        };
        self.encoding.group_ids.iter().map(label).collect()
    }
}
