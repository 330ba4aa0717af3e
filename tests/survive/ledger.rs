//! Every message, from being sent to being delivered, and what was promised about it in between.
//!
//! A message is its flow (whose, which way, which QoS) and its number in it; its payload says both.
//! So whatever comes out anywhere can be told apart, whatever topic it came under.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;
use std::time::Instant;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Way {
    /// From a device to the world.
    Up,
    /// From the world to a device.
    Down,
}

/// Messages that have an order among them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Flow {
    pub way: Way,
    pub qos: u8,
    /// Number of the device.
    pub device: u32,
}

impl Flow {
    pub fn topic(self) -> String {
        let way = if self.way == Way::Up { "up" } else { "down" };
        format!("{way}/{}/{}", self.device, self.qos)
    }

    /// The payload of one of its messages. The topic is in it, so that a message under a wrong one
    /// is found out.
    pub fn payload(self, number: u32) -> String {
        format!("{} {number}", self.topic())
    }

    /// Which message a payload is.
    pub fn parse(payload: &[u8]) -> Option<(Self, u32)> {
        let (topic, number) = std::str::from_utf8(payload).ok()?.split_once(' ')?;
        let mut levels = topic.split('/');
        let way = match levels.next()? {
            "up" => Way::Up,
            "down" => Way::Down,
            _ => return None,
        };
        let device = levels.next()?.parse().ok()?;
        let qos = levels.next()?.parse().ok()?;
        Some((Self { way, qos, device }, number.parse().ok()?))
    }
}

/// What is known of one message.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// The sender has its acknowledgement: PUBACK, or PUBCOMP at QoS 2.
    acknowledged: bool,
    /// The sender was told that it was not taken.
    refused: bool,
    /// How often it crossed between gateway and broker, repetitions of one exchange left out.
    crossed: u32,
    /// The receiving end of that connection has promised to care for it.
    taken: bool,
    /// How often it came out at the other end.
    delivered: u32,
}

/// When, to which message (without one: to all), and what.
type Event = (Instant, Option<(Flow, u32)>, String);

#[derive(Default)]
struct Book {
    /// By flow; a message's number is its index plus one.
    flows: BTreeMap<Flow, Vec<Entry>>,
    /// Flows to devices whose subscription holds at the broker.
    open: BTreeSet<Flow>,
    /// The newest that came out, by flow.
    newest: BTreeMap<Flow, u32>,
    out_of_order: BTreeMap<(Way, u8), u32>,
    faults: Vec<String>,
    fault_count: usize,
    /// What has happened.
    events: Vec<Event>,
}

impl Book {
    /// What has happened to a message, and to everybody meanwhile.
    fn history(&self, message: (Flow, u32)) -> String {
        let of_it = |event: &&Event| event.1 == Some(message);
        let Some((begin, ..)) = self.events.iter().find(of_it) else { return String::new() };
        let end = self.events.iter().rev().find(of_it).map_or(begin, |(at, ..)| at);
        let mut text = format!("the story of {}:\n", message.0.payload(message.1));
        for (at, about, what) in &self.events {
            if (begin..=end).contains(&at) && about.is_none_or(|about| about == message) {
                let after = at.duration_since(*begin).as_millis();
                text.push_str(&format!("  {after:6} ms  {what}\n"));
            }
        }
        text
    }
}

/// The book of a test.
#[derive(Default)]
pub struct Ledger(Mutex<Book>);

/// What is owed at the end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owed {
    /// The broker loses nothing: all that a sender has an acknowledgement for, to its receiver.
    Everything,
    /// The broker forgets: what a device has an acknowledgement for, to the broker; what the gateway
    /// has acknowledged to the broker, to the device.
    ByTheGateway,
}

/// Sums over all flows of one QoS and direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    pub sent: u32,
    pub acknowledged: u32,
    pub refused: u32,
    /// Taken at the connection between gateway and broker.
    pub taken: u32,
    /// Exchanges there that were begun again from the start.
    pub begun_again: u32,
    /// Messages that came out, each counted once.
    pub delivered: u32,
    /// Further copies of them.
    pub duplicates: u32,
    pub out_of_order: u32,
    /// Owed and not delivered.
    pub missing: u32,
}

