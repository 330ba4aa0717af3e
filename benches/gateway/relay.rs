//! The yardstick: the least work that turns MQTT-SN into MQTT and back.
//!
//! No sessions, no topics, no timers, no checks: one fixed topic, one table from packet id to the
//! device that waits. Datagrams are received and sent in batches, the broker gets one write per
//! batch. What a real gateway costs above this is the price of being one.
//!
//! Runs as a process of its own, so that its CPU time can be told from that of the load.

use std::io::{IoSlice, IoSliceMut, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt, sockopt,
};

use crate::Failure;
use crate::mqtt::{self, Packet, Reader};
use crate::sn::{self, Publish};

/// As long as the topics that the load registers at the gateway.
const TOPIC: &[u8] = b"bench/relay/value";
const TOPIC_ID: u16 = 1;
const BATCH: usize = 64;
/// Room per datagram received.
const DATAGRAM: usize = 512;
/// Room per datagram sent; all answers and the 64-octet payload fit.
const ANSWER: usize = 128;
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// Whom a packet id belongs to.
#[derive(Clone, Copy)]
struct Waiting {
    device: SockaddrIn,
    topic_id: u16,
    message_id: u16,
}

struct Relay {
    udp: UdpSocket,
    broker: TcpStream,
    reader: Reader,
    to_broker: Vec<u8>,
    scratch: Vec<u8>,
    outbox: Outbox,
    subscribers: Vec<SockaddrIn>,
    /// By packet id.
    waiting: Box<[Option<Waiting>]>,
    /// By port: the packet id of the device's QoS 2 exchange, of which it has one.
    exchanges: Box<[u16]>,
    last_id: u16,
}

/// Datagrams to go out with the next system call.
struct Outbox {
    headers: MultiHeaders<SockaddrIn>,
    octets: Box<[u8]>,
    lengths: [usize; BATCH],
    addresses: [Option<SockaddrIn>; BATCH],
    count: usize,
}

/// Relays between `udp` and `broker` until the broker closes or the parent process ends.
pub fn run(udp: SocketAddr, broker: SocketAddr) -> Result<(), Failure> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let udp = UdpSocket::bind(udp)?;
    udp.set_nonblocking(true)?;
    // The kernel takes less if it must; then bursts are lost and the report shows it.
    setsockopt(&udp, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    let broker = TcpStream::connect(broker)?;
    broker.set_nodelay(true)?;
    let unspecified = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
    let mut relay = Relay {
        udp,
        broker,
        reader: Reader::new(),
        to_broker: Vec::with_capacity(BATCH * DATAGRAM),
        scratch: Vec::with_capacity(ANSWER),
        outbox: Outbox {
            headers: MultiHeaders::preallocate(BATCH, None),
            octets: vec![0; BATCH * ANSWER].into_boxed_slice(),
            lengths: [0; BATCH],
            addresses: [Some(unspecified); BATCH],
            count: 0,
        },
        subscribers: Vec::new(),
        waiting: vec![None; 1 << 16].into_boxed_slice(),
        exchanges: vec![0; 1 << 16].into_boxed_slice(),
        last_id: 0,
    };
    relay.introduce()?;
    relay.turn()
}

impl Relay {
    fn introduce(&mut self) -> Result<(), Failure> {
        let id = b"relay";
        mqtt::header(&mut self.to_broker, mqtt::CONNECT, 12 + id.len());
        self.to_broker.extend_from_slice(b"\x00\x04MQTT\x04\x02\x00\x00\x00");
        self.to_broker.push(id.len() as u8);
        self.to_broker.extend_from_slice(id);
        self.broker.write_all(&self.to_broker)?;
        self.to_broker.clear();
        Ok(())
    }

