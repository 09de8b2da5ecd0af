//! The file of the rules: read at start, and anew when it changes.
//!
//! Owns where rules come from and what is told about it. What a file may say, and whether it can be used, is
//! `tft_core::alert`'s.

mod file;
mod watch;

pub(crate) use self::file::{FileError, read_rule_file, read_text, text_of_kind};
pub(crate) use self::watch::RuleWatch;
