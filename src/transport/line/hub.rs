//! Radio hubs that speak our own format (`docs/hub.md`), and the hub's end of it for tools that play one.

use std::num::NonZeroU8;
use std::time::Duration;

use super::airtime::{Ability, Air};
use super::station::{Each, NoteKind, Outbox, Outcomes, Port, Station, To, Unsendable};
use crate::core::{Address, Signal};
use crate::hub::{
    self, Destination, FrameDecoder, Hello, Message, Outcome, Received, Send, Text, VERSION,
    decode, encode, frame_len_max,
};
use crate::time::Time;
use crate::transport::framing::Discarded;
use crate::transport::framing::hub::{described, why};
use crate::transport::hex::hex;

/// HELLO REQUEST is repeated so often until there is a HELLO; many boards restart when they are opened.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// After so many it is worth a line, and it is asked more seldom.
const ASK_EAGERLY: u32 = 10;
const ASK_PATIENTLY: Duration = Duration::from_secs(10);
/// A hub reports within this time.
const RESULT_WITHIN: Duration = Duration::from_secs(30);
/// What a hub may say that it takes, and is given: more would only wait there.
const MOST_OUTSTANDING: usize = 8;
/// Longest pause of a hub that is heeded at once; it may say so again.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Hubs whose radio carries less than this have said something else than they meant.
const LEAST_PACKET: usize = 16;

/// A hub at the other end of the line.
#[derive(Debug)]
pub struct Hub {
    decoder: FrameDecoder<Box<[u8]>>,
    frame: Vec<u8>,
    state: State,
}

#[derive(Debug)]
struct State {
    max_packet: usize,
    /// What cannot be read within frames that are whole.
    unreadable: Discarded,
    /// What it has said of itself, once it has.
    known: Option<Known>,
    asked: u32,
    ask_at: Option<Time>,
    busy_until: Option<Time>,
    /// Packets whose result is to come: number, for whom, until when.
    outstanding: Vec<(NonZeroU8, Option<Address>, Time)>,
    last: u8,
    outcomes: Outcomes,
}

/// What counts of a HELLO.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Known {
    max_packet: usize,
    queue: usize,
    ability: Ability,
}

impl Hub {
    /// For packets of at most so many octets.
    #[must_use]
    pub fn new(max_packet: usize) -> Self {
        let state = State {
            max_packet,
            unreadable: Discarded::default(),
            known: None,
            asked: 0,
            ask_at: None,
            busy_until: None,
            outstanding: Vec::new(),
            last: 0,
            outcomes: Outcomes::default(),
        };
        Self { decoder: decoder(max_packet), frame: frame(max_packet), state }
    }

    fn ask(&mut self, now: Time, out: &mut Outbox) {
        let state = &mut self.state;
        state.asked = state.asked.saturating_add(1);
        let pause = if state.asked < ASK_EAGERLY { ASK_EVERY } else { ASK_PATIENTLY };
        state.ask_at = Some(now.after(pause));
        put(&Message::HelloRequest { version: VERSION }, &mut self.frame, &mut out.octets);
    }
}

impl State {
    fn on_message(&mut self, now: Time, contents: &[u8], out: &mut Outbox, each: &mut Each<'_>) {
        match decode(contents) {
            Ok(Message::Received(Received { from, rssi, lqi, packet, .. })) => {
                let signal = Signal { rssi, lqi: lqi.map(NonZeroU8::get) };
                if packet.len() > self.max_packet {
                    self.unreadable.overlong += 1;
                    self.unreadable.octets += contents.len() as u64;
                } else if let Some(from) = Address::new(from.octets()) {
                    each(&from, signal, packet);
                }
            }
            Ok(Message::Hello(hello)) => self.on_hello(&hello, out),
            Ok(Message::Result { sequence, outcome }) => self.on_result(sequence, outcome, out),
            Ok(Message::Busy { milliseconds }) => {
                let pause = Duration::from_millis(milliseconds.into()).min(LONGEST_PAUSE);
                self.busy_until = Some(now.after(pause)).filter(|until| *until > now);
            }
            // Our own, echoed, or of a later version.
            Ok(Message::HelloRequest { .. } | Message::Send(_)) | Err(_) => {
                self.unreadable.damaged += 1;
                self.unreadable.octets += contents.len() as u64;
            }
        }
    }

    /// What was given to the hub has no result any more.
    fn give_up_all(&mut self) {
        self.outcomes.unanswered += self.outstanding.len() as u64;
        self.outstanding.clear();
    }

    /// A number that no other packet has.
    fn number(&mut self) -> Option<NonZeroU8> {
        for _ in 0..=u8::MAX {
            self.last = self.last.wrapping_add(1);
            let number = NonZeroU8::new(self.last);
            if number
                .is_some_and(|number| self.outstanding.iter().all(|(other, ..)| *other != number))
            {
                return number;
            }
        }
        None
    }

