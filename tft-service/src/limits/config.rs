//! What an operator can set about rate limits.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How often a client may call.
///
/// # Defaults
/// 60 feeds, 30 reads of predictions, 30 of alerts and 60 other calls a minute; 30 failed authentications a minute
/// and address; no limit over all calls together, no tiers, and every instance counts by itself.
///
/// # Units
/// Calls per 60 seconds, 1 to [`RateLimits::CALLS_MAX`], where nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimits {
    /// `POST /feed/data`.
    pub feed: u32,
    /// `GET /predictions/current`.
    pub predictions: u32,
    /// `GET /alerts/active`.
    pub alerts: u32,
    /// Each other protected route's class.
    pub other: u32,
    /// Failed authentications per address; a valid key always passes.
    pub authentication_failures: u32,
    /// All calls of a client together.
    pub all: Option<WindowLimit>,
    /// What keys that name a tier have in place of all these, by the tier's name.
    pub tiers: BTreeMap<String, Tier>,
    /// Where several instances count together.
    pub redis: Option<RedisLimits>,
}

/// Calls in any span of time of a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimit {
    calls: u32,
    window: Duration,
}

/// A token bucket: so many calls at once, and so many over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    burst: u32,
    /// From one call to the next at the steady rate.
    interval: Duration,
}

/// Where several instances count together.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisLimits {
    /// `redis://[user:password@]host[:port][/database]`, or `redis+unix:///path`.
    pub url: String,
    /// How long a reply may take before an instance goes on by itself.
    pub timeout: Duration,
}

impl RateLimits {
    /// Most calls per window, and largest burst; bounds the limiter's memory.
    pub const CALLS_MAX: u32 = 100_000;
    /// Longest window.
    pub const WINDOW_MAX: Duration = Duration::from_hours(24);
    /// Most tiers.
    pub const TIERS_MAX: usize = 100;

    /// Reads tiers as `name=calls/unit:burst` with the unit `s`, `m` or `h`, separated by commas.
    ///
    /// ```
    /// use tft_service::config::RateLimits;
    ///
    /// let tiers = RateLimits::parse_tiers("gold=1000/s:1000, standard=100/m:20")?;
    /// assert_eq!(tiers["standard"].burst(), 20);
    /// # Ok::<(), &'static str>(())
    /// ```
    ///
    /// # Errors
    /// What is wrong, in words that follow the setting's name and value.
    pub fn parse_tiers(text: &str) -> Result<BTreeMap<String, Tier>, &'static str> {
        let mut tiers = BTreeMap::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, tier) = entry.split_once('=').ok_or(TIER_FORM)?;
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            let name = name.trim();
            if name.is_empty() || !name.bytes().all(is_plain) {
                return Err("has a tier's name with other characters than letters, digits, `-`, `_` and `.`");
            }
            if tiers.insert(name.to_owned(), Tier::parse(tier.trim())?).is_some() {
                return Err("names a tier twice");
            }
        }
        if tiers.len() > Self::TIERS_MAX { Err("has more than 100 tiers") } else { Ok(tiers) }
    }

    pub(crate) fn tier(&self, name: &str) -> Option<Tier> {
        self.tiers.get(name).copied()
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            feed: 60,
            predictions: 30,
            alerts: 30,
            other: 60,
            authentication_failures: 30,
            all: None,
            tiers: BTreeMap::new(),
            redis: None,
        }
    }
}

impl WindowLimit {
    /// Builds a limit; none unless it is 1 to [`RateLimits::CALLS_MAX`] calls in 1 s to
    /// [`RateLimits::WINDOW_MAX`].
    pub fn new(calls: u32, window: Duration) -> Option<Self> {
        let has_calls = (1..=RateLimits::CALLS_MAX).contains(&calls);
        let has_window = (Duration::from_secs(1)..=RateLimits::WINDOW_MAX).contains(&window);
        (has_calls && has_window).then_some(Self { calls, window })
    }

    pub(crate) fn per_minute(calls: u32) -> Self {
        Self { calls, window: Duration::from_mins(1) }
    }

    /// Returns the calls.
    pub fn calls(self) -> u32 {
        self.calls
    }

    /// Returns the length of the window.
    pub fn window(self) -> Duration {
        self.window
    }
}

impl Tier {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (rate, burst) = text.split_once(':').ok_or(TIER_FORM)?;
        let (calls, unit) = rate.split_once('/').ok_or(TIER_FORM)?;
        let unit = match unit.trim() {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return Err(TIER_FORM),
        };
        let number =
            |text: &str| text.trim().parse().ok().filter(|n| (1..=RateLimits::CALLS_MAX).contains(n));
        let reason = "has a tier whose calls or burst are no number from 1 to 100000";
        let (calls, burst) = (number(calls).ok_or(reason)?, number(burst).ok_or(reason)?);
        Ok(Self { burst, interval: unit / calls })
    }

    /// Returns how many calls can come at once.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// Returns the time from one call to the next at the steady rate.
    pub fn interval(self) -> Duration {
        self.interval
    }

    /// Returns how long an empty bucket takes to fill.
    pub(crate) fn refill(self) -> Duration {
        self.interval * self.burst
    }
}

impl RedisLimits {
    /// Builds the setting with the usual timeout, 100 ms.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), timeout: Duration::from_millis(100) }
    }

    /// Refuses what this build cannot use: limits must not silently be those of each instance.
    ///
    /// # Errors
    /// What is wrong, in words that follow the setting's name.
    #[cfg_attr(
        not(feature = "redis"),
        expect(clippy::unused_self, reason = "the address matters with the feature")
    )]
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        #[cfg(not(feature = "redis"))]
        return Err("needs a build with the feature `redis`");
        #[cfg(feature = "redis")]
        if super::shared::is_address(&self.url) {
            Ok(())
        } else {
            Err("is not an address like `redis://host:6379/0` or `redis+unix:///path`")
        }
    }
}

/// The address may hold a password.
impl fmt::Debug for RedisLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimits").field("url", &"…").field("timeout", &self.timeout).finish()
    }
}

const TIER_FORM: &str = "is not a list of tiers like `gold=1000/s:1000,standard=100/m:20`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_are_read_or_refused_with_a_reason() {
        let tiers = RateLimits::parse_tiers("gold=1000/s:2000, slow=1/h:1,").unwrap();
        assert_eq!(tiers["gold"], Tier { burst: 2000, interval: Duration::from_millis(1) });
        assert_eq!(tiers["slow"].refill(), Duration::from_hours(1));
        let reason = |text: &str| RateLimits::parse_tiers(text).unwrap_err();
        for wrong in ["gold", "gold=1", "gold=1/s", "gold=1/d:1", "gold=1:1"] {
            assert_eq!(reason(wrong), TIER_FORM, "{wrong}");
        }
        for wrong in ["gold=0/s:1", "gold=1/s:0", "gold=100001/s:1", "gold=x/s:1"] {
            assert!(reason(wrong).contains("no number from 1 to 100000"), "{wrong}");
        }
        assert!(reason("g d=1/s:1").contains("name with other characters"));
        assert_eq!(reason("a=1/s:1,a=2/s:1"), "names a tier twice");
    }

    #[test]
    fn windows_are_bounded() {
        let window = |calls, seconds| WindowLimit::new(calls, Duration::from_secs(seconds)).is_some();
        assert!(window(1, 1) && window(100_000, 86_400));
        assert!(!window(0, 60) && !window(100_001, 60) && !window(1, 0) && !window(1, 86_401));
    }
}
