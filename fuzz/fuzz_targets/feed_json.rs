//! Any bytes as a feed: an error or a report that adds up, and a window that stays consistent.
//!
//! Run with `cargo fuzz run -s none feed_json`.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tft_core::schema::Schema;
use tft_core::time::Timestamp;
use tft_core::{Feed, FeedLimits, RollingWindow, WindowConfig};

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::server_metrics);

fuzz_target!(|body: &[u8]| {
    let limits = FeedLimits { records_max: 50, ..FeedLimits::default() };
    let Ok(feed) = Feed::from_json(body, &SCHEMA, &limits) else { return };
    let records = feed.records().len() + feed.rejected();
    let config = WindowConfig {
        steps_per_server: 8,
        gap_fill_steps_max: 2,
        servers_max: 3,
        samples_per_step_max: 4,
        ..WindowConfig::default()
    };
    let mut window = RollingWindow::new(SCHEMA.clone(), config).expect("a valid configuration");
    let now = Timestamp::from_millis(1_767_614_400_000);
    let report = window.ingest_feed(feed, now).expect("a feed within the limits");
    assert_eq!(report.accepted + report.rejected, records);
    assert!(report.late <= report.rejected && report.duplicates <= report.accepted);
    assert_eq!(window.tick_count() > 0, report.accepted > 0);
    for server in window.servers() {
        assert!(server.oldest_step() <= server.newest_step());
        let (older, newer) = server.history(0);
        assert!((1..=8).contains(&(older.len() + newer.len())));
        let origin = window.origin(now).expect("a window with a server has an origin");
        assert!(server.readiness(origin, 4).history_steps <= 8 + 2);
        server.copy_filled_history(3, origin, &mut [0.0; 11]);
    }
});
