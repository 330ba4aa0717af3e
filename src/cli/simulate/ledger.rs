//! What was published, and what became of it.
//!
//! A stream is what one device publishes to one of its topics at one QoS. Its messages are counted,
//! so that what is missing, comes twice or overtakes is seen by its number.

use std::collections::VecDeque;

use super::payload::qos_index;
use super::plan::Plan;
use crate::codec::Qos;

/// A message is remembered for this long after everything is known about it, in microseconds: a
/// second copy may come.
const REMEMBERED: u64 = 30_000_000;

/// Which stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct StreamId(usize);

impl StreamId {
    /// QoS 0, 1 or 2 as an index.
    pub(super) fn qos_index(self) -> usize {
        self.0 % 3
    }
}

/// A message of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) stream: StreamId,
    pub(super) number: u32,
}

#[derive(Debug)]
struct Record {
    sent: u64,
    /// When it was acknowledged; 0 if it was not.
    acknowledged: u64,
    /// How often it may arrive at QoS 0.
    copies: u8,
    received: u8,
    /// Its receiver was subscribed all the time.
    expected: bool,
    /// Nothing more is to be known about the acknowledgement.
    closed: bool,
}

#[derive(Debug, Default)]
struct Stream {
    /// Number of the first record.
    base: u32,
    records: VecDeque<Record>,
    /// One more than the newest that was received.
    next_expected: u32,
}

impl Stream {
    fn record(&mut self, number: u32) -> Option<&mut Record> {
        self.records.get_mut(number.checked_sub(self.base)? as usize)
    }
}

/// Counts of one QoS.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Tally {
    /// Messages that were published.
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    /// Neither acknowledged nor refused: the session ended meanwhile, or time was up.
    pub(super) unconfirmed: u64,
    /// Messages that arrived, each counted once.
    pub(super) received: u64,
    /// Arrivals of messages that had arrived before.
    pub(super) duplicates: u64,
    pub(super) out_of_order: u64,
    /// Messages that somebody was subscribed to and that did not arrive.
    pub(super) lost: u64,
    /// Messages that did not arrive, and whose receiver had lost its session meanwhile.
    pub(super) excused: u64,
}

/// An arrival, judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Arrival {
    /// Of a message that was never published.
    Unknown,
    First,
    /// Another one that overtook it was here before.
    Late,
    /// It was here before, as may be.
    Again,
    /// It was here before, and may not come again.
    TooOften,
}

/// A message that was acknowledged, or sent at QoS 0, and did not arrive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Missing {
    pub(super) device: usize,
    pub(super) slot: usize,
    pub(super) qos: Qos,
    pub(super) number: u32,
    pub(super) sent: u64,
}

/// All messages of a run.
#[derive(Debug)]
pub(super) struct Ledger {
    streams: Vec<Stream>,
    slots: usize,
    tallies: [Tally; 3],
    /// Messages whose acknowledgement is awaited.
    unacknowledged: u64,
    /// Messages that are awaited, by QoS.
    awaited: [u64; 3],
    remembered: u64,
}

impl Ledger {
    pub(super) fn new(plan: &Plan) -> Self {
        let count = plan.devices * plan.slots() * 3;
        Self {
            streams: std::iter::repeat_with(Stream::default).take(count).collect(),
            slots: plan.slots(),
            tallies: [Tally::default(); 3],
            unacknowledged: 0,
            awaited: [0; 3],
            remembered: 0,
        }
    }

    pub(super) fn stream(&self, device: usize, slot: usize, qos: Qos) -> StreamId {
        StreamId((device * self.slots + slot) * 3 + qos_index(qos))
    }

    pub(super) fn tally(&self, qos: Qos) -> Tally {
        self.tallies.get(qos_index(qos)).copied().unwrap_or_default()
    }