    fn largest(&self) -> usize {
        self.max_packet.min(self.known.map_or(usize::MAX, |known| known.max_packet))
    }

    fn on_hello(&mut self, hello: &Hello<'_>, out: &mut Outbox) {
        let first = self.known.is_none();
        let room = usize::from(hello.max_packet);
        let ability = Ability {
            air: Air { rate: Some(hello.bit_rate / 8).filter(|rate| *rate > 0), lora: None },
            duty_cycle: Some(hello.duty_cycle).filter(|share| (1..10_000).contains(share)),
        };
        self.known = Some(Known {
            max_packet: if room < LEAST_PACKET { usize::MAX } else { room },
            queue: usize::from(hello.queue).min(MOST_OUTSTANDING),
            ability,
        });
        (self.ask_at, self.busy_until) = (None, None);
        // It has lost what it was given. Otherwise what was sent after the question is still to be
        // reported on, and before it nothing was.
        if hello.started {
            self.give_up_all();
        }
        if first || hello.started {
            out.note(NoteKind::Found, described(hello));
            if (1..LEAST_PACKET).contains(&room) {
                let text = format!(
                    "the hub says that its radio carries packets of {room} octets at most, which is \
                     too little for MQTT-SN; that is not heeded"
                );
                out.note(NoteKind::Trouble, text);
            }
        }
    }

    fn on_result(&mut self, sequence: NonZeroU8, outcome: Outcome, out: &mut Outbox) {
        let Some(position) = self.outstanding.iter().position(|(number, ..)| *number == sequence)
        else {
            // Of a packet that was given up, or sent before the line was opened.
            return;
        };
        let (_, to, _) = self.outstanding.remove(position);
        if outcome.is_sent() {
            self.outcomes.delivered += 1;
        } else {
            self.outcomes.failed += 1;
            let to = to.map_or_else(|| "everybody".to_owned(), |to| hex(to.octets()));
            let text = format!("a packet to {to} was not delivered: {}", why(outcome));
            out.note(NoteKind::Undelivered, text);
        }
    }
}

impl Station for Hub {
    fn opened(&mut self, now: Time, out: &mut Outbox) {
        self.decoder.reset();
        self.state.known = None;
        self.state.busy_until = None;
        self.state.give_up_all();
        self.state.asked = 0;
        self.ask(now, out);
    }

    fn feed(&mut self, now: Time, _: Port, octets: &[u8], out: &mut Outbox, each: &mut Each<'_>) {
        for octet in octets {
            if let Some(Ok(contents)) = self.decoder.push(*octet) {
                self.state.on_message(now, contents, out, each);
            }
        }
    }

    fn is_ready(&self) -> bool {
        let Some(known) = &self.state.known else { return false };
        self.state.busy_until.is_none()
            && (known.queue == 0 || self.state.outstanding.len() < known.queue)
    }

    fn send(
        &mut self,
        now: Time,
        to: To<'_>,
        packet: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Unsendable> {
        if packet.len() > self.largest() {
            return Err(Unsendable::TooLong);
        }
        let destination = match to {
            To::All => Destination::Broadcast,
            To::One(address) => {
                let address = hub::Address::new(address.octets());
                Destination::Device(address.ok_or(Unsendable::BadAddress)?)
            }
        };
        let reports = self.state.known.is_some_and(|known| known.queue > 0);
        let sequence = if reports { self.state.number() } else { None };
        let message = Message::Send(Send { sequence, to: destination, packet });
        put(&message, &mut self.frame, &mut out.octets);
        if let Some(sequence) = sequence {
            let to = match to {
                To::One(address) => Some(*address),
                To::All => None,
            };
            self.state.outstanding.push((sequence, to, now.after(RESULT_WITHIN)));
        }
        Ok(())
    }

    fn next_timeout(&self) -> Option<Time> {
        let state = &self.state;
        let results = state.outstanding.iter().map(|(_, _, until)| *until).min();
        [state.ask_at, state.busy_until, results].into_iter().flatten().min()
    }

    fn timeout(&mut self, now: Time, out: &mut Outbox) {
        let state = &mut self.state;
        state.busy_until = state.busy_until.filter(|until| *until > now);
        let before = state.outstanding.len();
        state.outstanding.retain(|(_, _, until)| *until > now);
        let silent = before - state.outstanding.len();
        if silent > 0 {
            state.outcomes.unanswered += silent as u64;
            let text = "the hub has not said what became of a packet within 30 s; it has to report \
                        on each one";
            out.note(NoteKind::Trouble, text);
        }
        if state.ask_at.is_some_and(|at| at <= now) {
            if state.asked == ASK_EAGERLY {
                let text = "the hub does not answer HELLO REQUEST; is `baud` right, and does its \
                            firmware speak this format (docs/hub.md)? Nothing is sent before it does";
                out.note(NoteKind::Trouble, text);
            }
            self.ask(now, out);
        }
    }

    fn largest(&self) -> usize {
        self.state.largest()
    }

    fn ability(&self) -> Ability {
        self.state.known.map_or(Ability::default(), |known| known.ability)
    }

    fn discarded(&self) -> Discarded {
        discarded(&self.decoder, self.state.unreadable)
    }

    fn outcomes(&self) -> Outcomes {
        self.state.outcomes
    }
}

/// The hub's end of the line, for tools that play one: an address is that of a device which the hub has,
/// in both directions, and [`Address::NONE`] is everybody.
#[derive(Debug)]
pub struct HubEnd {
    max_packet: usize,
    decoder: FrameDecoder<Box<[u8]>>,
    frame: Vec<u8>,
    unreadable: Discarded,
}

impl HubEnd {
    /// For packets of at most so many octets.
    #[must_use]
    pub fn new(max_packet: usize) -> Self {
        let unreadable = Discarded::default();
        Self { max_packet, decoder: decoder(max_packet), frame: frame(max_packet), unreadable }
    }

