//! A small HTTP service over [`tft_core`].
pub mod cli;
pub mod clock;
pub mod config;
pub mod routes;

mod auth;
mod background;
mod cors;
mod demo;
mod engine;
mod error;
mod http;
mod limits;
mod persistence;
mod pipeline;
mod server;
mod snapshot;
mod state;
mod wire;

pub use config::Config;
pub use error::ServiceError;
pub use server::Server;
