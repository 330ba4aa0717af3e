//! The MQTT connections that clients are served by, and what the broker knows of each: one or a few
//! that many clients share (aggregating mode), and one for each client that has its own (transparent
//! mode).

use alloc::boxed::Box;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::copies::Copies;
use super::filters::Filters;
use super::flow::CopyMode;
use super::gateway::Broker;
use super::hashing::Hashing;
use super::upstream::{LineId, MqttQos};

/// How a client's own connection stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum LineState {
    /// There is none, and there is to be none.
    #[default]
    Shut,
    /// There is one, or there is to be one.
    Open,
    /// It ends when what was taken over from the client is delivered.
    Closing,
}

/// What a client's own connection says of the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Told {
    pub(crate) clean: bool,
    /// Hash of the will, 0 without one.
    pub(crate) will: u64,
}

/// One connection, as the core sees it.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) state: LineState,
    /// What the broker was told by it, if it is a client's own.
    pub(crate) told: Option<Told>,
    /// The broker has accepted the client with what it was told. If it is away now, that still holds.
    pub(crate) accepted: bool,
    pub(crate) broker: Broker,
    pub(crate) filters: Filters,
    pub(crate) copies: Copies,
}

impl Line {
    fn new(hasher: Hashing, copies: CopyMode) -> Self {
        let broker = Broker { maximum_qos: MqttQos::Two, copies, ..Broker::default() };
        let (filters, copies) = (Filters::new(hasher), Copies::new(hasher));
        Self { state: LineState::Shut, told: None, accepted: false, broker, filters, copies }
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Lines {
    main: Line,
    /// Further ones that are shared.
    more: Vec<Line>,
    /// By slot of the client.
    own: HashMap<u32, Box<Line>, Hashing>,
    hasher: Hashing,
}

impl Lines {
    /// So many shared ones, at least one.
    pub(crate) fn new(hasher: Hashing, shared: u16) -> Self {
        let line = || Line::new(hasher, CopyMode::Unknown);
        let more = (1..shared).map(|_| line()).collect();
        Self { main: line(), more, own: HashMap::with_hasher(hasher), hasher }
    }

    /// Number of shared ones.
    pub(crate) fn shared(&self) -> u16 {
        // As many as it was made with.
        u16::try_from(self.more.len()).unwrap_or(u16::MAX).saturating_add(1)
    }

    pub(crate) fn shared_ids(&self) -> impl Iterator<Item = LineId> + use<> {
        (0..self.shared()).map(LineId::shared)
    }

    pub(crate) fn own_ids(&self) -> impl Iterator<Item = LineId> {
        self.own.keys().map(|slot| LineId::own(*slot))
    }

    /// Every line there is.
    pub(crate) fn ids(&self) -> impl Iterator<Item = LineId> {
        self.shared_ids().chain(self.own_ids())
    }

    pub(crate) fn get(&self, id: LineId) -> Option<&Line> {
        match id.slot() {
            Some(slot) => self.own.get(&slot).map(|line| &**line),
            None if id == LineId::MAIN => Some(&self.main),
            None => self.more.get(id.number() as usize - 1),
        }
    }

    pub(crate) fn get_mut(&mut self, id: LineId) -> Option<&mut Line> {
        match id.slot() {
            Some(slot) => self.own.get_mut(&slot).map(|line| &mut **line),
            None if id == LineId::MAIN => Some(&mut self.main),
            None => self.more.get_mut(id.number() as usize - 1),
        }
    }

    /// The line of a client, which is there as long as the client is.
    pub(crate) fn at(&self, id: LineId) -> &Line {
        debug_assert!(self.get(id).is_some(), "a client without its line");
        self.get(id).unwrap_or(&self.main)
    }

    /// As [`Self::at`].
    pub(crate) fn at_mut(&mut self, id: LineId) -> &mut Line {
        if self.get(id).is_none() {
            debug_assert!(false, "a client without its line");
            return &mut self.main;
        }
        match id.slot() {
            Some(slot) => self.own.get_mut(&slot).map_or(&mut self.main, |line| &mut **line),
            None if id == LineId::MAIN => &mut self.main,
            None => self.more.get_mut(id.number() as usize - 1).unwrap_or(&mut self.main),
        }
    }

    /// Makes sure that the client in a slot has its own.
    pub(crate) fn add(&mut self, slot: u32) {
        let hasher = self.hasher;
        // One client is there: whatever copies come are for it.
        self.own.entry(slot).or_insert_with(|| Box::new(Line::new(hasher, CopyMode::Single)));
    }

    /// The client in a slot has none any longer. Whether it had one.
    pub(crate) fn remove(&mut self, slot: u32) -> bool {
        self.own.remove(&slot).is_some()
    }

    /// Filters of all of them.
    pub(crate) fn filters(&self) -> usize {
        let own = self.own.values().map(|line| line.filters.len()).sum::<usize>();
        self.shared_ids()
            .filter_map(|id| self.get(id))
            .map(|line| line.filters.len())
            .sum::<usize>()
            + own
    }

    /// Lets go of the memory of what is empty.
    pub(crate) fn give_back(&mut self) {
        self.main.filters.give_back();
        for line in &mut self.more {
            line.filters.give_back();
        }
        if self.own.is_empty() {
            self.own = HashMap::with_hasher(self.hasher);
        }
    }
}
