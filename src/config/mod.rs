//! `gateway.toml` and the environment: from text to checked settings.
//!
//! TOML becomes a tree in which every value knows where it was written (`tree`), the environment
//! is laid over it (`env`), and `load` reads it key by key. Every problem is collected with
//! its place, so that a person mends a file in one go.

mod ble;
mod checked;
mod clients;
mod endpoint;
mod env;
mod error;
mod home;
mod keys;
mod load;
mod radios;
mod reader;
mod reload;
mod sample;
mod serial;
mod state;
mod tls;
mod tree;
mod units;
mod values;

pub use checked::{
    Admin, BleLink, Broker, Config, Discovery, EmbeddedBroker, Log, LogFormat, Secret, SerialLink,
    Sessions, Status, UdpLink, Upstream,
};
pub use endpoint::{Endpoint, EndpointError};
pub use env::PREFIX as ENVIRONMENT_PREFIX;
pub use error::{ConfigError, Invalid, Origin, Problem};
pub use home::HomeAssistant;
pub use load::{DEFAULT_PATH, Source};
pub use reload::Changes;
pub use sample::SAMPLE;
pub use units::{format_duration, format_size, parse_duration, parse_size};
pub use values::check_log_level;
