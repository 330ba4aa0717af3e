//! MQTT-SN over UDP: a listener per `[[udp]]`, IPv4, IPv6 or both.
//!
//! Datagrams are received and sent in batches. Answers leave from the listener's port and, if it
//! listens on all addresses, from the address that the device used. Group traffic, if the group
//! does not share the listener's address and port, arrives on sockets of its own; answers to it
//! leave from the listener all the same.

mod address;
mod batch;
mod multicast;
mod open;
mod overflow;
mod stats;

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use socket2::SockRef;
use tokio::io::Interest;
use tracing::warn;

pub use address::{Shown, UdpAddress};
pub use batch::ReceiveBuffers;
use batch::{BATCH, Outgoing};
use multicast::Target;
pub use open::OpenError;
use open::{Bound, Wanted};
use overflow::Overflow;
pub use stats::Stats;

use crate::config;
use crate::core::{Address, Effect, Effects, LinkId};
use crate::ops::RateLimit;

/// Most datagrams taken from one socket before everybody else has a turn.
pub const FAIR_SHARE: usize = 256;

/// How often the kernel is asked how much it has dropped, at most.
const DROP_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A UDP listener.
#[derive(Debug)]
pub struct UdpLink {
    id: LinkId,
    listen: config::Endpoint,
    main: Bound,
    groups: Vec<Bound>,
    targets: Vec<Target>,
    overflow: Overflow,
    stats: Stats,
    drops: DropWatch,
    errors: RateLimit<i32>,
}

/// Watches the kernel's count of datagrams that found no room in the receive buffer.
#[derive(Debug, Default)]
struct DropWatch {
    due: bool,
    checked: Option<Instant>,
}

/// What [`UdpLink::poll_receive`] did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Taken {
    /// Datagrams.
    pub datagrams: usize,
    /// There may be more; it stopped for the sake of fairness.
    pub more: bool,
}

impl UdpLink {
    /// Opens the listener and joins its groups. Must be called inside a tokio runtime with IO.
    ///
    /// # Errors
    /// If an address cannot be bound; the message says what to do. A group that cannot be joined
    /// is only a warning in the log.
    pub fn open(id: LinkId, settings: &config::UdpLink) -> Result<Self, OpenError> {
        let listen = &settings.listen;
        let receive_buffer = settings.receive_buffer;
        let any = listen.ip.is_unspecified();
        let main = open::bind(&Wanted { listen, receive_buffer, shared: false, own_address: any })?;
        multicast::prepare(SockRef::from(&main.socket), listen.ip.is_ipv6());
        let mut groups: Vec<Bound> = Vec::new();
        for group in &settings.groups {
            if !multicast::reaches(listen, group) {
                warn!(
                    "udp {listen}: ignores the group {group}, whose devices it could not answer; \
                     a [[udp]] with a `listen` of the same IP version is needed"
                );
            } else if any && main.local.port() == group.port {
                multicast::join(SockRef::from(&main.socket), group, listen);
            } else {
                let wanted =
                    Wanted { listen: group, receive_buffer, shared: true, own_address: any };
                let bound = open::bind(&wanted)?;
                multicast::join(SockRef::from(&bound.socket), group, listen);
                groups.push(bound);
            }
        }
        let targets =
            settings.advertise_to.iter().filter_map(|to| Target::new(to, listen)).collect();
        Ok(Self {
            id,
            listen: listen.clone(),
            main,
            groups,
            targets,
            overflow: Overflow::default(),
            stats: Stats::default(),
            drops: DropWatch::default(),
            errors: RateLimit::new(3, Duration::from_secs(60), 16),
        })
    }

