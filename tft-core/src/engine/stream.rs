//! What is kept of a series from one forecast to the next.
//!
//! What a variable's network makes of a step depends on the step's value and on nothing else. From one step of the
//! clock to the next only one step of a window is new, so the rest is kept: for each series, variable and step the
//! value and what was made of it. A kept result is used if and only if the value is the same to the last bit,
//! therefore late corrections, gaps, another order of series or a smaller budget cost time and change nothing.

use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Which series a window of a batch belongs to, and where it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamWindow {
    /// A number that stands for the series; the same in every pass. Two series with one number lose speed only.
    pub series: u64,
    /// The number of the window's first encoder step on the clock of its series.
    pub first_step: i64,
}

/// What is kept between passes, within a budget of memory; several passes may share one.
///
/// Belongs to one engine: what another one has kept is of no use and is replaced.
#[derive(Debug)]
pub struct StreamCache {
    keeps: Vec<bool>,
    budget: Budget,
    series: Mutex<HashMap<u64, Kept>>,
}

#[derive(Debug)]
struct Kept {
    slot: Slot,
    is_used: bool,
}

/// The memory of one series; its type depends on the instruction set, so the forward pass makes it.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) memory: Option<Box<dyn Any + Send>>,
    /// Bytes of the budget that the memory holds.
    pub(super) bytes: usize,
}

/// Bytes that may be held and bytes that are.
#[derive(Debug)]
pub(super) struct Budget {
    bytes_max: usize,
    used: AtomicUsize,
}

/// A cache while a pass uses it.
pub(super) struct Checkout<'a> {
    cache: &'a StreamCache,
    windows: &'a [StreamWindow],
    slots: Vec<Slot>,
}

/// What is kept of the series of some windows.
pub(super) struct StreamPart<'a> {
    pub(super) cache: &'a StreamCache,
    pub(super) windows: &'a [StreamWindow],
    pub(super) slots: &'a mut [Slot],
}

impl StreamCache {
    /// Makes an empty cache of at most so many bytes.
    ///
    /// `keeps` says of each real input, in the order of `x_reals`, whether its value at a step stays the same
    /// while the window moves on. Nothing is kept of the others: a relative time index, values that are scaled by
    /// their own window.
    pub fn new(bytes_max: usize, keeps: Vec<bool>) -> Self {
        let budget = Budget { bytes_max, used: AtomicUsize::new(0) };
        Self { keeps, budget, series: Mutex::default() }
    }

    /// Returns how many bytes are held.
    pub fn bytes(&self) -> usize {
        self.budget.used.load(Ordering::Relaxed)
    }

    /// Returns of how many series something is kept.
    pub fn series(&self) -> usize {
        self.kept().len()
    }

    /// Forgets the series that no pass has used since this was called last.
    pub fn forget_unused(&self) {
        self.kept().retain(|_, kept| {
            if !kept.is_used {
                self.budget.release(kept.slot.bytes);
            }
            std::mem::take(&mut kept.is_used)
        });
    }

    /// Lends what is kept of the series of some windows.
    pub(super) fn check_out<'a>(&'a self, windows: &'a [StreamWindow]) -> Checkout<'a> {
        let mut kept = self.kept();
        let slots = windows.iter().map(|window| {
            kept.get_mut(&window.series).map(|kept| std::mem::take(&mut kept.slot)).unwrap_or_default()
        });
        Checkout { cache: self, windows, slots: slots.collect() }
    }

    pub(super) fn keeps(&self) -> &[bool] {
        &self.keeps
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// A pass that panicked has taken its slots with it and left the rest whole.
    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Kept>> {
        self.series.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Budget {
    /// Takes bytes if there are as many.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let take = |used: usize| used.checked_add(bytes).filter(|&used| used <= self.bytes_max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    pub(super) fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Checkout<'_> {
    /// Splits the windows into parts of `share`, the last of which may have fewer.
    pub(super) fn split(&mut self, share: usize) -> impl Iterator<Item = StreamPart<'_>> {
        let parts = self.windows.chunks(share).zip(self.slots.chunks_mut(share));
        let cache = self.cache;
        parts.map(move |(windows, slots)| StreamPart { cache, windows, slots })
    }
}

impl Drop for Checkout<'_> {
    fn drop(&mut self) {
        let mut kept = self.cache.kept();
        for (window, slot) in self.windows.iter().zip(self.slots.drain(..)) {
            if slot.memory.is_none() {
                self.cache.budget.release(slot.bytes);
                continue;
            }
            match kept.entry(window.series) {
                Entry::Occupied(mut entry) => {
                    self.cache.budget.release(entry.get().slot.bytes);
                    entry.insert(Kept { slot, is_used: true });
                }
                Entry::Vacant(entry) => {
                    entry.insert(Kept { slot, is_used: true });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(series: u64) -> StreamWindow {
        StreamWindow { series, first_step: 0 }
    }

    fn fill(cache: &StreamCache, windows: &[StreamWindow], bytes: usize) {
        let mut lent = cache.check_out(windows);
        for slot in &mut lent.slots {
            if slot.memory.is_none() && cache.budget.reserve(bytes) {
                *slot = Slot { memory: Some(Box::new(())), bytes };
            }
        }
    }

    #[test]
    fn the_budget_is_never_exceeded_and_comes_back() {
        let cache = StreamCache::new(100, Vec::new());
        fill(&cache, &[window(1), window(2), window(3)], 40);
        assert_eq!((cache.bytes(), cache.series()), (80, 2));
        cache.forget_unused();
        fill(&cache, &[window(2)], 40);
        cache.forget_unused();
        assert_eq!((cache.bytes(), cache.series()), (40, 1));
        fill(&cache, &[window(3)], 40);
        assert_eq!((cache.bytes(), cache.series()), (80, 2));
    }

    #[test]
    fn a_series_that_comes_twice_in_a_pass_is_counted_once() {
        let cache = StreamCache::new(100, Vec::new());
        fill(&cache, &[window(1), window(1)], 40);
        assert_eq!((cache.bytes(), cache.series()), (40, 1));
        fill(&cache, &[window(1), window(1)], 40);
        assert_eq!((cache.bytes(), cache.series()), (40, 1));
    }
}
