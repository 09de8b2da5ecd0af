//! Any sequence of samples, removals, expiries, clones and reloads: the window shows what a slow model of it does, and
//! a clone what it showed when it was made.
//!
//! Run with `cargo fuzz run -s none window_operations`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tft_core::store;
use tft_core::time::Timestamp;
use tft_core::{RollingWindow, WindowConfig};

#[path = "../../tft-core/tests/it/window_model.rs"]
mod window_model;

use window_model::{Operation, Pair, config, schema};

/// Bytes as the arguments of operations; zeros when there are no more.
struct Bytes<'a>(std::slice::Iter<'a, u8>);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn number(&mut self) -> i64 {
        i64::from(i16::from_le_bytes([self.byte(), self.byte()]))
    }

    /// A sample: the first byte has the server, the unit of its time, and which values there are.
    fn sample(&mut self) -> Operation {
        let (head, told) = (self.byte(), self.byte());
        let unit_ms = [1, 20_000, 300_000, 1_000][usize::from(head >> 2 & 3)];
        let delta_ms = self.number() % 64 * unit_ms;
        let value = |bit: u8, bytes: &mut Self| (told >> bit & 1 == 0).then(|| bytes.number() as f32 / 7.0);
        let values = [value(0, self), value(1, self), value(2, self)];
        let status = (told >> 3 & 3).checked_sub(1).map(usize::from);
        Operation::Sample { server: usize::from(head & 3), delta_ms, values, status }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Bytes(bytes.iter());
    let retention_ms = [None, Some(300_000), Some(1_500_000)][usize::from(bytes.byte() % 3)];
    let config = WindowConfig { retention_ms, ..config() };
    let mut window = RollingWindow::new(schema(), config.clone()).unwrap();
    let mut pair = Pair::default();
    let mut clone = None;
    while bytes.0.len() > 0 {
        match bytes.byte() % 16 {
            0 => pair.apply(&mut window, &Operation::Remove { server: usize::from(bytes.byte() & 3) }),
            1 => pair.apply(&mut window, &Operation::Expire { delta_ms: bytes.number() * 1_000 }),
            2 => pair.apply(&mut window, &Operation::Repeat),
            3 => clone = Some((window.clone(), pair.clone())),
            4 => {
                let saved = store::encode(&window, Timestamp::from_millis(0)).unwrap();
                window = store::decode(saved, schema(), config.clone()).unwrap().0;
            }
            5 => pair.check(&window),
            _ => pair.apply(&mut window, &bytes.sample()),
        }
    }
    pair.check(&window);
    if let Some((window, pair)) = clone {
        pair.check(&window);
    }
});
