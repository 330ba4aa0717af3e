//! What is known of the connections to the broker.

use super::Kind::{Counter, Gauge};
use crate::admin::exposition::{Exposition, Kind};
use crate::admin::figures::{Figures, UpstreamFigures};
use crate::mqtt::Stats;

/// A metric of each shared connection.
type OfSession = (&'static str, Kind, &'static str, fn(&Stats) -> u64);

const OF_SESSIONS: [OfSession; 12] = [
    (
        "mqtt_sn_gateway_upstream_in_flight",
        Gauge,
        "Publications sent to the broker that it has not acknowledged yet.",
        |stats| stats.in_flight as u64,
    ),
    (
        "mqtt_sn_gateway_upstream_queued",
        Gauge,
        "Publications that wait for the connection, or for the broker to acknowledge others.",
        |stats| stats.queued as u64,
    ),
    (
        "mqtt_sn_gateway_upstream_queued_bytes",
        Gauge,
        "Octets in flight and waiting, those in the spool not counted.",
        |stats| stats.queued_bytes as u64,
    ),
    (
        "mqtt_sn_gateway_upstream_connects_total",
        Counter,
        "Connections that the broker accepted. More than one: it was lost in between.",
        |stats| stats.connects,
    ),
    (
        "mqtt_sn_gateway_upstream_sessions_lost_total",
        Counter,
        "Of these, those for which the broker had no session of ours, the first one included.",
        |stats| stats.sessions_lost,
    ),
    (
        "mqtt_sn_gateway_upstream_published_total",
        Counter,
        "Publications sent to the broker, repetitions included.",
        |stats| stats.published,
    ),
    (
        "mqtt_sn_gateway_upstream_acknowledged_total",
        Counter,
        "Publications that the broker acknowledged.",
        |stats| stats.acknowledged,
    ),
    (
        "mqtt_sn_gateway_upstream_refused_total",
        Counter,
        "Publications that the broker refused with a reason code; the log has its words.",
        |stats| stats.refused_by_broker,
    ),
    (
        "mqtt_sn_gateway_upstream_congestion_total",
        Counter,
        "Publications that devices had to be refused because too much was under way already.",
        |stats| stats.refused_congestion,
    ),
    (
        "mqtt_sn_gateway_upstream_resent_total",
        Counter,
        "Packets sent again on a new connection.",
        |stats| stats.resent,
    ),
    ("mqtt_sn_gateway_upstream_received_total", Counter, "Messages from the broker.", |stats| {
        stats.received
    }),
    (
        "mqtt_sn_gateway_upstream_protocol_errors_total",
        Counter,
        "Packets from the broker that MQTT does not allow.",
        |stats| stats.protocol_errors,
    ),
];

pub(super) fn write(figures: &Figures, out: &mut Exposition) {
    // The client id of the connections, less the name: "1", "2", …
    let numbers: Vec<String> = (1..=figures.upstream.len()).map(|n| n.to_string()).collect();
    let connections = || numbers.iter().map(|number| [("connection", &**number)]);
    out.metric(
        "mqtt_sn_gateway_upstream_up",
        Gauge,
        "1 while the broker accepts this connection; 0 while it is away.",
    );
    for (labels, upstream) in connections().zip(&figures.upstream) {
        out.sample(&labels, u8::from(upstream.connected));
    }
    for (name, kind, help, value) in OF_SESSIONS {
        out.metric(name, kind, help);
        for (labels, UpstreamFigures { session, .. }) in connections().zip(&figures.upstream) {
            out.sample(&labels, value(session));
        }
    }
    out.histograms(
        "mqtt_sn_gateway_upstream_round_trip_seconds",
        "How long the broker took to acknowledge a publication at QoS 1 or 2, of one at a time.",
    );
    for (labels, upstream) in connections().zip(&figures.upstream) {
        if let Some(trips) = &upstream.round_trips {
            out.histogram(&labels, trips, 1_000.0);
        }
    }
    out.single(
        "mqtt_sn_gateway_spool_bytes",
        Gauge,
        "Octets of publications that devices were promised and the broker does not have yet; \
         upstream.spool.max_bytes limits them.",
        figures.spooled_bytes,
    );
    let (own, connected) = figures.own;
    out.metric(
        "mqtt_sn_gateway_upstream_own_connections",
        Gauge,
        "Connections of single clients (mode = \"transparent\"), by whether the broker accepts them.",
    )
    .sample(&[("state", "up")], connected)
    .sample(&[("state", "down")], own.saturating_sub(connected));
}
