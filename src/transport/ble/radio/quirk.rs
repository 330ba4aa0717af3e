//! A fault of the library that does no harm, and shall not look as if it did.

use std::panic;
use std::sync::Once;
use std::thread;

use tracing::debug;

/// Name of the threads in which the library runs.
pub(super) const THREAD: &str = "ble";
/// Where bluez-async panics when a stream is dropped while a signal for it arrives (0.9.0): in a task of its
/// own, which had nothing else to do.
const FILE: &str = "messagestream.rs";

/// Keeps that panic out of standard error; others are told as ever.
pub(super) fn keep_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let is_known = thread::current().name() == Some(THREAD)
                && panic.location().is_some_and(|place| place.file().ends_with(FILE));
            if is_known {
                debug!(
                    "a task of the Bluetooth library has ended with a panic, which does no harm"
                );
            } else {
                before(panic);
            }
        }));
    });
}
