//! One device: connected, found out about, listened to and written to, until the connection ends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use btleplug::api::{Peripheral as _, ValueNotification};
use btleplug::platform::Peripheral;
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::adapter::{ANSWER, answer};
use super::channel::{Channel, choose};
use super::{Counts, Event, Shared};
use crate::codec::{Qos, msg_type, peek};
use crate::core::Address;
use crate::transport::ble::lane::Lane;
use crate::transport::ble::settings::Mac;
use crate::transport::framing::Decoder;

/// How long a device may take to be found out about, and to answer what is written to it. BlueZ would try
/// for longer, and others wait.
const DISCOVER: Duration = Duration::from_secs(15);
const WRITE: Duration = Duration::from_secs(10);
/// A device that is looked at so often and found connected each time, while it is being connected, has come by
/// itself.
const CAME_LOOK: Duration = Duration::from_secs(1);
const CAME_LOOKS: u32 = 3;
/// How long it takes at most to disconnect: BlueZ leaves a device 2 s to say goodbye.
const DISCONNECT: Duration = Duration::from_secs(5);
/// How often a connection is looked at that nothing comes through: events get lost.
const LOOK: Duration = Duration::from_secs(15);
/// The rest of a packet that has begun comes within this time.
const GAP: Duration = Duration::from_secs(2);
/// What a write takes of the MTU for itself (Bluetooth Core 5.4, 3.F.3.4.5).
const WRITE_HEADER: usize = 3;
/// Nothing that is written is longer, whatever the MTU (Bluetooth Core 5.4, 3.F.3.2.9): devices drop it.
const LONGEST_VALUE: usize = 512;
/// Writes without an answer in a row, after which there is one with an answer, so that BlueZ does not
/// collect more than the radio can send.
const SILENT_WRITES: u32 = 16;
/// Octets a second to devices that never answer writes; more might pile up in BlueZ.
const SILENT_RATE: u32 = 4_096;

/// What a device's task is asked to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// Connect within this time; the strength with which the device was heard, dBm.
    Connect { rssi: Option<i16>, patience: Duration },
    /// Look whether it is still connected.
    Check,
    /// Disconnect.
    Release,
}

/// What has become of it.
#[derive(Debug)]
pub(super) enum Report {
    Up(Mac, Arc<Lane>, Link),
    /// Connecting has failed; why, if it was not given up by order.
    Failed(Mac, Option<String>),
    /// The connection has ended; why, if it was not asked for.
    Ended(Mac, Option<String>),
}

/// What a connection is like, for the log.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) mtu: u16,
    pub(super) channel: Channel,
}

type Notes = Pin<Box<dyn Stream<Item = ValueNotification> + Send>>;

/// The task of a device. It is kept while the device is away, with the stream of what it says: to make a new
/// one each time would lose something each time, and make the library panic now and then.
pub(super) struct Attendant {
    pub(super) shared: Arc<Shared>,
    pub(super) device: Mac,
    pub(super) peripheral: Peripheral,
    pub(super) reports: mpsc::Sender<Report>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) notes: Option<Notes>,
}

impl Attendant {
    /// Follows orders until there will be none.
    pub(super) async fn run(mut self) {
        while let Some(order) = self.orders.recv().await {
            let Order::Connect { rssi, patience } = order else { continue };
            let report = self.visit(rssi, patience).await;
            if self.reports.send(report).await.is_err() {
                return;
            }
        }
    }

    /// One connection from its beginning to its end.
    async fn visit(&mut self, rssi: Option<i16>, patience: Duration) -> Report {
        let link = match self.connect(patience).await {
            Ok(link) => link,
            Err(why) => {
                Counts::add(&self.shared.counts.failures, 1);
                disconnect(&self.peripheral).await;
                return Report::Failed(self.device, why);
            }
        };
        Counts::add(&self.shared.counts.connections, 1);
        let room = usize::from(link.mtu).saturating_sub(WRITE_HEADER).clamp(1, LONGEST_VALUE);
        let settings = &self.shared.settings;
        let largest = if settings.split { settings.max_packet } else { room };
        let address = Address::new(&self.device.0).unwrap_or(Address::NONE);
        let lane = Arc::new(Lane::new(self.device, address, largest.min(settings.max_packet)));
        // The loop knows the device before its first packet.
        let channel = link.channel.clone();
        let up = Event::Up(Arc::clone(&lane));
        let report = Report::Up(self.device, Arc::clone(&lane), link);
        if self.shared.events.send(up).await.is_err() || self.reports.send(report).await.is_err() {
            disconnect(&self.peripheral).await;
            return Report::Ended(self.device, None);
        }
        let ended = self.serve(&lane, &channel, room, rssi).await;
        let _ = self.shared.events.send(Event::Down(self.device)).await;
        disconnect(&self.peripheral).await;
        Report::Ended(self.device, ended)
    }

