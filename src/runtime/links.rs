//! Links of every kind, as the loop sees them.

use std::fmt;
use std::task::{Context, Poll};

use tracing::{info, warn};

use super::machine::Machine;
use crate::capture::{Network, Wire};
use crate::core::{Address, Effects, LinkId, Signal};
use crate::time::Time;
#[cfg(feature = "ble")]
use crate::transport::ble::BleLink;
use crate::transport::line::Outcomes;
use crate::transport::serial::SerialLink;
use crate::transport::udp::{ReceiveBuffers, Taken, UdpLink};

/// A link to devices. Shown by its name, with the address that it really has.
#[derive(Debug)]
pub(super) enum Link {
    Udp(Box<UdpLink>),
    Serial(Box<SerialLink>),
    #[cfg(feature = "ble")]
    Ble(Box<BleLink>),
}

impl Link {
    pub(super) fn id(&self) -> LinkId {
        match self {
            Self::Udp(link) => link.id(),
            Self::Serial(link) => link.id(),
            #[cfg(feature = "ble")]
            Self::Ble(link) => link.id(),
        }
    }

    /// As a capture describes it.
    pub(super) fn wire(&self) -> Wire {
        let number = self.id().0;
        let (kind, network) = match self {
            Self::Udp(link) => ("udp", Network::Udp(link.local_addr().ip())),
            Self::Serial(_) => ("serial", Network::Radio(number)),
            #[cfg(feature = "ble")]
            Self::Ble(_) => ("ble", Network::Radio(number)),
        };
        Wire { name: self.to_string(), kind, network }
    }

    /// Takes what has come and gives each packet to `each`.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        now: Time,
        buffers: &mut ReceiveBuffers,
        each: &mut dyn FnMut(&Address, Signal, &[u8]),
    ) -> Poll<Taken> {
        match self {
            Self::Udp(link) => link.poll_receive(cx, buffers, &mut |from, bytes| {
                each(from, Signal::default(), bytes);
            }),
            Self::Serial(link) => link.poll_receive(cx, now, each),
            #[cfg(feature = "ble")]
            Self::Ble(link) => link.poll_receive(cx, each),
        }
    }

    /// Tells the machine what there is room for, where that has an end.
    pub(super) fn tell_room(&mut self, machine: &mut impl Machine, now: Time) {
        match self {
            Self::Udp(_) => {}
            Self::Serial(link) => {
                let room = u32::try_from(link.room()).unwrap_or(u32::MAX);
                machine.link_largest(link.id(), link.largest());
                machine.link_room(now, link.id(), Some(room));
            }
            #[cfg(feature = "ble")]
            Self::Ble(link) => {
                let id = link.id();
                link.tell_rooms(now, &mut |device, room| {
                    machine.device_room(now, id, device, room);
                });
            }
        }
    }

    /// Sends what is for this link among the effects, or queues it.
    pub(super) fn transmit(&mut self, effects: &Effects) {
        match self {
            Self::Udp(link) => link.transmit(effects),
            Self::Serial(link) => link.transmit(effects),
            #[cfg(feature = "ble")]
            Self::Ble(link) => link.transmit(effects),
        }
    }

    /// Sends what is queued.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, now: Time) -> Poll<()> {
        match self {
            Self::Udp(link) => link.poll_flush(cx),
            Self::Serial(link) => link.poll_flush(cx, now),
            // Its thread does that.
            #[cfg(feature = "ble")]
            Self::Ble(_) => Poll::Pending,
        }
    }

    /// Warns about new losses.
    pub(super) fn watch(&mut self) {
        match self {
            Self::Udp(link) => link.watch_drops(),
            Self::Serial(link) => link.watch(),
            #[cfg(feature = "ble")]
            Self::Ble(link) => link.watch(),
        }
    }

    /// Says what was lost in all, if something was.
    pub(super) fn sum_up(&mut self) {
        match self {
            Self::Udp(link) => {
                let drops = link.refresh_kernel_drops();
                if drops > 0 {
                    warn!("udp {}: {drops} datagrams were lost in all", link.local_addr());
                }
            }
            Self::Serial(link) => sum_up(link),
            #[cfg(feature = "ble")]
            Self::Ble(link) => info!("{}: {}", link.name(), link.summary()),
        }
    }
}

fn sum_up(link: &SerialLink) {
    let line = link.line();
    let (stats, thrown_away, outcomes) = (line.stats(), line.discarded(), line.outcomes());
    info!(
        "serial {}: {} packets received, {} sent; {} dropped while the device was away, {} because \
         the line was too slow, {} that the radio cannot carry; {} octets received that are no packets \
         ({} damaged, {} too long, {} cut off); opened {} times",
        link.device(),
        stats.received,
        stats.sent,
        stats.away_drops,
        stats.overflow_drops,
        stats.unsendable,
        thrown_away.octets,
        thrown_away.damaged,
        thrown_away.overlong,
        thrown_away.cut_off,
        link.openings()
    );
    if outcomes != Outcomes::default() {
        info!(
            "serial {}: the radio delivered {} packets and failed with {}, said nothing of {}; {} \
             were repeated on it, {} dropped because their devices did not get others",
            link.device(),
            outcomes.delivered,
            outcomes.failed,
            outcomes.unanswered,
            outcomes.repeated,
            stats.unreachable_drops
        );
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(link) => write!(f, "udp {}", link.local_addr()),
            Self::Serial(link) => write!(f, "serial {}", link.device()),
            #[cfg(feature = "ble")]
            Self::Ble(link) => f.write_str(link.name()),
        }
    }
}
