//! What several integration tests need.

#![allow(dead_code, reason = "each test uses its part")]

pub mod mosquitto;
pub mod ports;
