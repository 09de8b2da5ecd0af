//! Any bytes as the newest segment of a log: the store opens or says why not, and what it has taken from the
//! bytes is there again after the next start. Some are made valid first, and of those some are damaged again, so that
//! frames behind damage are searched for.
//!
//! Run with `cargo fuzz run -s none log_segment -- -rss_limit_mb=2048 -malloc_limit_mb=512`.

#![no_main]

mod memory;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tft_core::schema::Schema;
use tft_core::store::{self, Store, StoreConfig};
use tft_core::time::Timestamp;
use tft_core::{RollingWindow, WindowConfig};

use self::memory::{Memory, mend};

fuzz_target!(|bytes: &[u8]| {
    // The first byte says whether the checksums are made right, and how much is damaged after that.
    let Some((&mode, bytes)) = bytes.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if mode % 2 == 1 {
        mend(&mut bytes);
        for place in 0..usize::from(mode >> 1) % 4 {
            let at = bytes.len() * usize::from(mode >> 3) / 32 + 61 * place;
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (mode >> 5);
            }
        }
    }
    let memory = Memory::default();
    let segment = PathBuf::from("window.parquet.log-00000000000000000001");
    memory.0.lock().unwrap().insert(segment, bytes);
    let at = Timestamp::from_millis(0);
    let open = || {
        let config = WindowConfig { steps_per_server: 16, servers_max: 100, ..WindowConfig::default() };
        let window = RollingWindow::new(Schema::server_metrics(), config).unwrap();
        Store::open_on(Arc::new(memory.clone()), Path::new("window.parquet"), window, StoreConfig::default(), at)
    };
    let Ok((first, report)) = open() else { return };
    assert!(first.window().tick_count() <= report.frames_replayed);
    assert!(report.feeds_lost == 0 || !report.damage.is_empty());
    let taken = store::encode(&first.window(), at).unwrap();
    drop(first);
    let (again, _) = open().unwrap();
    assert!(store::encode(&again.window(), at).unwrap() == taken);
});
