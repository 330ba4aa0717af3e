//! A radio on a serial line, with devices that have addresses: each of them is found by a UDP socket of
//! its own. What is said on the line is the business of a [`Modem`].

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::pty::{Plugged, Port};

/// Everybody.
pub const ALL: u8 = 255;

/// What a modem wants to be done.
#[derive(Default)]
pub struct Doing {
    /// For the line, and for the second device of a pair.
    pub line: [Vec<u8>; 2],
    /// Packets for devices.
    pub devices: Vec<(u8, Vec<u8>)>,
}

/// What sits at the end of the line.
pub trait Modem: Send + 'static {
    /// It has been plugged in.
    fn start(&mut self, doing: &mut Doing);
    /// The gateway has written this to one of its devices.
    fn hear(&mut self, port: usize, octets: &[u8], doing: &mut Doing);
    /// A device sends this.
    fn send(&mut self, from: u8, packet: &[u8], doing: &mut Doing);
    /// Time passes.
    fn tick(&mut self, _: &mut Doing) {}
}

/// What is shared with the radio's thread.
struct Shared<M> {
    modem: Mutex<M>,
    far: [Plugged; 2],
    devices: Mutex<HashMap<u8, (UdpSocket, Option<SocketAddr>)>>,
    stop: AtomicBool,
}

pub struct Radio<M: Modem> {
    ports: [Port; 2],
    shared: Arc<Shared<M>>,
    thread: Option<JoinHandle<()>>,
}

impl<M: Modem> Radio<M> {
    /// One that is plugged in.
    pub fn new(modem: M) -> Self {
        let ports = [Port::new(), Port::new()];
        let shared = Arc::new(Shared {
            modem: Mutex::new(modem),
            far: [ports[0].far(), ports[1].far()],
            devices: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || run(&shared))
        };
        let radio = Self { ports, shared, thread: Some(thread) };
        radio.plug();
        radio
    }

    /// Where the device with this address finds the radio.
    pub fn device(&self, address: u8) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let at = socket.local_addr().unwrap();
        self.shared.devices.lock().unwrap().insert(address, (socket, None));
        at
    }

    /// What the gateway knows its devices by.
    pub fn path(&self, port: usize) -> PathBuf {
        self.ports[port].device()
    }

    /// Its `[[serial]]`, with these lines.
    pub fn table(&self, lines: &str) -> String {
        format!("[[serial]]\ndevice = \"{}\"\n{lines}\n\n", self.path(0).display())
    }

    pub fn plug(&self) {
        self.ports.iter().for_each(Port::plug);
        self.with(|modem, doing| modem.start(doing));
    }

    pub fn unplug(&self) {
        self.ports.iter().for_each(Port::unplug);
    }

    /// Does something with the modem.
    pub fn with<T>(&self, act: impl FnOnce(&mut M, &mut Doing) -> T) -> T {
        let mut doing = Doing::default();
        let done = act(&mut self.shared.modem.lock().unwrap(), &mut doing);
        self.shared.act(doing);
        done
    }
}

impl<M: Modem> Drop for Radio<M> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_none_or(|ended| ended.is_ok()), "the radio");
    }
}

impl<M: Modem> Shared<M> {
    /// What is sent to a line that is unplugged is lost, and so is what is for a device that has never
    /// said anything.
    fn act(&self, doing: Doing) {
        for (far, octets) in self.far.iter().zip(&doing.line) {
            if let Some(pty) = &mut *far.lock().unwrap() {
                pty.write(octets);
            }
        }
        let devices = self.devices.lock().unwrap();
        for (to, packet) in &doing.devices {
            for (address, (socket, at)) in devices.iter() {
                if let Some(at) = at
                    && (to == address || *to == ALL)
                {
                    socket.send_to(packet, at).unwrap();
                }
            }
        }
    }

    /// Whether nothing was to be done.
    fn turn(&self, buffer: &mut [u8]) -> bool {
        let mut said: Vec<(u8, Vec<u8>)> = Vec::new();
        for (address, (socket, at)) in self.devices.lock().unwrap().iter_mut() {
            if let Ok((length, from)) = socket.recv_from(buffer) {
                *at = Some(from);
                said.push((*address, buffer[..length].to_vec()));
            }
        }
        let mut written: Vec<(usize, Vec<u8>)> = Vec::new();
        for (port, far) in self.far.iter().enumerate() {
            if let Some(pty) = &mut *far.lock().unwrap()
                && pty.read()
            {
                written.push((port, std::mem::take(&mut pty.rest)));
            }
        }
        let idle = said.is_empty() && written.is_empty();
        let mut doing = Doing::default();
        let mut modem = self.modem.lock().unwrap();
        for (port, octets) in written {
            modem.hear(port, &octets, &mut doing);
        }
        for (from, packet) in said {
            modem.send(from, &packet, &mut doing);
        }
        modem.tick(&mut doing);
        drop(modem);
        self.act(doing);
        idle
    }
}

fn run<M: Modem>(shared: &Shared<M>) {
    let mut buffer = vec![0; 65_536];
    while !shared.stop.load(Ordering::Relaxed) {
        if shared.turn(&mut buffer) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
