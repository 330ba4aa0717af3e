//! Groups joined, and datagrams to everybody.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::net::if_::InterfaceFlags;
use socket2::{InterfaceIndexOrAddress, SockRef, Socket};
use tokio::net::UdpSocket;
use tracing::{info, warn};

use super::address::UdpAddress;
use super::batch::{Headers, Outgoing};
use super::open::interface_index;
use crate::config::Endpoint;

/// Hops of a datagram that is meant for "the whole network" (radius 0, MQTT-SN 1.2 §5.4.2):
/// enough for a site, not for the world.
const WHOLE_NETWORK: u8 = 32;

/// Joins a group on the interface that it names, or on every one that is up.
///
/// A group that cannot be joined is a warning, not an error: devices that know the gateway's
/// address need no discovery.
pub(super) fn join(socket: SockRef<'_>, group: &Endpoint, listener: &Endpoint) {
    let interfaces = if group.interface.is_some() {
        match interface_index(group) {
            Ok(index) => vec![index],
            Err(_) => {
                let name = group.interface.as_deref().unwrap_or_default();
                warn!(
                    "udp {listener}: cannot join the group {group}: this machine has no network \
                     interface \"{name}\"; `ip link` lists them"
                );
                return;
            }
        }
    } else {
        interfaces_up()
    };
    let mut joined = 0;
    let mut last_error = None;
    for index in interfaces {
        match join_on(&socket, group.ip, index) {
            Ok(()) => joined += 1,
            Err(error) => last_error = Some(error),
        }
    }
    match (joined, last_error) {
        (0, Some(error)) => {
            warn!("udp {listener}: cannot join the group {group} on any interface: {error}");
        }
        (0, None) => warn!("udp {listener}: cannot join the group {group}: no interface is up"),
        (count, _) => info!("udp {listener}: joined the group {group} on {count} interface(s)"),
    }
}

fn join_on(socket: &Socket, group: IpAddr, interface: u32) -> io::Result<()> {
    match group {
        IpAddr::V4(group) => {
            socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface))
        }
        IpAddr::V6(group) => socket.join_multicast_v6(&group, interface),
    }
}

/// Whether a listener can send to an address: `[::]` to both versions of IP, all others to their
/// own.
pub(super) fn reaches(listener: &Endpoint, address: &Endpoint) -> bool {
    listener.ip.is_ipv4() == address.ip.is_ipv4()
        || (listener.ip.is_ipv6() && listener.ip.is_unspecified())
}

/// Indexes of the interfaces that carry multicast now. Loopback is among them: programs on this
/// host are devices too.
fn interfaces_up() -> Vec<u32> {
    let Ok(addresses) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let mut indexes: Vec<u32> = addresses
        .filter(|address| {
            address.flags.contains(InterfaceFlags::IFF_UP)
                && address
                    .flags
                    .intersects(InterfaceFlags::IFF_MULTICAST | InterfaceFlags::IFF_LOOPBACK)
        })
        .filter_map(|address| nix::net::if_::if_nametoindex(address.interface_name.as_str()).ok())
        .collect();
    indexes.sort_unstable();
    indexes.dedup();
    indexes
}

/// Where a listener's broadcasts go.
#[derive(Debug)]
pub(super) struct Target {
    endpoint: Endpoint,
    address: SocketAddr,
    interface: u32,
}

impl Target {
    /// Looks the interface up; `None`, with a warning, if it does not exist or if the address is
    /// of another family than the socket's.
    pub(super) fn new(endpoint: &Endpoint, listener: &Endpoint) -> Option<Self> {
        if !reaches(listener, endpoint) {
            warn!(
                "udp {listener}: cannot advertise to {endpoint}; a [[udp]] with a `listen` of the \
                 same IP version is needed"
            );
            return None;
        }
        match interface_index(endpoint) {
            Ok(interface) => Some(Self {
                endpoint: endpoint.clone(),
                address: endpoint.socket_addr(interface),
                interface,
            }),
            Err(_) => {
                let name = endpoint.interface.as_deref().unwrap_or_default();
                warn!(
                    "udp {listener}: cannot advertise to {endpoint}: this machine has no network \
                     interface \"{name}\"; `ip link` lists them"
                );
                None
            }
        }
    }

    /// The address as it was configured.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends a datagram, limited to `radius` hops; 0 is the whole network.
    pub(super) fn send(
        &self,
        socket: &UdpSocket,
        headers: &Headers,
        radius: u8,
        bytes: &[u8],
    ) -> io::Result<()> {
        let options = SockRef::from(socket);
        let ip = self.address.ip();
        match ip {
            IpAddr::V4(v4) if v4.is_multicast() => {
                options.set_multicast_ttl_v4(u32::from(hops(ip, radius)))?;
            }
            IpAddr::V6(v6) if v6.is_multicast() => {
                options.set_multicast_hops_v6(u32::from(hops(ip, radius)))?;
            }
            _ => {}
        }
        let to = UdpAddress::new(self.address, None);
        Ok(headers.send_one(socket, &Outgoing { to, bytes }, self.interface)?)
    }
}

/// Hops for a group and a radius. Link-local groups never leave the link, whatever the radius.
fn hops(group: IpAddr, radius: u8) -> u8 {
    let link_local = match group {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.segments()[0] & 0x000f <= 2,
    };
    match radius {
        _ if link_local => 1,
        0 => WHOLE_NETWORK,
        radius => radius,
    }
}

/// Allows what [`Target::send`] does: broadcast, and copies to programs on this host.
pub(super) fn prepare(socket: SockRef<'_>, ipv6: bool) {
    let _ = socket.set_broadcast(true);
    let _ = socket.set_multicast_loop_v4(true);
    if ipv6 {
        let _ = socket.set_multicast_loop_v6(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_follow_the_radius_within_reason() {
        let hops = |group: &str, radius| hops(group.parse().unwrap(), radius);
        assert_eq!(hops("225.1.1.1", 0), 32);
        assert_eq!(hops("225.1.1.1", 4), 4);
        assert_eq!(hops("224.0.0.1", 4), 1);
        assert_eq!(hops("ff02::1", 0), 1);
        assert_eq!(hops("ff03::1", 4), 4);
        assert_eq!(hops("ff05::1", 0), 32);
    }

    #[test]
    fn an_address_of_the_other_family_is_refused() {
        let target = |to: &str, listener: &str| {
            Target::new(&to.parse().unwrap(), &listener.parse().unwrap()).is_some()
        };
        assert!(target("255.255.255.255:1883", "0.0.0.0:1883"));
        assert!(target("255.255.255.255:1883", "[::]:1883"));
        assert!(target("[ff02::1%lo]:1883", "[::]:1883"));
        assert!(!target("[ff02::1%lo]:1883", "0.0.0.0:1883"));
        assert!(!target("225.1.1.1:1883", "[::1]:1883"));
        assert!(!target("[ff02::1%nosuch0]:1883", "[::]:1883"));
    }
}
