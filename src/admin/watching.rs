//! The way from the loop to those who watch. It never waits: what does not fit is counted, and the count
//! is told once there is room again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::happening::Watched;

/// News that wait for one who watches.
const WAITING: usize = 512;

/// The loop's end.
#[derive(Debug)]
pub struct Teller {
    way: mpsc::Sender<Watched>,
    missed: Arc<AtomicU64>,
}

/// The end of one who watches.
#[derive(Debug)]
pub struct Watching {
    way: mpsc::Receiver<Watched>,
    missed: Arc<AtomicU64>,
}

/// Both ends.
#[must_use]
pub fn watching() -> (Teller, Watching) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let missed = Arc::new(AtomicU64::new(0));
    (Teller { way: sender, missed: Arc::clone(&missed) }, Watching { way: receiver, missed })
}

impl Teller {
    /// Tells what `make` makes, unless there is no room. Gives false if nobody listens any more.
    pub fn tell(&self, make: impl FnOnce() -> Watched) -> bool {
        match self.way.try_reserve() {
            Ok(room) => room.send(make()),
            Err(TrySendError::Full(())) => {
                self.miss(1);
            }
            Err(TrySendError::Closed(())) => return false,
        }
        true
    }

    /// There was so much more that cannot be told.
    pub fn miss(&self, count: u64) {
        self.missed.fetch_add(count, Ordering::Relaxed);
    }

    /// Whether nobody listens any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.way.is_closed()
    }
}

impl Watching {
    /// The next news; `None` when the gateway stops.
    pub(super) async fn next(&mut self) -> Option<Watched> {
        self.way.recv().await
    }

    /// News that are there already.
    pub(super) fn more(&mut self) -> Option<Watched> {
        self.way.try_recv().ok()
    }

    /// How many did not fit since this was asked last.
    pub(super) fn missed(&self) -> u64 {
        self.missed.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_nothing_waits() {
        let (teller, mut watching) = watching();
        let news = || Watched::Removed("x".into());
        for _ in 0..WAITING + 7 {
            assert!(teller.tell(news));
        }
        assert_eq!((watching.missed(), watching.missed()), (7, 0));
        assert!(watching.more().is_some());
        assert!(teller.tell(news) && watching.missed() == 0);
        drop(watching);
        assert!(!teller.tell(news) && teller.is_closed());
    }
}