    /// Acknowledgements that are awaited.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.unacknowledged
    }

    /// Messages that are awaited at this QoS.
    pub(super) fn awaited(&self, qos: Qos) -> u64 {
        self.awaited.get(qos_index(qos)).copied().unwrap_or(0)
    }

    /// Messages in memory.
    pub(super) fn remembered(&self) -> u64 {
        self.remembered
    }

    /// A message is published; its number. `expected` if its receiver is subscribed.
    pub(super) fn publish(&mut self, stream: StreamId, now: u64, expected: bool) -> Option<u32> {
        let qos = stream.qos_index();
        let tally = self.tallies.get_mut(qos)?;
        let stream = self.streams.get_mut(stream.0)?;
        let number = stream.base + u32::try_from(stream.records.len()).ok()?;
        stream.records.push_back(Record {
            sent: now,
            acknowledged: 0,
            copies: 1,
            received: 0,
            expected,
            closed: qos == 0,
        });
        tally.sent += 1;
        self.remembered += 1;
        self.unacknowledged += u64::from(qos > 0);
        if let Some(awaited) = self.awaited.get_mut(qos) {
            *awaited += u64::from(expected);
        }
        Some(number)
    }

    /// A datagram with this message at QoS 0 went out once more.
    pub(super) fn copied(&mut self, entry: Entry) {
        let stream = self.streams.get_mut(entry.stream.0);
        if let Some(record) = stream.and_then(|stream| stream.record(entry.number)) {
            record.copies = record.copies.saturating_add(1);
        }
    }

    /// A message is acknowledged; how long that took, in microseconds.
    pub(super) fn acknowledge(&mut self, entry: Entry, now: u64) -> Option<u64> {
        let record = self.streams.get_mut(entry.stream.0)?.record(entry.number)?;
        if std::mem::replace(&mut record.closed, true) {
            return None;
        }
        record.acknowledged = now.max(1);
        let took = now.saturating_sub(record.sent);
        self.unacknowledged -= 1;
        if let Some(tally) = self.tallies.get_mut(entry.stream.qos_index()) {
            tally.acknowledged += 1;
        }
        Some(took)
    }

    /// A message will not be acknowledged any more. It may have arrived all the same, and need not.
    pub(super) fn abandon(&mut self, entry: Entry, refused: bool) {
        let qos = entry.stream.qos_index();
        let record =
            self.streams.get_mut(entry.stream.0).and_then(|stream| stream.record(entry.number));
        let Some(record) = record else { return };
        if qos > 0 && !std::mem::replace(&mut record.closed, true) {
            self.unacknowledged -= 1;
            if let Some(tally) = self.tallies.get_mut(qos) {
                tally.unconfirmed += u64::from(!refused);
            }
        }
        if std::mem::replace(&mut record.expected, false)
            && record.received == 0
            && let Some(awaited) = self.awaited.get_mut(qos)
        {
            *awaited -= 1;
        }
    }

    /// A message has arrived.
    pub(super) fn receive(&mut self, entry: Entry) -> Arrival {
        let qos = entry.stream.qos_index();
        let (Some(stream), Some(tally)) =
            (self.streams.get_mut(entry.stream.0), self.tallies.get_mut(qos))
        else {
            return Arrival::Unknown;
        };
        let again = if qos == 1 { Arrival::Again } else { Arrival::TooOften };
        if entry.number < stream.base {
            tally.duplicates += 1;
            return again;
        }
        let late = entry.number < stream.next_expected;
        let Some(record) = stream.record(entry.number) else { return Arrival::Unknown };
        record.received = record.received.saturating_add(1);
        if record.received > 1 {
            tally.duplicates += 1;
            let allowed = qos == 0 && record.received <= record.copies;
            return if allowed { Arrival::Again } else { again };
        }
        tally.received += 1;
        if record.expected
            && let Some(awaited) = self.awaited.get_mut(qos)
        {
            *awaited -= 1;
        }
        if late {
            tally.out_of_order += 1;
            return Arrival::Late;
        }
        stream.next_expected = entry.number + 1;
        Arrival::First
    }

    /// The receiver of a stream has lost its session: what has not arrived need not arrive.
    pub(super) fn excuse(&mut self, stream: StreamId) {
        let qos = stream.qos_index();
        let (Some(stream), Some(awaited), Some(tally)) =
            (self.streams.get_mut(stream.0), self.awaited.get_mut(qos), self.tallies.get_mut(qos))
        else {
            return;
        };
        for record in stream.records.iter_mut().filter(|record| record.received == 0) {
            if std::mem::replace(&mut record.expected, false) {
                *awaited -= 1;
                tally.excused += 1;
            }
        }
    }

    /// The first message of a stream that was acknowledged before `time` and has not arrived.
    pub(super) fn waiting(&self, stream: StreamId, time: u64) -> Option<u32> {
        let stream = self.streams.get(stream.0)?;
        let position = stream.records.iter().position(|record| {
            record.expected && record.received == 0 && (1..time).contains(&record.acknowledged)
        })?;
        Some(stream.base + u32::try_from(position).ok()?)
    }

    /// Forgets what is known to the end. What was sent at QoS 0 more than `patience` microseconds
    /// ago and has not arrived is lost, and told to `missing`.
    pub(super) fn sweep(&mut self, now: u64, patience: u64, missing: &mut dyn FnMut(Missing)) {
        for (index, stream) in self.streams.iter_mut().enumerate() {
            while let Some(record) = stream.records.front() {
                let age = now.saturating_sub(record.sent);
                let known = record.closed && (record.received > 0 || !record.expected);
                let lost = index % 3 == 0 && !known && age > patience.max(REMEMBERED);
                let forget = lost || known && age > REMEMBERED;
                if !forget {
                    break;
                }
                if lost {
                    missing(missing_of(index, self.slots, stream.base, record));
                    self.awaited[0] -= 1;
                    self.tallies[0].lost += 1;
                }
                stream.records.pop_front();
                stream.base += 1;
                self.remembered -= 1;
            }
            // What was received is newer than what is forgotten, or nothing was.
            stream.next_expected = stream.next_expected.max(stream.base);
        }
    }

    /// Nothing more will come: what is awaited is lost, and told to `missing`.
    pub(super) fn close(&mut self, missing: &mut dyn FnMut(Missing)) {
        for (index, stream) in self.streams.iter_mut().enumerate() {
            let qos = index % 3;
            let tally = &mut self.tallies[qos];
            for (number, record) in (stream.base..).zip(&mut stream.records) {
                if !record.closed {
                    tally.unconfirmed += 1;
                } else if record.expected && record.received == 0 {
                    tally.lost += 1;
                    missing(missing_of(index, self.slots, number, record));
                }
            }
        }
        self.unacknowledged = 0;
        self.awaited = [0; 3];
    }
}

