//! Why a stream ends, and how a client is told.

use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client closed it, or went away.
    PeerLeft,
    /// The client answers no pings.
    PeerDead,
    Stopping,
    /// The service could not go on.
    Internal,
    AuthTimeout,
    AuthExpected,
    AuthFailed,
    ScopeMissing,
    /// The key or token is not valid any more.
    Revoked,
    TooManyOfPrincipal,
    TooManyClients,
    Flood,
    TooSlow,
    Binary,
    NotUtf8,
    TooBig,
    BadFrame,
}

impl Ending {
    /// Returns the close code of a WebSocket; none if there is nobody to tell.
    pub(super) fn code(self) -> Option<CloseCode> {
        Some(match self {
            Self::PeerLeft => return None,
            Self::Stopping => CloseCode::Away,
            Self::BadFrame => CloseCode::Protocol,
            Self::Binary => CloseCode::Unsupported,
            Self::NotUtf8 => CloseCode::Invalid,
            Self::TooBig => CloseCode::Size,
            Self::AuthTimeout
            | Self::AuthExpected
            | Self::AuthFailed
            | Self::ScopeMissing
            | Self::Revoked
            | Self::TooManyOfPrincipal
            | Self::Flood => CloseCode::Policy,
            Self::PeerDead | Self::Internal => CloseCode::Error,
            Self::TooManyClients | Self::TooSlow => CloseCode::Again,
        })
    }

    /// Returns the reason in words; at most 123 bytes, which is what a close frame holds.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::PeerLeft => "closed by the client",
            Self::PeerDead => "no answer to pings",
            Self::Stopping => "the service is stopping",
            Self::Internal => "the service could not go on",
            Self::AuthTimeout => "not authenticated in time",
            Self::AuthExpected => "the first message must be `auth`",
            Self::AuthFailed => "invalid or missing API key",
            Self::ScopeMissing => "insufficient_scope",
            Self::Revoked => "the key or token is not valid any more",
            Self::TooManyOfPrincipal => "too many streams of this key or address",
            Self::TooManyClients => "too many streams",
            Self::Flood => "too many messages",
            Self::TooSlow => "the client reads too slowly",
            Self::Binary => "messages are text",
            Self::NotUtf8 => "text must be UTF-8",
            Self::TooBig => "the message is too big",
            Self::BadFrame => "protocol error",
        }
    }

    /// Returns what a failed read or write means.
    pub(super) fn of_error(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Self::TooBig,
            Error::Utf8(_) => Self::NotUtf8,
            Error::Protocol(
                tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            ) => Self::PeerLeft,
            Error::Protocol(_) | Error::AttackAttempt => Self::BadFrame,
            Error::WriteBufferFull(_) => Self::TooSlow,
            Error::Io(error) if error.kind() == std::io::ErrorKind::QuotaExceeded => Self::Flood,
            // The connection's own deadline for writes.
            Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Self::TooSlow,
            _ => Self::PeerLeft,
        }
    }
}