    /// Takes datagrams that have arrived, at most [`FAIR_SHARE`] a socket, and gives each to
    /// `each`. Pending, with the task to be woken, if there are none.
    pub fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut ReceiveBuffers,
        each: &mut dyn FnMut(&Address, &[u8]),
    ) -> Poll<Taken> {
        let mut taken = Taken { datagrams: 0, more: false };
        let stats = &mut self.stats;
        let mut count = |from: &UdpAddress, bytes: &[u8]| {
            stats.received += 1;
            stats.received_bytes += bytes.len() as u64;
            each(&from.encode(), bytes);
        };
        let mut any = false;
        for bound in std::iter::once(&mut self.main).chain(&mut self.groups) {
            if let Poll::Ready(one) = bound.poll_receive(cx, buffers, &mut count) {
                any = true;
                taken.datagrams += one.datagrams;
                taken.more |= one.more;
            }
        }
        self.drops.due |= taken.datagrams >= BATCH;
        if any { Poll::Ready(taken) } else { Poll::Pending }
    }

    /// Sends what is for this link among the effects. What the kernel does not take now is queued
    /// up to a limit, then dropped and counted, as UDP may.
    pub fn transmit(&mut self, effects: &Effects) {
        let mut run: heapless::Vec<Outgoing<'_>, BATCH> = heapless::Vec::new();
        for effect in effects.items() {
            match *effect {
                Effect::Send { link, ref to, bytes, .. } if link == self.id => {
                    let Some(to) = UdpAddress::decode(to) else {
                        debug_assert!(false, "an address that this link did not make");
                        continue;
                    };
                    if run.is_full() {
                        self.send(&mut run);
                        run.clear();
                    }
                    // There is room now.
                    let _ = run.push(Outgoing { to, bytes: effects.bytes(bytes) });
                }
                Effect::Broadcast { link, radius, bytes } if link == self.id => {
                    self.send(&mut run);
                    run.clear();
                    self.broadcast(radius, effects.bytes(bytes));
                }
                _ => {}
            }
        }
        self.send(&mut run);
    }

    /// Sends what is queued. Pending if nothing is, or if the kernel still has no room; then the
    /// task is woken when it has.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut progress = false;
        while !self.overflow.is_empty() {
            let Poll::Ready(Ok(())) = self.main.socket.poll_send_ready(cx) else { break };
            let Self { main, overflow, stats, .. } = self;
            let flushed = main.socket.try_io(Interest::WRITABLE, || flush(main, overflow, stats));
            progress |= flushed.is_ok();
        }
        if progress { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Asks the kernel for its drops if there is a reason to, and warns about new ones. At most
    /// one system call a second.
    pub fn watch_drops(&mut self) {
        if !self.drops.due {
            return;
        }
        let now = Instant::now();
        let last = self.drops.checked;
        if last.is_some_and(|at| now.saturating_duration_since(at) < DROP_CHECK_INTERVAL) {
            return;
        }
        self.drops = DropWatch { due: false, checked: Some(now) };
        let before = self.stats.kernel_drops;
        let after = self.refresh_kernel_drops();
        if after > before {
            warn!(
                "udp {}: {} datagrams were lost because they came faster than they could be \
                 taken; a larger `receive_buffer` under [[udp]] helps against bursts",
                self.listen,
                after - before
            );
        }
    }

    /// The link's number.
    #[must_use]
    pub fn id(&self) -> LinkId {
        self.id
    }

    /// Where it listens, with the port that was given if the system chose one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.main.local
    }

    /// What went through it. The kernel's drops are as of the last look; see
    /// [`Self::refresh_kernel_drops`].
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Asks the kernel how many datagrams it has dropped for want of room since the start.
    pub fn refresh_kernel_drops(&mut self) -> u64 {
        let sockets = std::iter::once(&self.main).chain(&self.groups);
        let drops = sockets.map(|bound| stats::kernel_drops(&bound.socket)).sum();
        // The kernel counts in 32 bits and may have wrapped; never go back.
        self.stats.kernel_drops = self.stats.kernel_drops.max(drops);
        drops
    }

    /// Sends a run of any own addresses: sorted, if they are mixed, so that those which leave from
    /// the same address share a system call. What goes to one device stays in order.
    fn send(&mut self, run: &mut [Outgoing<'_>]) {
        let source = |datagram: &Outgoing<'_>| (datagram.to.local, batch::scope(datagram.to.peer));
        if !run.windows(2).all(|pair| source(&pair[0]) == source(&pair[1])) {
            run.sort_by_key(source);
        }
        for same in run.chunk_by(|a, b| source(a) == source(b)) {
            self.send_run(same);
        }
    }

    fn send_run(&mut self, mut run: &[Outgoing<'_>]) {
        while !run.is_empty() {
            if !self.overflow.is_empty() {
                // Nobody overtakes.
                run.iter().for_each(|datagram| self.queue(datagram));
                return;
            }
            match self.main.headers.send(&self.main.socket, run) {
                Ok(sent) => {
                    for datagram in &run[..sent] {
                        self.stats.count_sent(datagram.bytes.len());
                    }
                    run = &run[sent.max(1)..];
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    self.queue(&run[0]);
                    run = &run[1..];
                }
                Err(error) => {
                    self.send_failed(&run[0], error);
                    run = &run[1..];
                }
            }
        }
    }

    /// One datagram could not be sent. If it was for the sake of our own address, which may have
    /// gone since, it is tried without.
    fn send_failed(&mut self, datagram: &Outgoing<'_>, error: Errno) {
        let may_be_source = matches!(
            error,
            Errno::EINVAL | Errno::EADDRNOTAVAIL | Errno::ENETUNREACH | Errno::EHOSTUNREACH
        );
        if datagram.to.local.is_some() && may_be_source {
            let plain = Outgoing { to: UdpAddress { local: None, ..datagram.to }, ..*datagram };
            if self.main.headers.send_one(&self.main.socket, &plain, 0).is_ok() {
                self.stats.count_sent(datagram.bytes.len());
                return;
            }
        }
        self.stats.send_errors += 1;
        if let Some(allowed) = self.errors.allow(Instant::now(), error as i32) {
            warn!(
                "udp {}: could not send {} octets to {}: {}{allowed}",
                self.listen,
                datagram.bytes.len(),
                datagram.to,
                error.desc()
            );
        }
    }

    fn queue(&mut self, datagram: &Outgoing<'_>) {
        if !self.overflow.push(datagram) {
            self.stats.overflow_drops += 1;
        }
    }

    fn broadcast(&mut self, radius: u8, bytes: &[u8]) {
        for target in &self.targets {
            match target.send(&self.main.socket, &self.main.headers, radius, bytes) {
                Ok(()) => self.stats.count_sent(bytes.len()),
                Err(error) => {
                    self.stats.send_errors += 1;
                    let kind = error.raw_os_error().unwrap_or(0);
                    if let Some(allowed) = self.errors.allow(Instant::now(), kind) {
                        let to = target.endpoint();
                        warn!("udp {}: could not advertise to {to}: {error}{allowed}", self.listen);
                    }
                }
            }
        }
    }
}

/// Sends what waits; `WouldBlock` if the kernel has no room for all of it.
fn flush(main: &Bound, overflow: &mut Overflow, stats: &mut Stats) -> io::Result<()> {
    while let Some(waiting) = overflow.front() {
        let datagram = Outgoing { to: waiting.to, bytes: &waiting.bytes };
        match main.headers.send_one(&main.socket, &datagram, 0) {
            Ok(()) => stats.count_sent(datagram.bytes.len()),
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(_) => stats.send_errors += 1,
        }
        overflow.pop();
    }
    Ok(())
}

impl Bound {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut ReceiveBuffers,
        each: &mut dyn FnMut(&UdpAddress, &[u8]),
    ) -> Poll<Taken> {
        let Self { socket, headers, .. } = self;
        let mut datagrams = 0;
        loop {
            if ready!(socket.poll_recv_ready(cx)).is_err() {
                // Only when the runtime is shutting down.
                return Poll::Pending;
            }
            let result = socket.try_io(Interest::READABLE, || {
                let mut errors = 0;
                while datagrams < FAIR_SHARE && errors < MAX_ERRORS {
                    match headers.receive(socket, buffers, each) {
                        Ok(received) => {
                            datagrams += received.count;
                            if !received.more {
                                // The socket was empty a moment ago, and what comes later raises a
                                // new event: forgetting its readiness now saves the call that
                                // would only find it empty. Events that are newer than this
                                // closure are not forgotten.
                                return Err(io::ErrorKind::WouldBlock.into());
                            }
                        }
                        Err(Errno::EAGAIN) => return Err(io::ErrorKind::WouldBlock.into()),
                        // What became of an earlier datagram of ours, told here.
                        Err(_) => errors += 1,
                    }
                }
                Ok(())
            });
            if datagrams > 0 || result.is_ok() {
                return Poll::Ready(Taken { datagrams, more: result.is_ok() });
            }
        }
    }
}

/// Errors in a row after which a socket's turn is over.
const MAX_ERRORS: u32 = 16;

#[cfg(test)]
mod tests;
