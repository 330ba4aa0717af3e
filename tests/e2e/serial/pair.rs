//! A serial line with a program at each end: two pseudo-terminals, and a thread that carries octets
//! between them, or packets between two radios.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mqtt_sn_gateway::core::Address;
use mqtt_sn_gateway::time::Time;
use mqtt_sn_gateway::transport::line::{Outbox, Port as Hole, Station, To};

use super::pty::{Plugged, Port};

/// Octets under way in one direction, beyond which no more are taken: the sender has to wait.
const UNDER_WAY: usize = 4_096;

/// The line.
pub struct Pair {
    ends: [Port; 2],
    framing: &'static str,
    keys: &'static str,
    stop: Arc<AtomicBool>,
    pump: Option<JoinHandle<()>>,
}

const GATEWAY: usize = 0;
const DEVICE: usize = 1;

/// A radio module, and the address that it has for others.
pub type Radio = (Box<dyn Station>, Address);

impl Pair {
    /// A wire.
    pub fn new(framing: &'static str) -> Self {
        Self::start(framing, carry)
    }

    /// Two radios, one at each end.
    pub fn radios(framing: &'static str, mut radios: [Radio; 2]) -> Self {
        let mut out = [Outbox::default(), Outbox::default()];
        for ((radio, _), out) in radios.iter_mut().zip(&mut out) {
            radio.opened(Time(0), out);
        }
        Self::start(framing, move |ends| transmit(ends, &mut radios, &mut out))
    }

    fn start(
        framing: &'static str,
        mut step: impl FnMut(&[Plugged; 2]) -> bool + Send + 'static,
    ) -> Self {
        let ends = [Port::new(), Port::new()];
        ends.iter().for_each(Port::plug);
        let (far, stop) = (ends.each_ref().map(Port::far), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let pump = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if !step(&far) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        Self { ends, framing, keys: "", stop, pump: Some(pump) }
    }

    /// With more keys for the gateway.
    pub fn with(mut self, keys: &'static str) -> Self {
        self.keys = keys;
        self
    }

    /// The gateway's `[[serial]]`.
    pub fn table(&self) -> String {
        let (device, framing, keys) = (self.gateway(), self.framing, self.keys);
        format!("[[serial]]\ndevice = \"{device}\"\nframing = \"{framing}\"\n{keys}\n\n")
    }

    /// The end for the tools.
    pub fn device(&self) -> String {
        self.ends[DEVICE].device().to_str().unwrap().to_owned()
    }

    /// The gateway's end.
    pub fn gateway(&self) -> String {
        self.ends[GATEWAY].device().to_str().unwrap().to_owned()
    }

    /// Takes the tools' end away from who has it open.
    pub fn unplug_device(&self) {
        self.ends[DEVICE].unplug();
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.pump.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_none_or(|ended| ended.is_ok()), "the pump");
    }
}

/// Moves octets, and says whether there were any.
fn carry(ends: &[Plugged; 2]) -> bool {
    let mut moved = false;
    for (from, to) in [(GATEWAY, DEVICE), (DEVICE, GATEWAY)] {
        let (mut from, mut to) = (ends[from].lock().unwrap(), ends[to].lock().unwrap());
        if let (Some(from), Some(to)) = (&mut *from, &mut *to) {
            moved |= from.rest.len() < UNDER_WAY && from.read();
            let written = to.write_some(&from.rest);
            from.rest.drain(..written);
            moved |= written > 0;
        }
    }
    moved
}

/// Takes what the hosts have written, and gives each packet to the other one's radio if it is for it or
/// for everybody.
fn transmit(ends: &[Plugged; 2], radios: &mut [Radio; 2], out: &mut [Outbox; 2]) -> bool {
    let mut moved = false;
    for (from, to) in [(GATEWAY, DEVICE), (DEVICE, GATEWAY)] {
        let mut packets = Vec::new();
        if let Some(end) = &mut *ends[from].lock().unwrap()
            && end.read()
        {
            moved = true;
            let octets = std::mem::take(&mut end.rest);
            radios[from].0.feed(
                Time(0),
                Hole::Main,
                &octets,
                &mut out[from],
                &mut |to, _, packet| {
                    packets.push((*to, packet.to_vec()));
                },
            );
        }
        let (sender, receiver) = (radios[from].1, radios[to].1);
        for (address, packet) in packets {
            if address == receiver || address.octets().ends_with(&[0xFF]) {
                radios[to].0.send(Time(0), To::One(&sender), &packet, &mut out[to]).unwrap();
            }
        }
    }
    for (end, out) in ends.iter().zip(out) {
        if let Some(end) = &mut *end.lock().unwrap() {
            end.write(&std::mem::take(&mut out.octets));
        }
    }
    moved
}
