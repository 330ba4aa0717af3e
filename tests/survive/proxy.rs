//! The network between gateway and broker, to be cut.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::tap::{Ear, Side, Tap};

/// What the network does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Network {
    /// It carries everything.
    Whole,
    /// It carries so many octets a second in each direction.
    Slow(u32),
    /// Connections stay open, and can be made, but nothing comes through any more: half-open.
    Stalled,
    /// Connections are closed as soon as they are made.
    Closed,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cut {
    /// In order (FIN).
    Close,
    /// RST.
    Reset,
}

/// How long a thread may take to notice that the network has changed.
const TICK: Duration = Duration::from_millis(5);

/// A listener on the loopback that passes everything on to a broker, as long as the network holds.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    network: Mutex<Network>,
    /// Connections of an earlier generation are over.
    generation: AtomicU64,
    reset: AtomicBool,
    over: AtomicBool,
    accepted: AtomicU32,
    tap: Option<Tap>,
}

impl Proxy {
    /// In front of a broker; what crosses is booked by the tap.
    pub fn start(target: SocketAddr, tap: Option<Tap>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared {
            target,
            network: Mutex::new(Network::Whole),
            generation: AtomicU64::new(0),
            reset: AtomicBool::new(false),
            over: AtomicBool::new(false),
            accepted: AtomicU32::new(0),
            tap,
        });
        let acceptor = Arc::clone(&shared);
        thread::spawn(move || acceptor.accept(&listener));
        Self { address, shared }
    }

    /// Where the gateway finds the broker.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    pub fn set(&self, network: Network) {
        *self.shared.network.lock().unwrap() = network;
    }

    /// Ends all connections that there are.
    pub fn cut(&self, how: Cut) {
        self.shared.reset.store(how == Cut::Reset, Ordering::SeqCst);
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Connections that were accepted so far.
    pub fn accepted(&self) -> u32 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    pub fn tap(&self) -> &Tap {
        self.shared.tap.as_ref().expect("a proxy with a tap")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn network(&self) -> Network {
        *self.network.lock().unwrap()
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        while !self.over.load(Ordering::SeqCst) {
            match listener.accept() {
                Ok((near, _)) => {
                    self.accepted.fetch_add(1, Ordering::SeqCst);
                    let shared = Arc::clone(&self);
                    thread::spawn(move || shared.connection(&near));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(TICK),
                Err(error) => panic!("the proxy cannot accept: {error}"),
            }
        }
    }

    fn connection(self: Arc<Self>, near: &TcpStream) {
        let generation = self.generation.load(Ordering::SeqCst);
        // A network that is stalled now may hold again before the other end has given up.
        while self.network() == Network::Stalled && self.holds(generation) {
            thread::sleep(TICK);
        }
        // Who accepts and is gone at once has at least not answered wrongly.
        if self.network() == Network::Closed || !self.holds(generation) {
            reset(near);
            return;
        }
        let Ok(far) = TcpStream::connect(self.target) else {
            reset(near);
            return;
        };
        for stream in [near, &far] {
            stream.set_nonblocking(false).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(TICK)).unwrap();
        }
        thread::scope(|scope| {
            scope.spawn(|| self.carry(Side::Gateway, near, &far, generation));
            scope.spawn(|| self.carry(Side::Broker, &far, near, generation));
        });
        if generation != self.generation.load(Ordering::SeqCst) && self.reset.load(Ordering::SeqCst)
        {
            reset(near);
            reset(&far);
        }
    }

    fn holds(&self, generation: u64) -> bool {
        generation == self.generation.load(Ordering::SeqCst) && !self.over.load(Ordering::SeqCst)
    }

    /// One direction of a connection, until it ends.
    fn carry(&self, side: Side, mut from: &TcpStream, mut to: &TcpStream, generation: u64) {
        let mut ear = Ear::new(side);
        let mut buffer = vec![0; 16 * 1024];
        while self.holds(generation) {
            let network = self.network();
            let room = match network {
                Network::Whole | Network::Closed => buffer.len(),
                Network::Slow(rate) => {
                    let tick = TICK * 4;
                    thread::sleep(tick);
                    let share = u128::from(rate) * tick.as_micros() / 1_000_000;
                    usize::try_from(share).unwrap().clamp(1, buffer.len())
                }
                Network::Stalled => {
                    thread::sleep(TICK);
                    continue;
                }
            };
            match from.read(&mut buffer[..room]) {
                Ok(0) => break,
                Ok(length) => {
                    // What was read when the network fell over is lost with it.
                    if self.network() == Network::Stalled {
                        while self.network() == Network::Stalled && self.holds(generation) {
                            thread::sleep(TICK);
                        }
                        if !self.holds(generation) {
                            break;
                        }
                    }
                    if let Some(tap) = &self.tap {
                        tap.hear(&mut ear, &buffer[..length]);
                    }
                    if to.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
        }
        // The other direction ends too, with what it has on the way.
        let resets = !self.holds(generation) && self.reset.load(Ordering::SeqCst);
        if !resets {
            let _ = to.shutdown(Shutdown::Write);
            let _ = from.shutdown(Shutdown::Read);
        }
    }
}

/// The stream ends with RST when it is closed.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
