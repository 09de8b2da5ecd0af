//! Everything that is wrong with a document, a file or a table, collected before it is reported.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// Problems in the order in which they were found; an error if there is any.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    shown: Vec<String>,
    /// How many were found beyond those shown.
    more: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("{what}: {problems}")]
struct Found {
    what: String,
    problems: Problems,
}

impl Problems {
    /// Most problems that are kept and named; the rest are counted.
    const SHOWN_MAX: usize = 50;

    /// Adds a problem: a clause that names the field or row and the value.
    pub(crate) fn push(&mut self, problem: impl fmt::Display) {
        if self.shown.len() < Self::SHOWN_MAX {
            self.shown.push(problem.to_string());
        } else {
            self.more += 1;
        }
    }

    /// Returns whether nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// Turns the problems into an error whose message starts with `what`.
    ///
    /// # Errors
    /// One error of the given kind that names all problems, if there are any.
    pub(crate) fn into_result(self, kind: ErrorKind, what: impl fmt::Display) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        Err(Error::new(kind, Found { what: what.to_string(), problems: self }))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown.join("; "))?;
        match self.more {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_problems_are_counted_after_the_first() {
        let mut problems = Problems::default();
        (0..53).for_each(|index| problems.push(index));
        let error = problems.into_result(ErrorKind::InvalidModel, "sums").unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("sums: 0; 1; 2; ") && message.ends_with("; 49; and 3 more"), "{message}");
    }

    #[test]
    fn no_problem_is_no_error() {
        assert!(Problems::default().into_result(ErrorKind::InvalidModel, "sums").is_ok());
    }
}
