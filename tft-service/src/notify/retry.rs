//! When to try again.

use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

/// The pauses between attempts.
///
/// # Defaults
/// One second at first, doubled up to five minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    /// The longest first pause.
    pub(crate) first: Duration,
    /// The longest pause.
    pub(crate) longest: Duration,
}

impl RetryPolicy {
    /// Returns how long to wait after so many failures in a row, of which there is at least one.
    ///
    /// The pause doubles with each failure and is then shortened by up to a half, by a share that follows from `seed`
    /// and the number of failures: receivers that failed together do not come back together, and the same run has the
    /// same pauses. What the other side asks for counts if it is longer, up to [`RETRY_AFTER_MAX`].
    pub(crate) fn pause(&self, seed: &str, failures: u32, retry_after: Option<Duration>) -> Duration {
        let doubled = self.first.saturating_mul(1 << (failures.max(1) - 1).min(DOUBLINGS_MAX));
        let longest = doubled.min(self.longest);
        let share = 1.0 - spread(seed, failures) / 2.0;
        longest.mul_f64(share).max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX))
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_mins(5) }
    }
}

/// Reads `Retry-After`, seconds or a date; none if it is neither. A date in the past is no wait.
pub(crate) fn parse_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are very long, too.
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(now).unwrap_or_default().min(RETRY_AFTER_MAX))
}

/// A number from 0 to 1 that follows from a seed and a count.
fn spread(seed: &str, count: u32) -> f64 {
    let digest = Sha256::new().chain_update(seed).chain_update(count.to_be_bytes()).finalize();
    f64::from(u16::from_be_bytes([digest[0], digest[1]])) / f64::from(u16::MAX)
}

/// The longest wait that another side can ask for.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Beyond that every pause is the longest.
const DOUBLINGS_MAX: u32 = 20;

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn pauses_double_within_bounds_and_repeat_for_a_seed() {
        let policy = RetryPolicy::default();
        for failures in 1..100 {
            let longest = Duration::from_secs(1 << (failures - 1).min(20)).min(Duration::from_mins(5));
            let pause = policy.pause("ops", failures, None);
            assert!(pause >= longest / 2 && pause <= longest, "{failures}: {pause:?}");
            assert_eq!(policy.pause("ops", failures, None), pause);
        }
        assert_ne!(policy.pause("ops", 1, None), policy.pause("mail", 1, None));
        assert!(policy.pause("ops", u32::MAX, None) <= policy.longest);
    }

    #[test]
    fn what_the_receiver_asks_for_counts_within_an_hour() {
        let policy = RetryPolicy::default();
        let asked = |seconds| policy.pause("ops", 1, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(30), Duration::from_secs(30));
        assert_eq!(asked(0), policy.pause("ops", 1, None));
        assert_eq!(asked(u64::MAX), RETRY_AFTER_MAX);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // RFC 9110, 5.6.7: Sun, 06 Nov 1994 08:49:37 GMT.
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777 - 60);
        let read = |text| parse_retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(read(" 120 "), Some(120));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(60));
        assert_eq!(read("Sunday, 06-Nov-94 08:49:37 GMT"), Some(60));
        assert_eq!(read("Sun, 06 Nov 1994 08:40:00 GMT"), Some(0));
        assert_eq!(read("99999999999999999999999"), Some(3600));
        for text in ["", "-1", "1.5", "soon", "Sun, 06 Nov"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
