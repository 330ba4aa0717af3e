//! Lines of `gateway.conf` that say nothing here.

use std::collections::HashMap;

use super::{CONF, Given};
use crate::cli::import::draft::{Draft, Origin};

pub(super) fn translate(given: &Given<'_>, draft: &mut Draft) {
    let conf = &given.settings;
    let mut first: HashMap<&str, usize> = HashMap::new();
    for setting in &conf.all {
        first.entry(setting.key).or_insert(setting.line);
    }
    for setting in conf.unused() {
        let reason = match first.get(setting.key) {
            Some(line) if *line < setting.line => {
                format!("Paho's gateway takes the first line with this key, which is line {line}.")
            }
            _ => reason(setting.key).to_owned(),
        };
        let value = if is_secret(setting.key) { "(hidden)" } else { setting.value };
        draft.leave(Given::place(setting), setting.key, value, reason);
    }
    for &(line, key, value) in &conf.odd {
        let (key, value) = match (is_secret(key), value) {
            (true, "") => ("Password", "(hidden)"),
            (true, _) => (key, "(hidden)"),
            (false, _) => (key, value),
        };
        let reason = "Paho's gateway reads KEY=VALUE without a space in front of the key or of the \"=\", and passes \
                      over everything else: this was not in effect.";
        draft.leave(Origin { file: CONF, line }, key, value, reason);
    }
}

fn is_secret(key: &str) -> bool {
    key.to_ascii_lowercase().contains("passw")
}

/// What to do about a key that has no counterpart.
fn reason(key: &str) -> &'static str {
    match key {
        "RootCApath" => {
            "ca_file of [upstream.tls] is one file; without it the authorities of the system are trusted."
        }
        "MulticastTTL" | "MulticastHops" => {
            "How far ADVERTISE goes cannot be set here; the group decides (224.0.0.x and ff02::x stay on the link)."
        }
        "MulticastIP"
        | "MulticastPortNo"
        | "MulticastIPv6"
        | "MulticastIPv6PortNo"
        | "MulticastIPv6If" => {
            "Groups are for UDP without DTLS: `groups` and `advertise_to` of [[udp]]."
        }
        "Baudrate" | "BaudrateLoRaLink" | "ApiMode" | "DeviceTxLoRaLink" => {
            "It is for a serial line, and no device is named: [[serial]], see docs/serial.md."
        }
        "MaxInflightMsgs" => {
            "Nothing has to be set: what waits for a device is limited by max_buffered_messages and \
             max_buffered_bytes of [sessions]."
        }
        "ShearedMemory" => "The log goes to standard error, see [log].",
        "Forwarder" | "ForwardersList" => {
            "Forwarders need not be allowed or listed: packets in their wrapping are taken from everywhere, and the \
             devices behind them are known by their ids."
        }
        "OoS-1ProxyName" => {
            "Messages at QoS −1 go by the gateway's own connection, under its `name`."
        }
        "ClientsList" => "It was not read, as it has no say without ClientAuthentication=YES.",
        "PredefinedTopicList" => {
            "It was not read, as it has no say without PredefinedTopic=YES. Behind gateway.conf on the command \
             line it is read all the same."
        }
        "BrokerPortNo" => "All devices go by TLS, see `url` of [upstream].",
        _ => "Paho's gateway knows no such key.",
    }
}
