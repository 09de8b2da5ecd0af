//! What became of a batch of records.

use std::fmt;

use serde::Serialize;

use super::fault::Fault;

/// What became of a batch of records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IngestReport {
    /// Records taken, duplicates included.
    pub accepted: usize,
    /// Records refused, late ones included.
    pub rejected: usize,
    /// Records refused because their step no longer takes samples.
    pub late: usize,
    /// Records taken that replaced a value which their server already had for that timestamp.
    pub duplicates: usize,
    /// Fields that were ignored because neither schema nor format knows them.
    pub unknown_fields: usize,
    /// The first [`IngestReport::ERRORS_MAX`] records refused, in the order of the batch.
    pub errors: Vec<Rejection>,
}

/// What a window forgot because it is too old.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expired {
    /// Servers.
    pub servers: usize,
    /// Steps with samples, those of the servers included.
    pub steps: usize,
}

/// Why one record of a batch was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rejection {
    /// The record's position in the batch, from 0.
    pub index: usize,
    /// The field at fault, or `record`.
    pub field: String,
    /// The field's value as text, abbreviated; empty if there is none to show.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

impl IngestReport {
    /// Most refused records that are listed one by one.
    pub const ERRORS_MAX: usize = 20;

    pub(super) fn reject(&mut self, index: usize, fault: &Fault) {
        self.rejected += 1;
        push_rejection(&mut self.errors, index, fault);
    }

    /// Adds what the parser refused before the window saw the rest of the batch.
    pub(super) fn merge(&mut self, rejected: usize, errors: Vec<Rejection>) {
        self.rejected += rejected;
        self.errors.extend(errors);
        self.errors.sort_by_key(|rejection| rejection.index);
        self.errors.truncate(Self::ERRORS_MAX);
    }
}

pub(super) fn push_rejection(errors: &mut Vec<Rejection>, index: usize, fault: &Fault) {
    if errors.len() < IngestReport::ERRORS_MAX {
        errors.push(Rejection {
            index,
            field: fault.field.to_string(),
            value: fault.value.clone(),
            reason: fault.reason.to_string(),
        });
    }
}

/// Writes `record 3: cpu_user_pct `120` is above the largest valid value 100`.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}: {}", self.index, self.field)?;
        if !self.value.is_empty() {
            write!(f, " `{}`", self.value)?;
        }
        write!(f, " {}", self.reason)
    }
}
