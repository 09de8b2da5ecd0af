//! Any bytes as the text of matchers, as a silence and as a saved state: an error, or something that reads back as it is
//! written and compares without trouble.
//!
//! Run with `cargo fuzz run -s none matcher`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tft_core::alert::{DeliveryOutcome, Matcher, Notifier, NotifierConfig, Receiver, Silence, SilenceConfig, Silences};
use tft_core::time::Timestamp;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(matcher) = Matcher::parse(text) {
        check(&matcher, text);
    }
    let list = Matcher::parse_list(text).unwrap_or_default();
    list.iter().for_each(|matcher| check(matcher, text));
    let now = Timestamp::from_millis(1_767_614_400_000);
    if let Ok(silence) = serde_json::from_str::<Silence>(text) {
        let mut silences = Silences::new(SilenceConfig::default()).expect("valid defaults");
        if let Ok(kept) = silences.set(silence, now).cloned() {
            assert_eq!(silences.set(kept.clone(), now).expect("a silence that is not over"), &kept);
            assert!(silences.expire(&kept.id, now).is_some());
        }
    }
    if let Ok(state) = serde_json::from_str(text)
        && let Ok(mut notifier) = Notifier::restore(config(), state, now)
    {
        let saved = serde_json::to_string(&notifier.state()).expect("plain data");
        let again = serde_json::from_str(&saved).expect("what was written");
        let restored = Notifier::restore(config(), again, now).expect("what was saved");
        assert_eq!(restored.state(), notifier.state());
        notifier.observe(&[], &[], now);
        let later = now.plus_millis(86_400_000);
        for message in notifier.due(later) {
            assert!(message.is_resolved());
            assert!(notifier.delivered(&message, DeliveryOutcome::Delivered, later));
        }
        assert!(notifier.due(later).is_empty());
    }
});

fn config() -> NotifierConfig {
    NotifierConfig { receivers: vec![Receiver::new("ops")], ..NotifierConfig::default() }
}

fn check(matcher: &Matcher, text: &str) {
    let written = matcher.to_string();
    assert_eq!(&Matcher::parse(&written).expect("what was written"), matcher);
    let _ = matcher.matches(text);
}
