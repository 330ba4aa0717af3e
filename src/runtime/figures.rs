//! What is known of a link, for metrics.

use super::links::Link;
use super::traffic::Traffic;
use crate::admin::LinkFigures;

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
            },
        }
    }
}
