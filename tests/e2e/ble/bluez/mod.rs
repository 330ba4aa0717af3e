//! A stand-in for bluetoothd: the part of `org.bluez` that btleplug uses, with adapters and devices
//! that do as they are told. One thread does everything, in order.

mod calls;
mod describe;
mod firmware;
pub mod peripheral;
mod state;
mod tree;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zbus::message::{Message, Type};
use zbus::{Connection, MessageStream};

use super::bus::Bus;
use crate::rig::PATIENCE;
pub use firmware::{Bridge, Cut, Firmware};
pub use peripheral::{Faults, NUS, NUS_2, NUS_3, Peripheral, Record, Write};
pub use state::{Link, State};

const BUS: &str = "org.freedesktop.DBus";

/// What the thread is told.
enum Order {
    Act(Box<dyn FnOnce(&mut State) + Send>),
    /// Come up on the bus with this address.
    Start(String),
    /// Die.
    Stop,
    /// Connect a sensor with the socket at which its [`crate::rig::Device`] finds it.
    Bridge(usize, std::net::UdpSocket),
    /// A packet of a sensor.
    Packet(usize, SocketAddr, Vec<u8>),
    End,
}

/// bluetoothd, and the air around it. Ends with the last of its clones.
#[derive(Clone)]
pub struct Bluez(Arc<Inner>);

struct Inner {
    orders: UnboundedSender<Order>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Bluez {
    /// One on this bus, with an adapter `hci0` that is powered.
    #[track_caller]
    pub fn on(bus: &Bus) -> Self {
        let bluez = Self::stopped();
        bluez.start(bus);
        bluez
    }

    /// The same before it has come up.
    pub fn stopped() -> Self {
        let (orders, receiver) = unbounded_channel();
        let own = orders.clone();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(receiver, own));
        });
        let bluez = Self(Arc::new(Inner { orders, thread: Mutex::new(Some(thread)) }));
        bluez.with(|state| state.add_adapter("hci0", "C0:00:00:00:00:01"));
        bluez
    }

    /// Comes up on a bus.
    #[track_caller]
    pub fn start(&self, bus: &Bus) {
        self.order(Order::Start(bus.address()));
        self.with(|_| ());
    }

    /// Dies: links go, and nothing is remembered.
    #[track_caller]
    pub fn stop(&self) {
        self.order(Order::Stop);
        self.with(|_| ());
    }

    /// Adds a device that sends back what it gets.
    #[track_caller]
    pub fn add(&self, peripheral: Peripheral) -> usize {
        self.with(|state| state.add_device(peripheral, Firmware::Echo))
    }

    /// Adds a device that speaks MQTT-SN, with its radio off; the address at which it is found by UDP.
    #[track_caller]
    pub fn add_sensor(&self, peripheral: Peripheral) -> (usize, SocketAddr) {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let id = self.with(|state| {
            let id = state.add_device(peripheral, Firmware::Echo);
            state.set_on_air(id, false);
            id
        });
        self.order(Order::Bridge(id, socket));
        (id, address)
    }

    /// Looks at everything, or changes something.
    #[track_caller]
    pub fn with<T: Send + 'static>(&self, act: impl FnOnce(&mut State) -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        self.order(Order::Act(Box::new(move |state| {
            let _ = done.send(act(state));
        })));
        result.recv_timeout(PATIENCE).expect("the stand-in for BlueZ has failed")
    }

    /// Waits until it finds what it looks for.
    #[track_caller]
    pub fn wait<T: Send + 'static>(
        &self,
        what: &str,
        found: impl Fn(&State) -> Option<T> + Send + Sync + 'static,
    ) -> T {
        let (found, deadline) = (Arc::new(found), Instant::now() + PATIENCE);
        loop {
            let found = Arc::clone(&found);
            if let Some(found) = self.with(move |state| found(state)) {
                return found;
            }
            assert!(Instant::now() < deadline, "waiting for {what}: it did not happen");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn order(&self, order: Order) {
        let _ = self.0.orders.send(order);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::End);
        let ended = self.thread.lock().unwrap().take().map(JoinHandle::join);
        let well = ended.is_none_or(|ended| ended.is_ok());
        assert!(std::thread::panicking() || well, "the stand-in for BlueZ has failed");
    }
}

