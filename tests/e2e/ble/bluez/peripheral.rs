//! A device in range of an adapter: what it offers, and what is wrong with it.

use std::time::Duration;

/// A characteristic and the flags that BlueZ gives it.
#[derive(Clone, Debug)]
pub struct Characteristic {
    pub uuid: String,
    pub flags: &'static [&'static str],
}

/// A service with its characteristics.
#[derive(Clone, Debug)]
pub struct Service {
    pub uuid: String,
    pub characteristics: Vec<Characteristic>,
}

/// What a device is like.
#[derive(Clone, Debug)]
pub struct Peripheral {
    /// The adapter that hears it.
    pub adapter: &'static str,
    pub address: String,
    pub name: Option<String>,
    /// So many of its adverts are heard before the name is.
    pub nameless: u32,
    /// Services in its adverts.
    pub advertised: Vec<String>,
    pub services: Vec<Service>,
    /// Nothing: a BlueZ that does not tell it.
    pub mtu: Option<u16>,
    roles: Roles,
}

/// The characteristic of a peripheral that sends, and the one that is written to.
#[derive(Clone, Debug)]
pub struct Roles {
    pub send: String,
    pub receive: String,
}

pub const NUS: &str = "6e400001-b5a3-f393-e0a9-e50e24dcca9e";
pub const NUS_2: &str = "6e400002-b5a3-f393-e0a9-e50e24dcca9e";
pub const NUS_3: &str = "6e400003-b5a3-f393-e0a9-e50e24dcca9e";
pub const HM10: &str = "0000ffe0-0000-1000-8000-00805f9b34fb";
pub const HM10_1: &str = "0000ffe1-0000-1000-8000-00805f9b34fb";
pub const MICROCHIP: &str = "49535343-fe7d-4ae5-8fa9-9fafd205e455";
pub const MICROCHIP_SEND: &str = "49535343-1e4d-4bd9-ba61-23c647249616";
pub const MICROCHIP_RECEIVE: &str = "49535343-8841-43f4-a8d4-ecbe34729bb3";
const MICROCHIP_CONTROL: &str = "49535343-4c8a-39b3-2f49-511cff073b7e";

const WRITE: &[&str] = &["write-without-response", "write"];

fn service(uuid: &str, characteristics: &[(&str, &'static [&'static str])]) -> Service {
    let characteristics = characteristics
        .iter()
        .map(|(uuid, flags)| Characteristic { uuid: (*uuid).to_owned(), flags })
        .collect();
    Service { uuid: uuid.to_owned(), characteristics }
}

impl Peripheral {
    /// One that offers a single service besides the usual one, and tells of it in its adverts.
    pub fn new(
        address: &str,
        uuid: &str,
        characteristics: &[(&str, &'static [&'static str])],
        send: &str,
        receive: &str,
    ) -> Self {
        // As every device has it; it can indicate, too, and must not be taken for the right one.
        let usual = service(
            "00001801-0000-1000-8000-00805f9b34fb",
            &[("00002a05-0000-1000-8000-00805f9b34fb", &["indicate"])],
        );
        Self {
            adapter: "hci0",
            address: address.to_owned(),
            name: None,
            nameless: 1,
            advertised: vec![uuid.to_owned()],
            services: vec![usual, service(uuid, characteristics)],
            mtu: Some(247),
            roles: Roles { send: send.to_owned(), receive: receive.to_owned() },
        }
    }

    /// With Nordic's UART service.
    pub fn nus(address: &str) -> Self {
        Self::new(address, NUS, &[(NUS_2, WRITE), (NUS_3, &["notify"])], NUS_3, NUS_2)
    }

    /// A micro:bit: Nordic's service the other way round, nothing of it in the adverts, and an MTU
    /// that cannot be changed.
    pub fn microbit(address: &str) -> Self {
        let characteristics: [(&str, &'static [&'static str]); 2] =
            [(NUS_2, &["indicate"]), (NUS_3, WRITE)];
        let mut it = Self::new(address, NUS, &characteristics, NUS_2, NUS_3);
        it.advertised.clear();
        it.name = Some("BBC micro:bit [zuvog]".to_owned());
        it.mtu = Some(23);
        it
    }

    /// An HM-10 or one of its likes: one characteristic for both ways.
    pub fn hm10(address: &str) -> Self {
        let flags: &[_] = &["read", "write-without-response", "notify"];
        let mut it = Self::new(address, HM10, &[(HM10_1, flags)], HM10_1, HM10_1);
        it.mtu = Some(23);
        it
    }

    /// A module with Microchip's transparent UART. A third characteristic steers it, and can notify
    /// and be written to.
    pub fn microchip(address: &str) -> Self {
        let characteristics: [(&str, &'static [&'static str]); 3] = [
            (MICROCHIP_CONTROL, &["write", "notify"]),
            (MICROCHIP_SEND, &["write-without-response", "write", "notify"]),
            (MICROCHIP_RECEIVE, WRITE),
        ];
        Self::new(address, MICROCHIP, &characteristics, MICROCHIP_SEND, MICROCHIP_RECEIVE)
    }

    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    pub fn with_mtu(mut self, mtu: u16) -> Self {
        self.mtu = Some(mtu);
        self
    }

    pub fn at(mut self, adapter: &'static str) -> Self {
        self.adapter = adapter;
        self
    }

    /// Which characteristic is which.
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// The flags of a characteristic.
    pub fn flags(&self, uuid: &str) -> &'static [&'static str] {
        let mut all = self.services.iter().flat_map(|service| &service.characteristics);
        all.find(|one| one.uuid == uuid).expect("such a characteristic").flags
    }
}

/// What is wrong with a device. Counts are how many times.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub failing_connects: u32,
    /// Never answered.
    pub hanging_connects: u32,
    /// The link is up, but goes before the services are known.
    pub broken_connects: u32,
    pub failing_writes: u32,
    /// Never answered.
    pub hanging_writes: u32,
    pub failing_subscriptions: u32,
}

/// Takes one, if there is one.
pub fn take(count: &mut u32) -> bool {
    let there = *count > 0;
    *count = count.saturating_sub(1);
    there
}

/// How long things take.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Between two adverts of a device.
    pub adverts: Duration,
    pub connect: Duration,
    /// Until the services are known.
    pub discovery: Duration,
    pub disconnect: Duration,
    /// A write request; commands take no time.
    pub write: Duration,
    /// A device that is not connected and not heard for so long is forgotten.
    pub memory: Option<Duration>,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            adverts: Duration::from_millis(40),
            connect: Duration::from_millis(10),
            discovery: Duration::from_millis(10),
            disconnect: Duration::from_millis(20),
            write: Duration::from_millis(1),
            memory: None,
        }
    }
}

/// What the gateway has done with a device.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub writes: Vec<Write>,
    /// Calls of Connect.
    pub attempts: usize,
    /// Links that came up.
    pub links: usize,
    /// Calls of Disconnect.
    pub disconnects: usize,
    /// Calls of StartNotify that succeeded.
    pub subscriptions: usize,
}

/// Something written to a device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Write {
    pub octets: Vec<u8>,
    /// Without response.
    pub command: bool,
}
