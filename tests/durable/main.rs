//! The gateway whose state survives its process: core, MQTT session and journal together, between
//! devices, a broker and a disk that are all played by the test. One theme a file; each test is named
//! for one behaviour.

mod conversations;
mod disk;
mod harness;
#[path = "../core/messages.rs"]
mod messages;
mod mqtt;
mod notices;
mod own_lines;
mod policy;

mod configuration;
mod own;
mod promises;
mod quiet;
mod radio;
mod restart_clients;
mod restart_down;
mod restart_up;
mod shared;
mod size;
mod snapshots;
mod spool;
mod status;
mod subscriptions;
mod trouble;
