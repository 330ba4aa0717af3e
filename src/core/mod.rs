//! The gateway without IO: sessions, topics, subscriptions, conversations, timers.
//!
//! [`Gateway`] is fed with `(now, input)` and leaves what is to be done in [`Effects`]. It reads no
//! clock, opens no socket and has no randomness of its own.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod bulletin;
mod client;
mod copies;
mod effects;
mod filter;
mod filters;
mod flow;
mod gateway;
pub(crate) mod hashing;
mod home;
mod judging;
mod lines;
mod messages;
mod names;
mod notice;
mod peer;
pub mod policy;
mod predefined;
mod profile;
mod rare;
mod reconfigure;
mod recording;
mod restore;
mod rooms;
mod rounds;
mod settings;
mod signal;
mod slots;
mod snapshot;
mod stats;
mod strangers;
mod template;
mod tight;
mod topics;
pub mod upstream;
mod view;
mod wheel;

pub use bulletin::{HomeNews, News, Standing};
pub use effects::{Effect, Effects, Otherwise, Span};
pub use gateway::{Gateway, OWN_TOPICS};
pub use home::{HomeDevice, HomeEntity};
#[cfg(feature = "mqtt")]
pub(crate) use names::is_filter;
pub use notice::{Loss, Notice, Place, Revoked, Subject};
pub use peer::{Address, LinkId};
pub use policy::ClientRule;
pub use profile::{Profile, glob_matches};
pub use restore::Restored;
pub use rooms::DeviceRoom;
pub use settings::{LinkSettings, Pacing, Settings, Takeover};
pub use signal::Signal;
pub use slots::ClientKey;
pub use snapshot::Cursor;
pub use stats::{Denial, Drop, Limit, Stats};
pub use view::{ClientState, ClientView, InFlight, SubscriptionView, TopicView};
#[cfg(feature = "mqtt")]
pub(crate) use wheel::Wheel;
