//! The same limits for several instances, kept in Redis.
//!
//! Each call is one script, which Redis runs as a whole and by its own clock: between two instances nothing can
//! slip through, and their clocks do not matter. While Redis cannot be used, or is slower than the timeout, every
//! instance goes on by itself; one call a second tries again. The scripts write and expire what they write: nothing
//! is left in Redis once a window is over. Names of clients are hashed there.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, RedisError, Script, ScriptInvocation};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

use super::config::{RedisLimits, Tier};
use super::{Bucket, Counted, RouteClass, Verdict};
use crate::auth::Client;
use crate::auth::hex;

/// The limits in Redis.
pub(super) struct SharedLimits {
    settings: RedisLimits,
    connection: tokio::sync::Mutex<Option<MultiplexedConnection>>,
    health: Mutex<Health>,
    windows: Script,
    tiers: Script,
    /// Tells this instance's calls from those of others.
    instance: String,
    call_count: AtomicU64,
    fallback_count: AtomicU64,
}

/// Whether Redis could be used lately.
#[derive(Debug, Default)]
struct Health {
    /// When to try again, if it could not.
    retry_at: Option<Duration>,
    warned_at: Option<Duration>,
}

#[derive(Debug, thiserror::Error)]
enum SharedError {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("no reply within {0:?}")]
    Slow(Duration),
}

impl SharedLimits {
    pub(super) fn new(settings: &RedisLimits) -> Self {
        Self {
            settings: settings.clone(),
            connection: tokio::sync::Mutex::default(),
            health: Mutex::default(),
            windows: Script::new(WINDOWS_SCRIPT),
            tiers: Script::new(TIER_SCRIPT),
            instance: instance_name(),
            call_count: AtomicU64::new(0),
            fallback_count: AtomicU64::new(0),
        }
    }

    /// Counts one call in all windows if it fits in each, otherwise in none; none if Redis cannot be used.
    pub(super) async fn count_windows(
        &self,
        windows: &[Counted],
        client: &Client,
        now: Duration,
    ) -> Option<Verdict> {
        let number = self.call_count.fetch_add(1, Ordering::Relaxed);
        let mut call = self.windows.arg(format!("{}:{number}", self.instance));
        for window in windows {
            call.key(key_of(name_of(window.bucket), client));
            call.arg(window.limit.calls()).arg(window.limit.window().as_micros() as u64);
        }
        let reply: Vec<u64> = self.run(&call, now).await?;
        let (&passed, counts) = reply.split_first()?;
        let verdicts = windows.iter().zip(counts.chunks_exact(2)).map(|(window, counted)| {
            let limit = window.limit;
            let is_allowed = passed == 1 || counted[0] < u64::from(limit.calls());
            Verdict {
                is_allowed,
                limit: limit.calls(),
                remaining: limit.calls().saturating_sub(counted[0] as u32),
                window: limit.window(),
                reset_after: limit.window().saturating_sub(Duration::from_micros(counted[1])),
            }
        });
        verdicts.reduce(Verdict::stricter)
    }

    /// Takes one token of a tier's bucket; none if Redis cannot be used.
    pub(super) async fn count_tier(&self, tier: Tier, client: &Client, now: Duration) -> Option<Verdict> {
        let mut call = self.tiers.key(key_of("tier", client));
        call.arg(tier.interval().as_micros().max(1) as u64).arg(tier.burst());
        let (passed, remaining, reset_us): (u8, u32, u64) = self.run(&call, now).await?;
        Some(Verdict {
            is_allowed: passed == 1,
            limit: tier.burst(),
            remaining,
            window: tier.refill(),
            reset_after: Duration::from_micros(reset_us),
        })
    }

    pub(super) fn fallback_count(&self) -> u64 {
        self.fallback_count.load(Ordering::Relaxed)
    }

    async fn run<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>, now: Duration) -> Option<T> {
        if !self.may_try(now) {
            self.fallback_count.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let timeout = self.settings.timeout;
        let outcome = tokio::time::timeout(timeout, self.invoke(call)).await;
        match outcome.unwrap_or(Err(SharedError::Slow(timeout))) {
            Ok(reply) => {
                self.note_success();
                Some(reply)
            }
            Err(error) => {
                self.fallback_count.fetch_add(1, Ordering::Relaxed);
                *self.connection.lock().await = None;
                self.note_failure(&error, now);
                None
            }
        }
    }

    async fn invoke<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, SharedError> {
        let mut connection = self.connect().await?;
        Ok(call.invoke_async(&mut connection).await?)
    }

    /// Returns the connection that all calls share.
    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = &*kept {
            return Ok(connection.clone());
        }
        let timeout = Some(self.settings.timeout);
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(timeout).set_response_timeout(timeout);
        let client = redis::Client::open(&*self.settings.url)?;
        let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        *kept = Some(connection.clone());
        Ok(connection)
    }

    /// While Redis is away, one call in [`RETRY_PAUSE`] tries, and the others do not wait for it.
    fn may_try(&self, now: Duration) -> bool {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        match health.retry_at {
            Some(retry_at) if now < retry_at => false,
            Some(_) => {
                health.retry_at = Some(now + RETRY_PAUSE);
                true
            }
            None => true,
        }
    }

    fn note_success(&self) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if health.retry_at.take().is_some() {
            let fallbacks = self.fallback_count();
            tracing::info!(fallbacks, "Redis is back: rate limits are shared again");
        }
    }

    fn note_failure(&self, error: &SharedError, now: Duration) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.retry_at = Some(now + RETRY_PAUSE);
        if health.warned_at.is_none_or(|at| now.saturating_sub(at) >= WARNING_PAUSE) {
            health.warned_at = Some(now);
            let fallbacks = self.fallback_count();
            tracing::warn!(%error, fallbacks, "Redis cannot be used: this instance limits rates by itself");
        }
    }
}

