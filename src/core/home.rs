//! How devices present themselves to Home Assistant. The core keeps it with the rules and tells when it is to be
//! said; what it looks like there is for others to know.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// A device, and what it measures. In names and topics `%c` stands for the client id.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HomeDevice {
    /// Its name; `None` is the client id.
    pub name: Option<Box<str>>,
    /// What it is, for a person.
    pub model: Option<Box<str>>,
    /// What it measures.
    pub entities: Vec<HomeEntity>,
}

/// One thing that a device measures.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HomeEntity {
    /// By which Home Assistant knows it again: letters, digits, `_` and `-`.
    pub key: Box<str>,
    /// On or off, not a value.
    pub binary: bool,
    /// Its name; `None` is what its class is called.
    pub name: Option<Box<str>>,
    /// Where its values are published, as the broker knows the topic.
    pub topic: Box<str>,
    /// Unit of its values.
    pub unit: Option<Box<str>>,
    /// Home Assistant's word for what is measured.
    pub device_class: Option<Box<str>>,
    /// Home Assistant's word for how values go on from one another.
    pub state_class: Option<Box<str>>,
    /// Picks the value out of the payload.
    pub value_template: Option<Box<str>>,
    /// What on and off are called; `None` is `ON` and `OFF`.
    pub payload_on: Option<Box<str>>,
    /// See above.
    pub payload_off: Option<Box<str>>,
    /// A value counts for so many seconds; 0 is for ever.
    pub expire_after: u32,
}