/// The connection with the bus and what comes from it.
struct Daemon {
    connection: Connection,
    messages: MessageStream,
}

impl Daemon {
    async fn start(address: &str) -> zbus::Result<Self> {
        let connection = zbus::connection::Builder::address(address)?.build().await?;
        let messages = MessageStream::from(&connection);
        let rule = format!("type='signal',sender='{BUS}',member='NameOwnerChanged'");
        // Not by zbus, which would answer calls itself then.
        let name = ("org.bluez", 4_u32);
        connection.call_method(Some(BUS), "/", Some(BUS), "AddMatch", &rule).await?;
        connection.call_method(Some(BUS), "/", Some(BUS), "RequestName", &name).await?;
        Ok(Self { connection, messages })
    }
}

async fn run(mut orders: UnboundedReceiver<Order>, own: UnboundedSender<Order>) {
    let (mut state, mut daemon) = (State::default(), None::<Daemon>);
    let mut bridges = tokio::task::JoinSet::new();
    loop {
        let next = state.next().map(tokio::time::Instant::from_std);
        tokio::select! {
            order = orders.recv() => match order.expect("it holds a sender itself") {
                Order::Act(act) => act(&mut state),
                Order::Start(address) => {
                    assert!(daemon.is_none(), "it runs already");
                    daemon = Some(Daemon::start(&address).await.unwrap());
                    state.begin();
                }
                Order::Stop => {
                    if let Some(daemon) = daemon.take() {
                        let _ = daemon.connection.close().await;
                    }
                    state.end();
                }
                Order::Bridge(id, socket) => {
                    let socket = Arc::new(UdpSocket::from_std(socket).unwrap());
                    state.devices[id].firmware = Firmware::Sensor(Bridge::new(Arc::clone(&socket)));
                    bridges.spawn(hear(id, socket, own.clone()));
                }
                Order::Packet(id, from, packet) => state.packet(id, from, packet),
                Order::End => return,
            },
            message = heard(&mut daemon) => match message {
                Some(message) => receive(&mut state, &message),
                // The bus is dead, and so is bluetoothd.
                None => {
                    daemon = None;
                    state.end();
                }
            },
            () = at(next) => state.tick(),
        }
        if let Some(daemon) = &daemon {
            state.announce();
            for message in std::mem::take(&mut state.outbox) {
                // If the bus is dead, that is heard next.
                let _ = daemon.connection.send(&message).await;
            }
        }
        state.outbox.clear();
    }
}

/// The next message, nothing at the end of the bus.
async fn heard(daemon: &mut Option<Daemon>) -> Option<Message> {
    match daemon {
        Some(daemon) => daemon.messages.next().await?.ok(),
        None => std::future::pending().await,
    }
}

async fn at(when: Option<tokio::time::Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

fn receive(state: &mut State, message: &Message) {
    match message.message_type() {
        Type::MethodCall => state.call(message),
        Type::Signal if message.header().member().is_some_and(|it| *it == "NameOwnerChanged") => {
            let (name, _, owner): (String, String, String) = message.body().deserialize().unwrap();
            if owner.is_empty() {
                state.forget_client(&name);
            }
        }
        _ => {}
    }
}

/// Takes the packets of a sensor.
async fn hear(id: usize, socket: Arc<UdpSocket>, orders: UnboundedSender<Order>) {
    let mut buffer = vec![0; 65_536];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        if orders.send(Order::Packet(id, from, buffer[..length].to_vec())).is_err() {
            return;
        }
    }
}
