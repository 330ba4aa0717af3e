//! The sockets of all devices, and the wait for what arrives on any of them.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::Trouble;
use crate::cli::Failure;
use crate::ops::files;

/// Open files beside the sockets: standard streams, libraries.
const OTHER_FILES: u64 = 32;

/// Events taken at a time.
const EVENTS: usize = 1024;

/// What stands for the signals among the events.
const SIGNALS: u64 = u64::MAX;

/// A socket a device.
pub(in super::super) struct UdpNet {
    sockets: Vec<UdpSocket>,
    epoll: Epoll,
    signals: SignalFd,
    events: Vec<EpollEvent>,
    origin: Instant,
    buffer: Vec<u8>,
}

impl UdpNet {
    /// Opens the sockets, and takes over Ctrl-C and SIGTERM.
    pub(super) fn open(gateway: SocketAddr, count: usize) -> Result<Self, Failure> {
        allow_files(count as u64)?;
        let broken = |error: nix::Error| Failure::run(format!("cannot start: {}", error.desc()));
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(broken)?;
        let mut set = SigSet::empty();
        set.add(Signal::SIGINT);
        set.add(Signal::SIGTERM);
        set.thread_block().map_err(broken)?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .map_err(broken)?;
        epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS)).map_err(broken)?;
        let mut sockets = Vec::with_capacity(count);
        for index in 0..count {
            let socket = open_socket(gateway).map_err(|error| {
                let advice = match error.kind() {
                    ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable => {
                        "; this machine has no port left: use fewer --devices, or more ports \
                         (sysctl net.ipv4.ip_local_port_range)"
                    }
                    _ => "",
                };
                Failure::run(format!(
                    "cannot open a socket to {gateway} for device {}: {error}{advice}",
                    index + 1
                ))
            })?;
            epoll
                .add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))
                .map_err(broken)?;
            sockets.push(socket);
        }
        Ok(Self {
            sockets,
            epoll,
            signals,
            events: vec![EpollEvent::empty(); EVENTS],
            origin: Instant::now(),
            buffer: vec![0; 65_536],
        })
    }

    /// Microseconds since the sockets were opened.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Waits for at most so many microseconds. Puts the devices that have something into `ready`;
    /// true if a signal came.
    pub(super) fn wait(&mut self, longest: u64, ready: &mut Vec<usize>) -> Result<bool, Failure> {
        ready.clear();
        let timeout = Duration::from_millis(longest.div_ceil(1_000).min(60_000));
        let timeout = EpollTimeout::try_from(timeout).unwrap_or(EpollTimeout::ZERO);
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => count,
            Err(nix::Error::EINTR) => 0,
            Err(error) => return Err(Failure::run(format!("cannot wait: {}", error.desc()))),
        };
        let mut signalled = false;
        for event in self.events.iter().take(count) {
            match event.data() {
                SIGNALS => signalled |= matches!(self.signals.read_signal(), Ok(Some(_))),
                index => ready.push(index as usize),
            }
        }
        Ok(signalled)
    }

    /// Takes one datagram.
    pub(super) fn receive(&mut self, device: usize) -> Result<&[u8], Trouble> {
        let socket = self.sockets.get(device).ok_or(Trouble::Other)?;
        match socket.recv(&mut self.buffer) {
            Ok(length) => Ok(self.buffer.get(..length).unwrap_or(&[])),
            Err(error) => Err((&error).into()),
        }
    }

    /// Sends one datagram.
    pub(super) fn send(&self, device: usize, datagram: &[u8]) -> Result<(), Trouble> {
        let socket = self.sockets.get(device).ok_or(Trouble::Other)?;
        socket.send(datagram).map(drop).map_err(|error| (&error).into())
    }
}

fn open_socket(gateway: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match gateway {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(gateway)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Raises the limit of open files as far as it is needed and may be.
fn allow_files(sockets: u64) -> Result<(), Failure> {
    let needed = sockets + OTHER_FILES;
    files::allow(needed).map_err(|most| {
        Failure::run(format!(
            "every device has a socket of its own, which takes {needed} open files, and this \
             process may have {most}: raise the limit (ulimit -Hn {needed}, as root), or use \
             --devices {}",
            most.saturating_sub(OTHER_FILES)
        ))
    })
}
