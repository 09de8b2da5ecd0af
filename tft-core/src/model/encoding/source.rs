//! Where the columns of a data set come from when a rolling window is forecast.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Where a column of a data set comes from when a rolling window is forecast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Source {
    /// A metric of the window's schema.
    Metric(String),
    /// The server's name.
    ServerName,
    /// The number that the original monitoring system told servers apart by:
    /// [`ServerName::legacy_id`](crate::schema::ServerName::legacy_id).
    LegacyServerId,
    /// The server's profile.
    Profile,
    /// The server's status in a step; while none was told, that of the step before.
    Status,
    /// A feature of the calendar, in UTC.
    Clock(ClockFeature),
    /// A statistic of a metric over all servers in a step.
    Fleet {
        /// The metric.
        metric: String,
        /// The statistic.
        statistic: FleetStatistic,
    },
    /// How far a server's metric is above the mean of the fleet.
    AboveFleetMean(String),
    /// Whole steps since an instant, in milliseconds since 1970.
    StepsSince(i64),
    /// The same number always.
    Number(f64),
    /// The same label always.
    Label(String),
}

/// A feature of the calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClockFeature {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 0 to 1439.
    MinuteOfDay,
    /// Monday is 0.
    DayOfWeek,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12.
    Month,
    /// 1 on Saturdays and Sundays, else 0.
    IsWeekend,
}

/// A statistic over all servers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FleetStatistic {
    /// The mean.
    Mean,
    /// The standard deviation (ddof 1); 0 for a single server.
    Std,
    /// The largest value.
    Max,
    /// The smallest value.
    Min,
    /// The share of servers above a value, 0 to 1.
    ShareAbove(f64),
}

impl Source {
    /// Returns where a column of this name comes from unless the model says otherwise: calendar features,
    /// `profile`, `status` (or `state`), `server_id` and `server_name` by their names,
    /// `fleet_<metric>_<mean|std|max|min>` as statistics, anything else as a metric.
    pub fn of_column(name: &str) -> Self {
        let clock = |feature| Self::Clock(feature);
        match name {
            "minute" => clock(ClockFeature::Minute),
            "hour" | "hour_of_day" => clock(ClockFeature::Hour),
            "minute_of_day" => clock(ClockFeature::MinuteOfDay),
            "day_of_week" | "dayofweek" | "weekday" => clock(ClockFeature::DayOfWeek),
            "day_of_month" | "day" => clock(ClockFeature::DayOfMonth),
            "month" => clock(ClockFeature::Month),
            "is_weekend" => clock(ClockFeature::IsWeekend),
            "profile" => Self::Profile,
            "status" | "state" => Self::Status,
            "server_id" => Self::LegacyServerId,
            "server_name" | "server" | "host" | "hostname" => Self::ServerName,
            _ => Self::of_fleet(name).unwrap_or_else(|| Self::Metric(name.to_owned())),
        }
    }

    fn of_fleet(name: &str) -> Option<Self> {
        let (metric, statistic) = name.strip_prefix("fleet_")?.rsplit_once('_')?;
        let statistic = match statistic {
            "mean" => FleetStatistic::Mean,
            "std" => FleetStatistic::Std,
            "max" => FleetStatistic::Max,
            "min" => FleetStatistic::Min,
            _ => return None,
        };
        Some(Self::Fleet { metric: metric.to_owned(), statistic })
    }
}

impl ClockFeature {
    /// Returns the feature's value at an instant.
    pub fn at(self, instant: Timestamp) -> f64 {
        let calendar = instant.calendar();
        let value = match self {
            Self::Minute => u16::from(calendar.minute),
            Self::Hour => u16::from(calendar.hour),
            Self::MinuteOfDay => u16::from(calendar.hour) * 60 + u16::from(calendar.minute),
            Self::DayOfWeek => u16::from(calendar.weekday),
            Self::DayOfMonth => u16::from(calendar.day),
            Self::Month => u16::from(calendar.month),
            Self::IsWeekend => u16::from(calendar.weekday >= 5),
        };
        f64::from(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_known_by_their_names() {
        assert_eq!(Source::of_column("hour"), Source::Clock(ClockFeature::Hour));
        assert_eq!(Source::of_column("cpu_user_pct"), Source::Metric("cpu_user_pct".into()));
        let statistic = FleetStatistic::Std;
        let expected = Source::Fleet { metric: "cpu_user_pct".into(), statistic };
        assert_eq!(Source::of_column("fleet_cpu_user_pct_std"), expected);
    }

    #[test]
    fn sources_are_written_as_plain_words() {
        let source = Source::Fleet { metric: "load".into(), statistic: FleetStatistic::ShareAbove(80.0) };
        let text = serde_json::to_string(&source).unwrap();
        assert_eq!(text, r#"{"fleet":{"metric":"load","statistic":{"share_above":80.0}}}"#);
        assert_eq!(serde_json::to_string(&Source::LegacyServerId).unwrap(), r#""legacy_server_id""#);
    }

    #[test]
    fn the_calendar_is_that_of_utc() {
        let at = Timestamp::parse("2026-11-21T13:45:00Z").unwrap();
        let features = [ClockFeature::MinuteOfDay, ClockFeature::DayOfWeek, ClockFeature::IsWeekend];
        assert_eq!(features.map(|feature| feature.at(at) as i64), [825, 5, 1]);
    }
}
