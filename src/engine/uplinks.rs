//! The MQTT sessions: those that clients share, and one for each client that has its own.

use std::collections::{BTreeMap, VecDeque};

use bytes::BytesMut;

use crate::core::upstream::{LineId, LineSetup, Login, UpstreamEvent, WillSetup};
use crate::core::{Effects, Gateway, Wheel};
use crate::mqtt::{self, ConnectionError, Session};
use crate::store::image::{Image, LineImage};
use crate::store::record::Record;
use crate::time::Time;

/// All of them, and what has to be done about them.
#[derive(Debug)]
pub(super) struct Uplinks {
    settings: mqtt::Settings,
    seed: u64,
    shared: Vec<Session>,
    /// By slot of the client.
    own: BTreeMap<u32, Box<Own>>,
    /// Deadlines of own ones.
    wheel: Wheel,
    /// Own ones with which something was done since [`Self::collect`].
    touched: Vec<u32>,
    /// Own ones that have something to say once it is written.
    deferring: Vec<u32>,
    /// What is to be done about own connections, in order.
    wishes: VecDeque<Wish>,
    /// Own ones with something to be written.
    speaking: Vec<LineId>,
    /// Own connections that are closed for good.
    closed: Vec<LineId>,
    /// Connections that the sessions are done with, and why.
    ended: VecDeque<(LineId, ConnectionError)>,
    /// Octets in the spools of own ones.
    spooled: u64,
    scratch: Vec<u8>,
}

/// A client's own session.
#[derive(Debug)]
struct Own {
    session: Session,
    armed: Option<Time>,
    /// Octets in its spool, when it was looked at last.
    spooled: u64,
    touched: bool,
    deferring: bool,
    /// It stands among those with something to be written.
    speaking: bool,
    /// Why the present connection ended, if that is more than an accident.
    end: Option<End>,
    stage: Stage,
}

/// Why the connection of a client ended, if that is more than an accident.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// The broker does not want the client.
    Barred,
    /// Nothing is wrong: the next one differs.
    Renewed,
}

/// How far a client's own session is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// There is a connection, or there is to be one.
    Live,
    /// The client has left. When everything is delivered the connection ends; without a word if
    /// `abort`. `will`: the broker is to publish the will, and cannot be told yet.
    Draining { abort: bool, will: bool },
    /// The goodbye is on its way.
    Leaving,
    /// There is none; the session is kept for what the broker may say again.
    Asleep,
}

/// The core with its effects, and the moment: where the events of a session go.
pub(super) struct Events<'a> {
    pub(super) now: Time,
    pub(super) gateway: &'a mut Gateway,
    pub(super) effects: &'a mut Effects,
}

impl Events<'_> {
    /// For the events of one session.
    pub(super) fn of(&mut self, line: LineId) -> impl FnMut(UpstreamEvent<'_>) {
        move |event| self.gateway.handle_upstream(self.now, line, event, self.effects)
    }
}

/// Something to be done about a client's own connection. Each is followed by `broker_closed` when the
/// connection that there was is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wish {
    /// There is to be one; the one that there is, if any, has said its goodbye: it is closed when that is
    /// written, and another one made.
    Open(LineId),
    /// It is closed when what it has to say is written, and no other made.
    Close(LineId),
    /// It is closed at once, and another one made.
    Cut(LineId),
}

impl Own {
    fn new(session: Session, stage: Stage) -> Self {
        Self {
            session,
            armed: None,
            spooled: 0,
            touched: false,
            deferring: false,
            speaking: false,
            end: None,
            stage,
        }
    }
}

impl Own {
    /// The client has left: what is to be done next about the connection, if anything is.
    fn drain(&mut self) -> Option<fn(LineId) -> Wish> {
        let Stage::Draining { abort, will } = self.stage else { return None };
        if will && !self.session.is_connected() {
            // The broker publishes the will when it has been told, and the connection broken off.
            return None;
        }
        if self.session.is_drained() && !self.session.has_deferred() {
            if !abort {
                self.session.disconnect();
            }
            self.stage = Stage::Leaving;
            return Some(Wish::Close);
        }
        if abort && self.session.has_will() {
            // It is due now. What is owed goes by another connection, without one.
            self.session.drop_will();
            self.stage = Stage::Draining { abort, will: false };
            return Some(Wish::Cut);
        }
        None
    }
}

