//! An MQTT-SN gateway.
//!
//! The rooms, and who may use whom (arrows point to what is used):
//!
//! ```text
//! runtime → transport, upstream, capture, ops, config   IO (feature `gateway`)
//!    ↓
//! engine → core → codec                                 pure: fed with time and bytes
//!    ↓
//! mqtt → core::upstream (tokens only)                   pure (feature `mqtt`)
//! ```
//!
//! `codec`, `core` and `hub` build without `std`, and `hub`, the format of radio hubs on serial lines,
//! serves firmware as well; nothing pure knows a clock, a socket or an executor.
//! Everything that arrives from outside is data: it can be refused and counted, never panic.

#![cfg_attr(not(feature = "mqtt"), no_std)]

extern crate alloc;

#[cfg(feature = "gateway")]
pub mod admin;
#[cfg(feature = "gateway")]
pub mod capture;
#[cfg(feature = "gateway")]
pub mod cli;
#[cfg(feature = "gateway")]
pub mod client;
pub mod codec;
#[cfg(feature = "gateway")]
pub mod config;
pub mod core;
#[cfg(feature = "mqtt")]
pub mod engine;
pub mod histogram;
pub mod hub;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(feature = "gateway")]
pub mod ops;
#[cfg(feature = "gateway")]
pub mod runtime;
pub mod store;
pub mod time;
#[cfg(feature = "gateway")]
pub mod transport;
#[cfg(feature = "gateway")]
pub mod upstream;
