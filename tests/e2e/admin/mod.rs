//! The admin interface of the real program, over real sockets.

mod api;
mod crowd;
mod devices;
mod hostile;
pub mod http;
mod metrics;
mod schema;
mod systemd;
mod timeline;
mod token;

use std::net::SocketAddr;

use crate::rig::{Rig, Upstream};

/// A table that turns the interface on, on a free port of the loopback.
const ON: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// A gateway with its broker, and where its admin interface is.
#[track_caller]
fn start(rest: &str) -> (Rig, SocketAddr) {
    let rig = Rig::start(Upstream::Mqtt5, "", &format!("{ON}\n{rest}"));
    let address = http::address(&rig.gateway);
    (rig, address)
}
