//! MQTT-SN 1.2 packets as borrowed views: no allocation, no `std`, nothing that can panic.
//!
//! [`decode()`] turns a datagram into a [`Packet`]; [`Message::encode`] writes the one canonical
//! form of a message; [`frame_length`] finds the end of a packet in a byte stream. Byte layouts:
//! MQTT-SN 1.2 §5.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

mod decode;
mod encode;
mod error;
mod header;
mod message;

pub use decode::{decode, decode_message, frame_length};
pub use error::{BufferTooSmall, DecodeError};
#[cfg(feature = "mqtt")]
pub(crate) use header::msg_type;
pub use header::{MAX_MESSAGE_LEN, MAX_NODE_ID_LEN, split_forwarder, type_name};
#[cfg(feature = "gateway")]
pub(crate) use header::{flag, peek};
pub use message::{
    Connect, Encapsulation, Message, Packet, Publish, PublishTopic, Qos, ReturnCode, Subscribe,
    SubscribeTopic, WillTopic,
};
