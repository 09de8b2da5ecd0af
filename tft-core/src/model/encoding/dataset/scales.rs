//! The constants that outputs are scaled back with.

use super::window::Window;
use super::{Frame, TargetScaleLookup};
use crate::model::encoding::normalizer::{CenterScale, EncoderFit, GroupKey, GroupNorm, Layout, Normalizer};

impl Frame<'_> {
    /// The constants that a window's outputs are scaled back with, by target.
    pub(super) fn target_scales(&self, window: &Window) -> Vec<CenterScale> {
        let normalizers = self.encoding.normalizers().iter().enumerate();
        normalizers.map(|(target, normalizer)| self.target_scale(window, target, normalizer)).collect()
    }

    /// The constants of a target's own encoder part.
    pub(super) fn window_constants(&self, window: &Window, target: usize, fit: &EncoderFit) -> CenterScale {
        let values = self.raw_target(window, target);
        fit.fit(&values[..window.encoder_length], Layout::Adjacent)
    }

    fn target_scale(&self, window: &Window, target: usize, normalizer: &Normalizer) -> CenterScale {
        if let Some(fit) = normalizer.encoder_fit() {
            return self.window_constants(window, target, fit);
        }
        match self.encoding.target_scale_lookup {
            TargetScaleLookup::VisibleCode => self.visible_constants(normalizer, window.row(0, 0)),
            TargetScaleLookup::GroupCode => normalizer.fitted(&self.hidden_keys(normalizer, window)),
        }
    }

    /// The keys that the reference looks a group's constants up with (`GroupNormalizer.get_parameters`).
    ///
    /// It passes the codes of all group variables in the order of the data set, whatever the normaliser is
    /// grouped by. Tables by variable take them one by one: the n-th code goes to the n-th group variable
    /// that has a table.
    fn hidden_keys(&self, normalizer: &Normalizer, window: &Window) -> Vec<GroupKey> {
        let codes = self.codes.of_row(window.row(0, 0));
        let Normalizer::GroupNormalizer { norm: GroupNorm::ByVariable(_), groups, .. } = normalizer else {
            return codes.into_iter().map(GroupKey::Code).collect();
        };
        let with_table: Vec<_> =
            self.encoding.group_ids.iter().filter(|&name| groups.contains(name)).collect();
        let place = |name: &String| with_table.iter().position(|&other| other == name);
        let key = |name: &String| place(name).and_then(|place| codes.get(place)).copied().unwrap_or(-1);
        groups.iter().map(|name| GroupKey::Code(key(name))).collect()
    }
}
