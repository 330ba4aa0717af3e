//! What is known of a link, for metrics.

use std::time::Duration;

use super::links::Link;
use super::traffic::Traffic;
use crate::admin::{JoinFigures, LinkFigures, NotJoined};
#[cfg(feature = "ble")]
use crate::transport::ble::{BleLink, Joining};

impl Link {
    /// Counters and state.
    pub(super) fn figures(&mut self, traffic: &Traffic) -> LinkFigures {
        let (name, traffic) = (self.to_string(), traffic.of(self.id()).cloned());
        match self {
            Self::Udp(link) => {
                link.refresh_kernel_drops();
                let stats = link.stats();
                LinkFigures {
                    name,
                    kind: "udp",
                    up: true,
                    traffic,
                    dropped: vec![("error", stats.send_errors), ("overflow", stats.overflow_drops)],
                    kernel_drops: Some(stats.kernel_drops),
                    discarded: None,
                    openings: None,
                    devices: None,
                    join: None,
                }
            }
            Self::Serial(link) => {
                let stats = link.line().stats();
                LinkFigures {
                    name,
                    kind: "serial",
                    up: link.is_up(),
                    traffic,
                    dropped: vec![
                        ("away", stats.away_drops),
                        ("overflow", stats.overflow_drops),
                        ("unsendable", stats.unsendable),
                        ("unreachable", stats.unreachable_drops),
                    ],
                    kernel_drops: None,
                    discarded: Some(link.line().discarded().octets),
                    openings: Some(link.openings()),
                    devices: None,
                    join: None,
                }
            }
            #[cfg(feature = "ble")]
            Self::Ble(link) => LinkFigures {
                name,
                kind: "ble",
                up: link.is_up(),
                traffic,
                dropped: link.dropped(),
                kernel_drops: None,
                discarded: Some(link.discarded()),
                openings: Some(link.connections()),
                devices: Some(link.connected()),
                join: Some(join(link)),
            },
        }
    }

    /// Lets devices that were never here join, for so long, or not any more if that is no time.
    pub(super) fn permit_join(&mut self, time: Duration) -> Result<JoinFigures, NotJoined> {
        match self {
            Self::Udp(_) | Self::Serial(_) => Err(NotJoined::Open),
            #[cfg(feature = "ble")]
            Self::Ble(link) => match link.permit_join(time) {
                true => Ok(join(link)),
                false => Err(NotJoined::Always),
            },
        }
    }
}

#[cfg(feature = "ble")]
fn join(link: &BleLink) -> JoinFigures {
    let Joining { open, left, known } = link.joining();
    JoinFigures { open, left, known }
}