impl fmt::Debug for SharedLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLimits").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Says whether an address of Redis can be read.
pub(super) fn is_address(url: &str) -> bool {
    redis::Client::open(url).is_ok()
}

/// Windows of one client lie in one slot of a cluster: what is within braces decides.
fn key_of(name: &str, client: &Client) -> String {
    let text = match client {
        Client::Key(id) => format!("key:{id}"),
        Client::Subject(subject) => format!("subject:{subject}"),
        Client::Network(address) => format!("network:{address}"),
    };
    let digest = hex(&Sha256::digest(text).into());
    format!("tft:limit:{{{}}}:{name}", &digest[..32])
}

fn name_of(bucket: Bucket) -> &'static str {
    match bucket {
        Bucket::Route(RouteClass::Feed) => "feed",
        Bucket::Route(RouteClass::Predictions) => "predictions",
        Bucket::Route(RouteClass::Alerts) => "alerts",
        Bucket::Route(RouteClass::Other | RouteClass::Exempt) => "other",
        Bucket::All => "all",
        Bucket::AuthenticationFailures => "failures",
    }
}

/// Two instances that could not tell their calls apart would share one entry where they come in the same
/// microsecond; the process's number keeps them apart where the system has no randomness.
fn instance_name() -> String {
    let mut bytes = [0; 8];
    let _ = SystemRandom::new().fill(&mut bytes);
    format!("{:x}-{:x}", u64::from_ne_bytes(bytes), std::process::id())
}

const RETRY_PAUSE: Duration = Duration::from_secs(1);

const WARNING_PAUSE: Duration = Duration::from_secs(10);

/// KEYS: a sorted set per window. ARGV: the call's name, then the limit and the microseconds of each window.
/// Answers whether the call passed (0 or 1), then of each window the calls in it and the age of the oldest.
const WINDOWS_SCRIPT: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local passed = 1
for i, key in ipairs(KEYS) do
  local window = tonumber(ARGV[2 * i + 1])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now - window))
  if redis.call('ZCARD', key) >= tonumber(ARGV[2 * i]) then passed = 0 end
end
local reply = {passed}
for i, key in ipairs(KEYS) do
  if passed == 1 then
    redis.call('ZADD', key, string.format('%.0f', now), ARGV[1])
    redis.call('PEXPIRE', key, math.ceil(tonumber(ARGV[2 * i + 1]) / 1000))
  end
  local oldest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  reply[#reply + 1] = redis.call('ZCARD', key)
  reply[#reply + 1] = oldest[2] and math.max(0, now - tonumber(oldest[2])) or 0
end
return reply
";

/// KEYS: the time at which the bucket is full. ARGV: microseconds from one call to the next, and the burst.
/// Answers whether the call passed, the calls that are left, and the microseconds until one can pass, or until
/// the bucket is full. The same arithmetic as `bucket::take`.
const TIER_SCRIPT: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, refill = tonumber(ARGV[1]), ARGV[1] * ARGV[2]
local ahead = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + interval - now
if ahead > refill then
  return {0, math.floor((refill - (ahead - interval)) / interval), ahead - refill}
end
redis.call('SET', KEYS[1], string.format('%.0f', now + ahead), 'PX', math.ceil(ahead / 1000))
return {1, math.floor((refill - ahead) / interval), ahead}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_windows_have_keys_of_their_own_without_their_names() {
        let (ops, subject) = (Client::Key("ops".into()), Client::Subject("ops".into()));
        let keys = [key_of("feed", &ops), key_of("alerts", &ops), key_of("feed", &subject)];
        assert!(keys[0] != keys[1] && keys[0] != keys[2] && !keys[0].contains("ops"));
        assert_eq!(keys[0].rsplit_once('}').unwrap().0, keys[1].rsplit_once('}').unwrap().0);
    }

    #[test]
    fn one_call_a_second_tries_while_redis_is_away() {
        let limits = SharedLimits::new(&RedisLimits::new("redis://127.0.0.1:1"));
        let second = Duration::from_secs(1);
        assert!(limits.may_try(Duration::ZERO) && limits.may_try(Duration::ZERO));
        limits.note_failure(&SharedError::Slow(second), Duration::ZERO);
        assert!(!limits.may_try(Duration::ZERO));
        assert!(limits.may_try(second) && !limits.may_try(second));
        limits.note_success();
        assert!(limits.may_try(second) && limits.may_try(second));
        assert!(
            is_address("redis://user:pw@host:6379/1") && !is_address("http://host") && !is_address("host")
        );
    }
}
