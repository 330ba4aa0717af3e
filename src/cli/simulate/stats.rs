//! What is counted and measured beside the messages themselves.

use super::histogram::Histogram;

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) connected: u64,
    /// Devices that never got in.
    pub(super) failed: u64,
    /// Answers "congestion", to anything.
    pub(super) congestion: u64,
    /// Other refusals, of anything.
    pub(super) refused: u64,
    /// Subscriptions that were refused for whatever reason.
    pub(super) deaf: u64,
    /// Sessions that the gateway ended before their time.
    pub(super) lost_ended: u64,
    /// Sessions that devices gave up because they got no answer.
    pub(super) lost_unanswered: u64,
    /// Publications that were due while the one before was still open.
    pub(super) held_back: u64,
    /// Wake-ups to collect, and how they ended.
    pub(super) collects: u64,
    pub(super) collected: u64,
    pub(super) uncollected: u64,
    /// Ended with PINGRESP although messages had waited for seconds.
    pub(super) left_behind: u64,
    /// Wake-ups with CONNECT.
    pub(super) stays: u64,
    /// Messages that came between PINGREQ and PINGRESP.
    pub(super) collected_messages: u64,
    pub(super) wills_due: u64,
    pub(super) wills: u64,
    /// Messages of other runs, kept by the gateway or the broker.
    pub(super) other_runs: u64,
    /// Messages sent again by the devices, and PUBLISHes with DUP by the gateway.
    pub(super) device_repeats: u64,
    pub(super) gateway_repeats: u64,
    pub(super) datagrams_out: u64,
    pub(super) datagrams_in: u64,
    /// Datagrams the run itself has lost or doubled.
    pub(super) dropped: u64,
    pub(super) doubled: u64,
    /// Datagrams that the system did not take.
    pub(super) unsent: u64,
    pub(super) malformed: u64,
    /// Octets on the line that were no packets.
    pub(super) noise: u64,
    /// Messages that arrived at a higher QoS than they were sent at.
    pub(super) raised: u64,
}

/// How long things took, in microseconds.
#[derive(Debug, Default)]
pub(super) struct Times {
    pub(super) connect: Histogram,
    /// From publication to acknowledgement, by QoS.
    pub(super) acknowledged: [Histogram; 3],
    /// From publication to arrival at a device that is awake, by QoS.
    pub(super) arrived: [Histogram; 3],
    /// The same at devices that sleep.
    pub(super) arrived_asleep: Histogram,
    /// From PINGREQ to PINGRESP.
    pub(super) window: Histogram,
}
