//! How many streams there may be, of whom.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::config::StreamConfig;
use super::counters::{StreamCounters, StreamProtocol};
use crate::auth::Principal;

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
    principal: Principal,
    is_pending: bool,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSeat {
    /// There are too many streams, or too many that have not authenticated.
    Full,
    /// There are too many of this principal.
    FullForPrincipal,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    pending: usize,
    by_principal: HashMap<Principal, usize>,
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
        principal: Principal,
        is_pending: bool,
    ) -> Result<Seat, NoSeat> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.config.clients_max
            || is_pending && taken.pending >= self.config.clients_pending_max
        {
            return Err(NoSeat::Full);
        }
        taken.add(principal, self.config.clients_per_principal_max)?;
        taken.all += 1;
        taken.pending += usize::from(is_pending);
        self.counters.count_opened(protocol);
        Ok(Seat { seats: Arc::clone(self), protocol, principal, is_pending })
    }
}

impl Seat {
    /// Gives the place to the one who has authenticated.
    ///
    /// # Errors
    /// [`NoSeat::FullForPrincipal`]; the place is as it was.
    pub(super) fn give_to(&mut self, principal: Principal) -> Result<(), NoSeat> {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(self.principal);
        if let Err(full) = taken.add(principal, self.seats.config.clients_per_principal_max) {
            *taken.by_principal.entry(self.principal).or_default() += 1;
            return Err(full);
        }
        taken.pending -= usize::from(self.is_pending);
        drop(taken);
        self.is_pending = false;
        self.principal = principal;
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(self.principal);
        taken.all -= 1;
        taken.pending -= usize::from(self.is_pending);
        self.seats.counters.count_closed(self.protocol);
    }
}

impl Taken {
    fn add(&mut self, principal: Principal, max: usize) -> Result<(), NoSeat> {
        let count = self.by_principal.entry(principal).or_default();
        if *count >= max {
            return Err(NoSeat::FullForPrincipal);
        }
        *count += 1;
        Ok(())
    }

    fn remove(&mut self, principal: Principal) {
        if let Some(count) = self.by_principal.get_mut(&principal) {
            *count -= 1;
            if *count == 0 {
                self.by_principal.remove(&principal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Principal = Principal::Key(0);
    const B: Principal = Principal::Key(1);

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
        let take = |principal, is_pending| seats.take(StreamProtocol::Events, principal, is_pending);
        let held = [take(A, false).unwrap(), take(A, false).unwrap()];
        assert_eq!(take(A, false).unwrap_err(), NoSeat::FullForPrincipal);
        let mut pending = take(B, true).unwrap();
        assert_eq!(take(B, true).unwrap_err(), NoSeat::Full);
        assert_eq!(pending.give_to(A), Err(NoSeat::FullForPrincipal));
        assert!(pending.is_pending);
        pending.give_to(B).unwrap();
        let last = take(B, true).unwrap();
        assert_eq!(take(Principal::Key(2), false).unwrap_err(), NoSeat::Full);
        assert_eq!(seats.counters.clients(StreamProtocol::Events), 4);
        drop((held, pending, last));
        assert_eq!(seats.counters.clients(StreamProtocol::Events), 0);
        assert!(seats.taken.lock().unwrap().by_principal.is_empty());
    }
}
