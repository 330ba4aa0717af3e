//! Creating the sockets of a listener.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Once;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tracing::{info, warn};

use super::batch::Headers;
use crate::config::Endpoint;

/// Send buffer asked of the system, octets: room for a burst of answers.
const SEND_BUFFER: usize = 1024 * 1024;

/// A bound socket with what is needed to receive from it and to send on it.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) socket: UdpSocket,
    pub(super) headers: Headers,
    pub(super) local: SocketAddr,
}

/// Why a listener could not be opened.
#[derive(Debug)]
pub struct OpenError {
    listen: Endpoint,
    step: Step,
    source: io::Error,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Interface,
    Create,
    Bind,
    Register,
}

impl OpenError {
    pub(super) fn new(listen: &Endpoint, step: Step, source: impl Into<io::Error>) -> Self {
        Self { listen: listen.clone(), step, source: source.into() }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listen, step, source } = self;
        write!(f, "cannot listen on udp {listen}: ")?;
        let interface = listen.interface.as_deref().unwrap_or_default();
        match (step, source.kind()) {
            (Step::Interface, _) => write!(
                f,
                "this machine has no network interface \"{interface}\"; `ip link` lists them"
            ),
            (Step::Bind, io::ErrorKind::AddrInUse) => write!(
                f,
                "another program uses port {port} already; stop it (`ss -ulpn sport = :{port}` \
                 names it) or choose another port for `listen` under [[udp]]",
                port = listen.port
            ),
            (Step::Bind, io::ErrorKind::PermissionDenied) => write!(
                f,
                "this user may not use port {}; choose one above 1023 for `listen` under [[udp]], \
                 or give the program the capability CAP_NET_BIND_SERVICE",
                listen.port
            ),
            (Step::Bind, io::ErrorKind::AddrNotAvailable) => write!(
                f,
                "{} is no address of this machine; `ip address` lists them, and 0.0.0.0 or [::] \
                 under [[udp]] `listen` stands for all",
                listen.ip
            ),
            (Step::Create, _) if source.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32) => f
                .write_str(
                    "this system has IPv6 switched off; use an IPv4 address for `listen` under \
                     [[udp]], for example 0.0.0.0:1883",
                ),
            _ => write!(f, "{source}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The index of an interface given by name or number; 0 if none is given.
pub(super) fn interface_index(endpoint: &Endpoint) -> io::Result<u32> {
    let Some(name) = endpoint.interface.as_deref() else { return Ok(0) };
    match nix::net::if_::if_nametoindex(name) {
        Ok(index) => Ok(index),
        Err(error) => name.parse().ok().filter(|index| *index != 0).ok_or_else(|| error.into()),
    }
}

/// What [`bind`] has to know.
pub(super) struct Wanted<'a> {
    /// Where to.
    pub(super) listen: &'a Endpoint,
    /// Receive buffer, octets.
    pub(super) receive_buffer: usize,
    /// Several programs listen here, as is usual for groups.
    pub(super) shared: bool,
    /// Find out which of our addresses an answer has to leave from.
    pub(super) own_address: bool,
}

/// Creates a socket and binds it.
pub(super) fn bind(wanted: &Wanted<'_>) -> Result<Bound, OpenError> {
    let listen = wanted.listen;
    let fail = |step| move |source: io::Error| OpenError::new(listen, step, source);
    let scope = interface_index(listen).map_err(fail(Step::Interface))?;
    let address = listen.socket_addr(scope);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))
        .map_err(fail(Step::Create))?;
    prepare(&socket, wanted).map_err(fail(Step::Create))?;
    socket.bind(&address.into()).map_err(fail(Step::Bind))?;
    let local = socket.local_addr().ok().and_then(|local| local.as_socket()).unwrap_or(address);
    raise_buffers(&socket, wanted);
    let own_address = wanted.own_address && report_own_address(&socket, listen.ip);
    let headers = Headers::new(listen.ip.is_ipv6(), own_address);
    let socket = UdpSocket::from_std(socket.into()).map_err(fail(Step::Register))?;
    Ok(Bound { socket, headers, local })
}

fn prepare(socket: &Socket, wanted: &Wanted<'_>) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if wanted.shared {
        socket.set_reuse_address(true)?;
    }
    if wanted.listen.ip.is_ipv6() {
        // Only [::] takes IPv4 too; said aloud because systems have different defaults.
        socket.set_only_v6(!wanted.listen.ip.is_unspecified())?;
        // Groups that other programs of this host joined are not ours to answer.
        let _ = socket.set_multicast_all_v6(false);
    }
    let _ = socket.set_multicast_all_v4(false);
    Ok(())
}

/// Asks for the buffers that were configured: first as one who may exceed the system's limit, then
/// as everybody else.
fn raise_buffers(socket: &Socket, wanted: &Wanted<'_>) {
    let size = wanted.receive_buffer;
    if setsockopt(socket, sockopt::RcvBufForce, &size).is_err() {
        let _ = socket.set_recv_buffer_size(size);
    }
    if setsockopt(socket, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
    }
    // Linux reports twice what it grants, its own bookkeeping included.
    let granted = socket.recv_buffer_size().unwrap_or(0) / 2;
    static SAID: Once = Once::new();
    if granted < size {
        // A hint, and the same for every listener.
        SAID.call_once(|| {
            info!(
                "udp {}: the system grants a receive buffer of {granted} instead of {size} octets, \
                 so bursts may be lost; to allow more: sysctl -w net.core.rmem_max={size}",
                wanted.listen
            );
        });
    }
}

/// Lets the kernel tell which address each datagram was sent to. Without that, answers leave from
/// the address that the routing table prefers.
fn report_own_address(socket: &Socket, ip: IpAddr) -> bool {
    let result = match ip {
        IpAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true),
        IpAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true),
    };
    if let Err(error) = result {
        warn!(
            "udp {ip}: the system does not tell which address a datagram was sent to ({}); with \
             several addresses, name one for `listen` under [[udp]]",
            error.desc()
        );
    }
    result.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_go_by_name_or_number() {
        let index = |text: &str| interface_index(&text.parse().unwrap());
        assert_eq!(index("127.0.0.1:1").unwrap(), 0);
        let lo = index("225.1.1.1%lo:1").unwrap();
        assert_ne!(lo, 0);
        assert_eq!(index(&format!("[ff02::1%{lo}]:1")).unwrap(), lo);
        assert!(index("[ff02::1%nosuch0]:1").is_err());
        assert!(index("[ff02::1%0]:1").is_err());
    }

    #[test]
    fn every_error_says_what_to_do() {
        let show = |listen: &str, step, kind: io::ErrorKind| {
            OpenError::new(&listen.parse().unwrap(), step, kind).to_string()
        };
        assert_eq!(
            show("0.0.0.0:1883", Step::Bind, io::ErrorKind::AddrInUse),
            "cannot listen on udp 0.0.0.0:1883: another program uses port 1883 already; stop it \
             (`ss -ulpn sport = :1883` names it) or choose another port for `listen` under [[udp]]"
        );
        assert!(show("[::]:88", Step::Bind, io::ErrorKind::PermissionDenied).contains("1023"));
        assert!(
            show("192.0.2.9:1883", Step::Bind, io::ErrorKind::AddrNotAvailable)
                .contains("192.0.2.9 is no address of this machine")
        );
        assert!(
            show("[fe80::1%nosuch0]:1", Step::Interface, io::ErrorKind::NotFound)
                .contains("\"nosuch0\"")
        );
    }
}
