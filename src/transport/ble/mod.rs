//! MQTT-SN over Bluetooth LE: one `[[ble]]`. The gateway is the central: it looks for devices that offer
//! a service which carries octets, connects to them, and takes what they say for one stream of packets
//! each, cut anywhere, as it sends its own.
//!
//! A device is known by its Bluetooth address only while it is connected: sessions belong to client ids.
//! The Bluetooth library runs in a thread of its own (`radio`); whatever becomes of it, the other
//! links go on, and sessions stay.

#[cfg(feature = "ble")]
mod known;
#[cfg(feature = "ble")]
mod lane;
#[cfg(feature = "ble")]
mod link;
#[cfg(feature = "ble")]
mod nap;
#[cfg(feature = "ble")]
pub(crate) mod radio;
#[cfg(feature = "ble")]
mod roster;
mod settings;
mod window;

#[cfg(feature = "ble")]
pub use link::{BleLink, Joining};
pub use settings::{Advert, Allowed, Mac, PermitJoin, Profile, Service, Settings, parse_uuid};
