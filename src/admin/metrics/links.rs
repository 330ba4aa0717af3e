//! What is known of each link.

use super::Kind::{Counter, Gauge};
use crate::admin::exposition::Exposition;
use crate::admin::figures::LinkFigures;
use crate::codec::type_name;
use crate::runtime::TrafficCount;

pub(super) fn write(links: &[LinkFigures], out: &mut Exposition) {
    traffic(
        links,
        out,
        "mqtt_sn_gateway_packets_total",
        "Packets by link, direction and MQTT-SN message type; \"other\" is what is no MQTT-SN.",
        |count| count.packets,
    );
    traffic(
        links,
        out,
        "mqtt_sn_gateway_bytes_total",
        "Octets of these packets, without what the link itself adds.",
        |count| count.octets,
    );
    let up = "1 if the socket is open, the serial device there, the adapter switched on.";
    out.metric("mqtt_sn_gateway_link_up", Gauge, up);
    for link in links {
        out.sample(&[("link", &link.name), ("kind", link.kind)], u8::from(link.up));
    }
    let dropped = "Packets to and from devices that were dropped at the link, by reason: a full queue \
                   (overflow), a device or line that is away, what the radio cannot carry (unsendable), \
                   a destination that does not answer (unreachable), an error of the system (error), \
                   packets nobody came to take (overrun).";
    out.metric("mqtt_sn_gateway_link_dropped_packets_total", Counter, dropped);
    for link in links {
        for (reason, count) in &link.dropped {
            out.sample(&[("link", &link.name), ("reason", reason)], count);
        }
    }
    optional(
        links,
        out,
        "mqtt_sn_gateway_link_kernel_dropped_packets_total",
        "Datagrams that came faster than they were read and did not fit the socket's buffer: raise \
         receive_buffer, or there is not enough CPU.",
        |link| link.kernel_drops,
    );
    optional(
        links,
        out,
        "mqtt_sn_gateway_link_discarded_bytes_total",
        "Octets from the line or radio that were no packets: noise, damage, or another framing.",
        |link| link.discarded,
    );
    optional(
        links,
        out,
        "mqtt_sn_gateway_link_openings_total",
        "Times that the serial device was opened, or a Bluetooth device connected.",
        |link| link.openings,
    );
    let connected =
        "Devices that are connected now, on links where each has a connection of its own.";
    out.metric("mqtt_sn_gateway_link_devices", Gauge, connected);
    for link in links {
        if let Some(devices) = link.devices {
            out.sample(&[("link", &link.name)], devices);
        }
    }
    let rssi = "How strongly packets were received, dBm, on links that say so.";
    out.histograms("mqtt_sn_gateway_rssi_dbm", rssi);
    for link in links {
        if let Some(traffic) = link.traffic.as_ref().filter(|traffic| traffic.rssi.count() > 0) {
            out.histogram(&[("link", &link.name)], &traffic.rssi, 1.0);
        }
    }
}

fn traffic(
    links: &[LinkFigures],
    out: &mut Exposition,
    name: &'static str,
    help: &str,
    value: impl Fn(TrafficCount) -> u64,
) {
    out.metric(name, Counter, help);
    for link in links {
        let Some(traffic) = &link.traffic else { continue };
        for (direction, counts) in [("received", &traffic.received), ("sent", &traffic.sent)] {
            for (name, count) in by_name(counts.kinds()) {
                let labels = [("link", &*link.name), ("direction", direction), ("type", name)];
                out.sample(&labels, value(count));
            }
        }
    }
}

/// Kinds with their names, each once: reserved types are "other" as well.
fn by_name(
    kinds: impl Iterator<Item = (Option<u8>, TrafficCount)>,
) -> Vec<(&'static str, TrafficCount)> {
    let mut others = TrafficCount::default();
    let mut named = Vec::new();
    for (kind, count) in kinds {
        match kind.and_then(type_name) {
            Some(name) => named.push((name, count)),
            None => {
                others.packets += count.packets;
                others.octets += count.octets;
            }
        }
    }
    if others.packets > 0 {
        named.push(("other", others));
    }
    named
}

fn optional(
    links: &[LinkFigures],
    out: &mut Exposition,
    name: &'static str,
    help: &str,
    value: impl Fn(&LinkFigures) -> Option<u64>,
) {
    out.metric(name, Counter, help);
    for link in links {
        if let Some(value) = value(link) {
            out.sample(&[("link", &link.name)], value);
        }
    }
}
