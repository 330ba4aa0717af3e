//! `/metrics`: everything that is counted, for Prometheus. Labels have few values each: links, kinds of
//! packets, reasons. Single clients are in the API, and never here.

mod links;
mod upstream;

use std::time::UNIX_EPOCH;

use super::exposition::{Exposition, Kind};
use super::figures::Figures;
use crate::codec::DecodeError;
use crate::core::{Denial, Drop, Limit};
use Kind::{Counter, Gauge};

/// The figures as text.
pub(super) fn render(figures: &Figures) -> String {
    let mut out = Exposition::default();
    process(figures, &mut out);
    clients(figures, &mut out);
    protocol(figures, &mut out);
    links::write(&figures.links, &mut out);
    upstream::write(figures, &mut out);
    store(figures, &mut out);
    out.finish()
}

fn process(figures: &Figures, out: &mut Exposition) {
    let version = env!("CARGO_PKG_VERSION");
    out.metric("mqtt_sn_gateway_build_info", Gauge, "Always 1; the version is in the label.")
        .sample(&[("version", version)], 1);
    let started = figures.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    out.single(
        "mqtt_sn_gateway_start_time_seconds",
        Gauge,
        "When the gateway was started, seconds since 1970. Counters begin at 0 then.",
        started.as_secs_f64(),
    );
}

fn clients(figures: &Figures, out: &mut Exposition) {
    let core = &figures.core;
    let gone = core.clients.saturating_sub(core.connected + core.asleep + core.handshakes);
    out.metric(
        "mqtt_sn_gateway_clients",
        Gauge,
        "Clients that have a session, by state: active (connected), asleep (or awake to collect), \
         connecting (in the will dialogue), gone (disconnected or lost, the session is kept).",
    )
    .sample(&[("state", "active")], core.connected)
    .sample(&[("state", "asleep")], core.asleep)
    .sample(&[("state", "connecting")], core.handshakes)
    .sample(&[("state", "gone")], gone);
    let gauges: [(_, _, u64); 5] = [
        (
            "mqtt_sn_gateway_buffered_messages",
            "Messages from the broker that wait for their devices: asleep, away, or slow.",
            core.buffered,
        ),
        (
            "mqtt_sn_gateway_buffered_bytes",
            "Octets of these messages; sessions.max_buffered_bytes_total limits them.",
            core.buffered_bytes,
        ),
        (
            "mqtt_sn_gateway_waiting_for_link_clients",
            "Clients whose next message waits for room on a slow link. Always more than 0: the link \
             has too much to carry.",
            core.lined_up,
        ),
        (
            "mqtt_sn_gateway_subscription_filters",
            "Distinct topic filters that the gateway has subscribed to at the broker.",
            figures.filters as u64,
        ),
        (
            "mqtt_sn_gateway_topic_names",
            "Distinct topic names that have a topic id somewhere, predefined ones not counted.",
            figures.topics as u64,
        ),
    ];
    for (name, help, value) in gauges {
        out.single(name, Gauge, help, value);
    }
}

