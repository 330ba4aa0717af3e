//! How a Bluetooth adapter is used: what is looked for, who may connect, and what is written at once.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use crate::core::glob_matches;

/// How a Bluetooth link is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name (`hci0`) or address of the adapter; whichever there is without.
    pub adapter: Option<Box<str>>,
    /// What the devices have.
    pub service: Service,
    /// Who may connect; without any, whoever offers the service.
    pub allow: Vec<Allowed>,
    /// When devices that were never here may connect.
    pub permit_join: PermitJoin,
    /// At most this less 3 octets are written at once, 23..=517. The MTU of a connection may be less.
    pub mtu: u16,
    /// Whether packets that are longer than that are cut in pieces; otherwise they are not sent.
    pub split: bool,
    /// Connections at once, 1..=64.
    pub max_connections: usize,
    /// How long a device keeps its connection while others wait for one.
    pub slot_time: Duration,
    /// Longest packet either way, octets.
    pub max_packet: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            adapter: None,
            service: Service::of(Profile::default()),
            allow: Vec::new(),
            permit_join: PermitJoin::default(),
            mtu: 517,
            split: true,
            max_connections: 8,
            slot_time: Duration::from_secs(30),
            max_packet: 1_024,
        }
    }
}

/// A way to send octets by GATT that devices share.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Profile {
    /// Nordic's UART service, also that of the micro:bit, whose characteristics have swapped roles.
    #[default]
    Nus,
    /// HM-10 and its like.
    Hm10,
    /// Microchip's transparent UART.
    Microchip,
    /// Another service.
    Custom,
}

impl Profile {
    /// Words of the configuration.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("nus", Self::Nus),
        ("hm10", Self::Hm10),
        ("microchip", Self::Microchip),
        ("custom", Self::Custom),
    ];
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(_, other)| other == self);
        f.write_str(word.map_or("", |(word, _)| word))
    }
}

/// A service and the characteristics for the two directions. Where these have not the properties that
/// it takes, or none is named, others of the service that have them are used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Service {
    /// Where it comes from.
    pub profile: Profile,
    /// The service, which devices name in their advertisements.
    pub uuid: Uuid,
    /// What the gateway writes to.
    pub write: Option<Uuid>,
    /// What the gateway is notified of.
    pub notify: Option<Uuid>,
}

impl Service {
    /// That of a profile; the nil UUID for [`Profile::Custom`].
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let (uuid, write, notify) = match profile {
            Profile::Nus => (
                0x6E40_0001_B5A3_F393_E0A9_E50E_24DC_CA9E,
                0x6E40_0002_B5A3_F393_E0A9_E50E_24DC_CA9E,
                0x6E40_0003_B5A3_F393_E0A9_E50E_24DC_CA9E,
            ),
            Profile::Hm10 => (short(0xFFE0), short(0xFFE1), short(0xFFE1)),
            Profile::Microchip => (
                0x4953_5343_FE7D_4AE5_8FA9_9FAF_D205_E455,
                0x4953_5343_8841_43F4_A8D4_ECBE_3472_9BB3,
                0x4953_5343_1E4D_4BD9_BA61_23C6_4724_9616,
            ),
            Profile::Custom => {
                return Self { profile, uuid: Uuid::nil(), write: None, notify: None };
            }
        };
        let [write, notify] = [write, notify].map(|uuid| Some(Uuid::from_u128(uuid)));
        Self { profile, uuid: Uuid::from_u128(uuid), write, notify }
    }
}

/// A 16-bit UUID in full (Bluetooth Core 5.4, 3.B.2.5.1).
const fn short(uuid: u16) -> u128 {
    0x0000_0000_0000_1000_8000_0080_5F9B_34FB | (uuid as u128) << 96
}

/// Reads a UUID in full, or one of 16 bits as `0xFFE0`.
#[must_use]
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let uuid = u16::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 4)?;
        return Some(Uuid::from_u128(short(uuid)));
    }
    Uuid::try_parse(text).ok().filter(|_| text.len() == 36)
}

/// The address of a device or an adapter, first octet first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Reads `F0:11:22:33:44:55`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2)?;
            // Without a sign, which from_str_radix takes.
            part.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
            *octet = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Self(octets))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, octet) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{octet:02X}")?;
        }
        Ok(())
    }
}

/// Devices that may connect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Allowed {
    /// The one with this address.
    Address(Mac),
    /// Those that call themselves so; `*` is any number of characters, `?` is one.
    Name(Box<str>),
    /// Those that advertise this service.
    Service(Uuid),
}

impl Allowed {
    /// Reads one of the three, told apart by how they look.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if let Some(address) = Mac::parse(text) {
            Self::Address(address)
        } else if let Some(uuid) = parse_uuid(text) {
            Self::Service(uuid)
        } else {
            Self::Name(text.into())
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(pattern) => f.write_str(pattern),
            Self::Service(uuid) => uuid.fmt(f),
        }
    }
}

