//! The gateway's own format for a serial line with a radio hub at its other end: frames, and what is
//! in them. A hub is a microcontroller with a radio; it brings the packets of many devices to the
//! gateway and takes packets for them.
//!
//! No allocation, no `std`, nothing that can panic, nothing of the rest of this library: the same code
//! serves the gateway and firmware, which can take the module along as it is.
//! `docs/hub.md` has the format octet by octet, and what a hub does when.
//!
//! A frame is COBS between delimiters, and ends with a CRC-16; inside is one [`Message`].
//! [`encode()`] writes a whole frame, [`FrameDecoder`] finds frames in what comes, octet by octet, and
//! [`decode()`] reads what is in one:
//!
//! ```
//! use mqtt_sn_gateway::hub::{
//!     Address, Destination, FrameDecoder, Message, Outcome, Received, decode, encode,
//! };
//!
//! // A hub for packets of at most 60 octets.
//! const MAX_PACKET: usize = 60;
//! let mut frame = [0; mqtt_sn_gateway::hub::frame_len_max(MAX_PACKET + 14)];
//! let mut line = FrameDecoder::new([0; mqtt_sn_gateway::hub::buffer_len(MAX_PACKET)]);
//!
//! // The radio has received PINGREQ from device 5 at -71 dBm: this goes to the gateway.
//! let received = Message::Received(Received {
//!     from: Address::new(&[5]).unwrap(),
//!     broadcast: false,
//!     rssi: Some(-71),
//!     lqi: None,
//!     packet: &[0x02, 0x16],
//! });
//! let length = encode(&received, &mut frame).unwrap();
//! assert_eq!(
//!     frame[..length],
//!     [0, 3, 1, 0x82, 2, 71, 7, 1, 5, 2, 0x16, 0x55, 0x09, 0],
//! );
//!
//! // And this comes from it, octet by octet: PINGRESP to device 5.
//! let mut send = None;
//! for octet in [0, 4, 1, 2, 7, 7, 1, 5, 2, 0x17, 0xB8, 0x40, 0] {
//!     let Some(frame) = line.push(octet) else { continue };
//!     // A frame that is damaged is as good as none: the device will ask again.
//!     let Ok(contents) = frame else { continue };
//!     match decode(contents) {
//!         Ok(Message::Send(packet)) => {
//!             assert_eq!(packet.to, Destination::Device(Address::new(&[5]).unwrap()));
//!             assert_eq!(packet.packet, [0x02, 0x17]);
//!             // Here the radio sends it. The gateway wants to know how that went.
//!             send = packet.sequence;
//!         }
//!         // Here a hello goes out.
//!         Ok(Message::HelloRequest { .. }) => {}
//!         // What a later gateway has to say does not concern this hub.
//!         Ok(_) | Err(_) => {}
//!     }
//! }
//! let sequence = send.unwrap();
//! let result = Message::Result { sequence, outcome: Outcome::ACKNOWLEDGED };
//! assert!(encode(&result, &mut frame).is_ok());
//! ```

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

mod cobs;
pub mod crc16;
mod decode;
mod encode;
mod error;
mod message;

pub use cobs::{CRC_LEN, DELIMITER, Discarded, FrameDecoder, FrameWriter, frame_len_max};
pub use decode::decode;
pub use encode::encode;
pub use error::{BufferTooSmall, DecodeError, FrameError};
pub use message::{
    ADDRESS_LEN_MAX, Address, Destination, Hello, Message, OTHER_CONTENTS_MAX, Outcome,
    PACKET_HEADER_MAX, Received, Send, TEXT_LEN_MAX, Text, VERSION, buffer_len,
};
