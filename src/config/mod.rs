//! `gateway.toml` and the environment: from text to checked settings.

mod checked;
mod endpoint;

pub use checked::{
    Broker, Config, Discovery, EmbeddedBroker, Log, LogFormat, OWN_TOPICS, Secret, Sessions,
    Status, UdpLink, Upstream,
};
pub use endpoint::{Endpoint, EndpointError};
