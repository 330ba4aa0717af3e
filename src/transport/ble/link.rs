//! The link as the loop sees it.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::lane::Lane;
use super::radio::{Counts, Event, Radio};
use super::settings::{Mac, PermitJoin};
use crate::config;
use crate::core::{Address, DeviceRoom, Effect, Effects, LinkId, Signal};
use crate::ops::RateLimit;
use crate::time::Time;
use crate::transport::queue::Queued;
use crate::transport::udp::Taken;

/// Events taken in one turn; the other links shall not wait.
const BATCH: usize = 64;
/// How long the thread may take to disconnect devices at the end.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often the core is told of all rooms again: what it had on its way to a device may not come after
/// all.
const TELL_ROOMS: Duration = Duration::from_secs(1);
/// At most one line about losses in this time.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// A Bluetooth adapter and the devices that are connected to it.
#[derive(Debug)]
pub struct BleLink {
    id: LinkId,
    name: String,
    permit: PermitJoin,
    radio: Radio,
    devices: HashMap<Mac, Arc<Lane>>,
    /// What the core is to know of devices: room, or that they are gone.
    rooms: VecDeque<(Address, Option<DeviceRoom>)>,
    rooms_told: Time,
    stats: Stats,
    told: Told,
    openings: RateLimit<()>,
}

/// What went through the link since its start, beside what its thread counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Stats {
    /// Packets for devices that are not connected, or were not any more before it was their turn.
    away_drops: u64,
    /// Packets for which there was no room.
    overflow_drops: u64,
}

/// Whether devices that were never here may join.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Joining {
    /// They may.
    pub open: bool,
    /// For how long, if that has an end.
    pub left: Option<Duration>,
    /// Devices that are remembered.
    pub known: u64,
}

#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    noise: u64,
    unsendable: u64,
    lost: u64,
}

impl BleLink {
    /// Begins to look for the adapter and for devices, in a thread of its own; that there is none is no
    /// error. What has joined is remembered in `state_dir`, if it has to be.
    #[must_use]
    pub fn new(id: LinkId, settings: &config::BleLink, state_dir: PathBuf) -> Self {
        let name = settings.name();
        Self {
            id,
            permit: settings.settings.permit_join,
            radio: Radio::start(name.clone(), settings.settings.clone(), state_dir),
            name,
            devices: HashMap::new(),
            rooms: VecDeque::new(),
            rooms_told: Time(0),
            stats: Stats::default(),
            told: Told::default(),
            openings: RateLimit::new(10, TELL_INTERVAL, 1),
        }
    }

    /// The link's number.
    #[must_use]
    pub fn id(&self) -> LinkId {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes what has happened and gives each packet to `each`. Pending, with the task to be woken, if
    /// nothing has.
    pub fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        each: &mut dyn FnMut(&Address, Signal, &[u8]),
    ) -> Poll<Taken> {
        let mut taken = Taken { datagrams: 0, more: false };
        for count in 0..BATCH {
            let event = match self.radio.events.poll_recv(cx) {
                Poll::Ready(Some(event)) => event,
                Poll::Ready(None) | Poll::Pending if count == 0 => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => return Poll::Ready(taken),
            };
            match event {
                Event::Up(lane) => {
                    self.rooms.push_back((*lane.address(), Some(room(&lane))));
                    if let Some(old) = self.devices.insert(lane.device(), lane) {
                        self.stats.away_drops += old.clear();
                    }
                }
                Event::Down(device) => self.down(device),
                Event::AllDown => {
                    let devices: Vec<Mac> = self.devices.keys().copied().collect();
                    devices.into_iter().for_each(|device| self.down(device));
                }
                Event::Room(device) => {
                    if let Some(lane) = self.devices.get(&device) {
                        self.rooms.push_back((*lane.address(), Some(room(lane))));
                    }
                }
                Event::Packet { from, rssi, packet } => {
                    if let Some(lane) = self.devices.get(&from) {
                        taken.datagrams += 1;
                        each(lane.address(), Signal { rssi, lqi: None }, &packet);
                    }
                }
            }
        }
        taken.more = true;
        Poll::Ready(taken)
    }

    /// Gives to `each` what the core has to know of devices: what they take, or that they are gone. To be
    /// called in each turn.
    pub fn tell_rooms(&mut self, now: Time, each: &mut dyn FnMut(&Address, Option<DeviceRoom>)) {
        for (device, room) in self.rooms.drain(..) {
            each(&device, room);
        }
        if now.since(self.rooms_told) >= TELL_ROOMS {
            self.rooms_told = now;
            for lane in self.devices.values() {
                each(lane.address(), Some(room(lane)));
            }
        }
    }

