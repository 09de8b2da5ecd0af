//! A small HTTP service over [`tft_core`]: samples in, forecasts, risk and alerts out.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use tft_service::clock::SystemClock;
//! use tft_service::{Config, Server};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = Config::default();
//! config.port = 0;
//! let server = Server::bind(&config, Arc::new(SystemClock::new()))?;
//! println!("http://{}", server.local_addr());
//! let runtime = tokio::runtime::Runtime::new()?;
//! runtime.block_on(server.run(std::future::pending()))?;
//! # Ok(())
//! # }
//! ```
//!
//! # Concepts
//! - A request passes the tower layers of `layers` in a fixed order: host, client, origin, key, quota. The
//!   [`routes`] are one table; what is not marked open needs a key.
//! - One thread owns the model. It works on a copy of the window and publishes an immutable snapshot with its
//!   replies already rendered; readers copy a pointer and never wait for a forecast.
//! - Every resource that a client can hold on to has a limit in [`config::Limits`]: bodies, headers,
//!   connections, and the time that each may take.
//! - What describes the routes to programs, [`openapi_document`], is made from the route table and the types that are
//!   sent, and the tests hold every reply against it.
//! - Time comes from a [`clock::Clock`], so that tests and the demo decide what time it is.
//!
//! # Features
//! | feature | default | adds |
//! |---|---|---|
//! | `tls` | yes | HTTPS from certificate files that are reloaded, self-signed ones, the command `cert`, receivers over https |
//! | `email` | yes | alerts by e-mail over SMTP; includes `tls` |
//! | `acme` | no | certificates from Let's Encrypt or another authority; includes `tls` |
//! | `redis` | no | rate limits that several instances share |
//! | `encryption` | no | the checkpoint, its log, documents and history encrypted on disk |
//!
//! A setting that needs a feature that is not there is refused at the start, by name.
//!
//! # What it is not
//! It has no rules, numbers or file formats of its own: those are `tft-core`'s.

pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod routes;
pub mod tls;

mod admin;
mod auth;
mod background;
mod demo;
mod engine;
mod error;
mod explain;
mod history;
mod http;
mod hub;
mod intake;
mod kept;
mod layers;
mod limits;
mod metrics;
mod migrate;
mod model;
mod notify;
mod openapi;
mod outgoing;
mod persistence;
mod reload;
mod renewal;
mod rules;
mod self_watch;
mod server;
mod snapshot;
mod state;
mod stream;
mod suppression;
mod wire;

pub use config::Config;
pub use engine::window_for;
pub use error::ServiceError;
pub use notify::{NotifyConfig, NotifyConfigError};
pub use openapi::openapi_document;
pub use reload::ReloadHandle;
pub use server::{Server, ServerBuilder};
pub use stream::{StreamCounters, StreamProtocol};
