//! What an operator sees and does: logs, signals, limits.

pub mod files;
mod limit;
pub mod logging;
pub mod signals;

pub use limit::{Allowed, RateLimit};
