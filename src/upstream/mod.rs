//! The connection to the broker: sockets that move bytes for the MQTT session.

mod connect;
mod report;
mod tcp;

#[cfg(feature = "embedded-broker")]
pub mod embedded;

pub use connect::Server;
pub use tcp::{Accepted, BrokerConnection, Ended, Settings};
