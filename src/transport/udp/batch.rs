//! Many datagrams with one system call, on memory that is reused.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn, SockaddrIn6,
    SockaddrLike, cmsg_space, recvmmsg, sendmmsg, sendmsg,
};

use super::address::UdpAddress;

/// Most datagrams in one system call.
pub(super) const BATCH: usize = 64;

/// Distance of two receive buffers, octets. A UDP datagram has at most 65,527 octets. The odd end
/// spreads the beginnings of the buffers over the sets of the processor's caches: at a distance of
/// a power of two they would all fight for the same few lines.
const STRIDE: usize = 65_536 + 192;

/// A wake-up that begins after a quiet one looks into this many buffers only: laying out all of
/// them costs more than a second call would.
const SMALL_BATCH: usize = 8;

/// Buffers to receive into, shared by all sockets, which are drained one after the other.
///
/// The memory is asked for at once but only pages that were written to are resident: one or two a
/// buffer, unless somebody sends large datagrams.
#[derive(Debug)]
pub struct ReceiveBuffers {
    bytes: Vec<u8>,
}

impl Default for ReceiveBuffers {
    fn default() -> Self {
        Self { bytes: vec![0; BATCH * STRIDE] }
    }
}

/// A socket address in the family of the socket.
pub(super) trait Name: SockaddrLike + Copy + 'static {
    /// Room for one control message with the packet's own address.
    const INFO_SPACE: usize;

    /// As the standard library has it.
    fn peer(&self) -> SocketAddr;

    /// `None` if the family cannot hold it.
    fn of(peer: SocketAddr) -> Option<Self>;
}

impl Name for SockaddrIn {
    const INFO_SPACE: usize = cmsg_space::<in_pktinfo>();

    fn peer(&self) -> SocketAddr {
        SocketAddrV4::from(*self).into()
    }

    fn of(peer: SocketAddr) -> Option<Self> {
        match peer {
            SocketAddr::V4(v4) => Some(v4.into()),
            SocketAddr::V6(_) => None,
        }
    }
}

impl Name for SockaddrIn6 {
    const INFO_SPACE: usize = cmsg_space::<in6_pktinfo>();

    fn peer(&self) -> SocketAddr {
        SocketAddrV6::from(*self).into()
    }

    fn of(peer: SocketAddr) -> Option<Self> {
        Some(match peer {
            SocketAddr::V4(v4) => {
                SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into()
            }
            SocketAddr::V6(v6) => v6.into(),
        })
    }
}

/// The headers of one socket for receiving and sending.
#[derive(Debug)]
pub(super) enum Headers {
    /// `AF_INET`.
    V4(Side<SockaddrIn>),
    /// `AF_INET6`, possibly with IPv4-mapped peers.
    V6(Side<SockaddrIn6>),
}

/// What a [`Headers`] keeps for its family.
///
/// The library does not restore the lengths of names and control messages that the kernel writes
/// back, so the same headers only serve again if each datagram brings the same: names of one
/// family, and either no control message or exactly one.
#[derive(Debug)]
pub(super) struct Side<S> {
    own_address: bool,
    receive: MultiHeaders<S>,
    send: MultiHeaders<S>,
    send_from: MultiHeaders<S>,
    last: usize,
}

impl<S: Name> Side<S> {
    fn new(own_address: bool) -> Self {
        Self {
            own_address,
            receive: Self::receiving(own_address),
            send: MultiHeaders::preallocate(BATCH, None),
            send_from: MultiHeaders::preallocate(BATCH, Some(vec![0; S::INFO_SPACE])),
            last: 0,
        }
    }

    fn receiving(own_address: bool) -> MultiHeaders<S> {
        MultiHeaders::preallocate(BATCH, own_address.then(|| vec![0; S::INFO_SPACE]))
    }

