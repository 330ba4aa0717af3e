//! What the loop shows to a capture, and whose it is.

use std::time::Duration;

use hashbrown::HashMap;
use tracing::warn;

use super::{Callers, Gateway, Link, Machine};
use crate::admin::NoCapture;
use crate::capture::{Packet, Recorder, Report, Setup};
use crate::core::{Address, ClientKey, Effect, LinkId, Signal};
use crate::engine::Engine;
use crate::runtime::whose::named;

/// How long a disk may take for the end of a capture when the gateway stops.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Names of clients that are remembered.
const NAMES: usize = 4_096;

/// A capture, and the names of those whose packets it takes.
#[derive(Debug)]
pub(super) struct Capture {
    recorder: Recorder,
    names: Names,
}

/// A client may be forgotten before its last packet is sent.
#[derive(Debug, Default)]
struct Names(HashMap<ClientKey, String, foldhash::fast::RandomState>);

impl Names {
    fn of<'a>(&'a mut self, engine: &'a Engine, key: Option<ClientKey>) -> Option<&'a str> {
        let key = key?;
        let Some(view) = engine.gateway().client_of(key) else {
            return self.0.get(&key).map(String::as_str);
        };
        if !self.0.contains_key(&key) {
            if self.0.len() >= NAMES {
                self.0.clear();
            }
            self.0.insert(key, view.id().to_owned());
        }
        Some(view.id())
    }
}

impl Capture {
    /// Takes a packet that the engine has just handled.
    pub(super) fn received(
        &mut self,
        engine: &Engine,
        link: LinkId,
        from: &Address,
        signal: Signal,
        octets: &[u8],
    ) {
        let in_hand = engine.gateway().client_in_hand();
        let client = named(octets).or_else(|| self.names.of(engine, in_hand));
        let device = Some(from);
        self.recorder.packet(&Packet { link, device, received: true, signal, octets, client });
    }

    /// Takes the packets that are to be sent.
    fn sent(&mut self, engine: &Engine, callers: &Callers) {
        let effects = engine.outgoing();
        for (position, effect) in effects.items().iter().enumerate() {
            let (link, device, octets, client) = match effect {
                Effect::Send { link, to, bytes, client } => {
                    let client = self.names.of(engine, *client).or_else(|| callers.of(position));
                    (*link, Some(to), effects.bytes(*bytes), client)
                }
                Effect::Broadcast { link, bytes, .. } => (*link, None, effects.bytes(*bytes), None),
                _ => continue,
            };
            let signal = Signal::default();
            self.recorder.packet(&Packet { link, device, received: false, signal, octets, client });
        }
    }
}

impl<M: Machine> Gateway<M> {
    /// Begins a capture.
    ///
    /// # Errors
    /// If one runs, or the system has no room for it.
    pub(super) fn start_capture(&mut self, setup: Setup) -> Result<Report, NoCapture> {
        if self.capture.as_ref().is_some_and(|capture| capture.recorder.report().active) {
            return Err(NoCapture::Busy);
        }
        let wires = self.links.iter().map(Link::wire).collect();
        let recorder = Recorder::start(setup, wires).map_err(NoCapture::System)?;
        let report = recorder.report();
        self.capture = Some(Box::new(Capture { recorder, names: Names::default() }));
        Ok(report)
    }

    /// Has what was taken written, and nothing more.
    pub(super) fn end_capture(&mut self, why: &str) -> Option<Report> {
        let capture = self.capture.as_mut()?;
        capture.recorder.end(why);
        Some(capture.recorder.report())
    }

    /// How the capture stands, or the last one ended.
    pub(super) fn capture_report(&self) -> Option<Report> {
        self.capture.as_ref().map(|capture| capture.recorder.report())
    }

    /// Takes what is about to be sent, and has it written with what has come.
    pub(super) fn capture_sent(&mut self) {
        let Some(capture) = open(&mut self.capture) else { return };
        if let Some(engine) = self.machine.engine() {
            capture.sent(engine, &self.callers);
        }
        capture.recorder.hand_over();
    }

    /// Waits until the end of a capture is written.
    pub(super) async fn finish_capture(&mut self) {
        let done = self.capture.as_mut().and_then(|capture| capture.recorder.done());
        if let Some(done) = done
            && tokio::time::timeout(LAST_WORDS, done).await.is_err()
        {
            warn!("the end of the capture is not written in time, and is missing");
        }
    }
}

/// The capture, if it takes packets.
#[inline]
pub(super) fn open(capture: &mut Option<Box<Capture>>) -> Option<&mut Capture> {
    capture.as_deref_mut().filter(|capture| capture.recorder.is_open())
}
