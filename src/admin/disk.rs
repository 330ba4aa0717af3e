//! What may wait for a disk is done in threads that may.

use std::io;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Threads that wait for a disk at once. Further work waits as requests do, which are given up.
pub(super) const THREADS: usize = 4;

static FREE: Semaphore = Semaphore::const_new(THREADS);

/// Does this in such a thread. What has begun ends by itself, also when nobody waits for it any longer; what
/// has not does not begin.
///
/// # Errors
/// If it has not come to its end.
pub(super) async fn off_thread<T: Send + 'static>(
    act: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let permit = FREE.acquire().await.map_err(io::Error::other)?;
    let done = spawn_blocking(move || {
        let done = act();
        drop(permit);
        done
    });
    done.await.map_err(io::Error::other)
}
