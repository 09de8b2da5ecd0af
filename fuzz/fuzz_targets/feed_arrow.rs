//! Any bytes as an Arrow stream: an error or a report that adds up.
//!
//! Run with `cargo fuzz run -s none feed_arrow -- -rss_limit_mb=1024`.

#![no_main]

use std::sync::{LazyLock, Once};

use libfuzzer_sys::fuzz_target;
use tft_core::schema::Schema;
use tft_core::time::Timestamp;
use tft_core::{Feed, FeedLimits, RollingWindow, WindowConfig};

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::server_metrics);
static QUIET: Once = Once::new();

fuzz_target!(|body: &[u8]| {
    // The fuzzer's hook would end the process at a panic of the decoder that the feed catches.
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| ())));
    let limits = FeedLimits { records_max: 50, ..FeedLimits::default() };
    let Ok(feed) = Feed::from_arrow_stream(body, &SCHEMA, &limits) else { return };
    let records = feed.records().len() + feed.rejected();
    assert!(records <= limits.records_max);
    let config = WindowConfig { steps_per_server: 16, servers_max: 3, ..WindowConfig::default() };
    let mut window = RollingWindow::new(SCHEMA.clone(), config).expect("a valid configuration");
    let now = Timestamp::from_millis(1_767_614_400_000);
    let report = window.ingest_feed(feed, now).expect("a feed within the limits");
    assert_eq!(report.accepted + report.rejected, records);
    let names: Vec<_> = window.servers().map(|server| server.name().to_string()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let steps = window.to_record_batch(&names, ..).expect("servers of the window");
    assert!(steps.num_rows() <= window.step_count());
});
