//! An XBee module on a serial port, and a network of nodes. Devices find each node by UDP.
//!
//! The module is written from Digi's manuals and shares nothing with the gateway. It does not forgive:
//! a frame that it cannot read is counted.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::serial::pty::{Plugged, Port, Pty};

/// The family of a module.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Series {
    /// 802.15.4: legacy frames, no NP.
    One,
    /// Zigbee.
    Two,
    /// Zigbee with AO=1: explicit frames.
    Explicit,
}

/// A node, by its number.
pub type Number = usize;

/// The module and its network.
pub struct Network {
    port: Port,
    state: Arc<Mutex<State>>,
    addresses: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    series: Series,
    /// AP.
    api: u8,
    nodes: Vec<Node>,
    /// How long a status takes; never without.
    delay: Option<Duration>,
    /// Frames that go to the host later.
    later: Vec<(Instant, Vec<u8>)>,
    complaints: Vec<String>,
    /// 16-bit addresses that packets were sent to.
    sent_to: Vec<[u8; 2]>,
}

struct Node {
    socket: UdpSocket,
    device: Option<SocketAddr>,
    long: [u8; 8],
    short: [u8; 2],
    is_away: bool,
    /// It has no 64-bit address in its packets.
    is_short: bool,
}

const UNKNOWN_LONG: [u8; 8] = [0xFF; 8];
const UNKNOWN_SHORT: [u8; 2] = [0xFF, 0xFE];
const EVERYBODY: [u8; 8] = [0, 0, 0, 0, 0, 0, 0xFF, 0xFF];

impl Network {
    /// So many nodes, and a module in this mode that is plugged in.
    pub fn new(series: Series, api: u8, nodes: usize) -> Self {
        let nodes: Vec<Node> = (0..nodes).map(Node::new).collect();
        let addresses = nodes.iter().map(|node| node.socket.local_addr().unwrap()).collect();
        let state = State {
            series,
            api,
            nodes,
            delay: Some(Duration::ZERO),
            later: Vec::new(),
            complaints: Vec::new(),
            sent_to: Vec::new(),
        };
        let (port, state) = (Port::new(), Arc::new(Mutex::new(state)));
        port.plug();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (far, state, stop) = (port.far(), Arc::clone(&state), Arc::clone(&stop));
            std::thread::spawn(move || run(&far, &state, &stop))
        };
        Self { port, state, addresses, stop, thread: Some(thread) }
    }

    /// Where a device finds its node.
    pub fn node(&self, number: Number) -> SocketAddr {
        self.addresses[number]
    }

    pub fn device(&self) -> PathBuf {
        self.port.device()
    }

    /// Its `[[serial]]`.
    pub fn table(&self) -> String {
        format!("[[serial]]\ndevice = \"{}\"\nframing = \"xbee\"\n\n", self.device().display())
    }

    pub fn unplug(&self) {
        self.port.unplug();
    }

    pub fn plug(&self) {
        self.port.plug();
    }

    /// The module restarts, and has this mode then. If it is plugged in, it says so.
    pub fn restart(&self, api: u8) {
        let mut state = self.state.lock().unwrap();
        state.api = api;
        state.later.clear();
        if let Some(pty) = &mut *self.port.far().lock().unwrap() {
            pty.rest.clear();
            if api > 0 {
                pty.write(&frame(api, &[0x8A, 0]));
            }
        }
    }

    /// The node joins the network again, with this 16-bit address.
    pub fn rejoin(&self, number: Number, short: [u8; 2]) {
        self.state.lock().unwrap().nodes[number].short = short;
    }

    /// The node is out of reach, or is not.
    pub fn set_away(&self, number: Number, is_away: bool) {
        self.state.lock().unwrap().nodes[number].is_away = is_away;
    }

    /// The node sends with its 16-bit address alone.
    pub fn set_short(&self, number: Number) {
        self.state.lock().unwrap().nodes[number].is_short = true;
    }

    /// How long statuses take; without, they never come.
    pub fn set_delay(&self, delay: Option<Duration>) {
        self.state.lock().unwrap().delay = delay;
    }

    /// Puts octets on the line as they are.
    pub fn noise(&self, octets: &[u8]) {
        self.port.far().lock().unwrap().as_mut().expect("it is plugged in").write(octets);
    }

    /// What the gateway did wrong.
    pub fn complaints(&self) -> Vec<String> {
        self.state.lock().unwrap().complaints.clone()
    }

    /// 16-bit addresses that packets were sent to since this was last asked.
    pub fn sent_to(&self) -> Vec<[u8; 2]> {
        std::mem::take(&mut self.state.lock().unwrap().sent_to)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_none_or(|ended| ended.is_ok()), "the module");
    }
}

