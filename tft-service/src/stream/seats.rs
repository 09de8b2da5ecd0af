//! How many streams there may be, of whom.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::config::StreamConfig;
use super::counters::{StreamCounters, StreamProtocol};
use crate::auth::Client;

/// The places that streams take.
#[derive(Debug)]
pub(super) struct Seats {
    config: StreamConfig,
    counters: Arc<StreamCounters>,
    taken: Mutex<Taken>,
}

/// A stream's place, until dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    protocol: StreamProtocol,
    client: Client,
    is_pending: bool,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSeat {
    /// There are too many streams, or too many that have not authenticated.
    Full,
    /// There are too many of this key, subject or address.
    FullForClient,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    pending: usize,
    by_client: HashMap<Client, usize>,
}

impl Seats {
    pub(super) fn new(config: StreamConfig, counters: Arc<StreamCounters>) -> Arc<Self> {
        Arc::new(Self { config, counters, taken: Mutex::default() })
    }

    /// Takes a place for somebody; for a network address where nobody has authenticated yet.
    ///
    /// # Errors
    /// [`NoSeat`].
    pub(super) fn take(
        self: &Arc<Self>,
        protocol: StreamProtocol,
        client: Client,
        is_pending: bool,
    ) -> Result<Seat, NoSeat> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.config.clients_max
            || is_pending && taken.pending >= self.config.clients_pending_max
        {
            return Err(NoSeat::Full);
        }
        taken.add(client.clone(), self.config.clients_per_principal_max)?;
        taken.all += 1;
        taken.pending += usize::from(is_pending);
        self.counters.count_opened(protocol);
        Ok(Seat { seats: Arc::clone(self), protocol, client, is_pending })
    }
}

impl Seat {
    /// Gives the place to the one who has authenticated.
    ///
    /// # Errors
    /// [`NoSeat::FullForClient`]; the place is as it was.
    pub(super) fn give_to(&mut self, client: Client) -> Result<(), NoSeat> {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&self.client);
        if let Err(full) = taken.add(client.clone(), self.seats.config.clients_per_principal_max) {
            *taken.by_client.entry(self.client.clone()).or_default() += 1;
            return Err(full);
        }
        taken.pending -= usize::from(self.is_pending);
        drop(taken);
        self.is_pending = false;
        self.client = client;
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&self.client);
        taken.all -= 1;
        taken.pending -= usize::from(self.is_pending);
        self.seats.counters.count_closed(self.protocol);
    }
}

impl Taken {
    fn add(&mut self, client: Client, max: usize) -> Result<(), NoSeat> {
        let count = self.by_client.entry(client).or_default();
        if *count >= max {
            return Err(NoSeat::FullForClient);
        }
        *count += 1;
        Ok(())
    }

    fn remove(&mut self, client: &Client) {
        if let Some(count) = self.by_client.get_mut(client) {
            *count -= 1;
            if *count == 0 {
                self.by_client.remove(client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> Client {
        Client::Key(id.into())
    }

    fn seats() -> Arc<Seats> {
        let config = StreamConfig {
            clients_max: 4,
            clients_per_principal_max: 2,
            clients_pending_max: 1,
            ..StreamConfig::default()
        };
        Seats::new(config, Arc::default())
    }

    #[test]
    fn every_limit_holds_at_its_value() {
        let seats = seats();
        let take = |id, is_pending| seats.take(StreamProtocol::Events, key(id), is_pending);
        let held = [take("a", false).unwrap(), take("a", false).unwrap()];
        assert_eq!(take("a", false).unwrap_err(), NoSeat::FullForClient);
        let mut pending = take("b", true).unwrap();
        assert_eq!(take("b", true).unwrap_err(), NoSeat::Full);
        assert_eq!(pending.give_to(key("a")), Err(NoSeat::FullForClient));
        assert!(pending.is_pending);
        pending.give_to(key("b")).unwrap();
        let last = take("b", true).unwrap();
        assert_eq!(take("c", false).unwrap_err(), NoSeat::Full);
        assert_eq!(seats.counters.clients(StreamProtocol::Events), 4);
        drop((held, pending, last));
        assert_eq!(seats.counters.clients(StreamProtocol::Events), 0);
        assert!(seats.taken.lock().unwrap().by_client.is_empty());
    }
}
