//! One device: its client, and what it is about to do.

use std::collections::VecDeque;

use super::ledger::Entry;
use super::plan::Plan;
use super::watch::SleepWatch;
use crate::client::{Client, RequestId};
use crate::codec::Qos;
use crate::time::Time;

/// Where a device stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Not connected, and about to try ([`Device::connect_at`]).
    Waiting,
    Connecting,
    Subscribing,
    /// Connected or asleep, subscribed.
    Ready,
    /// Saying goodbye.
    Leaving,
    /// It has said goodbye.
    Gone,
    /// It has gone without a goodbye, to be missed.
    Vanished,
    /// It never got in.
    Failed,
}

/// What a subscription is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    Data,
    Commands,
    Wills,
}

/// A device.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) client: Client,
    pub(super) stage: Stage,
    pub(super) sleeper: bool,
    /// Times at which it does something, microseconds.
    pub(super) connect_at: Option<u64>,
    pub(super) publish_at: Option<u64>,
    pub(super) wake_at: Option<u64>,
    pub(super) sleep_at: Option<u64>,
    pub(super) leave_at: Option<u64>,
    /// When it first tried to connect.
    pub(super) began: u64,
    pub(super) attempts: u32,
    /// It was connected once.
    pub(super) known: bool,
    /// It was ready, or failed, once.
    pub(super) settled: bool,
    /// It has lost its session once.
    pub(super) lost_session: bool,
    /// Its last CONNECT kept the session.
    pub(super) kept: bool,
    /// Subscriptions that are not answered.
    pub(super) asked: Vec<(RequestId, Purpose)>,
    pub(super) hears_data: bool,
    /// A subscription to data was refused.
    pub(super) refused_data: bool,
    pub(super) hears_commands: bool,
    /// The lowest QoS that it was granted.
    pub(super) granted: Qos,
    /// Publications that are not acknowledged.
    pub(super) open: VecDeque<(RequestId, Entry)>,
    /// Messages published.
    pub(super) made: usize,
    /// Messages that were due while it slept.
    pub(super) owed: u32,
    pub(super) wakes: u32,
    /// Since when it collects.
    pub(super) collecting: Option<u64>,
    pub(super) watch: SleepWatch,
    /// The earliest timer that is set for it.
    pub(super) armed: u64,
}

impl Device {
    pub(super) fn new(plan: &Plan, index: usize) -> Self {
        Self {
            client: Client::new(plan.options(index)),
            stage: Stage::Waiting,
            sleeper: plan.sleeps(index) && !plan.is_watcher(index),
            connect_at: None,
            publish_at: None,
            wake_at: None,
            sleep_at: None,
            leave_at: None,
            began: 0,
            attempts: 0,
            known: false,
            settled: false,
            lost_session: false,
            kept: false,
            asked: Vec::new(),
            hears_data: false,
            refused_data: false,
            hears_commands: false,
            granted: Qos::Two,
            open: VecDeque::new(),
            made: 0,
            owed: 0,
            wakes: 0,
            collecting: None,
            watch: SleepWatch::default(),
            armed: u64::MAX,
        }
    }

    /// When something is due, in microseconds.
    pub(super) fn next_due(&self) -> Option<u64> {
        let client = self.client.next_timeout().map(|due| due.0.saturating_mul(1_000));
        let own =
            [self.connect_at, self.publish_at, self.wake_at, self.sleep_at, self.leave_at, client];
        own.into_iter().flatten().min()
    }

    /// Nothing more is to be done, apart from what the client does.
    pub(super) fn stop(&mut self) {
        self.connect_at = None;
        self.publish_at = None;
        self.wake_at = None;
        self.sleep_at = None;
        self.leave_at = None;
    }

    /// The session is over: what it was subscribed to is not certain any more.
    pub(super) fn forget_subscriptions(&mut self) {
        self.asked.clear();
        self.hears_data = false;
        self.refused_data = false;
        self.hears_commands = false;
        self.granted = Qos::Two;
        self.collecting = None;
        self.wake_at = None;
        self.sleep_at = None;
    }

    /// The publication that a request was.
    pub(super) fn take_open(&mut self, id: RequestId) -> Option<Entry> {
        let position = self.open.iter().position(|(open, _)| *open == id)?;
        self.open.remove(position).map(|(_, entry)| entry)
    }
}

/// Whether a time has come; it is taken then.
pub(super) fn due(time: &mut Option<u64>, now: u64) -> bool {
    time.take_if(|time| *time <= now).is_some()
}

/// The time as clients count it.
pub(super) fn client_time(micros: u64) -> Time {
    Time(micros / 1_000)
}
