//! Links: they move datagrams between devices and the core and know nothing of sessions.

pub mod ble;
pub mod framing;
pub(crate) mod hex;
pub mod line;
mod queue;
pub mod serial;
pub mod udp;
