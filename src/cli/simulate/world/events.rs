//! What the clients report.

use super::deliver::seconds;
use super::{Phase, World};
use crate::cli::link::{explain_refusal, reason};
use crate::cli::simulate::device::{Purpose, Stage, client_time};
use crate::cli::simulate::ledger::{Arrival, Entry};
use crate::cli::simulate::payload::{Label, qos_index};
use crate::cli::simulate::promises::Promise;
use crate::client::{Event, Incoming, Loss, Refusal, RequestId, Topic};
use crate::codec::{Qos, ReturnCode};

/// Pause before a device connects again, microseconds, and as much again at random.
const PAUSE: u64 = 1_000_000;

/// How often a device tries to get in.
const ATTEMPTS: u32 = 5;

/// After waking with CONNECT a device stays for this long at least, microseconds.
const STAY: u64 = 200_000;

/// A message that was acknowledged this long before the PINGREQ has certainly come to the gateway,
/// microseconds.
const CERTAIN: u64 = 2_000_000;

impl World<'_> {
    pub(super) fn on_event(&mut self, index: usize, event: Event, copy: bool) {
        match event {
            Event::Connected => self.on_connected(index),
            Event::Published(id, outcome) => self.on_published(index, id, outcome),
            Event::Subscribed(id, outcome) => self.on_subscribed(index, id, outcome),
            Event::Message(message) => self.on_message(index, &message, copy),
            Event::Rejected { code, .. } => self.count_refusal(code),
            Event::Asleep => self.rest(index),
            Event::Collected => self.on_collected(index),
            Event::NotCollected => self.on_not_collected(index),
            Event::Disconnected => self.gone(index),
            Event::Lost(loss) => self.on_lost(index, &loss),
            Event::TopicIdChanged { topic, before, now } => self.on_topic_id(index, || {
                format!("device {index}: {topic} was {before} and is now {now}")
            }),
            Event::TopicIdReused { topic_id, before, now } => self.on_topic_id(index, || {
                format!("device {index}: {topic_id} was {before} and is now {now}")
            }),
            Event::Unsubscribed(_) => {}
        }
    }

    fn on_connected(&mut self, index: usize) {
        let now = self.now;
        let phase = self.phase;
        let Some(device) = self.devices.get_mut(index) else { return };
        if device.stage == Stage::Leaving {
            device.client.disconnect(client_time(now));
            return;
        }
        device.attempts = 0;
        if !device.known {
            device.known = true;
            self.times.connect.add(now.saturating_sub(device.began));
            self.counts.connected += u64::from(!self.plan.is_watcher(index));
        }
        if device.stage == Stage::Ready {
            // It woke to stay for a while.
            device.sleep_at = Some(now + STAY);
            let owed = std::mem::take(&mut device.owed);
            if matches!(phase, Phase::Publishing { .. }) {
                (0..owed).for_each(|_| self.publish(index));
            }
            return;
        }
        device.stage = Stage::Subscribing;
        let qos = if self.plan.is_watcher(index) { Qos::One } else { self.plan.subscription_qos() };
        let filters = self.plan.filters(index);
        let last = filters.len().saturating_sub(1);
        for (position, filter) in filters.into_iter().enumerate() {
            let purpose = match position {
                _ if self.plan.is_watcher(index) => Purpose::Wills,
                _ if position == last => Purpose::Commands,
                _ => Purpose::Data,
            };
            let id = device.client.subscribe(client_time(now), Topic::Name(filter), qos);
            device.asked.push((id, purpose));
        }
        if device.asked.is_empty() {
            self.on_ready(index);
        }
    }

    fn on_subscribed(&mut self, index: usize, id: RequestId, outcome: Result<Qos, Refusal>) {
        let Some(device) = self.devices.get_mut(index) else { return };
        let Some(position) = device.asked.iter().position(|(asked, _)| *asked == id) else {
            return;
        };
        let (_, purpose) = device.asked.remove(position);
        match outcome {
            Ok(granted) => {
                device.granted = device.granted.min(granted);
                // One refused data topic is enough to expect nothing of the others.
                let more = device.asked.iter().any(|(_, other)| *other == purpose);
                match purpose {
                    Purpose::Data => device.hears_data = !more && !device.refused_data,
                    Purpose::Commands => device.hears_commands = true,
                    Purpose::Wills => {}
                }
            }
            Err(refusal) => {
                device.refused_data |= purpose == Purpose::Data;
                self.counts.deaf += 1;
                self.fail_with(|| format!("device {index}: {}", explain_refusal(&refusal)));
                self.count_refusal_of(&refusal);
            }
        }
        let done = self.devices.get(index).is_some_and(|device| device.asked.is_empty());
        if done {
            self.on_ready(index);
        }
    }

    fn on_ready(&mut self, index: usize) {
        let now = self.now;
        self.settle(index);
        let phase = self.phase;
        let jitter = self.rng.up_to(self.plan.interval);
        let Some(device) = self.devices.get_mut(index) else { return };
        device.stage = Stage::Ready;
        if matches!(phase, Phase::Publishing { .. })
            && device.publish_at.is_none()
            && !self.plan.is_watcher(index)
        {
            device.publish_at = Some(now + jitter);
        }
        if device.sleeper {
            device.client.sleep(client_time(now), self.plan.sleep);
        }
    }

    fn on_published(&mut self, index: usize, id: RequestId, outcome: Result<(), Refusal>) {
        let now = self.now;
        let Some(device) = self.devices.get_mut(index) else { return };
        let Some(entry) = device.take_open(id) else { return };
        match outcome {
            Ok(()) => {
                if let Some(took) = self.ledger.acknowledge(entry, now) {
                    self.progress_at = now;
                    if let Some(times) = self.times.acknowledged.get_mut(entry.stream.qos_index()) {
                        times.add(took);
                    }
                }
            }
            Err(refusal) => {
                self.ledger.abandon(entry, true);
                self.count_refusal_of(&refusal);
            }
        }
    }

    /// A message for a device, be it expected or not.
    fn on_message(&mut self, index: usize, message: &Incoming, copy: bool) {
        if self.plan.is_watcher(index) {
            return self.on_will(message);
        }
        let plan = self.plan;
        let Some(device) = self.devices.get(index) else { return };
        let label = Label::read(&message.payload, plan.size);
        let Some(label) = label.filter(|label| label.qos != Qos::MinusOne) else {
            match Label::read_head(&message.payload) {
                Some(head) if head.run != plan.run => self.counts.other_runs += 1,
                _ => self.broken.add(Promise::RightPayload, || {
                    let text = String::from_utf8_lossy(&message.payload).into_owned();
                    format!("device {index}, {}: {text:?}", message.topic)
                }),
            }
            return;
        };
        if label.run != plan.run {
            self.counts.other_runs += 1;
            return;
        }
        let words = || describe(&label, index, &message.topic);
        if label.device >= plan.devices
            || label.slot >= plan.slots()
            || plan.receiver(label.device, label.slot) != index
        {
            return self.broken.add(Promise::RightDevice, words);
        }
        let topic = plan.topic(label.device, label.slot);
        if !matches!(&message.topic, Topic::Name(name) if *name == topic) {
            return self.broken.add(Promise::RightTopic, words);
        }
        // Some brokers raise the QoS to what was granted, which does no harm.
        let right = label.qos.min(device.granted)..=device.granted;
        if !right.contains(&message.qos) {
            self.broken.add(Promise::RightQos, || format!("{}: {:?}", words(), message.qos));
        }
        self.counts.raised += u64::from(message.qos > label.qos);
        let (collecting, sleeper) = (device.collecting.is_some(), device.sleeper);
        // At QoS 0 a datagram that we have doubled arrives twice.
        if copy && message.qos == Qos::Zero {
            return;
        }
        let stream = self.ledger.stream(label.device, label.slot, label.qos);
        match self.ledger.receive(Entry { stream, number: label.number }) {
            Arrival::First => {}
            Arrival::Late => {
                // Nothing keeps QoS 0 in order on a network that delays as it likes.
                if label.qos != Qos::Zero || plan.rates.delay == 0 && !plan.lossy {
                    self.broken.add(Promise::InOrder, words);
                }
            }
            Arrival::Again => return,
            Arrival::TooOften => {
                let promise = match label.qos {
                    Qos::Two => Promise::ExactlyOnce,
                    _ => Promise::AtMostOnce,
                };
                // The network may have doubled it.
                if label.qos == Qos::Two || !plan.lossy {
                    self.broken.add(promise, words);
                }
                return;
            }
            Arrival::Unknown => return self.broken.add(Promise::RightPayload, words),
        }
        self.progress_at = self.now;
        self.counts.collected_messages += u64::from(collecting);
        let took = self.now.saturating_sub(label.sent);
        if sleeper {
            self.times.arrived_asleep.add(took);
        } else if let Some(times) = self.times.arrived.get_mut(qos_index(label.qos)) {
            times.add(took);
        }
    }

    fn on_will(&mut self, message: &Incoming) {
        let plan = self.plan;
        let gone = (0..plan.devices).find(|device| {
            matches!(&message.topic, Topic::Name(name) if *name == plan.will_topic(*device))
        });
        let Some(gone) = gone else {
            let words = || format!("{} is nobody's will", message.topic);
            return self.broken.add(Promise::RightTopic, words);
        };
        if message.payload != plan.will_payload(gone).into_bytes() {
            // Perhaps of another run with the same prefix.
            self.counts.other_runs += 1;
            return;
        }
        let Some(device) = self.devices.get(gone) else { return };
        if device.stage == Stage::Vanished {
            if let Some(seen) = self.wills_seen.get_mut(gone)
                && !std::mem::replace(seen, true)
            {
                self.counts.wills += 1;
                self.progress_at = self.now;
            }
        } else if plan.is_calm() && !device.lost_session {
            self.broken.add(Promise::Wills, || {
                format!("the will of device {gone} was published, and it was not lost")
            });
        }
    }

    /// The device has nothing to do until it wakes.
    fn rest(&mut self, index: usize) {
        let (now, nap) = (self.now, self.nap());
        // The first time at a moment of its own, so that not all wake together.
        let spread = self.rng.up_to(nap);
        let Some(device) = self.devices.get_mut(index) else { return };
        if device.stage != Stage::Ready {
            return;
        }
        device.collecting = None;
        device.wake_at = Some(now + if device.wakes == 0 { spread } else { nap });
    }

    fn on_collected(&mut self, index: usize) {
        self.counts.collected += 1;
        let Some(device) = self.devices.get(index) else { return };
        let since = device.collecting.unwrap_or(self.now);
        self.times.window.add(self.now.saturating_sub(since));
        if device.watch.is_asleep() {
            let deadline = since.saturating_sub(CERTAIN);
            let waiting = self.plan.sources(index).find_map(|(publisher, slot)| {
                [Qos::One, Qos::Two].into_iter().find_map(|qos| {
                    let stream = self.ledger.stream(publisher, slot, qos);
                    let number = self.ledger.waiting(stream, deadline)?;
                    Some((publisher, slot, qos, number))
                })
            });
            if let Some((publisher, slot, qos, number)) = waiting {
                self.counts.left_behind += 1;
                if self.plan.is_calm() {
                    let topic = self.plan.topic(publisher, slot);
                    self.broken.add(Promise::PingrespLast, || {
                        format!(
                            "device {index} at {:.3} s: message {number} of {topic} ({qos:?}) \
                             from device {publisher} had waited",
                            seconds(self.now)
                        )
                    });
                }
            }
        }
        self.rest(index);
    }

    fn on_not_collected(&mut self, index: usize) {
        self.counts.uncollected += 1;
        if self.plan.is_calm() {
            self.broken.add(Promise::Answers, || {
                format!("device {index} at {:.3} s: PINGREQ", seconds(self.now))
            });
        }
        self.rest(index);
    }

    fn gone(&mut self, index: usize) {
        if let Some(device) = self.devices.get_mut(index) {
            device.stop();
            device.stage = Stage::Gone;
        }
    }

    fn on_lost(&mut self, index: usize, loss: &Loss) {
        let stage = self.devices.get(index).map_or(Stage::Gone, |device| device.stage);
        if stage == Stage::Leaving {
            return self.gone(index);
        }
        let at = seconds(self.now);
        match loss {
            Loss::Refused(code) => self.count_refusal(*code),
            Loss::Ended if self.plan.is_calm() => self
                .broken
                .add(Promise::Sessions, || format!("device {index} at {at:.3} s: DISCONNECT")),
            Loss::NoAnswer(name) if self.plan.is_calm() && self.answered => {
                self.broken
                    .add(Promise::Answers, || format!("device {index} at {at:.3} s: {name}"));
            }
            _ => {}
        }
        self.unanswered |= matches!(loss, Loss::NoAnswer(_));
        self.excuse(index);
        let pause = PAUSE + self.rng.up_to(PAUSE);
        let now = self.now;
        let Some(device) = self.devices.get_mut(index) else { return };
        let was_in = stage == Stage::Ready || stage == Stage::Subscribing;
        if was_in {
            match loss {
                Loss::NoAnswer(_) => self.counts.lost_unanswered += 1,
                Loss::Ended | Loss::Refused(_) => self.counts.lost_ended += 1,
            }
        }
        device.lost_session |= was_in;
        device.attempts += 1;
        let hopeless = match loss {
            Loss::Refused(code) => *code != ReturnCode::CONGESTION,
            Loss::NoAnswer(_) | Loss::Ended => false,
        };
        if hopeless || device.attempts >= ATTEMPTS {
            device.stop();
            device.stage = Stage::Failed;
            self.counts.failed += u64::from(!device.known && !self.plan.is_watcher(index));
            self.settle(index);
        } else {
            device.stage = Stage::Waiting;
            device.connect_at = Some(now + pause);
        }
        self.fail_with(|| format!("device {index}: {}", loss_words(loss)));
    }

    /// What was under way to and from a device without a session need not arrive.
    fn excuse(&mut self, index: usize) {
        let Some(device) = self.devices.get_mut(index) else { return };
        device.forget_subscriptions();
        if !self.plan.persistent {
            device.client.forget_requests();
            for (_, entry) in std::mem::take(&mut device.open) {
                self.ledger.abandon(entry, false);
            }
        }
        if self.plan.is_watcher(index) {
            return;
        }
        // A persistent session keeps what is acknowledged.
        let lost: &[Qos] = match self.plan.persistent {
            true => &[Qos::Zero],
            false => &[Qos::Zero, Qos::One, Qos::Two],
        };
        for (publisher, slot) in self.plan.sources(index) {
            for qos in lost {
                let stream = self.ledger.stream(publisher, slot, *qos);
                self.ledger.excuse(stream);
            }
        }
    }

    fn on_topic_id(&mut self, index: usize, words: impl FnOnce() -> String) {
        // With a new session everything may be new.
        if self.devices.get(index).is_some_and(|device| !device.lost_session) {
            self.broken.add(Promise::TopicIds, words);
        }
    }

    fn settle(&mut self, index: usize) {
        if let Some(device) = self.devices.get_mut(index)
            && !std::mem::replace(&mut device.settled, true)
        {
            self.settled += 1;
        }
    }

    fn count_refusal_of(&mut self, refusal: &Refusal) {
        match refusal {
            Refusal::Gateway(_, code) => self.count_refusal(*code),
            Refusal::TooLarge | Refusal::TooMany => self.counts.refused += 1,
        }
    }

    fn count_refusal(&mut self, code: ReturnCode) {
        match code {
            ReturnCode::CONGESTION => self.counts.congestion += 1,
            _ => self.counts.refused += 1,
        }
    }

    fn fail_with(&mut self, words: impl FnOnce() -> String) {
        self.first_failure.get_or_insert_with(words);
    }
}

fn loss_words(loss: &Loss) -> String {
    match loss {
        Loss::Refused(code) => format!("the gateway refused CONNECT: {}", reason(*code)),
        Loss::NoAnswer(name) => format!("no answer to {name}"),
        Loss::Ended => "the gateway ended the connection".to_owned(),
    }
}

fn describe(label: &Label, receiver: usize, topic: &Topic) -> String {
    let Label { device, number, qos, .. } = label;
    format!("message {number} of device {device} ({qos:?}), {topic}, at device {receiver}")
}
