//! The whole program, from outside: the real binary, a real broker, devices made of a UDP socket,
//! and the world beyond the broker as mosquitto_pub and mosquitto_sub see it.
//!
//! Nothing here depends on how fast anything is. What must not happen is shown by something later
//! on the same way that does happen.

mod admin;
#[cfg(feature = "ble")]
mod ble;
mod capture;
mod crowd;
mod discovery;
mod home;
mod hostile;
mod log;
mod policies;
mod reload;
mod rig;
mod roaming;
mod serial;
mod sleep;
mod sleep_witnesses;
mod sleeping_crowd;
mod startup;
mod status;
#[path = "../support/mod.rs"]
mod support;
mod tour;
mod transparent;
mod trouble;
mod under_traffic;
mod wills;
mod witnesses;
