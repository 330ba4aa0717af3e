//! The gateway without IO: sessions, topics, subscriptions, conversations, timers.
//!
//! `Gateway` is fed with `(now, input)` and leaves what is to be done in [`Effects`]. It reads no
//! clock, opens no socket and has no randomness of its own.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod effects;
mod peer;
mod names;
mod settings;
mod slots;
mod wheel;
pub mod upstream;

pub use effects::{Effect, Effects, Span};
pub use peer::{Address, LinkId};
pub use settings::{LinkSettings, Settings};
