//! [`Message`] to a frame: one form each.

use super::cobs::FrameWriter;
use super::error::BufferTooSmall;
use super::message::{Address, Destination, Hello, Message, Received, Send, Text, VERSION};

/// Flag of a packet that is for everybody.
pub(super) const BROADCAST: u8 = 0x01;
/// Flag of a hello after the hub has started.
pub(super) const STARTED: u8 = 0x01;

/// Writes the message as a whole frame, with both delimiters, to the front of `out`, and returns its
/// length in octets. [`frame_len_max`](super::frame_len_max) says how long that may be.
///
/// # Errors
/// [`BufferTooSmall`] if it does not fit; what is written is no frame then.
pub fn encode(message: &Message<'_>, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
    let mut frame = FrameWriter::new(out);
    frame.push(&[VERSION, message.type_code()]);
    match message {
        Message::HelloRequest { version } => frame.push(&[*version]),
        Message::Send(send) => put_send(send, &mut frame),
        Message::Hello(hello) => put_hello(hello, &mut frame),
        Message::Received(received) => put_received(received, &mut frame),
        Message::Result { sequence, outcome } => frame.push(&[sequence.get(), outcome.0]),
        Message::Busy { milliseconds } => frame.push(&milliseconds.to_be_bytes()),
    }
    frame.finish()
}

fn put_send(send: &Send<'_>, frame: &mut FrameWriter<'_>) {
    let (flags, address) = match send.to {
        Destination::Broadcast => (BROADCAST, Address::default()),
        Destination::Device(address) => (0, address),
    };
    frame.push(&[send.sequence.map_or(0, u8::from), flags]);
    put_address(address, frame);
    frame.push(send.packet);
}

fn put_received(received: &Received<'_>, frame: &mut FrameWriter<'_>) {
    let flags = if received.broadcast { BROADCAST } else { 0 };
    let rssi = received.rssi.map_or(0, below_zero);
    frame.push(&[flags, rssi, received.lqi.map_or(0, u8::from)]);
    put_address(received.from, frame);
    frame.push(received.packet);
}

fn put_hello(hello: &Hello<'_>, frame: &mut FrameWriter<'_>) {
    frame.push(&[hello.version, if hello.started { STARTED } else { 0 }]);
    frame.push(&hello.max_packet.to_be_bytes());
    frame.push(&[hello.queue]);
    frame.push(&hello.duty_cycle.to_be_bytes());
    frame.push(&hello.bit_rate.to_be_bytes());
    frame.push(&[hello.address_len]);
    put_address(hello.address, frame);
    put_text(hello.name, frame);
    put_text(hello.radio, frame);
}

fn put_address(address: Address, frame: &mut FrameWriter<'_>) {
    put_counted(address.octets(), frame);
}

fn put_text(text: Text<'_>, frame: &mut FrameWriter<'_>) {
    put_counted(text.as_str().as_bytes(), frame);
}

/// Octets behind their number, which both types keep below 256.
fn put_counted(octets: &[u8], frame: &mut FrameWriter<'_>) {
    frame.push(&[u8::try_from(octets.len()).unwrap_or(u8::MAX)]);
    frame.push(octets);
}

/// By how many dB a signal is below 0 dBm.
fn below_zero(dbm: i16) -> u8 {
    u8::try_from(dbm.saturating_neg().clamp(1, 255)).unwrap_or(u8::MAX)
}