impl Node {
    /// Addresses with every octet that is escaped in mode 2.
    fn new(number: Number) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let last = u8::try_from(number).unwrap();
        let long = [0x00, 0x13, 0xA2, 0x00, 0x7E, 0x7D, 0x11, last];
        let short = [0x7E, last];
        Self { socket, device: None, long, short, is_away: false, is_short: false }
    }
}

fn run(far: &Plugged, state: &Mutex<State>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut idle = true;
        let mut state = state.lock().unwrap();
        let mut far = far.lock().unwrap();
        for number in 0..state.nodes.len() {
            if let Some(octets) = state.hear(number) {
                idle = false;
                if let Some(pty) = &mut *far {
                    pty.write(&octets);
                }
            }
        }
        if let Some(pty) = &mut *far {
            idle &= !pty.read();
            state.work(pty);
        }
        drop((far, state));
        if idle {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl State {
    /// What goes to the host because a device has sent something by this node.
    fn hear(&mut self, number: Number) -> Option<Vec<u8>> {
        let node = &mut self.nodes[number];
        let mut buffer = [0; 2_048];
        let (length, from) = node.socket.recv_from(&mut buffer).ok()?;
        node.device = Some(from);
        if node.is_away {
            return None;
        }
        let packet = &buffer[..length];
        let long = if node.is_short { UNKNOWN_LONG } else { node.long };
        let mut data = Vec::new();
        match (self.api, self.series) {
            (0, _) => return Some(packet.to_vec()),
            (_, Series::One) if node.is_short => {
                data.push(0x81);
                data.extend(node.short);
                data.extend([45, 0]);
            }
            (_, Series::One) => {
                data.push(0x80);
                data.extend(node.long);
                data.extend([45, 0]);
            }
            (_, Series::Two) => {
                data.push(0x90);
                data.extend(long);
                data.extend(node.short);
                data.push(1);
            }
            (_, Series::Explicit) => {
                data.push(0x91);
                data.extend(long);
                data.extend(node.short);
                data.extend([0xE6, 0xE8, 0x00, 0x11, 0xC1, 0x05, 1]);
            }
        }
        data.extend(packet);
        Some(frame(self.api, &data))
    }

    /// Takes what the host has sent, and sends what is due.
    fn work(&mut self, pty: &mut Pty) {
        if self.api == 0 {
            // Everybody hears what the host says.
            let octets = std::mem::take(&mut pty.rest);
            if !octets.is_empty() {
                self.everybody(&octets);
            }
            return;
        }
        while let Some(read) = next(self.api, &mut pty.rest) {
            match read {
                Ok(data) => self.obey(&data, pty),
                Err(what) => self.complaints.push(what),
            }
        }
        let now = Instant::now();
        for (_, frame) in self.later.extract_if(.., |(due, _)| *due <= now) {
            pty.write(&frame);
        }
    }

    fn obey(&mut self, data: &[u8], pty: &mut Pty) {
        match (self.series, data) {
            (_, [0x08, id, first, second]) if *id != 0 => {
                let answer = self.parameter(&[*first, *second]);
                let status = if answer.is_some() { 0 } else { 2 };
                let head = [0x88, *id, *first, *second, status];
                pty.write(&frame(self.api, &[&head[..], &answer.unwrap_or_default()].concat()));
            }
            (Series::One, [0x00, id, rest @ ..]) if rest.len() > 9 => {
                let long = rest[..8].try_into().unwrap();
                let delivery = self.deliver(long, UNKNOWN_SHORT, &rest[9..]);
                self.status(&[0x89, *id, delivery]);
            }
            (Series::One, [0x01, id, high, low, _, payload @ ..]) => {
                let delivery = self.deliver(UNKNOWN_LONG, [*high, *low], payload);
                self.status(&[0x89, *id, delivery]);
            }
            (Series::Two | Series::Explicit, [0x10, id, rest @ ..]) if rest.len() > 12 => {
                self.transmit(*id, rest, &rest[12..]);
            }
            (Series::Explicit, [0x11, id, rest @ ..]) if rest.len() > 18 => {
                if rest[10..16] != [0xE8, 0xE6, 0x00, 0x11, 0xC1, 0x05] {
                    self.complaints.push(format!("endpoints {:02X?}", &rest[10..16]));
                }
                self.transmit(*id, rest, &rest[18..]);
            }
            _ => self.complaints.push(format!("frame {data:02X?}")),
        }
    }

    fn transmit(&mut self, id: u8, addresses: &[u8], payload: &[u8]) {
        let long = addresses[..8].try_into().unwrap();
        let short = addresses[8..10].try_into().unwrap();
        let delivery = self.deliver(long, short, payload);
        let node = self.nodes.iter().find(|node| node.long == long);
        let [high, low] = node.filter(|_| delivery == 0).map_or(UNKNOWN_SHORT, |node| node.short);
        self.status(&[0x8B, id, high, low, 0, delivery, 0]);
    }

    /// Says what became of a packet, if that is asked for.
    fn status(&mut self, data: &[u8]) {
        if let Some(delay) = self.delay.filter(|_| data[1] != 0) {
            self.later.push((Instant::now() + delay, frame(self.api, data)));
        }
    }

    fn deliver(&mut self, long: [u8; 8], short: [u8; 2], payload: &[u8]) -> u8 {
        let most = if self.series == Series::One { 100 } else { 84 };
        if payload.len() > most {
            return 0x74;
        }
        if long == EVERYBODY {
            self.everybody(payload);
            return 0;
        }
        self.sent_to.push(short);
        let is_it = |node: &&Node| {
            if long == UNKNOWN_LONG { node.short == short } else { node.long == long }
        };
        let Some(node) = self.nodes.iter().find(is_it) else { return 0x24 };
        if node.is_away {
            return if self.series == Series::One { 0x01 } else { 0x21 };
        }
        // One that has moved is looked for only if the host does not claim to know where it is.
        if short != UNKNOWN_SHORT && short != node.short {
            return 0x24;
        }
        node.give(payload);
        0
    }

    fn everybody(&self, payload: &[u8]) {
        for node in self.nodes.iter().filter(|node| !node.is_away) {
            node.give(payload);
        }
    }

    fn parameter(&self, name: &[u8; 2]) -> Option<Vec<u8>> {
        let is_1 = self.series == Series::One;
        Some(match name {
            b"AP" => vec![self.api],
            b"SH" => vec![0x00, 0x13, 0xA2, 0x00],
            b"SL" => vec![0x40, 0x7D, 0x13, 0x7E],
            b"CH" => vec![0x0C],
            b"ID" if is_1 => vec![0x33, 0x32],
            b"VR" if is_1 => vec![0x10, 0xED],
            b"HV" if is_1 => vec![0x17, 0x44],
            b"ID" => vec![0, 0, 0, 0, 0, 0, 0x33, 0x32],
            b"VR" => vec![0x40, 0x60],
            b"HV" => vec![0x2E, 0x4E],
            b"NP" if !is_1 => vec![0, 84],
            b"AO" if !is_1 => vec![u8::from(self.series == Series::Explicit)],
            _ => return None,
        })
    }
}

impl Node {
    fn give(&self, payload: &[u8]) {
        if let Some(device) = self.device {
            self.socket.send_to(payload, device).unwrap();
        }
    }
}

/// A frame as it goes on the line.
fn frame(api: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    let sum: u32 = data.iter().map(|octet| u32::from(*octet)).sum();
    let checksum = 0xFF - u8::try_from(sum % 256).unwrap();
    let mut line = vec![0x7E];
    for octet in length.iter().chain(data).chain([&checksum]) {
        if api == 2 && [0x7E, 0x7D, 0x11, 0x13].contains(octet) {
            line.extend([0x7D, octet ^ 0x20]);
        } else {
            line.push(*octet);
        }
    }
    line
}

/// The next frame that is whole, or what is wrong with what is there instead.
fn next(api: u8, line: &mut Vec<u8>) -> Option<Result<Vec<u8>, String>> {
    if line.first().is_some_and(|first| *first != 0x7E) {
        let start = line.iter().position(|octet| *octet == 0x7E).unwrap_or(line.len());
        let noise: Vec<u8> = line.drain(..start).collect();
        return Some(Err(format!("between frames: {noise:02X?}")));
    }
    let mut plain = Vec::new();
    let mut octets = line.iter().skip(1).enumerate();
    while let Some((at, octet)) = octets.next() {
        if api == 2 && *octet == 0x7E {
            let cut: Vec<u8> = line.drain(..=at).collect();
            return Some(Err(format!("cut off: {cut:02X?}")));
        }
        let (at, octet) = match octet {
            0x7D if api == 2 => {
                let (at, next) = octets.next()?;
                (at, next ^ 0x20)
            }
            _ => (at, *octet),
        };
        plain.push(octet);
        let length = match plain[..] {
            [high, low, ..] => usize::from(u16::from_be_bytes([high, low])),
            _ => continue,
        };
        if plain.len() < length + 3 {
            continue;
        }
        line.drain(..at + 2);
        let sum: u32 = plain[2..].iter().map(|octet| u32::from(*octet)).sum();
        if sum % 256 != 0xFF {
            return Some(Err(format!("checksum of {plain:02X?}")));
        }
        return Some(Ok(plain[2..length + 2].to_vec()));
    }
    None
}