    /// Why that failed, if it was not given up by order.
    async fn connect(&mut self, patience: Duration) -> Result<Link, Option<String>> {
        let Self { device, peripheral, orders, notes, shared, .. } = self;
        let work = async {
            reach(peripheral, patience).await?;
            answer("find out about a device", DISCOVER, peripheral.discover_services())
                .await
                .map_err(|trouble| trouble.to_string())?;
            let services = peripheral.services();
            let Some(channel) = choose(&services, &shared.settings.service) else {
                let there: Vec<String> = services.iter().map(|it| it.uuid.to_string()).collect();
                return Err(format!(
                    "it has no service {} with one characteristic to write and one that notifies, \
                     but {}",
                    shared.settings.service.uuid,
                    if there.is_empty() { "none at all".to_owned() } else { there.join(", ") }
                ));
            };
            if notes.is_none() {
                let stream = answer("listen to a device", ANSWER, peripheral.notifications());
                *notes = Some(stream.await.map_err(|trouble| trouble.to_string())?);
            }
            // What was said before the connection ended is of no use any more.
            while let Some(Some(Some(_))) = notes.as_mut().map(|it| it.next().now_or_never()) {}
            answer("be notified by a device", DISCOVER, peripheral.subscribe(&channel.listen))
                .await
                .map_err(|trouble| explain(&trouble.to_string(), *device))?;
            let mtu = peripheral.mtu().min(shared.settings.mtu);
            Ok(Link { mtu, channel })
        };
        let given_up = async {
            while let Some(order) = orders.recv().await {
                match order {
                    Order::Release => return None,
                    // The library would wait for the services of a device that is not there any more.
                    Order::Check if matches!(peripheral.is_connected().await, Ok(false)) => {
                        return Some("the connection was lost before it could be used".to_owned());
                    }
                    Order::Check | Order::Connect { .. } => {}
                }
            }
            None
        };
        tokio::select! {
            outcome = work => outcome.map_err(Some),
            why = given_up => Err(why),
        }
    }

    /// Until the connection ends; why it did, if not by order.
    async fn serve(
        &mut self,
        lane: &Lane,
        channel: &Channel,
        room: usize,
        rssi: Option<i16>,
    ) -> Option<String> {
        let Self { shared, device, peripheral, orders, notes, .. } = self;
        let Some(notes) = notes.as_mut() else { return Some("nobody listens to it".to_owned()) };
        let decoder = Decoder::stream(shared.settings.max_packet, GAP);
        let mut reader = Reader { shared, device: *device, lane, channel, rssi, decoder, noise: 0 };
        let writer = Writer { shared, device: *device, lane, channel, peripheral, room, silent: 0 };
        let why = tokio::select! {
            why = reader.run(notes) => Some(why),
            why = writer.run() => Some(why),
            why = watch(peripheral, orders) => why,
        };
        reader.finish(notes);
        why
    }
}

/// What has been refused, and what can be done about it.
fn explain(error: &str, device: Mac) -> String {
    // Bluetooth Core 5.4, 3.F.3.4.1.1: insufficient authentication, authorisation and encryption.
    let secrets = ["ATT error: 0x05", "ATT error: 0x08", "ATT error: 0x0f", "Not paired"];
    if secrets.iter().any(|secret| error.contains(secret)) {
        return format!(
            "{error}; it wants to be paired: `bluetoothctl pair {device}`, or have its firmware do without"
        );
    }
    error.to_owned()
}

/// Connects within this time. If the device connects by itself meanwhile, BlueZ does not tell whoever waits; asked
/// again, it does.
async fn reach(peripheral: &Peripheral, patience: Duration) -> Result<(), String> {
    let has_come = async {
        let (begin, mut seen) = (Instant::now(), 0);
        while seen < CAME_LOOKS {
            sleep(CAME_LOOK).await;
            let is_connected = timeout(ANSWER, peripheral.is_connected()).await;
            seen = if matches!(is_connected, Ok(Ok(true))) { seen + 1 } else { 0 };
            if seen == 0 && begin.elapsed() >= patience {
                return false;
            }
        }
        true
    };
    let outcome = tokio::select! {
        outcome = peripheral.connect() => Some(outcome),
        has_come = has_come => match has_come {
            true => timeout(ANSWER, peripheral.connect()).await.ok(),
            false => None,
        },
    };
    match outcome {
        Some(outcome) => outcome.map_err(|error| format!("cannot connect: {error}")),
        None => Err(format!("no connection within {} s", patience.as_secs())),
    }
}

/// It does no harm where there is no connection, and ends one that is still being made.
async fn disconnect(peripheral: &Peripheral) {
    let _ = timeout(DISCONNECT, peripheral.disconnect()).await;
}

/// Returns when the device is not connected any more, or shall not be.
async fn watch(peripheral: &Peripheral, orders: &mut mpsc::Receiver<Order>) -> Option<String> {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.tick().await;
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                None | Some(Order::Release) => return None,
                Some(Order::Connect { .. }) => continue,
                Some(Order::Check) => {}
            },
            _ = look.tick() => {}
        }
        match answer("look after a device", ANSWER, peripheral.is_connected()).await {
            Ok(true) => {}
            Ok(false) => return Some("the connection was lost".to_owned()),
            Err(trouble) => return Some(trouble.to_string()),
        }
    }
}

