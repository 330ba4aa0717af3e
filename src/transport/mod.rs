//! Links: they move datagrams between devices and the core and know nothing of sessions.

pub mod udp;