    /// Queues what is for this link among the effects, as far as there is room; the rest is dropped and
    /// counted.
    pub fn transmit(&mut self, effects: &Effects) {
        for effect in effects.items() {
            match *effect {
                Effect::Send { link, ref to, bytes, .. } if link == self.id => {
                    let Some(lane) = self.lane(to) else {
                        self.stats.away_drops += 1;
                        continue;
                    };
                    if lane.push(effects.bytes(bytes)) == Queued::Full {
                        self.stats.overflow_drops += 1;
                    }
                }
                Effect::Recall { link, ref to, head } if link == self.id => {
                    if let Some(lane) = self.lane(to) {
                        lane.recall(effects.bytes(head));
                    }
                }
                _ => {}
            }
        }
    }

    /// Warns about what was lost since it last did, once a minute at most.
    pub fn watch(&mut self) {
        let Counts { noise, unsendable, overrun, .. } = &*self.radio.counts;
        let (noise, unsendable) = (Counts::of(noise), Counts::of(unsendable));
        let lost = self.stats.overflow_drops + Counts::of(overrun);
        let Told { at, .. } = self.told;
        if (noise, unsendable, lost) == (self.told.noise, self.told.unsendable, self.told.lost) {
            return;
        }
        let now = Instant::now();
        if at.is_some_and(|at| now.saturating_duration_since(at) < TELL_INTERVAL) {
            return;
        }
        let name = &self.name;
        if noise > self.told.noise {
            warn!(
                "{name}: {} octets from devices are no MQTT-SN packets and were thrown away; do \
                 these devices speak it? `allow` under [[ble]] names those that do",
                noise - self.told.noise
            );
        }
        if unsendable > self.told.unsendable {
            warn!(
                "{name}: {} packets were dropped because they do not fit one write; split = true \
                 under [[ble]] cuts them in pieces, if the device puts them together",
                unsendable - self.told.unsendable
            );
        }
        if lost > self.told.lost {
            warn!(
                "{name}: {} packets were dropped because more came than could be taken",
                lost - self.told.lost
            );
        }
        self.told = Told { at: Some(now), noise, unsendable, lost };
    }

    /// Whether its adapter is there and switched on.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.radio.counts.up.load(Ordering::Relaxed)
    }

    /// Devices that are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.devices.len()
    }

    /// Whether devices that were never here may join.
    #[must_use]
    pub fn joining(&self) -> Joining {
        let left = self.radio.window.left();
        Joining {
            open: left.is_some() || self.permit == PermitJoin::Always,
            left,
            known: Counts::of(&self.radio.counts.known),
        }
    }

    /// Lets devices join for so long from now on; nobody from now on if that is no time. False if everybody
    /// may at any time, and nobody is remembered.
    pub fn permit_join(&mut self, time: Duration) -> bool {
        if self.permit == PermitJoin::Always {
            return false;
        }
        self.radio.window.open(time);
        let name = &self.name;
        if let Some(more) = self.openings.allow(Instant::now(), ()) {
            match time.as_secs() {
                0 => info!("{name}: devices that were never here may not join any more{more}"),
                seconds => info!("{name}: devices may join for {seconds} s from now on{more}"),
            }
        }
        true
    }

    /// Octets received that are no packets.
    #[must_use]
    pub fn discarded(&self) -> u64 {
        Counts::of(&self.radio.counts.noise)
    }

    /// Connections made since the start.
    #[must_use]
    pub fn connections(&self) -> u64 {
        Counts::of(&self.radio.counts.connections)
    }

    /// Packets dropped, by reason.
    #[must_use]
    pub fn dropped(&self) -> Vec<(&'static str, u64)> {
        let counts = &*self.radio.counts;
        vec![
            ("away", self.stats.away_drops),
            ("overflow", self.stats.overflow_drops),
            ("overrun", Counts::of(&counts.overrun)),
            ("unsendable", Counts::of(&counts.unsendable)),
        ]
    }

    /// What went through it, in words.
    #[must_use]
    pub fn summary(&self) -> String {
        let counts = &*self.radio.counts;
        format!(
            "{} packets received, {} sent; {} dropped because their devices were not connected, {} for \
             want of room, {} that do not fit one write; {} octets received that are no packets; \
             {} connections, {} tries failed",
            Counts::of(&counts.received),
            Counts::of(&counts.sent),
            self.stats.away_drops,
            self.stats.overflow_drops + Counts::of(&counts.overrun),
            Counts::of(&counts.unsendable),
            Counts::of(&counts.noise),
            Counts::of(&counts.connections),
            Counts::of(&counts.failures)
        )
    }

    fn lane(&self, to: &Address) -> Option<&Arc<Lane>> {
        let device = <[u8; 6]>::try_from(to.octets()).ok()?;
        self.devices.get(&Mac(device))
    }

    fn down(&mut self, device: Mac) {
        if let Some(lane) = self.devices.remove(&device) {
            self.stats.away_drops += lane.clear();
            self.rooms.push_back((*lane.address(), None));
        }
    }
}

impl Drop for BleLink {
    fn drop(&mut self) {
        self.radio.stop(GOODBYE);
    }
}

fn room(lane: &Lane) -> DeviceRoom {
    DeviceRoom { octets: u32::try_from(lane.room()).unwrap_or(u32::MAX), largest: lane.largest() }
}
