//! What an operator sees and does: logs, signals, limits.

pub mod files;
mod limit;
pub mod logging;
mod priority;
pub mod signals;
pub mod systemd;

pub use limit::{Allowed, RateLimit};