fn missing_of(index: usize, slots: usize, number: u32, record: &Record) -> Missing {
    let qos = match index % 3 {
        0 => Qos::Zero,
        1 => Qos::One,
        _ => Qos::Two,
    };
    let (device, slot) = (index / 3 / slots, index / 3 % slots);
    Missing { device, slot, qos, number, sent: record.sent }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::simulate::plan::tests::plan;

    const NEVER: u64 = u64::MAX;

    struct Bench {
        ledger: Ledger,
        stream: StreamId,
    }

    fn bench(qos: Qos) -> Bench {
        let ledger = Ledger::new(&plan(3, 2));
        let stream = ledger.stream(1, 2, qos);
        Bench { ledger, stream }
    }

    impl Bench {
        fn publish(&mut self, now: u64, expected: bool) -> Entry {
            let number = self.ledger.publish(self.stream, now, expected).unwrap();
            Entry { stream: self.stream, number }
        }

        fn lost(&mut self) -> Vec<u32> {
            let mut lost = Vec::new();
            self.ledger.close(&mut |missing| {
                assert_eq!((missing.device, missing.slot), (1, 2));
                lost.push(missing.number);
            });
            lost
        }
    }

    #[test]
    fn what_was_acknowledged_and_does_not_arrive_is_lost() {
        let mut bench = bench(Qos::One);
        let entries: Vec<_> = (0..4).map(|index| bench.publish(10 * index, index != 2)).collect();
        assert_eq!(bench.ledger.unacknowledged(), 4);
        assert_eq!(bench.ledger.awaited(Qos::One), 3);
        for entry in &entries[..3] {
            assert!(bench.ledger.acknowledge(*entry, 40).is_some());
            assert_eq!(bench.ledger.acknowledge(*entry, 41), None);
        }
        assert_eq!(bench.ledger.receive(entries[0]), Arrival::First);
        assert_eq!(bench.ledger.receive(entries[0]), Arrival::Again);
        assert_eq!(bench.ledger.waiting(bench.stream, 41), Some(1));
        assert_eq!(bench.ledger.waiting(bench.stream, 40), None);
        assert_eq!(bench.lost(), [1]);
        let expected = Tally {
            sent: 4,
            acknowledged: 3,
            unconfirmed: 1,
            received: 1,
            duplicates: 1,
            lost: 1,
            ..Tally::default()
        };
        assert_eq!(bench.ledger.tally(Qos::One), expected);
    }

    #[test]
    fn copies_are_allowed_at_qos_0_as_often_as_they_were_made() {
        let mut bench = bench(Qos::Zero);
        let entry = bench.publish(0, true);
        assert_eq!(bench.ledger.receive(entry), Arrival::First);
        assert_eq!(bench.ledger.receive(entry), Arrival::TooOften);
        let entry = bench.publish(0, true);
        bench.ledger.copied(entry);
        assert_eq!(bench.ledger.receive(entry), Arrival::First);
        assert_eq!(bench.ledger.receive(entry), Arrival::Again);
        assert_eq!(bench.ledger.receive(entry), Arrival::TooOften);
        assert_eq!(bench.ledger.unacknowledged(), 0);
    }

    #[test]
    fn qos_2_comes_once_even_if_it_is_long_forgotten() {
        let mut bench = bench(Qos::Two);
        let entry = bench.publish(0, true);
        bench.ledger.acknowledge(entry, 1);
        assert_eq!(bench.ledger.receive(entry), Arrival::First);
        bench.ledger.sweep(REMEMBERED, NEVER, &mut |_| unreachable!());
        assert_eq!(bench.ledger.remembered(), 1);
        bench.ledger.sweep(REMEMBERED + 1, NEVER, &mut |_| unreachable!());
        assert_eq!(bench.ledger.remembered(), 0);
        assert_eq!(bench.ledger.receive(entry), Arrival::TooOften);
        assert_eq!(bench.publish(0, true).number, 1);
        let unknown = Entry { stream: bench.stream, number: 2 };
        assert_eq!(bench.ledger.receive(unknown), Arrival::Unknown);
    }

    #[test]
    fn overtaking_is_seen_and_gaps_are_not_overtaking() {
        let mut bench = bench(Qos::One);
        let entries: Vec<_> = (0..4).map(|_| bench.publish(0, true)).collect();
        let arrivals = [0, 2, 1, 2, 3].map(|index: usize| bench.ledger.receive(entries[index]));
        use Arrival::{Again, First, Late};
        assert_eq!(arrivals, [First, First, Late, Again, First]);
        assert_eq!(bench.ledger.tally(Qos::One).out_of_order, 1);
    }

    #[test]
    fn whose_receiver_was_away_or_whose_sender_got_no_answer_need_not_arrive() {
        let mut bench = bench(Qos::Two);
        let entries: Vec<_> = (0..3).map(|_| bench.publish(0, true)).collect();
        bench.ledger.acknowledge(entries[0], 1);
        bench.ledger.abandon(entries[1], false);
        bench.ledger.abandon(entries[1], false);
        bench.ledger.excuse(bench.stream);
        assert_eq!((bench.ledger.unacknowledged(), bench.ledger.awaited(Qos::Two)), (1, 0));
        bench.ledger.acknowledge(entries[2], 1);
        // It comes all the same.
        assert_eq!(bench.ledger.receive(entries[2]), Arrival::First);
        assert_eq!(bench.lost(), [0_u32; 0]);
        let tally = bench.ledger.tally(Qos::Two);
        assert_eq!((tally.excused, tally.unconfirmed, tally.received), (2, 1, 1));
    }

    #[test]
    fn what_does_not_arrive_at_qos_0_is_given_up_in_time() {
        let mut bench = bench(Qos::Zero);
        for now in [0, 10, 50_000_000] {
            bench.publish(now, true);
        }
        let mut lost = Vec::new();
        bench.ledger.sweep(50_000_000, 40_000_000, &mut |missing| lost.push(missing.number));
        assert_eq!(lost, [0, 1]);
        assert_eq!((bench.ledger.remembered(), bench.ledger.awaited(Qos::Zero)), (1, 1));
        assert_eq!(bench.lost(), [2]);
        assert_eq!(bench.ledger.tally(Qos::Zero).lost, 3);
    }
}
