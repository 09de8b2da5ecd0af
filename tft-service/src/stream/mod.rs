//! Live streams: the newest state of the fleet as it changes, over WebSocket and Server-Sent Events.
//!
//! `GET /ws` is a WebSocket of JSON texts, `GET /events` the server's messages as events; the `event` of each is its
//! type, its `id` the state that it tells of. A client that reconnects with the id of the present state as
//! `Last-Event-ID` is not sent that state again.
//!
//! # Messages of the server
//! Each has `type` and `timestamp` (RFC 3339, `Z`).
//!
//! | type | further fields | when |
//! |---|---|---|
//! | `initial_data` | `tick`, `environment` and `summary`, `servers`, `predictions`, `alerts`: those subscribed to | at the start, and after each `subscription_confirmed` |
//! | `data_update` | as `initial_data`, without `alerts` | when the fleet was assessed anew |
//! | `alert` | `tick`, `previous_state`, `alert` | when an alert fires, changes its severity, loses its data or is resolved |
//! | `heartbeat` | `tick` | every 30 s; over `/events` a comment |
//! | `pong` | | to `ping` |
//! | `subscription_confirmed` | `streams`, `servers` (null: all), `unknown_servers` | to `subscribe` |
//! | `data_response` | `count`, `rows`: `timestamp`, `server_name`, `status` and the metrics of a closed step | to `request_data` |
//! | `error` | `code`, `detail` | to a message that cannot be carried out; the stream goes on |
//!
//! Alerts that are silenced, inhibited or acknowledged are sent like others and say so in `silenced_by`, `inhibited_by` and
//! `acknowledged`, because a page must not go on showing what has resolved; whoever wakes people must look at these. That
//! an alert becomes silenced or acknowledged is told by no message of its own, but by `/alerts/active` at once.
//!
//! `tick` counts feeds, as in `/status`. `environment`, `summary`, `predictions` and alerts are those of
//! `/predictions/current`; `servers` has each server's risk, readiness, current values and display metrics. After
//! `initial_data` all times of a state are those of its assessment.
//!
//! # Messages of the client
//! | type | fields |
//! |---|---|
//! | `auth` | `api_key` or `token`: first, and only where the request had neither |
//! | `ping` | |
//! | `subscribe` | `streams`: of `summary`, `servers`, `predictions`, `alerts`, by default all but `predictions`; `servers`: exact names, by default all. An empty list selects nothing |
//! | `request_data` | `limit`: the newest rows of the servers subscribed to, 1 to 1000, by default 100 |
//!
//! `/events` takes the same selection as `?streams=summary,alerts&servers=a,b`.
//!
//! # Ends
//! | code | why |
//! |---|---|
//! | 1001 | the service stops |
//! | 1002, 1003, 1007, 1009 | a bad frame, a binary message, text that is not UTF-8, more than 64 KiB |
//! | 1008 | not authenticated, in time or at all; a key that is not valid any more; too many messages; too many streams of one key |
//! | 1011 | no answer to pings |
//! | 1013 | the client reads too slowly, or the service has too many streams |
//!
//! Owns sessions, their limits, and what they share. Publishing is one pointer handed on: an update is rendered once for
//! each selection that somebody has, by the first session that needs it.

mod config;
mod counters;
mod ending;
mod events;
mod gate;
mod inlet;
mod messages;
mod pace;
mod seats;
mod session;
mod websocket;

pub use config::StreamConfig;
pub use counters::{StreamCounters, StreamProtocol};
pub(crate) use gate::Gate;
pub(crate) use session::{Caller, Streams};