/// A connection of one client needs less than one of many.
fn own_settings(settings: mqtt::Settings) -> mqtt::Settings {
    mqtt::Settings {
        clean_start: false,
        will: None,
        receive_maximum: 20,
        max_inflight: 20,
        max_queued: 1_000,
        max_queued_bytes: 256 * 1024,
        acknowledge_in_order: true,
        ..settings
    }
}

fn will(will: &WillSetup) -> mqtt::Will {
    let WillSetup { topic, payload, qos, retain } = will.clone();
    mqtt::Will { topic, payload, qos, retain }
}

impl Uplinks {
    /// So many shared sessions, at least one. The first has the will, and the client id as it is.
    pub(super) fn new(settings: mqtt::Settings, shared: u16, mut seed: u64, now: Time) -> Self {
        let mut sessions = Vec::new();
        for number in 1..=shared.max(1) {
            let mut settings = settings.clone();
            if number > 1 {
                settings.client_id = format!("{}-{number}", settings.client_id).into();
                settings.will = None;
            }
            seed = seed.wrapping_add(1);
            let mut session = Session::new(settings, seed);
            session.measure_round_trips();
            sessions.push(session);
        }
        Self {
            settings: own_settings(settings),
            seed,
            shared: sessions,
            own: BTreeMap::new(),
            wheel: Wheel::new(now),
            touched: Vec::new(),
            deferring: Vec::new(),
            wishes: VecDeque::new(),
            speaking: Vec::new(),
            closed: Vec::new(),
            ended: VecDeque::new(),
            spooled: 0,
            scratch: Vec::new(),
        }
    }

    /// Packet ids shall not begin with those of the last life.
    pub(super) fn reseed(&mut self, seed: u64) {
        self.seed = seed;
        for (session, number) in self.shared.iter_mut().zip(0..) {
            session.reseed(seed.wrapping_add(number));
        }
    }

    /// Number of shared ones.
    pub(super) fn shared(&self) -> u16 {
        self.shared.len() as u16
    }

    pub(super) fn shared_lines(&self) -> impl Iterator<Item = LineId> + use<> {
        (0..self.shared()).map(LineId::shared)
    }

    /// Number of those of single clients, and how many of them the broker has accepted.
    pub(super) fn own(&self) -> (usize, usize) {
        let connected = self.own.values().filter(|own| own.session.is_connected()).count();
        (self.own.len(), connected)
    }

    pub(super) fn main(&self) -> &Session {
        // There is always one.
        &self.shared[0]
    }

    pub(super) fn get(&self, line: LineId) -> Option<&Session> {
        match line.slot() {
            Some(slot) => self.own.get(&slot).map(|own| &own.session),
            None => self.shared.get(line.number() as usize),
        }
    }

    /// To do something with it.
    pub(super) fn get_mut(&mut self, line: LineId) -> Option<&mut Session> {
        let Some(slot) = line.slot() else { return self.shared.get_mut(line.number() as usize) };
        let own = self.own.get_mut(&slot)?;
        if !std::mem::replace(&mut own.touched, true) {
            self.touched.push(slot);
        }
        Some(&mut own.session)
    }

    /// Octets for the broker.
    pub(super) fn output(&mut self, line: LineId) -> Option<&mut BytesMut> {
        match line.slot() {
            Some(slot) => self.own.get_mut(&slot).map(|own| own.session.output()),
            None => self.shared.get_mut(line.number() as usize).map(Session::output),
        }
    }

    /// Says goodbye by all of them.
    pub(super) fn disconnect(&mut self) {
        for line in self.lines() {
            if let Some(session) = self.get_mut(line) {
                session.disconnect();
            }
        }
    }

    /// Every line there is.
    fn lines(&self) -> Vec<LineId> {
        self.shared_lines().chain(self.own.keys().map(|slot| LineId::own(*slot))).collect()
    }

