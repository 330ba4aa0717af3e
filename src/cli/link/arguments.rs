//! Arguments about the connection.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use clap::Args;

use super::super::Failure;
use super::super::forwarder::{Header, node_id};
use super::super::line::{self, Place};
use super::super::values::{client_id, duration, host_port, qos, topic_name};
use crate::client::{Options, Will};
use crate::codec::Qos;
use crate::core::Address;

/// Arguments about the connection.
#[derive(Debug, Args)]
pub(in crate::cli) struct Connection {
    /// The gateway; the port may be left out
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883", value_parser = host_port)]
    pub(super) gateway: (String, u16),

    #[command(flatten)]
    line: line::LineArguments,

    /// Own address in hex, with framings that have addresses; without it number 1, or 2 with
    /// rh-serial
    #[arg(long, value_name = "ADDRESS", requires = "serial", value_parser = line::address, help_heading = line::HEADING)]
    address: Option<Address>,

    /// Be a device behind a forwarder: a node id as text, or in hex behind 0x
    #[arg(long, value_name = "NODE", value_parser = node_id)]
    pub(super) forwarder: Option<Header>,

    /// Client id; without it a random one
    #[arg(short, long, value_name = "CLIENT ID", value_parser = client_id)]
    pub(super) id: Option<String>,

    /// Keep-alive in seconds; 0 turns it off
    #[arg(short, long, value_name = "SECONDS", default_value_t = 60)]
    keep_alive: u16,

    /// Keep the session: no clean session. Needs --id
    #[arg(short = 'c', long = "no-clean", requires = "id", conflicts_with = "clean")]
    no_clean: bool,

    /// Begin with a clean session; this is the default
    #[arg(long)]
    clean: bool,

    /// Topic of the will, which the gateway publishes when this client is lost
    #[arg(long, value_name = "TOPIC", value_parser = topic_name)]
    will_topic: Option<String>,

    /// Payload of the will
    #[arg(long, value_name = "MESSAGE", default_value = "", requires = "will_topic")]
    will_payload: String,

    /// QoS of the will: 0, 1 or 2
    #[arg(long, value_name = "QOS", default_value = "0", value_parser = qos, requires = "will_topic")]
    will_qos: Qos,

    /// Retain the will
    #[arg(long, requires = "will_topic")]
    will_retain: bool,

    /// How long to wait for an answer before asking again, in seconds or with a unit
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(super) retry: Duration,

    /// How often to ask again
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(super) retries: u32,

    /// Register topics of two characters too, instead of using them as short topic names
    #[arg(long)]
    no_short: bool,

    /// Show every packet, both ways, on standard error
    #[arg(short, long)]
    pub(super) debug: bool,
}

impl Connection {
    /// The line and the place on it; `None` if UDP is used.
    pub(super) fn line(&self) -> Result<Option<(line::Plan, Place)>, Failure> {
        let Some(plan) = self.line.plan()? else { return Ok(None) };
        let place = Place::new(&plan, self.address)?;
        Ok(Some((plan, place)))
    }

    pub(in crate::cli) fn is_debug(&self) -> bool {
        self.debug
    }

    pub(super) fn options(&self, command: &str) -> Options {
        let will = self.will_topic.as_ref().map(|topic| Will {
            topic: topic.clone(),
            payload: self.will_payload.clone().into_bytes(),
            qos: self.will_qos,
            retain: self.will_retain,
        });
        Options {
            client_id: self.id.clone().unwrap_or_else(|| random_id(command)),
            keep_alive: self.keep_alive,
            clean_session: !self.no_clean,
            will,
            retry_interval: self.retry,
            retry_count: self.retries,
            short_topics: !self.no_short,
        }
    }
}

/// A client id that nobody else has, within 23 characters.
fn random_id(command: &str) -> String {
    let random = RandomState::new().hash_one(std::process::id());
    format!("{command}-{random:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_fit_and_differ() {
        let (one, other) = (random_id("pub"), random_id("pub"));
        assert!(one.len() <= 23 && one.starts_with("pub-"));
        assert_ne!(one, other);
    }
}
