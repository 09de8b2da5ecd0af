//! What a caller may do.

use std::fmt;

/// One thing that a route can require.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// Reading forecasts, alerts and figures.
    Read,
    /// Feeding samples.
    Write,
    /// Changing the service: models, servers, retention.
    Admin,
}

/// What a key or a token allows. `admin` includes everything.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scope {
    /// Returns the name that keys and tokens use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Write => 2,
            Self::Admin => 4,
        }
    }
}

impl Scopes {
    /// Everything.
    pub const ALL: Self = Self(7);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Returns the scopes of a name: `read`, `write`, `admin` or `*`.
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "read" => Some(Self(Scope::Read.bit())),
            "write" => Some(Self(Scope::Write.bit())),
            "admin" | "*" => Some(Self::ALL),
            _ => None,
        }
    }

    /// Returns the scopes of names; none if one is not known, or if there is none.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let add = |scopes: Self, name| Self::of_name(name).map(|more| scopes.with(more));
        names.into_iter().try_fold(Self::NONE, add).filter(|scopes| *scopes != Self::NONE)
    }

    /// Returns what either of two allows.
    #[must_use]
    pub fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// Returns whether a scope is allowed.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Returns whether all of the others are allowed.
    pub fn includes(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The names, separated by spaces as in a token's claim.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [Scope::Read, Scope::Write, Scope::Admin];
        let names: Vec<_> = all.into_iter().filter(|scope| self.contains(*scope)).map(Scope::name).collect();
        f.write_str(&names.join(" "))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_make_scopes_and_admin_includes_all() {
        let of = |text: &str| Scopes::of_names(text.split('+'));
        assert_eq!(of("read+write").unwrap().to_string(), "read write");
        assert_eq!(of("admin"), Some(Scopes::ALL));
        assert_eq!(of("read+*"), Some(Scopes::ALL));
        assert!(of("admin").unwrap().contains(Scope::Write));
        for unknown in ["", "root", "read+", "Read"] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn one_set_includes_another() {
        let read = Scopes::of_name("read").unwrap();
        assert!(Scopes::ALL.includes(read) && read.includes(Scopes::NONE) && !read.includes(Scopes::ALL));
        assert!(!read.contains(Scope::Write) && !Scopes::NONE.contains(Scope::Read));
    }
}