    /// Goes on with what a former life has written down. Gives the number of publications that are
    /// still owed to the broker.
    pub(super) fn restore(&mut self, image: &mut Image, gateway: &Gateway) -> usize {
        for line in gateway.open_lines() {
            if let (Some(slot), Some(setup)) = (line.slot(), gateway.line_setup(line)) {
                self.open(slot, &setup);
                if !setup.wanted {
                    self.close(slot, false);
                }
            }
        }
        let mut spooled = 0;
        for (number, mut line) in std::mem::take(&mut image.lines) {
            let id = LineId::from_number(number);
            let slot = id.slot();
            let setup = gateway.line_setup(id);
            if let (Some(slot), Some(setup)) = (slot, &setup)
                && !self.own.contains_key(&slot)
                && !line.received.is_empty()
            {
                let session = self.own_session(setup);
                self.own.insert(slot, Box::new(Own::new(session, Stage::Asleep)));
            }
            match self.get_mut(id) {
                Some(session) => spooled += session.restore(&mut line),
                // There are fewer connections than there were: what was to go by this one goes by
                // another.
                None => adopt(&mut image.main, line),
            }
        }
        if let Some(main) = self.shared.first_mut() {
            spooled += main.restore(&mut image.main);
            for own in self.own.values_mut() {
                own.session.learn_from(main);
            }
        }
        spooled
    }

    /// A session for a client of its own, without a connection.
    fn own_session(&mut self, setup: &LineSetup) -> Session {
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let client_id = setup.client_id.clone();
        let will = setup.will.as_ref().map(will);
        let volatile = setup.clean;
        let mut settings = mqtt::Settings { client_id, will, volatile, ..self.settings.clone() };
        if let Some(Login { username, password }) = setup.login.clone() {
            (settings.username, settings.password) = (username, password);
        }
        let mut session = Session::new(settings, self.seed);
        session.learn_from(self.main());
        session
    }

    /// See [`super::Engine::set_login`].
    pub(super) fn set_login(&mut self, login: Login, gateway: &Gateway) {
        let Login { username, password } = login;
        for session in &mut self.shared {
            session.set_login(username.clone(), password.clone());
        }
        for (slot, own) in &mut self.own {
            let setup = gateway.line_setup(LineId::own(*slot));
            let login = setup.and_then(|setup| setup.login);
            let login = login.unwrap_or_else(|| Login {
                username: username.clone(),
                password: password.clone(),
            });
            own.session.set_login(login.username, login.password);
        }
        (self.settings.username, self.settings.password) = (username, password);
    }

    /// A client is to have a connection, or another one that says something else.
    pub(super) fn open(&mut self, slot: u32, setup: &LineSetup) {
        let line = LineId::own(slot);
        self.wishes.push_back(Wish::Open(line));
        if let Some(own) = self.own.get_mut(&slot) {
            own.stage = Stage::Live;
            own.session.renew(setup.clean, setup.will.as_ref().map(will));
            let login = setup.login.clone().unwrap_or_else(|| Login {
                username: self.settings.username.clone(),
                password: self.settings.password.clone(),
            });
            own.session.set_login(login.username, login.password);
            if !own.session.is_closed() {
                own.end = Some(End::Renewed);
                own.session.disconnect();
            }
            self.get_mut(line);
            return;
        }
        let session = self.own_session(setup);
        self.own.insert(slot, Box::new(Own::new(session, Stage::Live)));
    }

    /// The client has left.
    pub(super) fn close(&mut self, slot: u32, abort: bool) {
        let Some(own) = self.own.get_mut(&slot) else {
            return self.closed.push(LineId::own(slot));
        };
        let waits = abort && own.session.has_will() && !own.session.is_connected();
        own.stage = Stage::Draining { abort, will: waits };
        if !abort {
            // It has said goodbye. Should the connection break before all is delivered, the next one
            // has no will to publish.
            own.session.drop_will();
        }
        // Looked at when all is collected.
        self.get_mut(LineId::own(slot));
    }

    /// The client is forgotten.
    pub(super) fn forget(&mut self, slot: u32) {
        if let Some(own) = self.own.remove(&slot) {
            self.spooled -= own.spooled;
            self.wheel.disarm(slot);
            self.wishes.push_back(Wish::Close(LineId::own(slot)));
        }
    }

