//! Our side of one MQTT connection, 3.1.1 and 5, without IO.
//!
//! A [`Session`] takes requests with tokens and gives events with the same tokens; it takes bytes
//! from the broker and gives bytes for the broker. It owns packet ids, the in-flight table, both
//! directions of QoS 2 and the keep-alive, and survives reconnection. Built on the packet types
//! and codec of rumqttc; no event loop of its own.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod backoff;
mod error;
mod fallback;
mod incoming;
mod keep_alive;
mod limits;
mod outgoing;
mod packet_ids;
mod reasons;
mod replies;
mod session;
mod settings;
mod stats;
#[cfg(test)]
mod tests;
mod wire;
mod wire_v4;
mod wire_v5;

pub use backoff::Backoff;
pub use error::ConnectionError;
pub use session::Session;
pub use settings::{Settings, Version, Will};
pub use stats::Stats;
