//! Our side of one MQTT connection, 3.1.1 and 5, without IO.
//!
//! A [`Session`] takes requests with tokens and gives events with the same tokens; it takes bytes
//! from the broker and gives bytes for the broker. It owns packet ids, the in-flight table, both
//! directions of QoS 2 and the keep-alive, and survives reconnection. Built on the packet types
//! and codec of rumqttc; PUBLISH and its acknowledgements are read and written here, so that a
//! message costs no allocation. No event loop, no clock, no randomness but a seed.
//!
//! # The connection
//!
//! ```text
//!               open                      CONNACK
//!   Closed ────────────► Connecting ───────────────────► Connected ──┐ PINGREQ when idle
//!     ▲                      │                            │  ▲  └────┘
//!     │                      │ refused, no CONNACK,       │ disconnect, keep-alive,
//!     │                      │ old session discarded      │ protocol error, DISCONNECT
//!     │       closed         ▼                            ▼
//!     └─────────────────── Closing ◄──────────────────────┘
//! ```
//!
//! Every `Err` is the end of a connection: write what is left in [`Session::output`] if it can be
//! written, close the stream, call [`Session::closed`]. Then wait for [`Backoff::next_delay`],
//! unless [`ConnectionError::reopen_at_once`], open a stream and call [`Session::open`].
//!
//! With [`Settings::clean_start`] the first connection only discards the session that the broker
//! has; it ends with [`ConnectionError::SessionDiscarded`] and emits no event. The next one begins
//! the session that all later ones resume. Which version is spoken: see `fallback`.
//!
//! # Driving it
//!
//! ```
//! use bytes::BytesMut;
//! use mqtt_sn_gateway::core::upstream::{MqttQos, Token, UpstreamEvent};
//! use mqtt_sn_gateway::mqtt::{Session, Settings, Version};
//! use mqtt_sn_gateway::time::Time;
//!
//! let settings =
//!     Settings { version: Version::V311, clean_start: false, ..Settings::default() };
//! let mut session = Session::new(settings, 42);
//! session.open(Time(0));
//! let connect = session.output().split(); // to the socket
//! assert_eq!(connect[0], 0x10);
//!
//! let mut input = BytesMut::from(&[0x20, 2, 0, 0][..]); // from the socket: CONNACK
//! let mut connected = false;
//! session
//!     .handle_input(Time(5), &mut input, &mut |event| {
//!         connected |= matches!(event, UpstreamEvent::Connected { .. });
//!     })
//!     .expect("the broker accepts");
//! assert!(connected);
//!
//! session.publish(Time(6), Token(1), "a/b", b"21.5", MqttQos::One, false).expect("room for it");
//! assert_eq!(session.output()[0], 0x32); // to the socket; its PUBACK becomes `Published`
//! assert!(session.next_timeout().is_some()); // call `handle_timeout` then
//! ```
//!
//! # What it promises
//!
//! - A publication that was taken at QoS 1 or 2 ends in exactly one `Published`, however many
//!   connections, sessions or versions of the protocol that takes.
//! - A broker that kept the session gets what is unacknowledged again, with DUP, in its original
//!   order, before anything new; a broker that lost it gets everything as new. A QoS 2 exchange
//!   between PUBREC and PUBCOMP is then published again too: doubled is better than lost, and
//!   counted.
//! - A message from the broker is acknowledged when the core says so, even if that is on another
//!   connection, and is not reported again before.
//! - No input panics it, and every table and buffer has a bound.
//!
//! A process that starts anew with `clean_start = false` does not know which packet ids the broker
//! holds for QoS 2 exchanges of the process before it. The first packet id is therefore drawn from
//! the seed: give each process another one.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod aliases;
mod backoff;
mod error;
mod fallback;
mod incoming;
mod keep_alive;
mod limits;
mod notes;
mod outgoing;
mod packet_ids;
mod reasons;
mod replies;
mod round_trip;
mod session;
mod settings;
mod spool;
mod stats;
#[cfg(test)]
mod tests;
mod wire;
mod wire_v4;
mod wire_v5;

pub use backoff::Backoff;
pub use error::ConnectionError;
pub use outgoing::{Publication, Taken};
pub use session::Session;
pub use settings::{Settings, Spool, Version, Will};
pub use stats::Stats;
pub use wire::{put_user_number, put_user_property};
