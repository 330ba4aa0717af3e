//! The admin interface: metrics, health checks, an API and a page over HTTP, in a thread of its own. Nothing that
//! a client of it does can hold up the loop: it asks, the loop answers between its turns.
//!
//! ```text
//! HTTP client ⇄ server ─▶ guard ─▶ router ─▶ handlers ─▶ question ⇄ loop
//! ```

pub mod api;
mod capture;
mod dialogue;
mod disk;
mod events;
mod exposition;
mod figures;
mod guard;
mod handlers;
mod happening;
mod hints;
mod metrics;
mod page;
mod places;
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
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = match runtime.enable_all().max_blocking_threads(disk::THREADS).build() {
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
            // A disk that hangs is not waited for.
            runtime.shutdown_background();
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

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use nix::fcntl::OFlag;
    use nix::sys::stat::Mode;

    use super::*;

    /// More than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn a_disk_that_hangs_keeps_nobody_from_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("admin-token");
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let (asker, _questions) = channel();
        let settings = Settings {
            listen: "0.0.0.0:0".parse().unwrap(),
            asker,
            state_dir: directory.path().to_owned(),
            name: "hangs".to_owned(),
        };
        let admin = Admin::start(settings).unwrap();
        // There is a reader as soon as it is being opened; and there is nothing to be read.
        let end = Instant::now() + PATIENCE;
        let mut options = OpenOptions::new();
        let options = options.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
        let _writer = loop {
            match options.open(&pipe) {
                Ok(writer) => break writer,
                Err(error) => assert!(Instant::now() < end, "nobody reads the token: {error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let (ended, end) = mpsc::channel();
        std::thread::spawn(move || {
            drop(admin);
            ended.send(()).unwrap();
        });
        end.recv_timeout(PATIENCE).expect("it ends although the disk hangs");
    }
}
