//! Devices with Bluetooth LE, without a radio: a bus of each test's own, and on it a stand-in for
//! BlueZ with devices that do as they are told.

#![allow(dead_code, reason = "what the link is tested with")]

mod bluez;
mod bus;
mod rig;
mod sensor;