/// When devices that were never here may connect. Those that were are remembered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PermitJoin {
    /// At any time; nobody needs to be remembered.
    #[default]
    Always,
    /// Not at all.
    Never,
    /// For so long after the start.
    For(Duration),
}

/// What a device says of itself before it is connected.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Advert {
    /// Its name, which may come later than the rest.
    pub name: Option<String>,
    /// Services that it advertises.
    pub services: Vec<Uuid>,
    /// Received signal strength, dBm.
    pub rssi: Option<i16>,
}

impl Settings {
    /// Whether a device that says this of itself is one that may connect.
    #[must_use]
    pub fn admits(&self, address: Mac, advert: &Advert) -> bool {
        if self.allow.is_empty() {
            return advert.services.contains(&self.service.uuid);
        }
        self.allow.iter().any(|allowed| match allowed {
            Allowed::Address(wanted) => *wanted == address,
            Allowed::Name(pattern) => {
                advert.name.as_deref().is_some_and(|name| glob_matches(pattern, name))
            }
            Allowed::Service(uuid) => advert.services.contains(uuid),
        })
    }

    /// The services that all devices advertise; none if some are known otherwise.
    #[must_use]
    pub fn advertised(&self) -> Vec<Uuid> {
        let services = self.allow.iter().map(|allowed| match allowed {
            Allowed::Service(uuid) => Some(*uuid),
            Allowed::Address(_) | Allowed::Name(_) => None,
        });
        if self.allow.is_empty() {
            vec![self.service.uuid]
        } else {
            services.collect::<Option<Vec<Uuid>>>().unwrap_or_default()
        }
    }

    /// Whether a device with this address may be one that may connect, whatever it says of itself.
    #[must_use]
    pub fn may_admit(&self, address: Mac) -> bool {
        self.allow.is_empty()
            || self.allow.iter().any(|allowed| match allowed {
                Allowed::Address(wanted) => *wanted == address,
                Allowed::Name(_) | Allowed::Service(_) => true,
            })
    }

    /// Whether it takes the name of a device to know whether it may connect.
    #[must_use]
    pub fn needs_names(&self) -> bool {
        self.allow.iter().any(|allowed| matches!(allowed, Allowed::Name(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_connect_is_told_apart_by_how_it_looks() {
        let address = Mac([0xF0, 0x11, 0x22, 0x33, 0x44, 0x5a]);
        for text in ["F0:11:22:33:44:5A", "f0:11:22:33:44:5a"] {
            assert_eq!(Allowed::parse(text), Allowed::Address(address));
        }
        assert_eq!(address.to_string(), "F0:11:22:33:44:5A");
        for text in ["F0:11:22:33:44", "F0:11:22:33:44:55:66", "+0:11:22:33:44:55", "0xFFE", "ffe0"]
        {
            assert_eq!(Allowed::parse(text), Allowed::Name(text.into()), "{text}");
        }
        let full = "0000ffe0-0000-1000-8000-00805f9b34fb";
        assert_eq!(Allowed::parse("0xFFE0").to_string(), full);
        assert_eq!(Allowed::parse(full), Allowed::parse("0xFFE0"));
        assert_eq!(Service::of(Profile::Hm10).uuid.to_string(), full);
        let nus = Service::of(Profile::Nus).uuid.to_string();
        assert_eq!(nus, "6e400001-b5a3-f393-e0a9-e50e24dcca9e");
        let microchip = Service::of(Profile::Microchip).uuid.to_string();
        assert_eq!(microchip, "49535343-fe7d-4ae5-8fa9-9fafd205e455");
    }

    #[test]
    fn devices_are_admitted_by_service_name_or_address() {
        let service = Service::of(Profile::Nus).uuid;
        let mut settings = Settings::default();
        let device = Mac([1, 2, 3, 4, 5, 6]);
        let plain = Advert::default();
        let offers = Advert { services: vec![service], ..Advert::default() };
        let named = Advert { name: Some("sensor-7".to_owned()), ..Advert::default() };
        assert!(settings.admits(device, &offers) && !settings.admits(device, &named));
        assert_eq!(settings.advertised(), [service]);

        settings.allow = vec![Allowed::parse("sensor-*"), Allowed::parse("01:02:03:04:05:07")];
        assert!(settings.admits(device, &named) && !settings.admits(device, &offers));
        assert!(settings.admits(Mac([1, 2, 3, 4, 5, 7]), &plain));
        assert!(settings.advertised().is_empty() && settings.needs_names());

        settings.allow = vec![Allowed::parse("0xFFE0"), Allowed::parse("0xFFF0")];
        assert_eq!(settings.advertised().len(), 2);
        assert!(settings.may_admit(device));
        settings.allow = vec![Allowed::parse("01:02:03:04:05:07")];
        assert!(!settings.may_admit(device) && settings.may_admit(Mac([1, 2, 3, 4, 5, 7])));
        settings.allow = vec![Allowed::parse("0xFFE0"), Allowed::parse("0xFFF0")];
        assert!(!settings.admits(device, &offers) && !settings.needs_names());
    }
}