    fn turn(&mut self) -> Result<(), Failure> {
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
        let mut octets = vec![0; BATCH * DATAGRAM].into_boxed_slice();
        loop {
            let mut ready = [
                PollFd::new(self.udp.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.broker.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let [from_devices, from_broker] = ready.map(|fd| fd.any().unwrap_or(true));
            if from_devices {
                self.receive(&mut headers, &mut octets)?;
            }
            if from_broker {
                if self.reader.fill(&mut self.broker)? == 0 {
                    return Ok(());
                }
                // Taken out so that packets can be read while `self` answers them.
                let mut reader = std::mem::replace(&mut self.reader, Reader::empty());
                while let Some(packet) = reader.next() {
                    self.down(&packet)?;
                }
                self.reader = reader;
            }
            self.outbox.send(&self.udp)?;
            if !self.to_broker.is_empty() {
                self.broker.write_all(&self.to_broker)?;
                self.to_broker.clear();
            }
        }
    }

    /// One batch from the devices.
    fn receive(
        &mut self,
        headers: &mut MultiHeaders<SockaddrIn>,
        octets: &mut [u8],
    ) -> Result<(), Failure> {
        let mut lengths = [(0, None); BATCH];
        {
            let mut rooms = octets.chunks_exact_mut(DATAGRAM);
            let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
                std::array::from_fn(|_| [IoSliceMut::new(rooms.next().unwrap_or_default())]);
            let fd = self.udp.as_raw_fd();
            match recvmmsg(fd, headers, slices.iter_mut(), MsgFlags::empty(), None) {
                Ok(messages) => {
                    for (length, message) in lengths.iter_mut().zip(messages) {
                        *length = (message.bytes, message.address);
                    }
                }
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        for ((length, device), room) in lengths.into_iter().zip(octets.chunks_exact(DATAGRAM)) {
            let Some(device) = device else { break };
            if let Some((kind, body)) = sn::split(&room[..length]) {
                self.up(device, kind, body)?;
            }
        }
        Ok(())
    }

    /// One datagram from a device.
    fn up(&mut self, device: SockaddrIn, kind: u8, body: &[u8]) -> Result<(), Failure> {
        let Self { scratch, outbox, udp, .. } = self;
        match (kind, body) {
            (sn::PUBLISH, [flags, _, _, _, _, payload @ ..]) => {
                let (topic_id, message_id) = (sn::field(body, 1), sn::field(body, 3));
                let mut id = 0;
                if sn::qos(*flags) != 0 {
                    id = self.last_id.checked_add(1).unwrap_or(1);
                    self.last_id = id;
                    self.waiting[usize::from(id)] = Some(Waiting {
                        device,
                        topic_id: topic_id.unwrap_or(0),
                        message_id: message_id.unwrap_or(0),
                    });
                    self.exchanges[usize::from(device.port())] = id;
                }
                mqtt::publish(&mut self.to_broker, sn::qos(*flags), id, TOPIC, payload);
                return Ok(());
            }
            (sn::PUBREL, _) => {
                let id = self.exchanges[usize::from(device.port())];
                mqtt::acknowledge(&mut self.to_broker, mqtt::PUBREL, id);
                return Ok(());
            }
            (sn::CONNECT, _) => sn::connack(scratch),
            (sn::REGISTER, _) => sn::regack(scratch, TOPIC_ID, sn::field(body, 2).unwrap_or(0)),
            (sn::SUBSCRIBE, _) => {
                self.subscribers.push(device);
                sn::suback(scratch, 0, TOPIC_ID, sn::field(body, 1).unwrap_or(0));
            }
            _ => return Ok(()),
        }
        outbox.push(udp, device, scratch)
    }

    /// One packet from the broker.
    fn down(&mut self, packet: &Packet<'_>) -> Result<(), Failure> {
        let Self { scratch, outbox, udp, .. } = self;
        let waiting = |id: Option<u16>| id.and_then(|id| self.waiting[usize::from(id)]);
        match packet.kind() {
            mqtt::PUBLISH => {
                let Some((_, _, payload)) = packet.publish() else { return Ok(()) };
                let header =
                    Publish { qos: 0, duplicate: false, topic_id: TOPIC_ID, message_id: 0 };
                sn::publish(scratch, header, payload);
                for subscriber in &self.subscribers {
                    outbox.push(udp, *subscriber, scratch)?;
                }
                Ok(())
            }
            mqtt::PUBACK => match waiting(packet.id()) {
                Some(Waiting { device, topic_id, message_id }) => {
                    outbox.push(udp, device, &sn::puback(topic_id, message_id))
                }
                None => Ok(()),
            },
            kind @ (mqtt::PUBREC | mqtt::PUBCOMP) => match waiting(packet.id()) {
                Some(Waiting { device, message_id, .. }) => {
                    let kind = if kind == mqtt::PUBREC { sn::PUBREC } else { sn::PUBCOMP };
                    outbox.push(udp, device, &sn::handshake(kind, message_id))
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

impl Outbox {
    fn push(&mut self, udp: &UdpSocket, to: SockaddrIn, datagram: &[u8]) -> Result<(), Failure> {
        if self.count == BATCH {
            self.send(udp)?;
        }
        let start = self.count * ANSWER;
        self.octets[start..start + datagram.len()].copy_from_slice(datagram);
        self.lengths[self.count] = datagram.len();
        self.addresses[self.count] = Some(to);
        self.count += 1;
        Ok(())
    }

    fn send(&mut self, udp: &UdpSocket) -> Result<(), Failure> {
        let mut sent = 0;
        while sent < self.count {
            let slices: [[IoSlice<'_>; 1]; BATCH] = std::array::from_fn(|index| {
                let start = index * ANSWER;
                [IoSlice::new(&self.octets[start..start + self.lengths[index]])]
            });
            let (slices, addresses) =
                (&slices[sent..self.count], &self.addresses[sent..self.count]);
            let fd = udp.as_raw_fd();
            match sendmmsg(fd, &mut self.headers, slices, addresses, [], MsgFlags::empty()) {
                Ok(messages) => sent += messages.count(),
                // A device that is gone, or a full buffer: one datagram lost, as on any network.
                Err(Errno::ECONNREFUSED | Errno::EAGAIN) => sent += 1,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.count = 0;
        Ok(())
    }
}
