//! What a module says by numbers, in words.

/// Whose fault it is that a packet did not arrive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::transport) enum Fault {
    /// Nobody's.
    None,
    /// The node is away, or somewhere else.
    Node,
    /// The air is busy, or the module is.
    Radio,
    /// It will not work until somebody changes something.
    Setup,
}

/// What a delivery status means. Frames 8B and 89 have the same numbers, the latter fewer.
pub(in crate::transport) fn delivery(status: u8) -> (Fault, &'static str) {
    match status {
        0x00 => (Fault::None, "delivered"),
        0x01 => (Fault::Node, "no acknowledgement from the radio"),
        0x02 => (Fault::Radio, "the channel was busy"),
        0x03 => (Fault::Node, "the module gave it up"),
        0x04 => (Fault::Radio, "the module's radio failed"),
        0x15 => (Fault::Node, "it has no such endpoint"),
        0x18 => (Fault::Radio, "the module had no buffer for it"),
        0x21 => (Fault::Node, "no acknowledgement through the network"),
        0x22 => (
            Fault::Setup,
            "the module has joined no network; give it the same ID as the devices, and Zigbee one \
             coordinator (CE=1)",
        ),
        0x23 => (Fault::Node, "that is the module's own address"),
        0x24 => (Fault::Node, "the network does not know its address"),
        0x25 => (Fault::Node, "there is no route to it"),
        0x26 => (Fault::Radio, "no neighbour passed the broadcast on"),
        0x2B | 0x2C => (Fault::Node, "the module has no such entry in its table"),
        0x2D | 0x2E => (Fault::Setup, "encryption is asked for, but not switched on (EE)"),
        0x31 => (Fault::Radio, "an error in the module's software"),
        0x32 => (Fault::Radio, "the module was out of resources"),
        0x74 => {
            (Fault::Setup, "the packet is too large for the radio; use shorter topics or payloads")
        }
        0x75 => (Fault::Node, "it did not come to fetch it"),
        0xBB => (Fault::Node, "there is no key for it"),
        _ => (Fault::Radio, "the module says so"),
    }
}

/// What an 8A says has happened.
pub(in crate::transport) fn modem_status(status: u8) -> &'static str {
    match status {
        0x00 => "it was switched on or reset",
        0x01 => "its watchdog has reset it",
        0x02 => "it has joined its network",
        0x03 => "it has lost its network",
        0x04 => "it has lost synchronisation",
        0x05 => "its coordinator has been realigned",
        0x06 => "it has started its network",
        0x07 => "the network's key was changed",
        0x0B => "the network has woken up",
        0x0C => "the network has gone to sleep",
        0x0D => "its supply voltage is too high",
        0x11 => "its settings were changed while it joined",
        0x80.. => "its radio stack has failed",
        _ => "something that this version has no words for",
    }
}

/// What frames of a type are for, of those that carry no packets.
pub(in crate::transport) fn frame_type(kind: u8) -> &'static str {
    match kind {
        0x82 | 0x83 | 0x92 => "samples of its inputs",
        0x8D | 0x8E | 0xA1 | 0xA3 => "routes",
        0x94 => "samples of sensors",
        0x97 => "answers of remote modules",
        0x98 | 0xA0..=0xA2 | 0xA4 => "news of nodes",
        0xFE => "errors in frames that it was sent",
        _ => "something that is not known here",
    }
}
