//! How often a client may call.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::values::{flag, given, number, refused, seconds, set};
use crate::auth::{both_are_given, read_text};
use crate::config::{Config, ConfigError, RateLimits, RedisLimits, Secrets, WindowLimit};

/// `[rates]`: calls per client, which is a key, a token's subject, or else an address.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RateSettings {
    /// Feeds per minute and client [default: 60]
    #[arg(long, env = "RATE_LIMIT_FEED", value_name = "N")]
    pub rate_limit_feed: Option<String>,
    /// Reads of predictions per minute and client [default: 30]
    #[arg(long, env = "RATE_LIMIT_PREDICTIONS", value_name = "N")]
    pub rate_limit_predictions: Option<String>,
    /// Reads of alerts per minute and client [default: 30]
    #[arg(long, env = "RATE_LIMIT_ALERTS", value_name = "N")]
    pub rate_limit_alerts: Option<String>,
    /// Other calls per minute and client [default: 60]
    #[arg(long, env = "RATE_LIMIT_DEFAULT", value_name = "N")]
    pub rate_limit_default: Option<String>,
    /// Failed authentications per minute and address [default: 30]
    #[arg(long, env = "RATE_LIMIT_AUTH_FAILURES", value_name = "N")]
    pub rate_limit_auth_failures: Option<String>,
    /// Limit all calls of a client together, too [default: false]
    #[arg(long, env = "RATE_LIMIT_ENABLED", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub rate_limit_enabled: Option<String>,
    /// Calls of a client in a window, with `RATE_LIMIT_ENABLED` [default: 100]
    #[arg(long, env = "RATE_LIMIT_REQUESTS", value_name = "N")]
    pub rate_limit_requests: Option<String>,
    /// Seconds of that window [default: 60]
    #[arg(long, env = "RATE_LIMIT_WINDOW", value_name = "S")]
    pub rate_limit_window: Option<String>,
    /// Token buckets for keys that name one, in place of all limits above: `name=calls/unit:burst` with the unit s, m or
    /// h, separated by commas, like `gold=1000/s:1000,standard=100/m:20` [default: none]
    #[arg(long, env = "RATE_LIMIT_TIERS", value_name = "TIERS")]
    pub rate_limit_tiers: Option<String>,
    /// File with the address of Redis, in place of `RATE_LIMIT_REDIS_URL`
    #[arg(long, env = "RATE_LIMIT_REDIS_URL_FILE", value_name = "FILE")]
    pub rate_limit_redis_url_file: Option<String>,
    /// Milliseconds that Redis may take before this instance limits rates by itself [default: 100]
    #[arg(long, env = "RATE_LIMIT_REDIS_TIMEOUT_MS", value_name = "MS")]
    pub rate_limit_redis_timeout_ms: Option<String>,
}

impl RateSettings {
    /// Checks what is given and sets it.
    pub(crate) fn apply(&self, config: &mut Config, secrets: &Secrets) -> Result<(), ConfigError> {
        let rates = &mut config.rate_limits;
        for (target, key, text) in [
            (&mut rates.feed, "RATE_LIMIT_FEED", &self.rate_limit_feed),
            (&mut rates.predictions, "RATE_LIMIT_PREDICTIONS", &self.rate_limit_predictions),
            (&mut rates.alerts, "RATE_LIMIT_ALERTS", &self.rate_limit_alerts),
            (&mut rates.other, "RATE_LIMIT_DEFAULT", &self.rate_limit_default),
            (&mut rates.authentication_failures, "RATE_LIMIT_AUTH_FAILURES", &self.rate_limit_auth_failures),
        ] {
            set(target, text.as_deref(), |text| {
                calls(key, text, "is not a number of requests per minute, 1 to 100000")
            })?;
        }
        rates.all = self.window()?;
        set(&mut rates.tiers, self.rate_limit_tiers.as_deref(), |text| {
            RateLimits::parse_tiers(text).map_err(|reason| refused("RATE_LIMIT_TIERS", text, reason))
        })?;
        rates.redis = self.redis(secrets)?;
        Ok(())
    }

