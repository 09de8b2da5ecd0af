//! Any bytes as a checkpoint: an error, or a window that is the same after it is saved and loaded again.
//!
//! The Parquet reader's panics are caught in `store`. libFuzzer's hook would still take them for findings, so
//! that here only a panic of this crate's own code is one.
//!
//! Run with `cargo fuzz run -s none checkpoint -- -rss_limit_mb=2048 -malloc_limit_mb=512`.

#![no_main]

use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use tft_core::schema::Schema;
use tft_core::store;
use tft_core::time::Timestamp;
use tft_core::WindowConfig;

static SILENCE: Once = Once::new();

fn config() -> WindowConfig {
    WindowConfig { steps_per_server: 16, servers_max: 100, ..WindowConfig::default() }
}

fuzz_target!(|bytes: &[u8]| {
    SILENCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            check(panic.location().is_some_and(|location| !location.file().contains("tft-core")));
        }));
    });
    let schema = Schema::server_metrics();
    let Ok((window, report)) = store::decode(bytes.to_vec(), schema.clone(), config()) else { return };
    check(window.step_count() as u64 <= report.rows);
    let at = Timestamp::from_millis(0);
    let again = store::encode(&window, at).and_then(|bytes| {
        let (window, _) = store::decode(bytes.clone(), schema, config())?;
        Ok((bytes, store::encode(&window, at)?))
    });
    check(again.is_ok_and(|(first, second)| first == second));
});

/// Ends the process, as panics are silenced.
fn check(holds: bool) {
    if !holds {
        std::process::abort();
    }
}