    /// The connection of a session is closed. Whether it ever stood is for the caller to say.
    pub(super) fn after_close(&mut self, line: LineId) {
        let Some(slot) = line.slot() else { return };
        let Some(own) = self.own.get_mut(&slot) else { return };
        if own.stage != Stage::Leaving {
            return;
        }
        if own.session.is_forgetful() {
            self.spooled -= own.spooled;
            self.own.remove(&slot);
            self.wheel.disarm(slot);
        } else {
            own.stage = Stage::Asleep;
        }
        self.closed.push(line);
    }

    /// Notes why a client's connection ends.
    pub(super) fn set_end(&mut self, line: LineId, end: End) {
        if let Some(own) = line.slot().and_then(|slot| self.own.get_mut(&slot)) {
            own.end = Some(end);
            if let (End::Barred, Stage::Draining { will, .. }) = (end, &mut own.stage) {
                // The broker will not be told.
                *will = false;
            }
        }
    }

    /// Why it has ended.
    pub(super) fn take_end(&mut self, line: LineId) -> Option<End> {
        self.own.get_mut(&line.slot()?)?.end.take()
    }

    /// An own connection that is closed for good.
    pub(super) fn take_closed(&mut self) -> Option<LineId> {
        self.closed.pop()
    }

    /// The next thing to be done about own connections.
    pub(super) fn take_wish(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    /// An own connection with something to be written.
    pub(super) fn take_speaking(&mut self) -> Option<LineId> {
        let line = self.speaking.pop()?;
        if let Some(own) = line.slot().and_then(|slot| self.own.get_mut(&slot)) {
            own.speaking = false;
        }
        Some(line)
    }

    /// Moves the records of what has changed to `into`, and looks what has become of the sessions that
    /// something was done with.
    pub(super) fn collect(&mut self, into: &mut Vec<u8>) {
        let (scratch, shared) = (&mut self.scratch, &mut self.shared);
        for (session, number) in shared.iter_mut().zip(0_u16..) {
            drain(session, LineId::shared(number), scratch, into);
        }
        for slot in self.touched.drain(..) {
            let Some(own) = self.own.get_mut(&slot) else { continue };
            own.touched = false;
            drain(&mut own.session, LineId::own(slot), scratch, into);
            let spooled = own.session.stats().spooled_bytes;
            self.spooled = self.spooled + spooled - std::mem::replace(&mut own.spooled, spooled);
            if own.session.has_deferred() && !std::mem::replace(&mut own.deferring, true) {
                self.deferring.push(slot);
            }
            if let Some(wish) = own.drain() {
                self.wishes.push_back(wish(LineId::own(slot)));
            }
            if !own.session.output().is_empty() && !std::mem::replace(&mut own.speaking, true) {
                self.speaking.push(LineId::own(slot));
            }
            if let Some(at) = own.session.next_timeout()
                && own.armed.is_none_or(|armed| at < armed)
            {
                own.armed = Some(at);
                self.wheel.arm(slot, at);
            }
        }
    }

    pub(super) fn has_records(&self) -> bool {
        self.shared.iter().any(Session::has_records) || !self.touched.is_empty()
    }

    /// Whether something waits to be said until the records are written, and not for a commit that is
    /// under way.
    pub(super) fn has_deferred(&self) -> bool {
        self.shared.iter().any(Session::has_deferred)
            || self
                .deferring
                .iter()
                .any(|slot| self.own.get(slot).is_some_and(|own| own.session.has_deferred()))
    }

    /// The records drained so far are about to be written.
    pub(super) fn seal(&mut self) {
        self.shared.iter_mut().for_each(Session::seal);
        for slot in &self.deferring {
            if let Some(own) = self.own.get_mut(slot) {
                own.session.seal();
            }
        }
    }

    /// They are written: says what waited for it.
    pub(super) fn release(&mut self, mut events: Events<'_>) {
        for line in self.shared_lines() {
            if let Some(session) = self.get_mut(line) {
                session.release(events.now, &mut events.of(line));
            }
        }
        for slot in std::mem::take(&mut self.deferring) {
            if let Some(own) = self.own.get_mut(&slot) {
                own.deferring = false;
            }
            let line = LineId::own(slot);
            if let Some(session) = self.get_mut(line) {
                session.release(events.now, &mut events.of(line));
            }
        }
    }

    /// See [`Session::set_failing`].
    pub(super) fn set_failing(&mut self, failing: bool, mut events: Events<'_>) {
        for line in self.lines() {
            let Some(session) = self.get_mut(line) else { continue };
            session.set_failing(failing, &mut events.of(line));
            if !failing {
                session.resume(events.now, &mut events.of(line));
            }
        }
    }

    /// Work that is due.
    pub(super) fn timeout(&mut self, mut events: Events<'_>) {
        let now = events.now;
        for line in self.shared_lines() {
            let Some(session) = self.get_mut(line) else { continue };
            session.try_again(now, &mut events.of(line));
            if let Err(error) = session.handle_timeout(now) {
                self.ended.push_back((line, error));
            }
        }
        while let Some(slot) = self.wheel.pop(now) {
            if let Some(own) = self.own.get_mut(&slot) {
                own.armed = None;
            }
            let line = LineId::own(slot);
            let Some(session) = self.get_mut(line) else { continue };
            session.try_again(now, &mut events.of(line));
            if let Err(error) = session.handle_timeout(now) {
                self.ended.push_back((line, error));
            }
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        let shared = self.shared.iter().filter_map(Session::next_timeout).min();
        shared.into_iter().chain(self.wheel.next()).min()
    }

    /// A connection that a session is done with.
    pub(super) fn take_ended(&mut self) -> Option<(LineId, ConnectionError)> {
        self.ended.pop_front()
    }

    /// Appends all that is to be remembered, from `place` on, until `out` is `limit` octets long. False
    /// if nothing is left.
    pub(super) fn snapshot(&self, place: &mut Place, out: &mut Vec<u8>, limit: usize) -> bool {
        while out.len() < limit {
            let Some(line) = self.at(place.line) else { return false };
            let Some(session) = self.get(line) else { return false };
            let more = if line == LineId::MAIN {
                session.snapshot(&mut place.within, out, limit)
            } else {
                let mut records = Vec::new();
                let more = session.snapshot(&mut place.within, &mut records, limit - out.len());
                wrap(line, &records, out);
                more
            };
            if !more {
                *place = Place { line: line.number().saturating_add(1), within: 0 };
            }
        }
        self.at(place.line).is_some()
    }

    /// The first line from this number on.
    fn at(&self, number: u32) -> Option<LineId> {
        if number < u32::from(self.shared()) {
            return Some(LineId::from_number(number));
        }
        let slot = LineId::from_number(number).slot().unwrap_or(0);
        self.own.range(slot..).next().map(|(slot, _)| LineId::own(*slot))
    }

    /// Whether the spools of all are, together, as full as one may be.
    pub(super) fn is_full(&self) -> bool {
        self.settings.spool.is_some_and(|spool| self.spooled_bytes() >= spool.max_bytes)
    }

    /// Octets in the spool.
    pub(super) fn spooled_bytes(&self) -> u64 {
        let shared = self.shared.iter().map(|session| session.stats().spooled_bytes);
        shared.sum::<u64>() + self.spooled
    }
}

/// How far a snapshot of the sessions has got.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// Number of the line.
    line: u32,
    within: usize,
}

fn drain(session: &mut Session, line: LineId, scratch: &mut Vec<u8>, into: &mut Vec<u8>) {
    if !session.has_records() {
        return;
    }
    if line == LineId::MAIN {
        return session.drain_records(into);
    }
    scratch.clear();
    session.drain_records(scratch);
    wrap(line, scratch, into);
}

fn wrap(line: LineId, records: &[u8], into: &mut Vec<u8>) {
    if !records.is_empty() {
        Record::Line { line: line.number(), records }.put(into);
    }
}

/// The publications of a connection that there is not any more, as new ones behind those of another.
fn adopt(main: &mut LineImage, lost: LineImage) {
    let mut key = main.requests.keys().next_back().map_or(0, |last| *last);
    for (_, mut request) in lost.requests {
        key += 1;
        request.packet_id = 0;
        request.released = false;
        main.requests.insert(key, request);
    }
}
