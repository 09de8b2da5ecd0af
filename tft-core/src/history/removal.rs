//! What becomes of one server's rows: removed from every file, and its name from what is about others.

use std::path::PathBuf;

use super::archive::History;
use super::entry::HistoryEntry;
use super::error::HistoryError;
use super::event::AlertEvent;
use super::file_name::{FileName, day_of};
use super::held::{Held, remove, sync_directory};
use super::recover::{set_aside_files, sweep};
use super::report::HistoryRemoval;
use super::row::{HistoryRow, Table};
use super::segment::{Place, Segment};
use super::snapshot::FleetSnapshot;
use crate::error::Error;
use crate::store::set_file_aside;
use crate::time::Timestamp;

/// What a row is to a server that is removed.
#[derive(Debug, PartialEq)]
enum Trace {
    /// It does not name it.
    None,
    /// It is about it.
    All,
    /// It named it, and does so no more.
    Erased,
}

/// A row that a server's name can be taken out of.
trait Erasable: HistoryRow {
    fn erase(&mut self, name: &str) -> Trace;
}

impl History {
    /// Removes every trace of a server, known by its whole name: the rows about it, and its name where notes, labels,
    /// silences and lists of risks of others have it, for which `[removed]` stands then.
    ///
    /// When this returns, no file that the history reads has the name. What was set aside cannot be changed and may
    /// name it: it is listed, and [`discard_set_aside`](Self::discard_set_aside) removes it. A file that turns out to be
    /// corrupt is moved aside.
    ///
    /// # Performance
    /// Reads every file, and writes those anew that name the server; rows that are to be appended wait meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) naming the file that could not be changed; call it again.
    pub fn remove_server(&self, name: &str, now: Timestamp) -> Result<HistoryRemoval, Error> {
        let mut held = self.lock();
        let place = self.place();
        let is_named = held.log.entries.iter().any(|entry| is_named_in(entry, name));
        // A broken log may have rows that were refused.
        if is_named || held.log.journal.is_broken() {
            let day = day_of(now).max(held.log.name.day);
            held.roll(place, day)?;
        }
        held.remove_superfluous(place)?;
        if !held.superfluous.is_empty() {
            return Err(HistoryError::Left { path: place.directory.to_owned() }.into());
        }
        let mut removal = HistoryRemoval::default();
        let files: Vec<_> = held.segments.keys().copied().collect();
        for file in files {
            match file.table {
                Some(Table::Alerts) => rewrite::<AlertEvent>(&mut held, place, (file, name), &mut removal)?,
                Some(Table::Environment) => {
                    rewrite::<FleetSnapshot>(&mut held, place, (file, name), &mut removal)?;
                }
                None => {}
            }
        }
        sweep(place)?;
        sync_directory(place)?;
        removal.set_aside = set_aside_files(place)?;
        Ok(removal)
    }

    /// Removes the files that were set aside, whatever they hold, and returns which.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) naming the file that could not be removed; call it again.
    pub fn discard_set_aside(&self) -> Result<Vec<PathBuf>, Error> {
        let (_nothing_is_set_aside, place) = (self.lock(), self.place());
        let files = set_aside_files(place)?;
        for path in &files {
            remove(place, path)?;
        }
        sync_directory(place)?;
        Ok(files)
    }
}

/// Writes a file anew if it names a server.
fn rewrite<R: Erasable>(
    held: &mut Held,
    place: Place<'_>,
    (file, name): (FileName, &str),
    removal: &mut HistoryRemoval,
) -> Result<(), Error> {
    let Some(segment) = held.segments.get(&file) else { return Ok(()) };
    let (mut removed, mut changed) = (0, 0);
    let mut kept = Vec::new();
    let rows = match segment.rows::<R>(place) {
        Err(error) if error.is_corrupt() => {
            set_file_aside(place.storage, &segment.path, *segment.times.end())?;
            held.segments.remove(&file);
            held.files_set_aside += 1;
            return Ok(());
        }
        rows => rows?,
    };
    for mut row in rows {
        match row.erase(name) {
            Trace::All => removed += 1,
            trace => {
                changed += u64::from(trace == Trace::Erased);
                kept.push(row);
            }
        }
    }
    if removed + changed == 0 {
        return Ok(());
    }
    if let Some(segment) = Segment::write(place, (file.day, file.first), &kept)? {
        held.segments.insert(file, segment);
    } else {
        remove(place, &segment.path)?;
        held.segments.remove(&file);
    }
    removal.rows_removed += removed;
    removal.rows_changed += changed;
    Ok(())
}

fn is_named_in(entry: &HistoryEntry, name: &str) -> bool {
    match entry {
        HistoryEntry::Alert(event) => event.clone().erase(name) != Trace::None,
        HistoryEntry::Snapshot(snapshot) => snapshot.clone().erase(name) != Trace::None,
    }
}

impl Erasable for AlertEvent {
    fn erase(&mut self, name: &str) -> Trace {
        if self.server == name {
            return Trace::All;
        }
        let mut is_changed = false;
        let texts =
            [&mut self.message, &mut self.note, &mut self.actor, &mut self.rule, &mut self.fingerprint];
        for text in texts.into_iter().chain(self.labels.values_mut()) {
            is_changed |= erase_name(text, name);
        }
        let keys: Vec<_> = self.labels.keys().cloned().collect();
        for key in keys {
            let mut erased = key.clone();
            if erase_name(&mut erased, name) {
                let value = self.labels.remove(&key).unwrap_or_default();
                self.labels.insert(erased, value);
                is_changed = true;
            }
        }
        if is_changed { Trace::Erased } else { Trace::None }
    }
}

impl Erasable for FleetSnapshot {
    fn erase(&mut self, name: &str) -> Trace {
        let count = self.top_risks.len();
        self.top_risks.retain(|risk| risk.server != name);
        if self.top_risks.len() < count { Trace::Erased } else { Trace::None }
    }
}

/// Takes a name out of a text where it stands as a whole, and not within a longer one.
fn erase_name(text: &mut String, name: &str) -> bool {
    let mut erased = String::new();
    let mut rest = 0;
    for (at, _) in text.match_indices(name) {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        if at >= rest && !is_within_name(before.chars().rev()) && !is_within_name(after.chars()) {
            erased.push_str(&text[rest..at]);
            erased.push_str(ERASED);
            rest = at + name.len();
        }
    }
    if rest == 0 {
        return false;
    }
    erased.push_str(&text[rest..]);
    *text = erased;
    true
}

/// Returns whether a name goes on: with a letter, or with a sign that a letter follows.
fn is_within_name(characters: impl Iterator<Item = char>) -> bool {
    let mut characters = characters.skip_while(|character| matches!(character, '.' | ':' | '-' | '_'));
    characters.next().is_some_and(|character| character.is_ascii_alphanumeric())
}

const ERASED: &str = "[removed]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_erased_as_a_whole_and_not_within_longer_ones() {
        let erased = |text: &str| {
            let mut text = text.to_owned();
            erase_name(&mut text, "db-1");
            text
        };
        for (text, expected) in [
            ("db-1", "[removed]"),
            ("Memory of db-1.", "Memory of [removed]."),
            ("db-1,db-1: twice", "[removed],[removed]: twice"),
            ("db-10 db-1.eu x-db-1 db-1:9100 mydb-1", "db-10 db-1.eu x-db-1 db-1:9100 mydb-1"),
            ("server=\"db-1\"", "server=\"[removed]\""),
            ("(db-1) – db-1!", "([removed]) – [removed]!"),
            ("", ""),
        ] {
            assert_eq!(erased(text), expected);
        }
    }
}
