//! All devices of a test, in a thread of their own.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::device::{Device, Life};
use crate::ledger::Ledger;

/// Devices out in the field.
pub struct Field {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    devices: Mutex<Vec<Device>>,
    enough: AtomicBool,
    quit: AtomicBool,
}

impl Field {
    /// One device for each life; their numbers count from 0.
    pub fn start(gateway: SocketAddr, lives: &[Life], ledger: &Arc<Ledger>, seed: u64) -> Self {
        let devices = (0..)
            .zip(lives)
            .map(|(number, life)| Device::new(number, *life, gateway, ledger, seed))
            .collect();
        let shared = Arc::new(Shared {
            devices: Mutex::new(devices),
            enough: AtomicBool::new(false),
            quit: AtomicBool::new(false),
        });
        let field = Arc::clone(&shared);
        let thread = thread::spawn(move || field.run());
        Self { shared, thread: Some(thread) }
    }

    /// They publish nothing new, but go on collecting.
    pub fn enough(&self) {
        self.shared.enough.store(true, Ordering::SeqCst);
    }

    /// Everything that they have published is acknowledged.
    pub fn is_idle(&self) -> bool {
        self.assert_alive();
        self.shared.devices.lock().unwrap().iter().all(Device::is_idle)
    }

    /// What they are about.
    pub fn states(&self) -> String {
        let devices = self.shared.devices.lock().unwrap();
        devices.iter().map(Device::state).collect::<Vec<_>>().join("\n")
    }

    /// Naps, requests that had to be repeated, and answers "congestion".
    pub fn counts(&self) -> (u32, u32, u32) {
        let devices = self.shared.devices.lock().unwrap();
        let sum = |count: fn(&Device) -> u32| devices.iter().map(count).sum();
        (sum(|device| device.naps), sum(|device| device.repeats), sum(|device| device.congested))
    }

    fn assert_alive(&self) {
        let over = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        assert!(!over, "the devices' thread has ended");
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        let ended = self.thread.take().is_none_or(|thread| thread.join().is_ok());
        if !ended && !thread::panicking() {
            panic!("the devices' thread has panicked");
        }
    }
}

impl Shared {
    fn run(&self) {
        while !self.quit.load(Ordering::SeqCst) {
            let enough = self.enough.load(Ordering::SeqCst);
            let mut devices = self.devices.lock().unwrap();
            for device in &mut *devices {
                device.turn(enough);
            }
            let mut sockets: Vec<_> = devices
                .iter()
                .map(|device| PollFd::new(device.socket().as_fd(), PollFlags::POLLIN))
                .collect();
            let _ = poll(&mut sockets, PollTimeout::from(2_u8));
            drop(sockets);
            drop(devices);
            // Whoever asks gets the lock.
            thread::sleep(Duration::from_micros(200));
        }
    }
}
