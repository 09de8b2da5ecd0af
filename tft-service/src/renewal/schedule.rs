//! When a certificate is asked for.

use std::sync::Arc;
use std::time::Duration;

use tft_core::time::Timestamp;

use super::order::obtain;
use crate::clock::Clock;
use crate::error::in_one_line;
use crate::tls::{Acme, Certificate, Identity, TlsConfig, TlsSource};

/// Asks for a certificate when there is none, before it ends, and when other names are wanted.
#[derive(Debug)]
pub(crate) struct Renewal {
    wanted: Acme,
    identity: Arc<Identity>,
    days_before: u32,
    /// Between looks at whether it is time.
    look_every: Duration,
    clock: Arc<dyn Clock>,
}

impl Renewal {
    /// Looks after the certificate that is served; none if it comes from elsewhere.
    pub(crate) fn of(
        config: &TlsConfig,
        identity: Option<&Arc<Identity>>,
        clock: &Arc<dyn Clock>,
    ) -> Option<Self> {
        let (Some(TlsSource::Acme(wanted)), Some(identity)) = (&config.source, identity) else { return None };
        Some(Self {
            wanted: wanted.clone(),
            identity: Arc::clone(identity),
            days_before: config.renewal_days_before,
            look_every: config.reload_interval,
            clock: Arc::clone(clock),
        })
    }

    /// Looks after it for as long as the future is polled; `reload` reads the files anew, and may wait for them.
    pub(crate) async fn run(self, reload: impl Fn() + Clone + Send + 'static) {
        let mut failures = 0;
        loop {
            let mut pause = self.look_every;
            if self.is_due() {
                match self.renew(&reload).await {
                    Ok(()) => failures = 0,
                    Err(reason) => {
                        failures += 1;
                        pause = pause_after(failures);
                        tracing::error!(reason, retry_s = pause.as_secs(), "no certificate was given");
                    }
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn renew(&self, reload: &(impl Fn() + Clone + Send + 'static)) -> Result<(), String> {
        obtain(&self.wanted, self.identity.challenges()).await.map_err(|error| in_one_line(&error))?;
        let _ = tokio::task::spawn_blocking(reload.clone()).await;
        // An authority must not be asked without end.
        if self.is_due() {
            return Err("the one that the authority gave should be renewed at once".into());
        }
        tracing::info!(names = self.wanted.names.join(","), "the authority gave a certificate");
        Ok(())
    }

    fn is_due(&self) -> bool {
        is_due(&self.identity.chain(), &self.wanted.names, self.days_before, self.clock.now())
    }
}

/// Returns whether another certificate is needed: this one is self-signed, about to end, or lacks a name.
fn is_due(chain: &[Certificate], names: &[String], days_before: u32, now: Timestamp) -> bool {
    let Some(leaf) = chain.first() else { return true };
    let lifetime_ms = leaf.not_after.as_millis() - leaf.not_before.as_millis();
    let before_ms = (i64::from(days_before) * DAY_MS).min(lifetime_ms / 3);
    leaf.subject == leaf.issuer
        || now.plus_millis(before_ms) > leaf.not_after
        || !names.iter().all(|name| leaf.names.contains(name))
}

/// Grows from five minutes to an hour: authorities stop listening to whoever fails more than five times in an hour.
fn pause_after(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_mins(5);
    const LAST: Duration = Duration::from_hours(1);
    FIRST.saturating_mul(1 << (failures - 1).min(8)).min(LAST)
}

const DAY_MS: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_millis(day * DAY_MS)
    }

    fn certificate(last_day: i64) -> Certificate {
        Certificate {
            subject: "CN=tft.example.com".into(),
            issuer: "CN=authority".into(),
            names: vec!["tft.example.com".into()],
            not_before: at(0),
            not_after: at(last_day),
        }
    }

    #[test]
    fn a_certificate_is_renewed_before_it_ends() {
        let names = ["tft.example.com".to_owned()];
        let due =
            |certificate: &Certificate, day| is_due(std::slice::from_ref(certificate), &names, 30, at(day));
        assert_eq!([59, 60, 61].map(|day| due(&certificate(90), day)), [false, false, true]);
        // Of six days a third.
        assert_eq!([4, 5].map(|day| due(&certificate(6), day)), [false, true]);
        assert!(is_due(&[], &names, 30, at(0)));
        let self_signed = Certificate { issuer: "CN=tft.example.com".into(), ..certificate(90) };
        assert!(due(&self_signed, 1));
        let other = Certificate { names: vec!["b.example.com".into()], ..certificate(90) };
        assert!(due(&other, 1));
    }

    #[test]
    fn pauses_grow_to_an_hour() {
        let minutes = [1, 2, 3, 4, 5, 40].map(|failures| pause_after(failures).as_secs() / 60);
        assert_eq!(minutes, [5, 10, 20, 40, 60, 60]);
    }
}
