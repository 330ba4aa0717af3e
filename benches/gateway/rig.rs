//! One run's surroundings: the measured process between a sink above and devices below.
//!
//! Everything on this side happens in one thread around one epoll, so that the measured process
//! has a core to itself even on a machine with two.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;

use crate::Failure;
use crate::sink::{Served, Sink};
use crate::sn;
use crate::target::{Subject, Target};

/// Marks in the events: devices by index, connections of the sink above them.
const CONNECTIONS: u64 = 1 << 32;
const LISTENER: u64 = u64::MAX;
const EVENTS: usize = 512;
/// How long the measured process may take to listen and to reach its broker.
const START_LIMIT: Duration = Duration::from_secs(10);
/// A broker connection that stays for so long is the one.
const REST: Duration = Duration::from_millis(150);
/// An unanswered request is repeated after this.
pub const REPEAT: Duration = Duration::from_secs(1);
/// Nothing moving for so long ends the run.
pub const STALL_LIMIT: Duration = Duration::from_secs(10);

pub struct Rig {
    epoll: Epoll,
    events: Vec<EpollEvent>,
    pub sink: Sink,
    pub devices: Vec<UdpSocket>,
    pub target: Target,
    datagram: Box<[u8]>,
    /// Client id's first part; changes with every set of devices.
    generation: u32,
    /// How often the broker was taken away, or the process.
    outages: u64,
}