    /// Values are checked although they are not used: a typing error should not wait for the day they are.
    fn window(&self) -> Result<Option<WindowLimit>, ConfigError> {
        let (mut is_enabled, mut requests, mut window) = (false, 100, Duration::from_mins(1));
        set(&mut is_enabled, self.rate_limit_enabled.as_deref(), |text| flag("RATE_LIMIT_ENABLED", text))?;
        set(&mut requests, self.rate_limit_requests.as_deref(), |text| {
            calls("RATE_LIMIT_REQUESTS", text, "is not a number of requests, 1 to 100000")
        })?;
        set(&mut window, self.rate_limit_window.as_deref(), |text| seconds("RATE_LIMIT_WINDOW", text))?;
        Ok(WindowLimit::new(requests, window).filter(|_| is_enabled))
    }

    fn redis(&self, secrets: &Secrets) -> Result<Option<RedisLimits>, ConfigError> {
        let file = given(self.rate_limit_redis_url_file.as_deref());
        both_are_given("RATE_LIMIT_REDIS_URL", secrets.redis_url.is_some(), file.is_some())?;
        let read = file.map(|path| read_text("RATE_LIMIT_REDIS_URL_FILE", Path::new(path))).transpose()?;
        let Some(url) = read.or_else(|| secrets.redis_url.clone()) else { return Ok(None) };
        let mut redis = RedisLimits::new(url.trim());
        set(&mut redis.timeout, self.rate_limit_redis_timeout_ms.as_deref(), |text| {
            let reason = "is not a number of milliseconds, 1 to 10000";
            number("RATE_LIMIT_REDIS_TIMEOUT_MS", text, 1..=10_000, reason).map(Duration::from_millis)
        })?;
        redis.check().map_err(|reason| refused("RATE_LIMIT_REDIS_URL", "…", reason))?;
        Ok(Some(redis))
    }
}

fn calls(key: &'static str, text: &str, reason: &'static str) -> Result<u32, ConfigError> {
    number(key, text, 1..=RateLimits::CALLS_MAX, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(settings: &RateSettings, secrets: &Secrets) -> Result<RateLimits, String> {
        let mut config = Config::default();
        settings.apply(&mut config, secrets).map_err(|error| error.to_string()).map(|()| config.rate_limits)
    }

    #[test]
    fn errors_name_the_setting_and_the_value() {
        let refused = |settings: RateSettings| applied(&settings, &Secrets::default()).unwrap_err();
        let some = |text: &str| Some(text.to_owned());
        insta::assert_snapshot!(refused(RateSettings { rate_limit_feed: some("0"), ..Default::default() }), @"RATE_LIMIT_FEED `0` is not a number of requests per minute, 1 to 100000");
        insta::assert_snapshot!(refused(RateSettings { rate_limit_window: some("0"), ..Default::default() }), @"RATE_LIMIT_WINDOW `0` is not a number of seconds, 1 to 86400");
        insta::assert_snapshot!(refused(RateSettings { rate_limit_tiers: some("gold"), ..Default::default() }), @"RATE_LIMIT_TIERS `gold` is not a list of tiers like `gold=1000/s:1000,standard=100/m:20`");
    }

    #[test]
    fn the_window_over_all_calls_is_off_until_it_is_switched_on() {
        let mut settings = RateSettings { rate_limit_requests: Some("10".into()), ..Default::default() };
        assert_eq!(applied(&settings, &Secrets::default()).unwrap().all, None);
        settings.rate_limit_enabled = Some("true".into());
        let all = applied(&settings, &Secrets::default()).unwrap().all.unwrap();
        assert_eq!((all.calls(), all.window()), (10, Duration::from_mins(1)));
    }

    #[test]
    fn an_address_of_redis_that_cannot_be_used_is_refused_and_not_shown() {
        let secrets = Secrets { redis_url: Some("http://user:hidden@host".into()), ..Secrets::default() };
        let error = applied(&RateSettings::default(), &secrets).unwrap_err();
        assert!(error.starts_with("RATE_LIMIT_REDIS_URL `…` ") && !error.contains("hidden"), "{error}");
    }
}
