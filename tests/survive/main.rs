//! What must not be lost, through everything that can be done to a gateway and its broker: the real
//! program killed with SIGKILL again and again, mosquitto killed and restarted with and without its
//! memory, the network cut between them, the disk full.
//!
//! Devices, broker and world are real; a [ledger](ledger) follows every message from its sender to
//! its receiver and prints the figures at the end of each test (`--no-capture` shows them). What is
//! random comes from a seed that is printed with them.
//!
//! Longer runs: `SURVIVE_KILLS=2000`, another seed: `SURVIVE_SEED=7`.

mod chance;
mod device;
mod disk;
mod field;
mod frames;
mod kill_broker;
mod kill_gateway;
mod ledger;
mod network;
mod proxy;
#[path = "../e2e/rig/mod.rs"]
mod rig;
mod spool;
mod state_dir;
mod storm;
#[path = "../support/mod.rs"]
mod support;
mod tap;
mod world;