    fn receive(
        &mut self,
        socket: RawFd,
        buffers: &mut ReceiveBuffers,
        each: &mut dyn FnMut(&UdpAddress, &[u8]),
    ) -> Result<Received, Errno> {
        let asked = if self.last < SMALL_BATCH { SMALL_BATCH } else { BATCH };
        let mut chunks = buffers.bytes.chunks_exact_mut(STRIDE);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] = std::array::from_fn(|index| {
            let chunk = if index < asked { chunks.next() } else { None };
            [IoSliceMut::new(chunk.unwrap_or_default())]
        });
        let results = recvmmsg(
            socket,
            &mut self.receive,
            slices.iter_mut().take(asked),
            MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        let mut count = 0;
        let mut cut = false;
        for message in results {
            count += 1;
            let local = if self.own_address { own_address(&message) } else { None };
            cut |= self.own_address && message.cmsgs().is_err();
            let Some(name) = message.address else { continue };
            let bytes = message.iovs().next().unwrap_or_default();
            each(&UdpAddress::new(name.peer(), local), bytes);
        }
        self.last = count;
        if cut {
            // Not seen so far, but headers that have become too small would stay so.
            self.receive = Self::receiving(self.own_address);
        }
        Ok(Received { count, more: count == asked })
    }

    fn send(&mut self, socket: RawFd, run: &[Outgoing<'_>]) -> Result<usize, Errno> {
        let local = run.first().and_then(|first| first.to.local);
        let mut names: heapless::Vec<Option<S>, BATCH> = heapless::Vec::new();
        let mut slices: heapless::Vec<[IoSlice<'_>; 1], BATCH> = heapless::Vec::new();
        for datagram in run.iter().take(BATCH) {
            let name = S::of(datagram.to.peer).ok_or(Errno::EAFNOSUPPORT)?;
            // There is room for a batch.
            let _ = (names.push(Some(name)), slices.push([IoSlice::new(datagram.bytes)]));
        }
        let flags = MsgFlags::MSG_DONTWAIT;
        let scope = run.first().map_or(0, |first| scope(first.to.peer));
        let source = local.and_then(|local| Source::new::<S>(local, scope));
        let results = match &source {
            Some(source) => sendmmsg(
                socket,
                &mut self.send_from,
                &slices,
                &names,
                [source.control_message()],
                flags,
            )?,
            None => sendmmsg(socket, &mut self.send, &slices, &names, [], flags)?,
        };
        Ok(results.count())
    }
}

/// One datagram to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing<'a> {
    /// Where to, and from which of our addresses.
    pub(super) to: UdpAddress,
    /// The datagram.
    pub(super) bytes: &'a [u8],
}

/// What one call brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Received {
    /// Datagrams.
    pub(super) count: usize,
    /// All buffers were filled, so there may be more. If not, the socket was empty.
    pub(super) more: bool,
}

impl Headers {
    /// For a socket of the family; `own_address` if it was told to report the own address of each
    /// datagram (`IP_PKTINFO`, `IPV6_RECVPKTINFO`).
    pub(super) fn new(ipv6: bool, own_address: bool) -> Self {
        if ipv6 { Self::V6(Side::new(own_address)) } else { Self::V4(Side::new(own_address)) }
    }

    /// Takes what is there, at most [`BATCH`] datagrams.
    ///
    /// # Errors
    /// As `recvmmsg(2)`: `EAGAIN` if there is nothing.
    pub(super) fn receive(
        &mut self,
        socket: &impl AsRawFd,
        buffers: &mut ReceiveBuffers,
        each: &mut dyn FnMut(&UdpAddress, &[u8]),
    ) -> Result<Received, Errno> {
        match self {
            Self::V4(side) => side.receive(socket.as_raw_fd(), buffers, each),
            Self::V6(side) => side.receive(socket.as_raw_fd(), buffers, each),
        }
    }