/// Takes what a device says.
struct Reader<'a> {
    shared: &'a Shared,
    device: Mac,
    lane: &'a Lane,
    channel: &'a Channel,
    rssi: Option<i16>,
    decoder: Decoder,
    /// Octets that were no packets, as far as they are counted.
    noise: u64,
}

impl Reader<'_> {
    async fn run(&mut self, notes: &mut Notes) -> String {
        while let Some(note) = notes.next().await {
            self.take(&note);
        }
        "the library has nothing more to say of it".to_owned()
    }

    /// What the device has said before its connection ended is there when that is known.
    fn finish(&mut self, notes: &mut Notes) {
        while let Some(Some(note)) = notes.next().now_or_never() {
            self.take(&note);
        }
    }

    fn take(&mut self, note: &ValueNotification) {
        let listen = &self.channel.listen;
        if note.uuid != listen.uuid || note.service_uuid != listen.service_uuid {
            return;
        }
        let counts = &self.shared.counts;
        self.decoder.feed(self.shared.now(), &note.value, &mut |packet| {
            self.lane.heard(packet);
            let (from, rssi, packet) = (self.device, self.rssi, packet.to_vec());
            let event = Event::Packet { from, rssi, packet };
            let counter = match self.shared.events.try_send(event) {
                Ok(()) => &counts.received,
                // As radios may lose one; it is not waited, so that the library has nothing to collect.
                Err(_) => &counts.overrun,
            };
            Counts::add(counter, 1);
        });
        let discarded = self.decoder.discarded().octets;
        Counts::add(&counts.noise, discarded - self.noise);
        self.noise = discarded;
    }
}

/// Tells a device what waits for it.
struct Writer<'a> {
    shared: &'a Shared,
    device: Mac,
    lane: &'a Lane,
    channel: &'a Channel,
    peripheral: &'a Peripheral,
    /// Octets that are written at once.
    room: usize,
    /// Writes without an answer in a row.
    silent: u32,
}

impl Writer<'_> {
    async fn run(mut self) -> String {
        let counts = &self.shared.counts;
        loop {
            let packet = self.lane.next().await;
            if packet.len() > self.lane.largest() {
                self.count(&counts.unsendable);
            } else {
                let must_arrive = !is_qos_0(&packet);
                let mut pieces = packet.chunks(self.room).peekable();
                while let Some(piece) = pieces.next() {
                    // With the last one all have arrived.
                    let answered = must_arrive && pieces.peek().is_none();
                    if let Err(why) = self.write(piece, answered).await {
                        return why;
                    }
                }
                self.count(&counts.sent);
            }
            if self.lane.written(packet) {
                // An error means that nobody is there to be told.
                let _ = self.shared.events.send(Event::Room(self.device)).await;
            }
        }
    }

    fn count(&self, counter: &AtomicU64) {
        Counts::add(counter, 1);
    }

    async fn write(&mut self, piece: &[u8], answered: bool) -> Result<(), String> {
        let answered = answered || self.silent >= SILENT_WRITES;
        let write_type = self.channel.write_type(answered);
        let write = self.peripheral.write(&self.channel.write, piece, write_type);
        answer("write to a device", WRITE, write).await.map_err(|trouble| trouble.to_string())?;
        if self.channel.is_silent() {
            let octets = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            sleep(Duration::from_secs(1) * octets / SILENT_RATE).await;
        }
        self.silent = if answered { 0 } else { self.silent + 1 };
        Ok(())
    }
}

/// A publication that may get lost.
fn is_qos_0(packet: &[u8]) -> bool {
    match peek(packet) {
        Some((msg_type::PUBLISH, [flags, ..])) => {
            matches!(Qos::from_flags(*flags), Qos::Zero | Qos::MinusOne)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_wants_to_be_paired_is_explained() {
        let device = Mac([0xF0, 0x11, 0x22, 0x33, 0x44, 0x55]);
        let error = "cannot be notified by a device: Operation failed with ATT error: 0x05";
        let explained = explain(error, device);
        assert!(explained.contains("`bluetoothctl pair F0:11:22:33:44:55`"), "{explained}");
        assert_eq!(explain("another", device), "another");
    }

    #[test]
    fn what_may_get_lost_is_qos_0() {
        let publish = |flags| [7, 0x0C, flags, 0, 1, 0, 0];
        for (flags, lost) in [(0, true), (0x60, true), (0x20, false), (0x40, false)] {
            assert_eq!(is_qos_0(&publish(flags)), lost, "{flags:#x}");
            assert_eq!(is_qos_0(&[&[4, 0xFE, 0, 7][..], &publish(flags)].concat()), lost);
        }
        assert!(!is_qos_0(&[2, 0x17]) && !is_qos_0(&[]));
        assert!(is_qos_0(&[1, 0, 9, 0x0C, 0, 0, 1, 0, 0]));
    }
}
