//! What several integration tests need.

#![allow(dead_code, reason = "each test uses its part")]

pub mod certificates;
pub mod mosquitto;
pub mod ports;