impl Ledger {
    /// A new message of a flow; its number.
    pub fn send(&self, flow: Flow) -> u32 {
        let mut book = self.0.lock().unwrap();
        let entries = book.flows.entry(flow).or_default();
        entries.push(Entry::default());
        entries.len() as u32
    }

    pub fn acknowledged(&self, flow: Flow, number: u32) {
        self.with(flow, number, |entry| entry.acknowledged = true);
    }

    pub fn refused(&self, flow: Flow, number: u32) {
        self.with(flow, number, |entry| entry.refused = true);
    }

    pub fn crossed(&self, flow: Flow, number: u32) {
        self.with(flow, number, |entry| entry.crossed += 1);
    }

    pub fn taken(&self, flow: Flow, number: u32) {
        self.with(flow, number, |entry| entry.taken = true);
    }

    /// It came out; how often by now.
    pub fn delivered(&self, flow: Flow, number: u32) -> u32 {
        let mut copies = 0;
        self.with(flow, number, |entry| {
            entry.delivered += 1;
            copies = entry.delivered;
        });
        if copies == 1 {
            let mut book = self.0.lock().unwrap();
            let newest = book.newest.entry(flow).or_default();
            if number > *newest {
                *newest = number;
            } else {
                *book.out_of_order.entry((flow.way, flow.qos)).or_default() += 1;
            }
        }
        copies
    }

    /// A probe has come through: from now on the broker owes this flow to the device.
    pub fn open(&self, flow: Flow) {
        self.0.lock().unwrap().open.insert(flow);
    }

    pub fn is_open(&self, flow: Flow) -> bool {
        self.0.lock().unwrap().open.contains(&flow)
    }

    /// Flows that are open.
    pub fn open_count(&self) -> usize {
        self.0.lock().unwrap().open.len()
    }

    /// Something has happened to a message, or (without one) to everybody. To be read if the accounts
    /// are wrong.
    pub fn event(&self, message: Option<(Flow, u32)>, text: impl Into<String>) {
        self.0.lock().unwrap().events.push((Instant::now(), message, text.into()));
    }

    /// Something that must never happen did.
    pub fn fault(&self, text: impl Into<String>) {
        let mut book = self.0.lock().unwrap();
        book.fault_count += 1;
        if book.faults.len() < 20 {
            book.faults.push(text.into());
        }
    }

    fn with(&self, flow: Flow, number: u32, change: impl FnOnce(&mut Entry)) {
        let mut book = self.0.lock().unwrap();
        let entry = (number as usize)
            .checked_sub(1)
            .and_then(|index| book.flows.get_mut(&flow)?.get_mut(index));
        match entry {
            Some(entry) => change(entry),
            None => {
                book.fault_count += 1;
                book.faults.push(format!("{}: nobody has sent it", flow.payload(number)));
            }
        }
    }

    /// How many messages of a flow are neither delivered nor given up.
    pub fn under_way(&self, flow: Flow) -> usize {
        let book = self.0.lock().unwrap();
        book.flows.get(&flow).map_or(0, |entries| {
            entries.iter().rev().take(1_000).filter(|entry| entry.delivered == 0).count()
        })
    }

    /// Messages that came out so far, of all flows of a device.
    pub fn progress(&self, device: u32) -> usize {
        let book = self.0.lock().unwrap();
        let flows = book.flows.iter().filter(|(flow, _)| flow.device == device && flow.qos > 0);
        flows.flat_map(|(_, entries)| entries).filter(|entry| entry.delivered > 0).count()
    }

    /// What is owed and was not delivered, some of it by name.
    pub fn missing(&self, owed: Owed) -> (usize, Vec<String>) {
        let book = self.0.lock().unwrap();
        let mut missing = Vec::new();
        let mut count = 0;
        for (flow, entries) in &book.flows {
            for (index, entry) in entries.iter().enumerate() {
                if is_missing(*flow, entry, owed) {
                    count += 1;
                    if missing.len() < 20 {
                        missing.push(format!("{} {entry:?}", flow.payload(index as u32 + 1)));
                    }
                }
            }
        }
        (count, missing)
    }

