//! An XBee module in API mode, and the nodes of its network.
//!
//! When the line is opened the module is asked for its mode, and nothing is sent before it is known;
//! then for what else matters, while packets go to and fro. Nodes are known by their 64-bit address, or
//! by the 16-bit one if the module tells no other. They are answered in the kind of frames in which
//! they were heard.

mod devices;
mod hearing;
mod inquiry;
mod module;
mod talk;
mod window;

use std::time::Duration;

use super::station::{Each, NoteKind, Outbox, Outcomes, Port, Station, To, Unsendable};
use crate::codec;
use crate::time::Time;
use crate::transport::framing::xbee::{Mode, encode};
use crate::transport::framing::{Decoder, Discarded, Packing};
use hearing::Hearing;
use inquiry::Progress;
pub use module::Module;
use talk::Talk;

/// A module that speaks, but has not told its mode, is asked again after this time.
const HURRY: Duration = Duration::from_millis(500);

/// Speaks with a module.
#[derive(Debug)]
pub(super) struct Xbee {
    hearing: Hearing,
    /// What comes while nothing is known of the module: perhaps packets without frames.
    outside: Option<Decoder>,
    talk: Talk,
}

impl Xbee {
    pub(super) fn new(max_packet: usize, baud: u32) -> Self {
        let hearing = Hearing::new(max_packet, baud);
        Self { hearing, outside: None, talk: Talk::new(max_packet, baud) }
    }

    fn await_packets_outside(&mut self) {
        let Talk { max_packet, baud, .. } = self.talk;
        self.outside = Some(Decoder::new(Packing::Length, max_packet, baud));
    }

    /// Looks for packets outside of frames: so a module sounds that has no API mode switched on.
    fn look_outside(&mut self, now: Time, octets: &[u8], out: &mut Outbox) {
        // What is heard first may be the end of a frame.
        let Some(decoder) = self.outside.as_mut().filter(|_| self.talk.inquiry.is_unanswered())
        else {
            return;
        };
        let mut found = false;
        decoder.feed(now, octets, &mut |packet| found |= codec::decode(packet).is_ok());
        if found {
            self.outside = None;
            self.talk.told_trouble = true;
            out.note(
                NoteKind::Trouble,
                "MQTT-SN comes from the module without API frames: it is in transparent mode (AP=0); \
                 set AP=2 with XCTU and write it to the module",
            );
        }
    }
}

impl Station for Xbee {
    fn opened(&mut self, now: Time, out: &mut Outbox) {
        self.hearing.forget();
        self.await_packets_outside();
        self.talk.told_trouble = false;
        self.talk.restarted();
        self.talk.inquiry.restart(now);
        self.timeout(now, out);
    }

    fn feed(&mut self, now: Time, _: Port, octets: &[u8], out: &mut Outbox, each: &mut Each<'_>) {
        let Self { hearing, talk, .. } = self;
        let before = hearing.frames();
        hearing.feed(now, octets, &mut |frame| talk.take(now, frame, out, each));
        if hearing.mode().is_some() {
            return;
        }
        if hearing.frames() > before {
            talk.inquiry.hurry(now.after(HURRY));
        }
        if hearing.frames() == 0 {
            self.look_outside(now, octets, out);
        }
    }

    fn is_ready(&self) -> bool {
        self.hearing.mode().is_some() && self.talk.window.is_open()
    }

    fn takes(&self, to: To<'_>) -> bool {
        let Talk { inquiry, devices, window, .. } = &self.talk;
        match to {
            To::All => inquiry.is_manner_known() && window.takes(None, false),
            To::One(address) => {
                (devices.is_known(address) || inquiry.is_manner_known())
                    && window.takes(Some(address), devices.is_doubtful(address))
            }
        }
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
        self.talk.write(now, to, packet)?;
        // It is called only when this is known.
        let mode = self.hearing.mode().unwrap_or(Mode::Escaped);
        encode(mode, &self.talk.frame, &mut out.octets);
        Ok(())
    }

    fn next_timeout(&self) -> Option<Time> {
        let Talk { inquiry, window, .. } = &self.talk;
        [inquiry.next_timeout(), window.next_timeout()].into_iter().flatten().min()
    }

    fn timeout(&mut self, now: Time, out: &mut Outbox) {
        self.talk.expire(now, out);
        let mode = self.hearing.mode();
        let progress = self.talk.inquiry.timeout(now, mode, &mut out.octets);
        self.talk.tell(progress, out);
        if progress == Progress::Silent && mode.is_some() {
            self.hearing.forget();
            self.await_packets_outside();
        }
    }

    fn largest(&self) -> usize {
        self.talk.inquiry.largest()
    }

    fn discarded(&self) -> Discarded {
        let (heard, unused) = (self.hearing.discarded(), self.talk.unused);
        Discarded {
            octets: heard.octets + unused.octets,
            damaged: heard.damaged + unused.damaged,
            overlong: heard.overlong + unused.overlong,
            ..heard
        }
    }

    fn outcomes(&self) -> Outcomes {
        self.talk.outcomes
    }
}

#[cfg(test)]
mod tests;
