//! `config --from-paho` and `--from-emqx`: another gateway's configuration becomes a `gateway.toml`.
//!
//! A translation reads the files of one gateway and makes a [`draft::Draft`] of tables, keys and comments; what
//! has no counterpart is noted in it with the reason. [`settle`] has the draft read by the gateway itself and
//! makes comments of what that refuses.

mod draft;
mod emqx;
mod input;
mod paho;
mod secret;
mod settle;
#[cfg(test)]
mod tests;
mod text;
mod topics;

use std::path::PathBuf;

use super::{Failure, print};
use crate::config::SAMPLE;

/// Why keys for DTLS have no counterpart.
const NO_DTLS: &str = "There is no DTLS in this version.";
/// What is said of the listener that stands in for one.
const NO_DTLS_LISTENER: &str = "There is no DTLS in this version. Devices that came by it cannot come in, and \
     nobody is let in without it either: this listener is for this machine only.";

pub(super) const HELP: &str = "\
Without options: the sample, every key with its default and its meaning.

With --from-paho or --from-emqx: a complete gateway.toml that does what the other gateway was told to do, as \
far as this one can. Behind each value stands the line that it comes from. What has no counterpart is listed at \
the end: file, line, key, value, and the reason or what to do instead. Nothing is written but standard output, \
and nothing is looked up in the network.

--from-paho takes gateway.conf of Eclipse Paho's MQTTSNGateway. Behind it clients.conf and predefinedTopic.conf \
can be named, in any order; otherwise those are read that gateway.conf names and that are switched on there. \
Paho's gateway is built for one kind of network and its file does not say for which: --network does, as it was \
said to build.sh. Keys of the other networks become comments.

--from-emqx takes a file with gateway.mqttsn of EMQX 5 (etc/emqx.conf, etc/base.hocon, or what the Dashboard \
has written to data/configs/cluster.hocon), or emqx_sn.conf of EMQX 4.

Passwords are not repeated unless --passwords is given: the text says where to put them. Certificates and keys \
are named by their paths; if they are not on this machine, those lines become comments with a reason.

Exit code 1 if a file cannot be read, 2 if it is not what it should be; the message names file and line.

Examples:
  mqtt-sn-gateway config > gateway.toml
  mqtt-sn-gateway config --from-paho gateway.conf > gateway.toml
  mqtt-sn-gateway config --from-paho gateway.conf clients.conf predefinedTopic.conf
  mqtt-sn-gateway config --from-paho gateway.conf --network xbee
  mqtt-sn-gateway config --from-emqx /etc/emqx/emqx.conf > gateway.toml
  mqtt-sn-gateway check                           see whether it is right";

/// Options of `config`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Translate the configuration of Paho's MQTTSNGateway
    #[arg(long, num_args = 1..=3, value_name = "FILE", group = "source")]
    from_paho: Vec<PathBuf>,
    /// The network that Paho's gateway was built for
    #[arg(long, value_name = "WORD", requires = "from_paho")]
    network: Option<paho::Network>,
    /// Translate the configuration of EMQX's MQTT-SN gateway
    #[arg(long, value_name = "FILE", group = "source")]
    from_emqx: Option<PathBuf>,
    /// Repeat passwords
    #[arg(long, requires = "source")]
    passwords: bool,
}

/// Prints the sample, or what the files become.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(path) = &arguments.from_emqx {
        return print(&emqx::import(path, arguments.passwords)?);
    }
    if arguments.from_paho.is_empty() {
        return print(SAMPLE);
    }
    let wishes = paho::Wishes { network: arguments.network, passwords: arguments.passwords };
    print(&paho::import(&arguments.from_paho, wishes)?)
}
