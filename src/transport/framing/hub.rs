//! What hubs and gateways say to each other, in words.

use crate::hub::{Destination, Hello, Message, Outcome, Received, Send};
use crate::transport::hex::hex;

/// Everything about a message but the packet in it.
pub(in crate::transport) fn message(message: &Message<'_>) -> String {
    match message {
        Message::HelloRequest { version } => format!("HELLO REQUEST of version {version}"),
        Message::Hello(hello) => format!("HELLO, {}", described(hello)),
        Message::Send(Send { sequence, to, .. }) => {
            let to = match to {
                Destination::Broadcast => "everybody".to_owned(),
                Destination::Device(address) => hex(address.octets()),
            };
            match sequence {
                Some(sequence) => format!("SEND {sequence} to {to}"),
                None => format!("SEND to {to}, no result wanted"),
            }
        }
        Message::Received(Received { from, broadcast, rssi, lqi, .. }) => {
            let mut text = format!("RECEIVED from {}", hex(from.octets()));
            if let Some(rssi) = rssi {
                text.push_str(&format!(", {rssi} dBm"));
            }
            if let Some(lqi) = lqi {
                text.push_str(&format!(", quality {lqi}"));
            }
            if *broadcast { text + ", to everybody" } else { text }
        }
        Message::Result { sequence, outcome } => {
            let words = match *outcome {
                Outcome::SENT => "sent".to_owned(),
                Outcome::ACKNOWLEDGED => "acknowledged".to_owned(),
                failed => format!("not delivered, {}", why(failed)),
            };
            format!("RESULT of {sequence}: {words}")
        }
        Message::Busy { milliseconds: 0 } => "BUSY no more".to_owned(),
        Message::Busy { milliseconds } => format!("BUSY for {milliseconds} ms"),
    }
}

/// What a hub says that it is.
pub(in crate::transport) fn described(hello: &Hello<'_>) -> String {
    let mut text = format!("hub \"{}\", {}", hello.name, hello.radio);
    if !hello.address.octets().is_empty() {
        text.push_str(&format!(", address {}", hex(hello.address.octets())));
    }
    if hello.max_packet > 0 {
        text.push_str(&format!(", packets of up to {} octets", hello.max_packet));
    }
    if hello.bit_rate > 0 {
        text.push_str(&format!(", {} bits/s", hello.bit_rate));
    }
    if hello.duty_cycle > 0 {
        let percent = f64::from(hello.duty_cycle) / 100.0;
        text.push_str(&format!(", on the air {percent}% of the time at most"));
    }
    if hello.queue == 0 {
        text.push_str(", reports no results");
    }
    if hello.started { text + ", has just started" } else { text }
}

/// Why a packet was not delivered.
pub(in crate::transport) fn why(outcome: Outcome) -> String {
    match outcome {
        Outcome::NO_ANSWER => "no answer from its radio".to_owned(),
        Outcome::CHANNEL_BUSY => "the channel was busy".to_owned(),
        Outcome::TOO_LONG => "too long for the radio".to_owned(),
        Outcome::DUTY_CYCLE => "the radio has used up its time on the air".to_owned(),
        Outcome::NO_SUCH_DEVICE => "the hub does not know the device".to_owned(),
        Outcome::QUEUE_FULL => "the hub had no room".to_owned(),
        Outcome::RADIO_FAILED => "the radio has failed".to_owned(),
        Outcome(code) => format!("outcome {code}"),
    }
}
