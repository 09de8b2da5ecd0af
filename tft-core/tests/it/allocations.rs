//! What the engine allocates once it is warm: nothing.
#![allow(unsafe_code, reason = "an allocator that counts is an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tft_core::engine::{Detail, Engine, EngineConfig};
use tft_core::model::NetworkOutput;

use crate::golden::GoldenSet;

/// The system's allocator, which counts what each thread asks for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is handed on as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no counter any more.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn a_pass_like_the_one_before_allocates_nothing() {
    for set in ["a", "b", "c"] {
        let set = GoldenSet::new(set);
        let batch = set.tensors("inputs").batch();
        let engine = Engine::new(&set.model(), EngineConfig::default()).unwrap();
        for engine in engine.on_each_instruction_set() {
            let mut output = NetworkOutput::default();
            let mut pass = || engine.forward_into(&batch, Detail::Explained, None, &mut output).unwrap();
            pass();
            assert_eq!(allocations(pass), 0, "{}", engine.instruction_set());
        }
    }
}