fn protocol(figures: &Figures, out: &mut Exposition) {
    let core = &figures.core;
    let counters: [(_, _, u64); 12] = [
        (
            "mqtt_sn_gateway_retransmissions_total",
            "Packets that the gateway repeated because a device did not answer in time. A growing \
             share of what is sent means loss on the way, or a retry_interval that is too short.",
            core.retransmissions,
        ),
        (
            "mqtt_sn_gateway_duplicates_total",
            "Repetitions from devices that were answered again but not acted on again. Many mean \
             that answers get lost, or come later than the devices' patience.",
            core.duplicates,
        ),
        (
            "mqtt_sn_gateway_clients_lost_total",
            "Clients that fell silent for longer than their keep-alive, or overslept.",
            core.lost,
        ),
        (
            "mqtt_sn_gateway_clients_moved_total",
            "Sessions that went on from another address: NAT, a mesh, or two devices with one id.",
            core.moved,
        ),
        (
            "mqtt_sn_gateway_wakes_total",
            "Times that a sleeping client came to collect its messages.",
            core.wakes,
        ),
        (
            "mqtt_sn_gateway_wakes_unfinished_total",
            "Of these, those that it did not see through to the PINGRESP.",
            core.wakes_unfinished,
        ),
        (
            "mqtt_sn_gateway_messages_expired_total",
            "Messages for devices that waited for longer than their publishers allowed.",
            core.expired,
        ),
        (
            "mqtt_sn_gateway_messages_abandoned_total",
            "Messages for devices that were given up. The log says which and why.",
            core.abandoned,
        ),
        (
            "mqtt_sn_gateway_messages_wasted_total",
            "Publications taken over from devices that the broker refused, or that were too old for \
             the spool.",
            core.wasted,
        ),
        (
            "mqtt_sn_gateway_messages_held_back_total",
            "Times that a message for a device had to wait because its link had no room.",
            core.held_back,
        ),
        ("mqtt_sn_gateway_wills_total", "Wills published for lost clients.", core.wills),
        (
            "mqtt_sn_gateway_copies_total",
            "Further copies of a message, which the broker sent because subscriptions overlap, that \
             were recognised and not delivered again.",
            core.copies,
        ),
    ];
    for (name, help, value) in counters {
        out.single(name, Counter, help, value);
    }
    let kinds = DecodeError::KINDS.iter().copied().zip(core.malformed);
    by(
        out,
        "mqtt_sn_gateway_malformed_packets_total",
        "Datagrams that are no MQTT-SN, by what is wrong with them.",
        "kind",
        kinds,
    );
    by(
        out,
        "mqtt_sn_gateway_dropped_packets_total",
        "Well-formed packets that nothing was done about, by reason.",
        "reason",
        Drop::ALL.iter().map(|drop| drop.label()).zip(core.dropped),
    );
    by(
        out,
        "mqtt_sn_gateway_limits_reached_total",
        "Times that something was refused or given up because of a limit, by limit.",
        "limit",
        Limit::ALL.iter().map(|limit| limit.label()).zip(core.limits),
    );
    by(
        out,
        "mqtt_sn_gateway_denials_total",
        "Refusals because a rule in the configuration does not allow it, by what was asked for.",
        "denial",
        Denial::ALL.iter().map(|denial| denial.label()).zip(core.denied),
    );
}

/// A counter with one label.
fn by(
    out: &mut Exposition,
    name: &'static str,
    help: &str,
    label: &'static str,
    values: impl Iterator<Item = (&'static str, u64)>,
) {
    out.metric(name, Counter, help);
    for (value, count) in values {
        out.sample(&[(label, value)], count);
    }
}

fn store(figures: &Figures, out: &mut Exposition) {
    let written = &figures.written;
    let counters = [
        (
            "mqtt_sn_gateway_journal_commits_total",
            "Writes to the state directory, each of which makes many changes durable.",
            written.commits,
        ),
        (
            "mqtt_sn_gateway_journal_written_bytes_total",
            "Octets of changes written there. Flash wears with them.",
            written.bytes,
        ),
        (
            "mqtt_sn_gateway_journal_failures_total",
            "Times that nothing could be written there any more, until it could again.",
            written.failures,
        ),
    ];
    for (name, help, value) in counters {
        out.single(name, Counter, help, value);
    }
    out.single(
        "mqtt_sn_gateway_journal_failing",
        Gauge,
        "1 while nothing can be written: devices then hear congestion instead of promises.",
        u8::from(written.failing),
    );
    out.single(
        "mqtt_sn_gateway_journal_size_bytes",
        Gauge,
        "Length of the journal.",
        written.journal,
    );
    if let Some(latency) = &figures.commit_latency {
        out.histograms(
            "mqtt_sn_gateway_journal_commit_seconds",
            "How long the disk took to make a write durable. Acknowledgements that have to be safe \
             wait for it.",
        )
        .histogram(&[], latency, 1e6);
    }
}

#[cfg(test)]
mod tests;
