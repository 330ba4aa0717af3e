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

mod settings;

pub use settings::{Settings, Version, Will};
