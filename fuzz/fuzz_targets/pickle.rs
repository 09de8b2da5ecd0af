//! Any bytes as a pickle: an error, or a window that is the same after it is saved as a checkpoint and loaded.
//!
//! Run with `cargo fuzz run -s none pickle -- -rss_limit_mb=2048 -max_len=16384`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tft_core::WindowConfig;
use tft_core::schema::Schema;
use tft_core::store::{self, pickle};
use tft_core::time::Timestamp;

fn config() -> WindowConfig {
    WindowConfig { steps_per_server: 16, servers_max: 100, ..WindowConfig::default() }
}

fuzz_target!(|bytes: &[u8]| {
    let schema = Schema::server_metrics();
    let Ok((window, report)) = pickle::decode(bytes, schema.clone(), config()) else { return };
    assert!(window.step_count() as u64 <= report.rows);
    assert!(report.rows_dropped <= report.rows);
    let at = Timestamp::from_millis(0);
    let saved = store::encode(&window, at).expect("a window can be saved");
    let (loaded, _) = store::decode(saved.clone(), schema, config()).expect("what was saved loads");
    assert_eq!(store::encode(&loaded, at).expect("a window can be saved"), saved);
});
