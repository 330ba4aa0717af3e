//! The adapter and its devices, by way of btleplug and BlueZ.
//!
//! It runs in a thread with a runtime of its own: the library may block, panic, or never answer, and
//! the loop does not notice. When BlueZ or the bus goes, the adapter is unplugged or switched off,
//! everything here is thrown away with its runtime and begun again: the library's streams would stay
//! silent for ever.

mod adapter;
mod channel;
mod device;
mod look;
mod quirk;
mod session;
mod signs;
mod trouble;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::known::Known;
use super::lane::Lane;
use super::settings::{Mac, Settings};
use super::window::Window;
use crate::ops::RateLimit;
use crate::time::Time;
pub(crate) use adapter::Found;
pub(crate) use look::{Heard, adapters, in_range};
use session::Session;
pub(crate) use trouble::Trouble;

/// Events that wait for the loop.
const EVENTS: usize = 256;
/// The first pause before the adapter is tried again, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What happens, for the loop.
#[derive(Debug)]
pub(super) enum Event {
    /// A device is connected.
    Up(Arc<Lane>),
    /// It is not any more.
    Down(Mac),
    /// Nobody is.
    AllDown,
    /// It has sent a packet.
    Packet { from: Mac, rssi: Option<i16>, packet: Vec<u8> },
    /// There is more room in its lane.
    Room(Mac),
}

/// What went through the link since its start.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Packets received.
    pub(super) received: AtomicU64,
    /// Packets written whole.
    pub(super) sent: AtomicU64,
    /// Packets received and dropped because the loop did not come to take them.
    pub(super) overrun: AtomicU64,
    /// Packets that a device does not take in one piece.
    pub(super) unsendable: AtomicU64,
    /// Octets received that are no packets.
    pub(super) noise: AtomicU64,
    /// Connections made, and tries that failed.
    pub(super) connections: AtomicU64,
    pub(super) failures: AtomicU64,
    /// The adapter is there and switched on.
    pub(super) up: AtomicBool,
    /// Devices that are remembered.
    pub(super) known: AtomicU64,
}

impl Counts {
    pub(super) fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn of(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// What all parts of the thread know.
#[derive(Debug)]
struct Shared {
    /// The link, for logs.
    name: String,
    settings: Settings,
    events: mpsc::Sender<Event>,
    counts: Arc<Counts>,
    window: Arc<Window>,
    began: Instant,
}

impl Shared {
    fn now(&self) -> Time {
        Time(0).after(self.began.elapsed())
    }
}

/// The thread.
#[derive(Debug)]
pub(super) struct Radio {
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) counts: Arc<Counts>,
    /// In which devices may join.
    pub(super) window: Arc<Window>,
    stop: watch::Sender<bool>,
    ended: std::sync::mpsc::Receiver<()>,
}

impl Radio {
    /// Starts it. What devices have joined is remembered in `state_dir`, if it has to be.
    pub(super) fn start(name: String, settings: Settings, state_dir: PathBuf) -> Self {
        quirk::keep_quiet();
        let (sender, events) = mpsc::channel(EVENTS);
        let (stop, stopping) = watch::channel(false);
        let (end, ended) = std::sync::mpsc::channel();
        let counts = Arc::new(Counts::default());
        let window = Arc::new(Window::new(settings.permit_join));
        let shared = Arc::new(Shared {
            name,
            settings,
            events: sender,
            counts: Arc::clone(&counts),
            window: Arc::clone(&window),
            began: Instant::now(),
        });
        let link = shared.name.clone();
        let thread = thread::Builder::new().name(quirk::THREAD.to_owned());
        let started = thread.spawn(move || {
            run(&shared, stopping, state_dir);
            // Nobody may be there any more.
            let _ = end.send(());
        });
        if let Err(error) = started {
            warn!("{link}: cannot start a thread: {error}");
        }
        Self { events, counts, window, stop, ended }
    }

    /// Asks it to end, and gives it so long to disconnect devices.
    pub(super) fn stop(&mut self, patience: Duration) {
        let _ = self.stop.send(true);
        self.events.close();
        // An error means that it has ended already, or that it does not in time.
        let _ = self.ended.recv_timeout(patience);
    }
}

fn run(shared: &Arc<Shared>, mut stop: watch::Receiver<bool>, state_dir: PathBuf) {
    let mut known = Known::load(shared.settings.permit_join, state_dir);
    shared.counts.known.store(known.len() as u64, Ordering::Relaxed);
    let mut pause = PAUSE_MIN;
    let mut said: Option<Trouble> = None;
    let mut lines = RateLimit::new(6, Duration::from_secs(60), 1);
    loop {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let outcome = runtime.map_err(|error| error.to_string()).map(|runtime| {
            let session = Session::new(shared, &mut known);
            let work = AssertUnwindSafe(|| runtime.block_on(session.run(&mut stop)));
            let outcome = catch_unwind(work).unwrap_or(Err((true, Trouble::Panicked)));
            // Whatever it does when it is dropped.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(runtime)));
            outcome
        });
        shared.counts.up.store(false, Ordering::Relaxed);
        // An error means that nobody is there any more.
        let _ = shared.events.blocking_send(Event::AllDown);
        let (worked, trouble) = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(ended)) => ended,
            Err(error) => (false, Trouble::Other { what: "start a runtime", error }),
        };
        if worked {
            // It is a new absence.
            (pause, said) = (PAUSE_MIN, None);
        }
        if said.as_ref() != Some(&trouble)
            && let Some(more) = lines.allow(Instant::now(), ())
        {
            warn!("{}: {trouble}. It is tried again until it works{more}", shared.name);
            said = Some(trouble);
        }
        if is_stopped_within(&stop, pause) {
            return;
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Waits, outside of any runtime.
fn is_stopped_within(stop: &watch::Receiver<bool>, pause: Duration) -> bool {
    let end = Instant::now() + pause;
    loop {
        if *stop.borrow() || stop.has_changed().is_err() {
            return true;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        thread::sleep(left.min(Duration::from_millis(100)));
    }
}
