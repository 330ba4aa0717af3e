//! What a session counts.

/// Counters since the session began, and gauges. Everything that is dropped, refused or odd has a
/// counter here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Gauge: publications sent on this connection and not yet over.
    pub in_flight: usize,
    /// Gauge: publications that wait for the window or the connection.
    pub queued: usize,
    /// Gauge: octets of topic and payload in flight and waiting.
    pub queued_bytes: usize,
    /// Gauge: octets of the publications that survive the process.
    pub spooled_bytes: u64,
    /// Gauge: SUBSCRIBE and UNSUBSCRIBE not yet answered.
    pub subscribing: usize,
    /// Gauge: packet ids of ours in use.
    pub packet_ids: usize,
    /// Gauge: QoS 1 and 2 messages from the broker that are not over.
    pub incoming: usize,
    /// Connections that the broker accepted.
    pub connects: u64,
    /// Connections that the broker accepted without its former session, the first one included.
    pub sessions_lost: u64,
    /// Accepted connections that ended.
    pub disconnects: u64,
    /// Publications sent, repetitions included.
    pub published: u64,
    /// Publications that the broker acknowledged.
    pub acknowledged: u64,
    /// Publications that the broker refused with a reason code.
    pub refused_by_broker: u64,
    /// Publications refused because the window and the queue were full, or at QoS 0 because there
    /// was no connection or the broker did not read.
    pub refused_congestion: u64,
    /// Publications refused because they can never be sent: topic, size, QoS or retain.
    pub refused_not_supported: u64,
    /// Publications refused because the broker hung up on them again and again.
    pub given_up: u64,
    /// PUBLISH and PUBREL sent again because the broker kept the session.
    pub resent: u64,
    /// Publications in flight that were sent as new because the broker lost the session.
    pub republished: u64,
    /// Of these, QoS 2 exchanges that had got their PUBREC: the broker may have delivered them.
    pub republished_after_pubrec: u64,
    /// Messages from the broker reported to the core.
    pub received: u64,
    /// Repetitions from the broker that were not reported.
    pub duplicates_dropped: u64,
    /// Acknowledgements from the broker that fit nothing in flight.
    pub unexpected_acks: u64,
    /// Packets from the broker longer than allowed.
    pub oversized: u64,
    /// Acknowledgements of the core that came too late: the broker has lost the session.
    pub stale_acknowledgements: u64,
    /// PINGREQ sent.
    pub pings: u64,
    /// Packets from the broker that violate the protocol.
    pub protocol_errors: u64,
}
