//! A connection without a network, for those who want to know what octets can do.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::handlers::Context;
use super::server;

/// Room on the way, octets.
const ROOM: usize = 64 * 1024;
/// More turns than it takes to answer everything that can be asked in a few hundred octets.
const TURNS: usize = 256;

/// What a client of the admin interface hears that sends these octets and nothing more. There is no
/// gateway behind that would answer. `guarded`: a token is needed, and nobody has it.
///
/// # Panics
/// If the system has no room for a runtime.
#[must_use]
pub fn dialogue(octets: &[u8], guarded: bool) -> Vec<u8> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().expect("a runtime in this thread");
    runtime.block_on(async {
        let (ours, theirs) = duplex(ROOM);
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let context = Arc::new(Context::deaf(guarded));
        let (mut reader, mut writer) = tokio::io::split(ours);
        let send = async {
            // It may hang up before it has heard everything.
            let _ = writer.write_all(octets).await;
            // The end of what it sends would be the end of the connection: first the answers, none of which
            // has to wait for anything.
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            let _ = writer.shutdown().await;
        };
        let mut heard = Vec::new();
        let (_, (), _) = tokio::join!(
            server::talk(theirs, from, context),
            send,
            // An end is an end.
            reader.read_to_end(&mut heard),
        );
        heard
    })
}
