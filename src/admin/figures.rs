//! Everything that the loop counts, as it stands at one moment.

use std::time::{Duration, SystemTime};

use crate::core;
use crate::engine::Written;
use crate::histogram::Histogram;
use crate::mqtt;
use crate::runtime::LinkTraffic;

/// All counters and gauges.
#[derive(Debug)]
pub struct Figures {
    /// When the process began to serve devices.
    pub started: SystemTime,
    /// Of the core.
    pub core: core::Stats,
    /// Subscriptions at the broker, by distinct filter.
    pub filters: usize,
    /// Names of topics in use.
    pub topics: usize,
    /// Links by their numbers.
    pub links: Vec<LinkFigures>,
    /// Shared connections to the broker, the main one first.
    pub upstream: Vec<UpstreamFigures>,
    /// Connections of single clients, and how many of them the broker has accepted.
    pub own: (usize, usize),
    /// Octets of publications that are kept for the broker.
    pub spooled_bytes: u64,
    /// Of the state directory.
    pub written: Written,
    /// How long commits took, microseconds; `None` if nothing is written.
    pub commit_latency: Option<Histogram>,
}

/// One link.
#[derive(Debug)]
pub struct LinkFigures {
    /// Its name, as in the log.
    pub name: String,
    /// `udp`, `serial` or `ble`.
    pub kind: &'static str,
    /// Its socket, device or adapter is there.
    pub up: bool,
    /// What went over it.
    pub traffic: Option<LinkTraffic>,
    /// Packets that were dropped here, by reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// Datagrams that the kernel dropped before they were read, where it says so.
    pub kernel_drops: Option<u64>,
    /// Octets received that were no packets, where such a thing exists.
    pub discarded: Option<u64>,
    /// Times that the device was opened, or that devices were connected.
    pub openings: Option<u64>,
    /// Devices with a connection of their own, where they have one.
    pub devices: Option<usize>,
    /// Whether devices that were never here may join, on links that ask that.
    pub join: Option<JoinFigures>,
}

/// Whether devices that were never here may join.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct JoinFigures {
    /// They may.
    pub open: bool,
    /// For how long, if that has an end.
    pub left: Option<Duration>,
    /// Devices that are remembered.
    pub known: u64,
}

/// One connection to the broker that clients share.
#[derive(Debug)]
pub struct UpstreamFigures {
    /// The broker has accepted it.
    pub connected: bool,
    /// Of its MQTT session.
    pub session: mqtt::Stats,
    /// Times from PUBLISH to PUBACK or PUBREC, milliseconds.
    pub round_trips: Option<Histogram>,
}

/// How a shared connection to the broker stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UpstreamState {
    /// The broker has accepted it.
    pub connected: bool,
    /// The broker that it is open to.
    pub broker: Option<String>,
    /// If it has not: what was last in the way, if something was yet.
    pub trouble: Option<String>,
}
