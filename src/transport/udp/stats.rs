//! Counters of a listener.

use nix::libc;
use nix::sys::socket::getsockopt;
use tokio::net::UdpSocket;

/// What went through a listener since its start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Datagrams received.
    pub received: u64,
    /// Octets received.
    pub received_bytes: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Octets sent.
    pub sent_bytes: u64,
    /// Datagrams that the kernel refused to send.
    pub send_errors: u64,
    /// Datagrams dropped because too many waited to be sent.
    pub overflow_drops: u64,
    /// Datagrams that the kernel dropped because the receive buffer was full.
    pub kernel_drops: u64,
}

impl Stats {
    pub(super) fn count_sent(&mut self, bytes: usize) {
        self.sent += 1;
        self.sent_bytes += bytes as u64;
    }
}

/// How many datagrams the kernel has dropped on this socket; 0 if it does not say.
///
/// `SO_MEMINFO` when asked costs nothing otherwise; `SO_RXQ_OVFL` would add a control message to
/// every datagram.
pub(super) fn kernel_drops(socket: &UdpSocket) -> u64 {
    /// Position of the drops, `SK_MEMINFO_DROPS` of `linux/sock_diag.h`.
    const DROPS: usize = 8;
    getsockopt(socket, MemInfo).map_or(0, |info: [u32; 9]| u64::from(info[DROPS]))
}

/// Of `asm-generic/socket.h`.
#[cfg(not(any(target_arch = "sparc", target_arch = "sparc64")))]
const SO_MEMINFO: libc::c_int = 55;
#[cfg(any(target_arch = "sparc", target_arch = "sparc64"))]
const SO_MEMINFO: libc::c_int = 0x39;

#[derive(Clone, Copy, Debug)]
struct MemInfo;

nix::getsockopt_impl!(
    MemInfo,
    libc::SOL_SOCKET,
    SO_MEMINFO,
    [u32; 9],
    nix::sys::socket::sockopt::GetStruct<[u32; 9]>
);
