//! A small HTTP service over [`tft_core`].
pub mod clock;
pub mod config;

mod auth;
mod cors;
mod http;
mod limits;