impl Rig {
    /// Starts sink and `subject`, and waits until both ends answer. `settings` is added to the
    /// gateway's configuration.
    pub fn start(
        subject: Subject,
        gateway: &Path,
        pin: Option<usize>,
        settings: &str,
    ) -> Result<Self, Failure> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let sink = Sink::bind()?;
        let target = Target::start(subject, gateway, sink.address, pin, settings)?;
        let mut rig = Self {
            epoll,
            events: vec![EpollEvent::empty(); EVENTS],
            sink,
            devices: Vec::new(),
            target,
            datagram: vec![0; 2048].into_boxed_slice(),
            generation: 0,
            outages: 0,
        };
        rig.listen()?;
        rig.await_start()?;
        Ok(rig)
    }

    fn await_start(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_LIMIT;
        self.open_devices(1)?;
        let (mut connect, mut answered, mut refused) = (Vec::new(), false, false);
        sn::connect(&mut connect, "bench-first");
        while !(answered && self.sink.connected()) {
            if Instant::now() > deadline {
                let missing = match (answered, self.sink.connected()) {
                    (_, false) => "did not connect to the broker",
                    _ if refused => "kept refusing CONNECT",
                    _ => "did not answer CONNECT",
                };
                let log = self.target.log();
                return Err(format!("{missing} for {START_LIMIT:?}{log}").into());
            }
            if !answered {
                send(&self.devices[0], &connect)?;
            }
            self.turn(Duration::from_millis(50), |_, _, datagram| {
                answered |= matches!(sn::split(datagram), Some((sn::CONNACK, [0])));
                refused |= matches!(sn::split(datagram), Some((sn::CONNACK, [1..=0xFF])));
                Ok(())
            })?;
            self.target.check()?;
        }
        send(&self.devices[0], &[2, sn::DISCONNECT])?;
        self.open_devices(0)?;
        self.await_rest(deadline)
    }

    /// Waits until the broker connection stays: a first one may only have discarded an old session.
    fn await_rest(&mut self, deadline: Instant) -> Result<(), Failure> {
        let (mut since, mut seen) = (Instant::now(), 0);
        while since.elapsed() < REST {
            if Instant::now() > deadline {
                return Err(format!("no lasting broker connection{}", self.target.log()).into());
            }
            self.turn_quietly(REST / 4)?;
            if !self.sink.connected() || self.sink.counts.connections != seen {
                (since, seen) = (Instant::now(), self.sink.counts.connections);
            }
        }
        Ok(())
    }

    /// Takes the broker away, and gives the gateway a moment to notice.
    pub fn broker_leaves(&mut self) -> Result<(), Failure> {
        self.sink.leave();
        self.outages += 1;
        self.rest(Duration::from_millis(100))
    }

    /// Kills the measured process and starts it again.
    pub fn restart(&mut self) -> Result<(), Failure> {
        self.outages += 1;
        self.target.restart()
    }

    /// Brings the broker back, and waits until the gateway has found it. Returns when that was, to the
    /// millisecond: what follows may be over before this thread runs again.
    pub fn broker_returns(&mut self) -> Result<Instant, Failure> {
        self.sink.come_back()?;
        self.listen()?;
        let deadline = Instant::now() + START_LIMIT;
        let mut before = Instant::now();
        while !self.sink.connected() {
            before = Instant::now();
            if before > deadline {
                let log = self.target.log();
                return Err(format!("the broker was not found again{log}").into());
            }
            self.turn_quietly(Duration::from_millis(1))?;
        }
        Ok(before)
    }

    /// A remark if the gateway lost its broker when nobody took it away.
    pub fn lost_connections(&self) -> Option<String> {
        // One connection may have been there to discard an old session.
        (self.sink.counts.connections > 2 + self.outages)
            .then(|| "WRONG: the broker connection was lost meanwhile".into())
    }

    fn listen(&mut self) -> Result<(), Failure> {
        if let Some(listener) = &self.sink.listener {
            self.epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        }
        Ok(())
    }

    /// Replaces the devices by `count` new ones, not yet connected, each with its own socket.
    pub fn open_devices(&mut self, count: usize) -> Result<(), Failure> {
        self.open_devices_at(Ipv4Addr::LOCALHOST, count)
    }

    /// The same with an address of 127.0.0.0/8: each has ports enough for some ten thousand devices.
    pub fn open_devices_at(&mut self, from: Ipv4Addr, count: usize) -> Result<(), Failure> {
        // Closing a socket takes it out of the epoll.
        self.devices.clear();
        self.generation += 1;
        for index in 0..count {
            let socket = UdpSocket::bind((from, 0))?;
            socket.connect(self.target.address)?;
            socket.set_nonblocking(true)?;
            self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
            self.devices.push(socket);
        }
        Ok(())
    }

    /// Client id of a device: 13 octets.
    pub fn client_id(&self, index: usize) -> String {
        format!("bench-{}-{index:05}", self.generation % 10)
    }

    /// Waits until something happens, at most for `wait`; then serves the sink once and hands one
    /// datagram of every device that has some to `on`, with the device's index and socket.
    ///
    /// Returns whether anything happened.
    pub fn turn(
        &mut self,
        wait: Duration,
        mut on: impl FnMut(usize, &UdpSocket, &[u8]) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let wait = self.answer_late(wait)?;
        let count = self.wait(wait)?;
        for position in 0..count {
            match self.events[position].data() {
                LISTENER => self.accept()?,
                mark @ CONNECTIONS.. => self.serve((mark - CONNECTIONS) as usize)?,
                index => {
                    let index = index as usize;
                    let Some(socket) = self.devices.get(index) else { continue };
                    match socket.recv(&mut self.datagram) {
                        Ok(length) => on(index, socket, &self.datagram[..length])?,
                        Err(error) if passes(&error) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        if count == 0 && wait >= Duration::from_millis(20) {
            self.target.check()?;
        }
        Ok(count > 0)
    }

    /// Sends what a sink that takes its time has held back, if it is time. Returns for how long to
    /// wait at most.
    fn answer_late(&mut self, wait: Duration) -> Result<Duration, Failure> {
        let Some(due) = self.sink.due else { return Ok(wait) };
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            for slot in self.sink.answer_late()? {
                self.watch_writes(slot)?;
            }
        }
        Ok(wait.min(left))
    }

    /// Serves the sink until `count` messages have arrived there, or none has for `patience`.
    pub fn await_arrivals(&mut self, count: u64, patience: Duration) -> Result<(), Failure> {
        let mut last = Instant::now();
        while self.sink.counts.arrived < count && last.elapsed() < patience {
            let before = self.sink.counts.arrived;
            self.turn_quietly(patience / 10)?;
            if self.sink.counts.arrived > before {
                last = Instant::now();
            }
        }
        Ok(())
    }

    /// Serves the sink for a while, sends nothing.
    pub fn rest(&mut self, duration: Duration) -> Result<(), Failure> {
        let end = Instant::now() + duration;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left < Duration::from_millis(1) {
                return Ok(());
            }
            self.turn_quietly(left)?;
        }
    }

    /// Only serves the sink, for cases in which devices get nothing.
    pub fn turn_quietly(&mut self, wait: Duration) -> Result<bool, Failure> {
        self.turn(wait, |_, _, datagram| unexpected(datagram))
    }

    fn wait(&mut self, wait: Duration) -> Result<usize, Failure> {
        let mut timeout = EpollTimeout::ZERO;
        if wait >= Duration::from_millis(1) {
            timeout = EpollTimeout::try_from(wait)?;
        } else if !wait.is_zero() {
            // epoll counts in milliseconds; an epoll can itself be polled.
            let mut ready = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
            match ppoll(&mut ready, Some(TimeSpec::from_duration(wait)), None) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => Ok(count),
            Err(Errno::EINTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn accept(&mut self) -> Result<(), Failure> {
        while let Some(slot) = self.sink.accept()? {
            if let Some(connection) = self.sink.connection(slot) {
                let mark = CONNECTIONS + slot as u64;
                self.epoll.add(&connection.stream, EpollEvent::new(EpollFlags::EPOLLIN, mark))?;
            }
        }
        Ok(())
    }

    fn serve(&mut self, slot: usize) -> Result<(), Failure> {
        if self.sink.serve(slot)? == Served::Open {
            self.watch_writes(slot)?;
        }
        Ok(())
    }

    /// Asks for a wake-up when there is room again, if the sink has to wait for it.
    fn watch_writes(&mut self, slot: usize) -> Result<(), Failure> {
        let Some(connection) = self.sink.connection_mut(slot) else { return Ok(()) };
        let wants = connection.wants_write();
        if connection.watched != wants {
            connection.watched = wants;
            let mut flags = EpollFlags::EPOLLIN;
            flags.set(EpollFlags::EPOLLOUT, wants);
            let mut event = EpollEvent::new(flags, CONNECTIONS + slot as u64);
            self.epoll.modify(&connection.stream, &mut event)?;
        }
        Ok(())
    }

    /// Publishes `payload` from the broker's side.
    pub fn broker_publish(&mut self, topic: &str, payload: &[u8], qos: u8) -> Result<(), Failure> {
        for slot in self.sink.publish(topic, payload, qos)? {
            self.watch_writes(slot)?;
        }
        Ok(())
    }
}

/// Sends a datagram. That nobody listens, or that there is no room, is loss like any other.
pub fn send(socket: &UdpSocket, datagram: &[u8]) -> Result<(), Failure> {
    match socket.send(datagram) {
        Ok(_) => Ok(()),
        Err(error) if passes(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn passes(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::ConnectionRefused | ErrorKind::Interrupted
    )
}

/// What a device does with a datagram that its case does not expect: pings are harmless, refusals
/// are not.
pub fn unexpected(datagram: &[u8]) -> Result<(), Failure> {
    match sn::split(datagram) {
        Some((sn::CONNACK, [.., code])) if *code != 0 => refused("CONNECT", *code),
        Some((sn::REGACK, [.., code])) if *code != 0 => refused("REGISTER", *code),
        Some((sn::SUBACK, [.., code])) if *code != 0 => refused("SUBSCRIBE", *code),
        Some((sn::PUBACK, [.., code])) if *code != 0 => refused("PUBLISH", *code),
        Some((sn::DISCONNECT, _)) => Err("a device was disconnected".into()),
        _ => Ok(()),
    }
}

fn refused(what: &str, code: u8) -> Result<(), Failure> {
    Err(format!("{what} was refused with return code {code}").into())
}
