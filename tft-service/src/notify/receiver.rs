//! One receiver: its name, its channel, and how patiently it is told.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tft_core::alert::Receiver as Plan;

use super::channel::{Builder, Channel, REPEAT_MAX};
use super::http_client::Timeouts;
use super::retry::RetryPolicy;
use super::secret::Environment;

/// Somebody to be told, and how.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) name: String,
    pub(crate) channel: Channel,
    pub(crate) retry: RetryPolicy,
    /// After how long a message that cannot be delivered is given up.
    pub(crate) retry_for: Duration,
    /// Most groups whose messages wait.
    pub(crate) queue_max: usize,
}

/// The settings that receivers of every type have.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CommonSettings {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    ca_file: Option<PathBuf>,
    allow_http: bool,
    connect_timeout_ms: u64,
    timeout_ms: u64,
    retry_first_ms: u64,
    retry_for_ms: u64,
    queue_max: Option<usize>,
}

impl Receiver {
    /// Reads one `[[receivers]]` table: the receiver, and what it is to be told.
    ///
    /// # Errors
    /// Everything that is wrong with it, each beginning with the receiver's name or number.
    pub(super) fn parse(
        index: usize,
        mut table: toml::Table,
        environment: Environment<'_>,
    ) -> Result<(Self, Plan), Vec<String>> {
        let own = split_off(&mut table, &COMMON_KEYS);
        let plan = split_off(&mut table, &PLAN_KEYS);
        let place = match own.get("name").and_then(toml::Value::as_str) {
            Some(name) => format!("receiver `{}`", name.escape_debug()),
            None => format!("receiver {}", index + 1),
        };
        let in_place = |problem: &String| format!("{place}: {problem}");
        let common: CommonSettings = CommonSettings::deserialize(own)
            .map_err(|error| vec![in_place(&error.to_string().trim().to_owned())])?;
        let mut builder = Builder {
            environment,
            timeouts: Timeouts {
                connect: Duration::from_millis(common.connect_timeout_ms),
                total: Duration::from_millis(common.timeout_ms),
            },
            allow_http: common.allow_http,
            ca_file: common.ca_file.clone(),
            problems: common.problems(),
        };
        let channel = Channel::build(&common.kind, table, &mut builder);
        let mut problems = builder.problems;
        let plan = common.plan(plan).map_err(|problem| problems.push(problem)).ok();
        match (channel, plan) {
            (Some(channel), Some(plan)) if problems.is_empty() => Ok((common.into_receiver(channel), plan)),
            _ => Err(problems.iter().map(in_place).collect()),
        }
    }
}

fn split_off(table: &mut toml::Table, keys: &[&str]) -> toml::Table {
    keys.iter().filter_map(|&key| Some((key.to_owned(), table.remove(key)?))).collect()
}

impl CommonSettings {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=NAME_LENGTH_MAX).contains(&self.name.len()) || !self.name.bytes().all(is_plain) {
            problems.push(format!("`name` is not 1 to {NAME_LENGTH_MAX} letters, digits, `-`, `_` or `.`"));
        }
        for (name, value, range) in [
            ("connect_timeout_ms", self.connect_timeout_ms, 10..=60_000),
            ("timeout_ms", self.timeout_ms, 10..=120_000),
            ("retry_first_ms", self.retry_first_ms, 10..=60_000),
            ("retry_for_ms", self.retry_for_ms, 10..=86_400_000),
            ("queue_max", self.queue_max.unwrap_or(QUEUE_MAX) as u64, 1..=GROUPS_MAX as u64),
        ] {
            if !range.contains(&value) {
                problems.push(format!("`{name}` {value} is not within {} to {}", range.start(), range.end()));
            }
        }
        problems
    }

    fn is_alertmanager(&self) -> bool {
        self.kind == "alertmanager"
    }

    /// Reads what the receiver is to be told. An Alertmanager groups by itself and forgets what is not repeated.
    fn plan(&self, mut keys: toml::Table) -> Result<Plan, String> {
        if self.is_alertmanager() {
            keys.entry("group_by").or_insert_with(|| vec!["server"].into());
            for (key, millis) in
                [("group_wait_ms", 0), ("group_interval_ms", 1000), ("repeat_interval_ms", 60_000)]
            {
                keys.entry(key).or_insert(millis.into());
            }
        }
        keys.insert("name".into(), self.name.clone().into());
        let plan = Plan::deserialize(keys).map_err(|error| error.to_string().trim().to_owned())?;
        let repeat_ms_max = i64::try_from(REPEAT_MAX.as_millis()).unwrap_or(i64::MAX);
        if self.is_alertmanager() && plan.repeat_interval_ms > repeat_ms_max {
            let repeat_ms = plan.repeat_interval_ms;
            return Err(format!(
                "`repeat_interval_ms` {repeat_ms} is more than {repeat_ms_max}, and Alertmanager would forget alerts"
            ));
        }
        Ok(plan)
    }

    fn into_receiver(self, channel: Channel) -> Receiver {
        let is_alertmanager = self.is_alertmanager();
        Receiver {
            name: self.name,
            channel,
            retry: RetryPolicy {
                first: Duration::from_millis(self.retry_first_ms),
                ..RetryPolicy::default()
            },
            retry_for: Duration::from_millis(self.retry_for_ms),
            queue_max: self.queue_max.unwrap_or(if is_alertmanager { GROUPS_MAX } else { QUEUE_MAX }),
        }
    }
}

impl Default for CommonSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: String::new(),
            ca_file: None,
            allow_http: false,
            connect_timeout_ms: 5_000,
            timeout_ms: 15_000,
            retry_first_ms: 1000,
            retry_for_ms: 600_000,
            queue_max: None,
        }
    }
}

const COMMON_KEYS: [&str; 9] = [
    "name",
    "type",
    "ca_file",
    "allow_http",
    "connect_timeout_ms",
    "timeout_ms",
    "retry_first_ms",
    "retry_for_ms",
    "queue_max",
];

/// The keys by which the notifier decides what a receiver is told.
const PLAN_KEYS: [&str; 6] =
    ["matchers", "group_by", "group_wait_ms", "group_interval_ms", "repeat_interval_ms", "send_resolved"];

/// Most groups that wait for a receiver that people read.
const QUEUE_MAX: usize = 256;

/// Most groups that wait for an Alertmanager, where each server is one.
const GROUPS_MAX: usize = Plan::GROUPS_MAX;

/// Most characters of a receiver's name, which is a label of metrics.
const NAME_LENGTH_MAX: usize = 64;
