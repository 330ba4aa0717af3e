//! How packets of all devices go to the gateway and back, and the wait for what arrives.

mod line;
mod udp;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use super::plan::Plan;
use crate::cli::Failure;
use crate::cli::line::Plan as LinePlan;
use line::LineNet;
use udp::UdpNet;

/// Where the gateway is.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// A UDP address.
    Udp(SocketAddr),
    /// The other end of a serial line.
    Line(LinePlan),
}

/// The way that all devices have.
pub(super) enum Net {
    /// Each has a socket of its own.
    Udp(UdpNet),
    /// They share a line.
    Line(Box<LineNet>),
}

/// What became of an attempt to send or to receive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Trouble {
    /// Nothing has arrived, or there is no room.
    Later,
    /// Nobody listens there.
    Refused,
    /// Anything else.
    Other,
}

impl From<&io::Error> for Trouble {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::Interrupted => Self::Later,
            ErrorKind::ConnectionRefused => Self::Refused,
            _ => Self::Other,
        }
    }
}

impl Net {
    /// Opens the way, and takes over Ctrl-C and SIGTERM.
    pub(super) fn open(plan: &Plan) -> Result<Self, Failure> {
        match &plan.way {
            Way::Udp(gateway) => UdpNet::open(*gateway, plan.clients()).map(Self::Udp),
            Way::Line(line) => {
                LineNet::open(line.clone(), plan.clients()).map(|net| Self::Line(Box::new(net)))
            }
        }
    }

    /// Microseconds since it was opened.
    pub(super) fn now(&self) -> u64 {
        match self {
            Self::Udp(net) => net.now(),
            Self::Line(net) => net.now(),
        }
    }

    /// Waits for at most so many microseconds. Puts the devices that have something into `ready`;
    /// true if a signal came.
    pub(super) fn wait(&mut self, longest: u64, ready: &mut Vec<usize>) -> Result<bool, Failure> {
        match self {
            Self::Udp(net) => net.wait(longest, ready),
            Self::Line(net) => net.wait(longest, ready),
        }
    }

    /// Takes one packet, for one of those that are ready, in their order.
    pub(super) fn receive(&mut self, device: usize) -> Result<Vec<u8>, Trouble> {
        match self {
            // The buffer is the socket's; what it holds is small.
            Self::Udp(net) => net.receive(device).map(<[u8]>::to_vec),
            Self::Line(net) => net.receive(device),
        }
    }

    /// Sends one packet.
    pub(super) fn send(&mut self, device: usize, packet: &[u8]) -> Result<(), Trouble> {
        match self {
            Self::Udp(net) => net.send(device, packet),
            Self::Line(net) => net.send(device, packet),
        }
    }

    /// Whether a message of so many octets may be published without being dropped on the way.
    pub(super) fn has_room(&self, octets: usize) -> bool {
        match self {
            Self::Udp(_) => true,
            Self::Line(net) => net.has_room(octets),
        }
    }

    /// Octets that have come and were no packets.
    pub(super) fn noise(&self) -> u64 {
        match self {
            Self::Udp(_) => 0,
            Self::Line(net) => net.noise(),
        }
    }

    /// Why nobody answers, behind "no answer from the gateway after so many tries".
    pub(super) fn silence(&self) -> String {
        match self {
            Self::Udp(_) => "is the gateway running, and does UDP get through?".to_owned(),
            Self::Line(net) => net.silence(),
        }
    }
}