    fn hello(frame: &mut [u8], max_packet: usize, started: bool, out: &mut Outbox) {
        let hello = Hello {
            version: VERSION,
            started,
            max_packet: u16::try_from(max_packet).unwrap_or(u16::MAX),
            queue: MOST_OUTSTANDING as u8,
            duty_cycle: 0,
            bit_rate: 0,
            address_len: 0,
            address: hub::Address::default(),
            name: Text::new("mqtt-sn-gateway").unwrap_or_default(),
            radio: Text::new("none: a hub that is played").unwrap_or_default(),
        };
        put(&Message::Hello(hello), frame, &mut out.octets);
    }
}

impl Station for HubEnd {
    fn opened(&mut self, _: Time, out: &mut Outbox) {
        self.decoder.reset();
        Self::hello(&mut self.frame, self.max_packet, true, out);
    }

    fn feed(&mut self, _: Time, _: Port, octets: &[u8], out: &mut Outbox, each: &mut Each<'_>) {
        let Self { max_packet, decoder, frame, unreadable } = self;
        for octet in octets {
            let Some(Ok(contents)) = decoder.push(*octet) else { continue };
            match decode(contents) {
                Ok(Message::HelloRequest { .. }) => Self::hello(frame, *max_packet, false, out),
                Ok(Message::Send(Send { sequence, to, packet })) => {
                    let mut outcome = Outcome::TOO_LONG;
                    if packet.len() <= *max_packet {
                        outcome = Outcome::SENT;
                        let to = match to {
                            Destination::Device(address) => Address::new(address.octets()),
                            Destination::Broadcast => Some(Address::NONE),
                        };
                        each(&to.unwrap_or(Address::NONE), Signal::default(), packet);
                    }
                    if let Some(sequence) = sequence {
                        put(&Message::Result { sequence, outcome }, frame, &mut out.octets);
                    }
                }
                _ => {
                    unreadable.damaged += 1;
                    unreadable.octets += contents.len() as u64;
                }
            }
        }
    }

    fn send(
        &mut self,
        _: Time,
        to: To<'_>,
        packet: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Unsendable> {
        if packet.len() > self.max_packet {
            return Err(Unsendable::TooLong);
        }
        let To::One(from) = to else { return Err(Unsendable::BadAddress) };
        let from = hub::Address::new(from.octets()).ok_or(Unsendable::BadAddress)?;
        let received = Received { from, broadcast: false, rssi: None, lqi: None, packet };
        put(&Message::Received(received), &mut self.frame, &mut out.octets);
        Ok(())
    }

    fn largest(&self) -> usize {
        self.max_packet
    }

    fn discarded(&self) -> Discarded {
        discarded(&self.decoder, self.unreadable)
    }
}

fn decoder(max_packet: usize) -> FrameDecoder<Box<[u8]>> {
    FrameDecoder::new(vec![0; hub::buffer_len(max_packet)].into())
}

/// A buffer for the longest frame.
fn frame(max_packet: usize) -> Vec<u8> {
    vec![0; frame_len_max(hub::buffer_len(max_packet))]
}

/// Appends a frame.
fn put(message: &Message<'_>, frame: &mut [u8], out: &mut Vec<u8>) {
    match encode(message, frame) {
        Ok(length) => out.extend_from_slice(frame.get(..length).unwrap_or(&[])),
        Err(error) => debug_assert!(false, "{error}"),
    }
}

fn discarded(decoder: &FrameDecoder<Box<[u8]>>, unreadable: Discarded) -> Discarded {
    let frames = decoder.discarded();
    Discarded {
        octets: frames.octets + unreadable.octets,
        damaged: frames.stuffing + frames.too_short + frames.crc + unreadable.damaged,
        overlong: frames.too_long + unreadable.overlong,
        cut_off: 0,
    }
}

#[cfg(test)]
mod tests;
