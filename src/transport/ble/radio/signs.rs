//! What BlueZ says about devices: who was heard, and what they say of themselves.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use btleplug::api::{Central, CentralEvent, Peripheral as _, PeripheralProperties};
use btleplug::platform::{Adapter, Peripheral, PeripheralId};
use tokio::time::timeout;

use super::adapter::ANSWER;
use crate::time::Time;
use crate::transport::ble::settings::{Advert, Mac};

/// Devices whose names are awaited.
const MOST: usize = 256;
/// How long a name is awaited after the device was last heard.
const PATIENCE: Duration = Duration::from_secs(30);
/// A device is not asked about more often than this, and not more of them at once.
const SELDOM: Duration = Duration::from_millis(500);
const AT_ONCE: usize = 16;

/// Something that BlueZ has said about one device.
#[derive(Debug)]
pub(super) enum Sign {
    /// It was heard; how strong, dBm.
    Heard(PeripheralId, Option<i16>),
    /// BlueZ knows it, and may hear it.
    Found(PeripheralId),
    /// It is connected: by us, or by whoever was here before us.
    Connected(PeripheralId),
    /// Its connection has ended.
    Gone(PeripheralId),
}

/// What an event means.
pub(super) fn sign(event: CentralEvent) -> Option<Sign> {
    match event {
        CentralEvent::RssiUpdate { id, rssi } => Some(Sign::Heard(id, Some(rssi))),
        // It forgets the services of a device that is gone.
        CentralEvent::ServicesAdvertisement { services, .. } if services.is_empty() => None,
        // These are told, too, of devices that were here once.
        CentralEvent::DeviceDiscovered(id) | CentralEvent::ServicesAdvertisement { id, .. } => {
            Some(Sign::Found(id))
        }
        CentralEvent::DeviceUpdated(id)
        | CentralEvent::ServiceDataAdvertisement { id, .. }
        | CentralEvent::ManufacturerDataAdvertisement { id, .. } => Some(Sign::Heard(id, None)),
        CentralEvent::DeviceConnected(id) => Some(Sign::Connected(id)),
        CentralEvent::DeviceDisconnected(id) => Some(Sign::Gone(id)),
        _ => None,
    }
}

/// The address of a device, which is at the end of its name in D-Bus.
pub(super) fn mac_of(id: &PeripheralId) -> Option<Mac> {
    let mut name = String::new();
    // Not to_string(), which panics with what the library makes of strange names.
    write!(name, "{id}").ok()?;
    let (_, address) = name.rsplit_once("dev_")?;
    Mac::parse(&address.replace('_', ":"))
}

/// What a device says of itself, out of what BlueZ knows of it.
pub(super) fn advert(properties: PeripheralProperties) -> Advert {
    Advert {
        // Not the alias, which is the address before there is a name.
        name: properties.advertisement_name,
        services: properties.services,
        rssi: properties.rssi,
    }
}

/// What a device says of itself now, and whether it is there: it has a strength only while it can be
/// heard, and none while it is connected, as those are that a gateway that was killed has left behind.
pub(super) async fn describe(
    adapter: &Adapter,
    id: &PeripheralId,
) -> Option<(Peripheral, Advert, bool)> {
    let ask = async {
        let peripheral = adapter.peripheral(id).await.ok()?;
        let properties = peripheral.properties().await.ok()??;
        let advert = advert(properties);
        let is_there = advert.rssi.is_some() || peripheral.is_connected().await.ok()?;
        Some((peripheral, advert, is_there))
    };
    timeout(ANSWER, ask).await.ok()?
}

/// Devices that may yet turn out to be wanted. BlueZ does not tell when a name comes; the services of a
/// device that has connected by itself come a moment later than it does.
#[derive(Debug, Default)]
pub(super) struct Undecided(HashMap<Mac, Waiting>);

#[derive(Debug)]
struct Waiting {
    id: PeripheralId,
    heard: Time,
    asked: Time,
    /// There was news of it, too soon after the last time that it was asked about.
    news: bool,
}

impl Undecided {
    /// A device was heard, or there is other news of it. Gives whether it is worth asking about it now.
    pub(super) fn heard(&mut self, now: Time, device: Mac, id: &PeripheralId, news: bool) -> bool {
        if let Some(waiting) = self.0.get_mut(&device) {
            waiting.heard = now;
            let ask = now.since(waiting.asked) >= SELDOM;
            if ask {
                waiting.asked = now;
            }
            waiting.news = !ask && (news || waiting.news);
            return ask;
        }
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(mac, it)| (it.heard, **mac));
            if let Some(mac) = oldest.map(|(mac, _)| *mac) {
                self.0.remove(&mac);
            }
        }
        self.0.insert(device, Waiting { id: id.clone(), heard: now, asked: now, news: false });
        true
    }

    /// The next time that it is heard is worth asking.
    pub(super) fn ask_at_once(&mut self, device: Mac) {
        if let Some(waiting) = self.0.get_mut(&device) {
            waiting.asked = Time(0);
        }
    }

    /// It is decided.
    pub(super) fn remove(&mut self, device: Mac) {
        self.0.remove(&device);
    }

    /// Those about which it is time to ask again: if names are awaited all of them, or those of which there
    /// was news.
    pub(super) fn due(&mut self, now: Time, names: bool) -> Vec<(Mac, PeripheralId)> {
        self.0.retain(|_, waiting| now.since(waiting.heard) < PATIENCE);
        let due = self
            .0
            .iter_mut()
            .filter(|(_, waiting)| (names || waiting.news) && now.since(waiting.asked) >= SELDOM);
        let mut due: Vec<(&Mac, &mut Waiting)> = due.collect();
        due.sort_unstable_by_key(|(mac, waiting)| (waiting.asked, **mac));
        let due = due.into_iter().take(AT_ONCE).map(|(mac, waiting)| {
            waiting.asked = now;
            waiting.news = false;
            (*mac, waiting.id.clone())
        });
        due.collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
