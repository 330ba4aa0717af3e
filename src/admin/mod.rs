//! The admin interface: metrics, health checks, an API and a page over HTTP, in a thread of its own. Nothing that
//! a client of it does can hold up the loop: it asks, the loop answers between its turns.
//!
//! ```text
//! HTTP client ⇄ server ─▶ guard ─▶ router ─▶ handlers ─▶ question ⇄ loop
//! ```

pub mod api;
mod capture;
mod dialogue;
mod events;
mod exposition;
mod figures;
mod guard;
mod handlers;
mod happening;
mod hints;
mod metrics;
mod page;
mod query;
mod question;
mod respond;
mod router;
mod server;
pub mod timeline;
mod token;
mod watching;
mod why;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use tracing::warn;

pub use dialogue::dialogue;
pub use figures::{Figures, JoinFigures, LinkFigures, UpstreamFigures, UpstreamState};
pub use happening::{Happening, PacketEntry, WatchQuery, Watched, What};
pub use question::{
    Asker, ClientPart, ClientQuery, JoinReply, NoAnswer, NoCapture, NotJoined, Question, Questions,
    ReloadReply, Reply, channel,
};
pub use watching::{Teller, Watching, watching};

/// Where it listens, and whom it asks.
#[derive(Debug)]
pub struct Settings {
    /// `[admin] listen`.
    pub listen: SocketAddr,
    /// The way to the loop.
    pub asker: Asker,
    /// Where captures are kept, and the token, if one is needed.
    pub state_dir: PathBuf,
    /// Name of the gateway.
    pub name: String,
}

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub struct Admin {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Starts it. That the address cannot be had is told in the log, and tried again until it can.
    ///
    /// # Errors
    /// If the system has no room for another thread.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    warn!("no admin interface: the system does not let it run: {error}");
                    return;
                }
            };
            runtime.block_on(async move {
                tokio::select! {
                    () = server::serve(settings) => {}
                    // The sender says nothing; it goes.
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to wait for.
            let _ = thread.join();
        }
    }
}
