//! The servers of a window: a slab of states, found by name.
//!
//! Owns which servers exist and what is true of them together: their newest step, the number of steps
//! with samples, and their order by name.
//!
//! A clone shares the servers; a sample copies its server first if a clone still holds it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::fault::Reason;
use super::open_step::{Placement, Sample};
#[cfg(feature = "parquet")]
use super::ring::Mark;
use super::server::{Rules, Server};
use crate::schema::{Profile, ServerName};
use crate::time::Step;

/// The servers of a window.
#[derive(Clone)]
pub(super) struct Fleet {
    slots: Vec<Option<Arc<Server>>>,
    vacant: Vec<u32>,
    slot_by_name: Arc<HashMap<ServerName, u32>>,
    /// Made on demand: most batches change no name.
    in_name_order: OnceLock<Arc<[u32]>>,
    newest: Option<Step>,
    step_count: usize,
    /// The newest step for which a search for silent servers found none, so that a full fleet is not
    /// searched again for every new name.
    searched_at: Option<Step>,
}

impl Fleet {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            slot_by_name: Arc::default(),
            in_name_order: OnceLock::new(),
            newest: None,
            step_count: 0,
            searched_at: None,
        }
    }

    /// Gives a sample to its server, which is made if it is new.
    pub(super) fn add(
        &mut self,
        name: &ServerName,
        profile: impl FnOnce() -> Profile,
        sample: Sample<'_>,
        rules: &Rules,
    ) -> Result<(&mut Server, Placement), Reason> {
        let step = rules.config.step.step_at(sample.at);
        let slot = match self.slot_by_name.get(name) {
            Some(&slot) => slot as usize,
            None => self.insert(name, profile, step, rules)?,
        };
        let server = self.slots[slot].as_mut().expect("invariant: an indexed slot is occupied");
        let server = Arc::make_mut(server);
        let steps_before = server.ring().sampled_steps();
        let placement = server.add(sample, rules)?;
        self.step_count = self.step_count + server.ring().sampled_steps() - steps_before;
        self.newest = self.newest.max(Some(step));
        Ok((server, placement))
    }

    /// Gives closed steps of one sample each to their server, which is made if it is new; returns the server, and
    /// whether it took them.
    #[cfg(feature = "parquet")]
    pub(super) fn add_closed<'c>(
        &mut self,
        name: &ServerName,
        profile: impl FnOnce() -> Profile,
        (steps, columns): (&[(Step, Mark)], impl Fn(usize) -> &'c [f32]),
        rules: &Rules,
    ) -> Result<Option<&mut Server>, Reason> {
        let (Some(&(first, _)), Some(&(last, _))) = (steps.first(), steps.last()) else { return Ok(None) };
        let slot = match self.slot_by_name.get(name) {
            Some(&slot) => slot as usize,
            None => self.insert(name, profile, first, rules)?,
        };
        let server =
            Arc::make_mut(self.slots[slot].as_mut().expect("invariant: an indexed slot is occupied"));
        let steps_before = server.ring().sampled_steps();
        if !server.add_closed(steps, columns) {
            return Ok(None);
        }
        self.step_count = self.step_count + server.ring().sampled_steps() - steps_before;
        self.newest = self.newest.max(Some(last));
        Ok(Some(server))
    }

    /// Changes the values of a server; none if there is no server of this name.
    pub(super) fn change(&mut self, name: &str, change: impl FnOnce(&mut Server)) -> Option<()> {
        let slot = *self.slot_by_name.get(name)? as usize;
        change(Arc::make_mut(self.slots[slot].as_mut()?));
        Some(())
    }

    /// Forgets a server; returns whether there was one of this name.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let Some(slot) = Arc::make_mut(&mut self.slot_by_name).remove(name) else { return false };
        self.vacate(slot);
        self.newest = self.servers().map(|server| server.ring().newest()).max();
        self.searched_at = None;
        true
    }

    /// Forgets the servers that are silent for longer than `retention_steps`, and the steps before `oldest`; returns
    /// the number of servers and of steps.
    pub(super) fn expire(&mut self, retention_steps: usize, oldest: Option<Step>) -> (usize, usize) {
        let (servers, steps) = (self.len(), self.step_count);
        let silent = self.newest.map(|newest| newest.plus(-(retention_steps as i64)));
        if let Some(oldest) = silent.max(oldest)
            && self.evict_before(oldest) > 0
        {
            self.newest = self.servers().map(|server| server.ring().newest()).max();
            self.searched_at = None;
        }
        let Some(oldest) = oldest else { return (servers - self.len(), steps - self.step_count) };
        for server in self.slots.iter_mut().flatten().filter(|server| server.ring().oldest() < oldest) {
            let steps_before = server.ring().sampled_steps();
            let server = Arc::make_mut(server);
            server.forget_before(oldest);
            self.step_count -= steps_before - server.ring().sampled_steps();
        }
        (servers - self.len(), steps - self.step_count)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Server> {
        let slot = *self.slot_by_name.get(name)?;
        self.slots[slot as usize].as_deref()
    }

    #[cfg(feature = "parquet")]
    pub(super) fn find_mut(&mut self, name: &str) -> Option<&mut Server> {
        let slot = *self.slot_by_name.get(name)?;
        self.slots[slot as usize].as_mut().map(Arc::make_mut)
    }

    /// Returns the servers in no particular order.
    pub(super) fn servers(&self) -> impl Iterator<Item = &Server> {
        self.slots.iter().flatten().map(|server| &**server)
    }

    pub(super) fn in_name_order(&self) -> impl ExactSizeIterator<Item = &Server> {
        let order = self.in_name_order.get_or_init(|| self.sort());
        order.iter().map(|&slot| {
            self.slots[slot as usize].as_deref().expect("invariant: the order lists occupied slots")
        })
    }

    pub(super) fn len(&self) -> usize {
        self.slot_by_name.len()
    }

    pub(super) fn newest(&self) -> Option<Step> {
        self.newest
    }

    /// Returns the number of steps with samples over all servers.
    pub(super) fn step_count(&self) -> usize {
        self.step_count
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // A hash table keeps at least an eighth of its buckets free, and one control byte per bucket.
        const INDEX_ENTRY_BYTES: usize = size_of::<(ServerName, u32)>() + 1;
        const SHARED_COUNTS_BYTES: usize = 2 * size_of::<usize>();
        let names = self.servers().map(|server| server.name.as_str().len()).sum::<usize>();
        let servers = self.servers().map(Server::memory_bytes).sum::<usize>();
        servers
            + names
            + self.len() * SHARED_COUNTS_BYTES
            + self.slots.capacity() * size_of::<Option<Arc<Server>>>()
            + self.vacant.capacity() * size_of::<u32>()
            + self.slot_by_name.capacity() * 8 / 7 * INDEX_ENTRY_BYTES
            + self.in_name_order.get().map_or(0, |order| size_of_val(&**order))
    }

    fn insert(
        &mut self,
        name: &ServerName,
        profile: impl FnOnce() -> Profile,
        first: Step,
        rules: &Rules,
    ) -> Result<usize, Reason> {
        let max = rules.config.servers_max;
        if self.len() >= max {
            self.evict_silent(self.newest.max(Some(first)), rules.config.steps_per_server);
        }
        if self.len() >= max {
            return Err(Reason::FleetFull { max });
        }
        let server = Server::new(name.clone(), profile(), rules, first);
        let slot = self.vacant.pop().unwrap_or(self.slots.len() as u32);
        if slot as usize == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[slot as usize] = Some(Arc::new(server));
        Arc::make_mut(&mut self.slot_by_name).insert(name.clone(), slot);
        self.in_name_order.take();
        self.searched_at = None;
        Ok(slot as usize)
    }

    /// Forgets the servers whose newest step lies more than `retention_steps` before `newest`.
    fn evict_silent(&mut self, newest: Option<Step>, retention_steps: usize) {
        let Some(newest) = newest.filter(|_| self.searched_at < newest) else { return };
        self.evict_before(newest.plus(-(retention_steps as i64)));
        self.searched_at = Some(newest);
    }

    /// Forgets the servers whose newest step lies before `oldest`; returns how many.
    fn evict_before(&mut self, oldest: Step) -> usize {
        let is_older = |server: &Arc<Server>| server.ring().newest() < oldest;
        let older = self
            .slots
            .iter()
            .enumerate()
            .filter_map(|(slot, server)| server.as_ref().is_some_and(is_older).then_some(slot as u32));
        let older: Vec<_> = older.collect();
        for &slot in &older {
            if let Some(server) = self.slots[slot as usize].as_ref() {
                Arc::make_mut(&mut self.slot_by_name).remove(server.name.as_str());
            }
            self.vacate(slot);
        }
        older.len()
    }

    fn vacate(&mut self, slot: u32) {
        if let Some(server) = self.slots[slot as usize].take() {
            self.step_count -= server.ring().sampled_steps();
            self.vacant.push(slot);
            self.in_name_order.take();
        }
    }

    fn sort(&self) -> Arc<[u32]> {
        let mut named: Vec<_> = self.slot_by_name.iter().collect();
        named.sort_unstable();
        named.into_iter().map(|(_, &slot)| slot).collect()
    }
}
