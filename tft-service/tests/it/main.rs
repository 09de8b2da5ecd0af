//! The service over real sockets.
//!
//! One module per property. `harness` starts a server within the test's process, with its own clock and
//! files; `process` starts the real program.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod admin;
mod alertmanager;
mod arrow;
mod audit;
mod auth;
mod client;
mod commands;
mod contract;
mod crowd;
mod demo;
mod explain;
mod feed;
mod harness;
mod historical;
mod hook;
mod host;
mod hostile_input;
mod http2;
mod http2_frames;
mod http_shapes;
mod json_bodies;
mod kept;
mod kill;
mod limits;
mod look_back;
#[cfg(feature = "email")]
mod mail;
mod metrics;
mod migration;
mod model;
mod notify;
mod openapi;
mod process;
#[cfg(feature = "redis")]
mod redis;
mod replies;
mod routes;
mod rules;
mod security;
mod silences;
mod slow_clients;
mod stop;
mod stream;
mod stream_events;
mod stream_frames;
mod test_alert;
#[cfg(feature = "tls")]
mod tls;
mod tokens;
mod websocket;
