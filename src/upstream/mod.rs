//! The connection to the broker: sockets that move bytes for the MQTT session.
//!
//! [`open()`] goes from a list of brokers to a [`Stream`], for whoever wants one. [`BrokerConnection`]
//! is the one connection that all devices share, always on its way back.

mod connection;
mod open;
mod report;
mod server;
mod stream;
mod tls;
mod websocket;

#[cfg(feature = "embedded-broker")]
pub mod embedded;

pub use connection::{Accepted, BrokerConnection, Ended, Settings};
pub use open::{Brokers, Failure, Failures, Opened, open};
pub use server::{Scheme, Server};
pub use stream::Stream;
pub use tls::{Tls, TlsError, TlsSettings, is_server_name};

/// Whether HTTP can ask for the path of this address.
pub(crate) fn is_web_address(server: &Server) -> bool {
    websocket::is_address(server)
}
