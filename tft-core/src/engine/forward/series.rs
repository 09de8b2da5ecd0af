//! The memory of a series: the lines of its variables, brought up to date window by window.

use super::lines::{CommonLine, LineWriter, Lines, StaleRow, StaleRows, WindowInputs};
use super::select::SideInputs;
use crate::engine::plan::SelectionPlan;
use crate::engine::rows::RowShape;
use crate::engine::simd::Simd;
use crate::engine::stream::{Budget, Slot, StreamCache};

/// What is kept of one series.
#[derive(Debug)]
pub(super) struct SeriesMemory<S> {
    /// The plan that made the lines.
    plan: u64,
    shape: RowShape,
    pub(super) inputs: WindowInputs<S>,
    /// What the network of each real variable makes of every row, where it is kept.
    pub(super) lines: Vec<Option<Vec<S>>>,
}

/// Brings the memories of some windows up to date.
pub(super) struct Update<'a, S> {
    pub(super) plan_id: u64,
    pub(super) plan: &'a SelectionPlan,
    pub(super) hidden: usize,
    pub(super) cache: &'a StreamCache,
    pub(super) common: &'a [CommonLine<S>],
    pub(super) scratch: &'a mut [Vec<S>; 3],
    /// By variable.
    pub(super) stale: &'a mut [StaleRows],
}

/// The lines of one variable in the memories of some windows.
struct SlotLines<'a> {
    slots: &'a mut [Slot],
    variable: usize,
}

impl<S: Simd> SeriesMemory<S> {
    /// Returns the memory of a series, if it has one for such windows.
    pub(super) fn of(slot: &Slot) -> Option<&Self> {
        slot.memory.as_ref().and_then(|memory| memory.downcast_ref())
    }

    fn of_mut(slot: &mut Slot) -> Option<&mut Self> {
        slot.memory.as_mut().and_then(|memory| memory.downcast_mut())
    }

    /// Makes an empty memory for windows of a shape, unless there is one; none if the budget is spent.
    fn make(slot: &mut Slot, plan: (u64, usize), shape: RowShape, budget: &Budget) {
        let (plan, variables) = plan;
        let shape = shape.rotated_to(0);
        if Self::of(slot).is_some_and(|memory| memory.plan == plan && memory.shape == shape) {
            return;
        }
        budget.release(slot.bytes);
        *slot = Slot::default();
        let by_variable = shape.vectors * size_of::<S>() + size_of::<Option<Vec<S>>>();
        let bytes = size_of::<Self>() + variables * by_variable;
        if budget.reserve(bytes) {
            let inputs = WindowInputs::new(variables, shape);
            let lines = (0..variables).map(|_| None).collect();
            *slot = Slot { memory: Some(Box::new(Self { plan, shape, inputs, lines })), bytes };
        }
    }
}

impl<S: Simd> Update<'_, S> {
    /// Reads the windows from `first` on, each into the memory of its series, and computes what is new.
    #[inline(always)]
    pub(super) fn run<const G: usize>(
        &mut self,
        inputs: &SideInputs<'_>,
        first: usize,
        shapes: impl Fn(usize) -> RowShape,
        slots: &mut [Slot],
    ) {
        self.stale.iter_mut().for_each(|stale| stale.rows.clear());
        for (window, slot) in slots.iter_mut().enumerate() {
            let shape = shapes(window);
            let plan = (self.plan_id, self.plan.columns.len());
            SeriesMemory::<S>::make(slot, plan, shape, self.cache.budget());
            self.read::<G>(inputs, [window, first + window], shape, slot);
        }
        let shape = shapes(0);
        for (variable, real) in self.plan.reals.iter().enumerate() {
            let mut writer = LineWriter { real, hidden: self.hidden, shape, scratch: self.scratch };
            writer.rows::<G>(&self.stale[variable].rows, &mut SlotLines { slots, variable });
        }
    }

    /// Reads a window and notes which rows of its lines changed; lines that are new are computed at once.
    #[inline(always)]
    fn read<const G: usize>(
        &mut self,
        inputs: &SideInputs<'_>,
        [window, of_batch]: [usize; 2],
        shape: RowShape,
        slot: &mut Slot,
    ) {
        let mut bytes = slot.bytes;
        let Some(memory) = SeriesMemory::<S>::of_mut(slot) else { return };
        let stale = &mut *self.stale;
        for stale in stale.iter_mut() {
            stale.settled = stale.rows.len();
        }
        memory.inputs.read(&self.plan.columns, shape, inputs.reals(of_batch), |variable, row| {
            stale[variable].rows.push(StaleRow { window, row, value: 0.0 });
        });
        memory.inputs.compare(shape, self.common);
        for variable in 0..self.plan.reals.len() {
            self.follow::<G>(memory, variable, shape, &mut bytes);
        }
        slot.bytes = bytes;
    }

    /// Decides what becomes of a variable's line, and of its rows that changed.
    #[inline(always)]
    fn follow<const G: usize>(
        &mut self,
        memory: &mut SeriesMemory<S>,
        variable: usize,
        shape: RowShape,
        bytes: &mut usize,
    ) {
        let StaleRows { rows, settled } = &mut self.stale[variable];
        let line = &mut memory.lines[variable];
        let (budget, line_bytes) = (self.cache.budget(), self.hidden * shape.vectors * size_of::<S>());
        let keeps = self.cache.keeps().get(self.plan.columns[variable]).is_some_and(|&keeps| keeps);
        if !keeps || memory.inputs.is_common[variable] {
            if line.take().is_some() {
                budget.release(line_bytes);
                *bytes -= line_bytes;
            }
            rows.truncate(*settled);
            return;
        }
        let is_new = line.is_none();
        if is_new && budget.reserve(line_bytes) {
            *line = Some(vec![S::splat(0.0); self.hidden * shape.vectors]);
            *bytes += line_bytes;
        }
        match line {
            None => rows.truncate(*settled),
            Some(line) if is_new || (rows.len() - *settled) * 2 > shape.steps => {
                rows.truncate(*settled);
                let real = &self.plan.reals[variable];
                let mut writer = LineWriter { real, hidden: self.hidden, shape, scratch: self.scratch };
                writer.whole::<G>(&memory.inputs, variable, line);
            }
            Some(_) => {
                for stale in &mut rows[*settled..] {
                    stale.value = memory.inputs.value(shape, variable, stale.row);
                }
            }
        }
    }
}

impl<S: Simd> Lines<S> for SlotLines<'_> {
    #[inline(always)]
    fn line(&mut self, window: usize) -> Option<&mut [S]> {
        SeriesMemory::of_mut(&mut self.slots[window])?.lines[self.variable].as_deref_mut()
    }
}
