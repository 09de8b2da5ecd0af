//! How much is taken in at a time: bytes of bodies, and feeds that wait for their turn.
//!
//! Beyond either bound clients are told to come back, rather than that the process grows or the queue does.

use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::http::Refusal;

/// The bounds on what is taken in at a time.
#[derive(Debug)]
pub(crate) struct Intake {
    /// In units of [`UNIT_BYTES`].
    room: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    turns_max: usize,
}

impl Intake {
    pub(crate) fn new(limits: &Limits) -> Self {
        // A limit below that of one body would refuse bodies that are allowed.
        let units = units_of(limits.body_bytes_total_max.max(limits.body_bytes_max));
        let room = Arc::new(Semaphore::new(units as usize));
        Self {
            room,
            turns: Arc::new(Semaphore::new(limits.feeds_waiting_max)),
            turns_max: limits.feeds_waiting_max,
        }
    }

    /// Takes room for a body of the declared length, or of the greatest if it does not say; too long ones are refused
    /// when they are read.
    ///
    /// # Errors
    /// [`Refusal::Busy`] if there is none.
    pub(crate) fn room_for(
        &self,
        headers: &HeaderMap,
        limits: &Limits,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        let declared =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = declared.unwrap_or(limits.body_bytes_max).min(limits.body_bytes_max);
        Arc::clone(&self.room).try_acquire_many_owned(units_of(bytes)).map_err(|_| Refusal::Busy)
    }

    /// Takes a place among the feeds that wait.
    ///
    /// # Errors
    /// [`Refusal::Busy`] if there is none.
    pub(crate) fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.turns).try_acquire_owned().map_err(|_| Refusal::Busy)
    }

    /// Returns how many feeds are being taken or wait.
    pub(crate) fn depth(&self) -> usize {
        self.turns_max - self.turns.available_permits()
    }
}

fn units_of(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

const UNIT_BYTES: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told_to_come_back() {
        let limits = Limits {
            body_bytes_max: 4 << 10,
            body_bytes_total_max: 6 << 10,
            feeds_waiting_max: 1,
            ..Limits::default()
        };
        let intake = Intake::new(&limits);
        let declared = |bytes: u64| HeaderMap::from_iter([(header::CONTENT_LENGTH, bytes.into())]);
        let unknown = intake.room_for(&HeaderMap::new(), &limits).unwrap();
        assert!(matches!(intake.room_for(&declared(2049), &limits), Err(Refusal::Busy)));
        let small = intake.room_for(&declared(2048), &limits).unwrap();
        drop((unknown, small));
        assert!(intake.room_for(&declared(u64::MAX), &limits).is_ok());
        let turn = intake.turn().unwrap();
        assert!(matches!(intake.turn(), Err(Refusal::Busy)));
        assert_eq!(intake.depth(), 1);
        drop(turn);
        assert!(intake.turn().is_ok());
    }
}
