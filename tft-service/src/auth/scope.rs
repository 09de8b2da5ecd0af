//! What a caller may do.

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

impl Scope {
    /// Returns the name that keys and tokens use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}