    /// Sends the first datagrams of a run, in which all have the same own address and, for
    /// link-local ones, the same scope; at most [`BATCH`]. Gives how many were taken, at least one.
    ///
    /// # Errors
    /// As `sendmsg(2)`, about the first datagram; none was sent.
    pub(super) fn send(
        &mut self,
        socket: &impl AsRawFd,
        run: &[Outgoing<'_>],
    ) -> Result<usize, Errno> {
        match self {
            Self::V4(side) => side.send(socket.as_raw_fd(), run),
            Self::V6(side) => side.send(socket.as_raw_fd(), run),
        }
    }

    /// Sends one datagram, on the interface with this index if it is not 0.
    ///
    /// # Errors
    /// As `sendmsg(2)`.
    pub(super) fn send_one(
        &self,
        socket: &impl AsRawFd,
        datagram: &Outgoing<'_>,
        interface: u32,
    ) -> Result<(), Errno> {
        match self {
            Self::V4(_) => send_one::<SockaddrIn>(socket.as_raw_fd(), datagram, interface),
            Self::V6(_) => send_one::<SockaddrIn6>(socket.as_raw_fd(), datagram, interface),
        }
    }
}

fn send_one<S: Name>(socket: RawFd, datagram: &Outgoing<'_>, interface: u32) -> Result<(), Errno> {
    let name = S::of(datagram.to.peer).ok_or(Errno::EAFNOSUPPORT)?;
    let slices = [IoSlice::new(datagram.bytes)];
    let unspecified = match datagram.to.peer {
        SocketAddr::V4(_) => IpAddr::from([0; 4]),
        SocketAddr::V6(_) => IpAddr::from([0; 16]),
    };
    let interface = if interface == 0 { scope(datagram.to.peer) } else { interface };
    let source = match datagram.to.local {
        Some(local) => Source::new::<S>(local, interface),
        None if interface != 0 => Source::new::<S>(unspecified, interface),
        None => None,
    };
    let control: Option<[ControlMessage<'_>; 1]> =
        source.as_ref().map(|source| [source.control_message()]);
    let control = control.as_ref().map_or(&[][..], |control| &control[..]);
    sendmsg(socket, &slices, control, MsgFlags::MSG_DONTWAIT, Some(&name)).map(drop)
}

/// The index of the interface that a link-local IPv6 address belongs to, 0 for all others.
pub(super) fn scope(peer: SocketAddr) -> u32 {
    match peer {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    }
}

/// Which of our addresses and interfaces a datagram leaves from.
enum Source {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

impl Source {
    /// In the form that the family of the socket wants; an IPv6 socket wants IPv4 mapped.
    fn new<S: Name>(local: IpAddr, interface: u32) -> Option<Self> {
        let ipv6_socket = S::INFO_SPACE == SockaddrIn6::INFO_SPACE;
        let ip = match local {
            IpAddr::V4(v4) if !ipv6_socket => {
                return Some(Self::V4(in_pktinfo {
                    ipi_ifindex: i32::try_from(interface).unwrap_or(0),
                    ipi_spec_dst: in_addr { s_addr: u32::from_ne_bytes(v4.octets()) },
                    ipi_addr: in_addr { s_addr: 0 },
                }));
            }
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) if ipv6_socket => v6,
            IpAddr::V6(_) => return None,
        };
        Some(Self::V6(in6_pktinfo {
            ipi6_addr: in6_addr { s6_addr: ip.octets() },
            ipi6_ifindex: interface,
        }))
    }

    fn control_message(&self) -> ControlMessage<'_> {
        match self {
            Self::V4(info) => ControlMessage::Ipv4PacketInfo(info),
            Self::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        }
    }
}

/// Which of our addresses a datagram was sent to. For one to a group or broadcast address, IPv4
/// names the address that an answer should leave from, IPv6 does not.
fn own_address<S>(message: &RecvMsg<'_, '_, S>) -> Option<IpAddr> {
    message
        .cmsgs()
        .ok()?
        .find_map(|control| match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                Some(IpAddr::from(info.ipi6_addr.s6_addr).to_canonical())
            }
            _ => None,
        })
        .filter(|ip| !ip.is_multicast() && !is_limited_broadcast(ip))
}

fn is_limited_broadcast(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
}