    pub fn sums(&self, owed: Owed) -> BTreeMap<(Way, u8), Sums> {
        let book = self.0.lock().unwrap();
        let mut all: BTreeMap<(Way, u8), Sums> = BTreeMap::new();
        for (flow, entries) in &book.flows {
            let sums = all.entry((flow.way, flow.qos)).or_default();
            for entry in entries {
                sums.sent += 1;
                sums.acknowledged += u32::from(entry.acknowledged);
                sums.refused += u32::from(entry.refused);
                sums.taken += u32::from(entry.taken);
                sums.begun_again += entry.crossed.saturating_sub(1);
                sums.delivered += u32::from(entry.delivered > 0);
                sums.duplicates += entry.delivered.saturating_sub(1);
                sums.missing += u32::from(is_missing(*flow, entry, owed));
            }
        }
        for (key, count) in &book.out_of_order {
            all.entry(*key).or_default().out_of_order = *count;
        }
        all
    }

    /// Prints the figures, and fails the test if something is missing, came twice that must not, or
    /// happened that never may.
    #[track_caller]
    pub fn settle(&self, title: &str, owed: Owed) {
        let sums = self.sums(owed);
        println!("{title}\n{}", Table(&sums));
        let mut wrong = Vec::new();
        let (count, missing) = self.missing(owed);
        if count > 0 {
            wrong.push(format!("{count} missing:\n  {}", missing.join("\n  ")));
        }
        let book = self.0.lock().unwrap();
        let mut suspects = Vec::new();
        for (flow, entries) in &book.flows {
            for (index, entry) in entries.iter().enumerate() {
                if is_missing(*flow, entry, owed) {
                    suspects.push((*flow, index as u32 + 1));
                }
                let allowed = match (flow.qos, flow.way, owed) {
                    (1, _, _) => continue,
                    (_, Way::Up, Owed::Everything) => 1,
                    // As often as the broker has begun to deliver it (mosquitto sometimes begins
                    // anew when it was restarted), or was given it: one that forgets is told again
                    // what it has not finished.
                    _ => entry.crossed.max(1),
                };
                if entry.delivered > allowed {
                    suspects.push((*flow, index as u32 + 1));
                    wrong.push(format!(
                        "{} came {} times: {entry:?}",
                        flow.payload(index as u32 + 1),
                        entry.delivered
                    ));
                }
            }
        }
        if book.fault_count > 0 {
            wrong.push(format!("{} faults:\n  {}", book.fault_count, book.faults.join("\n  ")));
        }
        wrong.truncate(40);
        for suspect in suspects.into_iter().take(5) {
            println!("{}", book.history(suspect));
        }
        drop(book);
        assert!(wrong.is_empty(), "{title}\n{}", wrong.join("\n"));
    }

    /// In this direction no first delivery came after one of a later message of its flow.
    #[track_caller]
    pub fn settle_order(&self, way: Way) {
        let book = self.0.lock().unwrap();
        let mut wrong = book.out_of_order.iter().filter(|((of, qos), _)| *of == way && *qos > 0);
        assert_eq!(wrong.next(), None, "out of order");
    }
}

fn is_missing(flow: Flow, entry: &Entry, owed: Owed) -> bool {
    if flow.qos == 0 {
        return false;
    }
    match (owed, flow.way) {
        (Owed::Everything, _) => entry.acknowledged && entry.delivered == 0,
        (Owed::ByTheGateway, Way::Up) => entry.acknowledged && !entry.taken,
        (Owed::ByTheGateway, Way::Down) => entry.taken && entry.delivered == 0,
    }
}

struct Table<'a>(&'a BTreeMap<(Way, u8), Sums>);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "way   QoS     sent  acknowledged  refused  at broker  begun again  delivered  \
             duplicates  out of order  missing"
        )?;
        for ((way, qos), sums) in self.0 {
            let way = if *way == Way::Up { "up" } else { "down" };
            writeln!(
                f,
                "{way:4}  {qos:3}  {:7}  {:12}  {:7}  {:9}  {:11}  {:9}  {:10}  \
                 {:12}  {:7}",
                sums.sent,
                sums.acknowledged,
                sums.refused,
                sums.taken,
                sums.begun_again,
                sums.delivered,
                sums.duplicates,
                sums.out_of_order,
                sums.missing,
            )?;
        }
        Ok(())
    }
}
