//! What is on the gateway's disk. The judge reads every commit and knows which of them the disk has:
//! what the gateway promises must be there by then, and what is found at the next start must be what
//! was written.

use std::collections::{BTreeMap, BTreeSet};

use mqtt_sn_gateway::store::commit::{Commit, Outcome};
use mqtt_sn_gateway::store::image::{ClientImage, Image, OutboundImage, RequestImage};
use mqtt_sn_gateway::store::record::Standing;
use mqtt_sn_gateway::time::Time;

use super::contract::{Link, Sub};
use super::{Oracle, Verdict};
use crate::ledger::MsgNo;

/// The disk as the judge knows it.
#[derive(Default)]
pub struct Stored {
    /// What a start at this moment would surely find.
    safe: Image,
    /// The records of commits since, in order: they may be found, or the first of them may.
    unsure: Vec<Vec<u8>>,
    /// The commit that is on its way.
    tried: Option<Commit>,
    /// What the unfinished snapshot says.
    snapshot: Option<Image>,
    /// The last commit failed.
    trouble: bool,
    /// The gateway has been told so, and nothing else since.
    told: bool,
    /// When it was last so.
    troubled_at: Option<Time>,
    /// Nothing was replaced since the life began: its first snapshot tells what it has made of what
    /// it found.
    fresh: bool,
}

/// A finished publication of a sensor may be forgotten after this, milliseconds.
const REPETITION: u64 = 60_000;

impl Stored {
    /// Nothing can be written, or the gateway does not know yet that it can again.
    fn is_in_trouble(&self) -> bool {
        self.trouble || self.told
    }

    fn client(&self, id: &str) -> Option<&ClientImage> {
        self.safe.clients.values().find(|client| &*client.id == id)
    }

    /// The publication of a message to the broker.
    fn request(&self, payload: &[u8]) -> Option<&RequestImage> {
        self.safe.main.requests.values().find(|request| &*request.payload == payload)
    }

    fn holds_for(&self, id: &str, payload: &[u8]) -> bool {
        let Some(client) = self.client(id) else { return false };
        client.queue.keys().any(|serial| {
            self.safe.messages.get(serial).is_some_and(|message| &*message.payload == payload)
        })
    }

    /// A commit was written, but for what the outcome says.
    fn settle(&mut self, now: Time, outcome: &Outcome, asking: &[(String, String)]) -> Verdict {
        let tried = self.tried.take();
        let lasting = matches!(outcome.snapshot, None | Some(Ok(())));
        let part = tried.as_ref().and_then(|commit| commit.snapshot.as_ref());
        self.snapshot = self.snapshot_with(tried.as_ref())?.filter(|_| lasting);
        let ends = lasting && part.is_some_and(|part| part.end);
        let was_well = !std::mem::replace(&mut self.trouble, outcome.journal.is_err());
        if self.trouble || !was_well {
            self.troubled_at = Some(now);
        }
        if self.trouble {
            return Ok(());
        }
        if !ends || was_well {
            self.write()?;
        }
        if let Some(snapshot) = self.snapshot.take_if(|_| ends) {
            // Changes that nobody could write are in no commit, but in the snapshot.
            let (mut one, mut other) =
                (comparable(self.safe.clone()), comparable(snapshot.clone()));
            forget_finished(now, &mut one, &other);
            forget_asked(asking, &mut one, &mut other);
            [&mut one, &mut other].into_iter().for_each(round);
            if std::mem::take(&mut self.fresh) {
                (one, other) = (essence(one), essence(other));
            }
            let differs = difference(&one, &other);
            if was_well && !differs.is_empty() {
                return Err(format!("the snapshot is not what was written: {differs}"));
            }
            self.safe = snapshot;
            self.unsure.clear();
        }
        self.is_unambiguous()
    }

    /// What the snapshot under way says after a commit.
    fn snapshot_with(&self, commit: Option<&Commit>) -> Result<Option<Image>, String> {
        let Some(commit) = commit else { return Ok(self.snapshot.clone()) };
        let part = commit.snapshot.as_ref();
        let begins = part.is_some_and(|part| part.begin);
        let mut image = if begins { Some(Image::default()) } else { self.snapshot.clone() };
        if let Some(image) = &mut image {
            let before: &[u8] = if begins { &[] } else { &commit.records };
            let own = part.map_or(&[][..], |part| &part.records);
            let applied = image.apply_all(before).and_then(|()| image.apply_all(own));
            applied.map_err(|_| "a commit holds what is no record")?;
        }
        Ok(image)
    }

    /// Every client is there once.
    fn is_unambiguous(&self) -> Verdict {
        let mut ids = BTreeMap::new();
        for (slot, client) in &self.safe.clients {
            if let Some(other) = ids.insert(&client.id, slot) {
                return Err(format!("on the disk {:?} is {other} and {slot}", client.id));
            }
        }
        Ok(())
    }

    fn write(&mut self) -> Verdict {
        for records in self.unsure.drain(..) {
            let applied = self.safe.apply_all(&records);
            applied.map_err(|_| "a commit holds what is no record")?;
        }
        Ok(())
    }

    /// What a new life found must be what is safe, or that and some of what was unsure.
    fn found(&mut self, image: Image) -> Verdict {
        let image = comparable(image);
        (self.trouble, self.told) = (false, false);
        self.fresh = true;
        // A snapshot that was to take effect may have.
        let tried = self.tried.take();
        let whole = self.snapshot_with(tried.as_ref())?;
        self.snapshot = None;
        let ends = tried.and_then(|commit| commit.snapshot).is_some_and(|part| part.end);
        if let Some(whole) = whole.filter(|_| ends)
            && difference(&comparable(whole.clone()), &image).is_empty()
        {
            self.safe = whole;
            self.unsure.clear();
            return Ok(());
        }
        let mut candidate = self.safe.clone();
        let mut differs = String::new();
        for step in 0..=self.unsure.len() {
            differs = difference(&comparable(candidate.clone()), &image);
            if differs.is_empty() {
                self.safe = candidate;
                self.unsure.clear();
                return Ok(());
            }
            if let Some(records) = self.unsure.get(step) {
                let applied = candidate.apply_all(records);
                applied.map_err(|_| "a commit holds what is no record")?;
            }
        }
        Err(format!("what was found on the disk is not what was written: {differs}"))
    }
}

/// An image without what means nothing.
fn comparable(mut image: Image) -> Image {
    let queues = image.clients.values().flat_map(|client| client.queue.keys());
    let wanted: BTreeSet<u64> = queues.copied().collect();
    image.messages.retain(|serial, _| wanted.contains(serial));
    for client in image.clients.values_mut() {
        client.subscriptions.sort_by(|one, other| one.filter.cmp(&other.filter));
    }
    image
}

/// A finished publication that is old enough may be missing in what is `new`.
fn forget_finished(now: Time, old: &mut Image, new: &Image) {
    for (slot, client) in &mut old.clients {
        let other = new.clients.get(slot);
        client.publications.retain(|msg_id, publication| {
            let there = other.is_some_and(|other| other.publications.contains_key(msg_id));
            there || !publication.done || publication.at + REPETITION > now.0
        });
    }
}

/// Subscriptions that have not been answered, by client id and filter, may be in a snapshot or not.
fn forget_asked(asking: &[(String, String)], old: &mut Image, new: &mut Image) {
    for client in [old, new].into_iter().flat_map(|image| image.clients.values_mut()) {
        let asked = |filter: &str| asking.iter().any(|(id, f)| **id == *client.id && f == filter);
        client.subscriptions.retain(|subscription| !asked(&subscription.filter));
    }
}

/// Moments and message ids are not written down each time that they change, nor what the broker
/// thinks of filters that nobody uses.
fn round(image: &mut Image) {
    for client in image.clients.values_mut() {
        if let Some(it) = &mut client.client {
            (it.asleep_since, it.heard, it.msg_id, it.reuses_ids) = (0, 0, 0, false);
        }
        client.publications.values_mut().for_each(|publication| publication.at = 0);
    }
    let wanted = wanted(image);
    image.main.filters.retain(|filter, _| wanted.contains(filter));
}

/// Filters that somebody has subscribed to.
fn wanted(image: &Image) -> BTreeSet<Box<str>> {
    let wanted = image.clients.values().flat_map(|client| &client.subscriptions);
    wanted.map(|subscription| subscription.filter.clone()).collect()
}

/// What a new life has to leave as it was. Moments begin anew, message ids go on elsewhere, an
/// address may be free, and of whom nothing is kept nothing is kept.
fn essence(mut image: Image) -> Image {
    let gone = |standing: Standing| matches!(standing, Standing::Gone | Standing::Connecting);
    image.clients.retain(|_, client| {
        let Some(it) = &client.client else { return false };
        let blank = client.subscriptions.is_empty()
            && client.topics.is_empty()
            && it.will.is_none()
            && client.queue.is_empty()
            && client.publications.is_empty();
        !(gone(it.standing) && (it.clean || blank))
    });
    for client in image.clients.values_mut() {
        let Some(it) = &mut client.client else { continue };
        (it.peer, it.bound) = (None, false);
        it.connected = 0;
        if it.standing == Standing::Connecting {
            it.standing = Standing::Gone;
        }
    }
    let wanted = wanted(&image);
    image.main.filters.retain(|filter, _| wanted.contains(filter));
    image
}

/// The first difference in words; empty if there is none.
fn difference(expected: &Image, found: &Image) -> String {
    let of = |what: &str, one: String, other: String| {
        if one == other { String::new() } else { format!("{what}: {one} became {other}") }
    };
    let sorted = |image: &Image| -> BTreeMap<u32, ClientImage> {
        image.clients.iter().map(|(slot, client)| (*slot, client.clone())).collect()
    };
    let (mine, theirs) = (sorted(expected), sorted(found));
    for (slot, client) in &mine {
        let other = theirs.get(slot);
        if let Some(other) = other {
            let parts = [
                of("its id", format!("{:?}", client.id), format!("{:?}", other.id)),
                of("how it stands", format!("{:?}", client.client), format!("{:?}", other.client)),
                of("topics", format!("{:?}", client.topics), format!("{:?}", other.topics)),
                of(
                    "subscriptions",
                    format!("{:?}", client.subscriptions),
                    format!("{:?}", other.subscriptions),
                ),
                of("its queue", format!("{:?}", client.queue), format!("{:?}", other.queue)),
                of("to it", format!("{:?}", client.outbound), format!("{:?}", other.outbound)),
                of(
                    "publications",
                    format!("{:?}", client.publications),
                    format!("{:?}", other.publications),
                ),
            ];
            if let Some(part) = parts.into_iter().find(|part| !part.is_empty()) {
                return format!("{}: {part}", client.id);
            }
        }
        if other != Some(client) {
            return of("a client", format!("{client:?}"), format!("{other:?}"));
        }
    }
    if let Some((_, client)) = theirs.iter().find(|(slot, _)| !mine.contains_key(slot)) {
        return of("a client", "nothing".into(), format!("{client:?}"));
    }
    let filters = |image: &Image| {
        let sorted: BTreeMap<_, _> = image.main.filters.iter().collect();
        format!("{sorted:?}")
    };
    let messages = |image: &Image| {
        let sorted: BTreeMap<_, _> = image.messages.iter().collect();
        format!("{sorted:?}")
    };
    let all = [
        of("filters", filters(expected), filters(found)),
        of("messages", messages(expected), messages(found)),
        of(
            "requests",
            format!("{:?}", expected.main.requests),
            format!("{:?}", found.main.requests),
        ),
        of(
            "received",
            format!("{:?}", expected.main.received),
            format!("{:?}", found.main.received),
        ),
        of("session", format!("{:?}", expected.main.session), format!("{:?}", found.main.session)),
        of("seed", format!("{:?}", expected.seed), format!("{:?}", found.seed)),
        of("links", format!("{:?}", expected.links), format!("{:?}", found.links)),
    ];
    all.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

impl Oracle {
    /// A commit is on its way to the disk.
    pub fn commit_tried(&mut self, commit: &Commit) {
        if let Some(stored) = &mut self.stored {
            stored.unsure.push(commit.records.clone());
            stored.tried = Some(commit.clone());
        }
    }

    /// The disk has answered.
    ///
    /// # Errors
    /// When there were no records in it.
    pub fn commit_written(&mut self, now: Time, outcome: &Outcome) -> Verdict {
        let Some(stored) = &mut self.stored else { return Ok(()) };
        let asking = self.contracts.iter().flat_map(|contract| {
            let stands = |sub: &Sub| sub.must || sub.kept;
            let asked = contract.requests.values().filter(|request| request.qos.is_some());
            let open = asked.filter(move |r| !contract.subs.get(&r.filter).is_some_and(stands));
            open.map(|request| (contract.client_id.clone(), request.filter.clone()))
        });
        stored.settle(now, outcome, &asking.collect::<Vec<_>>())
    }

    /// The gateway hears of the commit that was written last.
    pub fn commit_heard(&mut self) {
        if let Some(stored) = &mut self.stored {
            stored.told = stored.trouble;
            if stored.trouble {
                // What could not be sent counts as a try or not: how many there were nobody knows.
                let contracts = self.contracts.iter_mut();
                contracts.for_each(|contract| contract.counts_exchanges = false);
            }
        }
    }

    /// A new life found this.
    pub(super) fn found(&mut self, image: Option<Image>) -> Verdict {
        let Some(stored) = &mut self.stored else { return Ok(()) };
        stored.found(image.unwrap_or_default())
    }

    /// The last word from the disk was that it could not.
    pub fn disk_trouble(&self) -> bool {
        self.stored.as_ref().is_some_and(Stored::is_in_trouble)
    }

    /// That is so now, or was so at `since` or later.
    pub(super) fn had_disk_trouble(&self, since: Time) -> bool {
        self.stored.as_ref().is_some_and(|stored| {
            stored.is_in_trouble() || stored.troubled_at.is_some_and(|at| at >= since)
        })
    }

    /// What a start would find, for whoever wants to compare it.
    pub fn safe_image(&self) -> Option<&Image> {
        self.stored.as_ref().map(|stored| &stored.safe)
    }

    /// What of a sensor is on the disk; `None` in a world where nothing need be.
    fn on_disk(&self, sensor: usize) -> Option<(&Stored, Option<&ClientImage>)> {
        let stored = self.stored.as_ref().filter(|_| !self.skips("disk"))?;
        let contract = &self.contracts[sensor];
        // The session that was promised may be over by now. And while nothing can be written,
        // clean sessions get their answers all the same: nothing is promised to them.
        let over = contract.link == Link::Down && contract.parting.is_some();
        let clean = contract.connect.as_ref().is_some_and(|connect| connect.clean);
        if over || (stored.is_in_trouble() && clean) {
            return None;
        }
        Some((stored, stored.client(&self.contracts[sensor].client_id)))
    }

    /// As [`Self::on_disk`], for what belongs to a session: what waited when a CONNECT ended that
    /// session still leaves in front of the CONNACK, as if it had been under way.
    fn session_on_disk(&self, sensor: usize) -> Option<(&Stored, Option<&ClientImage>)> {
        let contract = &self.contracts[sensor];
        // Nor does it stay there for one that was given up.
        self.on_disk(sensor)
            .filter(|_| !contract.wiped)
            .filter(|(_, client)| client.is_some() || contract.living(self.now))
    }

    /// As [`Self::on_disk`], for answers that are given although nothing can be written: silence
    /// would help nobody.
    fn answered_in_trouble(&self, sensor: usize) -> Option<(&Stored, Option<&ClientImage>)> {
        self.on_disk(sensor).filter(|(stored, _)| !stored.is_in_trouble())
    }

    /// Whether a message for the broker is on the disk.
    pub(super) fn keeps_for_broker(&self, message: MsgNo) -> bool {
        let payload = &self.ledger.get(message).payload;
        self.stored.as_ref().is_some_and(|stored| stored.request(payload).is_some())
    }

    /// Whether a message for a sensor is on the disk.
    pub(super) fn keeps_for(&self, sensor: usize, message: MsgNo) -> bool {
        let payload = &self.ledger.get(message).payload;
        let id = &self.contracts[sensor].client_id;
        self.stored.as_ref().is_some_and(|stored| stored.holds_for(id, payload))
    }

    /// PUBREC to a sensor: after a crash a repetition must be known.
    pub(super) fn knows_publication(&self, sensor: usize, msg_id: u16) -> Verdict {
        let Some((_, client)) = self.session_on_disk(sensor) else { return Ok(()) };
        let known = client.is_some_and(|client| client.publications.contains_key(&msg_id));
        if known { Ok(()) } else { Err("the publication is not on the disk".into()) }
    }

    /// PUBCOMP to a sensor.
    pub(super) fn has_finished(&self, sensor: usize, msg_id: u16) -> Verdict {
        let Some((_, Some(client))) = self.answered_in_trouble(sensor) else { return Ok(()) };
        match client.publications.get(&msg_id) {
            Some(publication) if !publication.done && !self.skips("done") => {
                Err("the end of the publication is not on the disk".into())
            }
            _ => Ok(()),
        }
    }

    /// CONNACK: there is a session with this will. One that waited when the disk failed is given all
    /// the same, and so is that of a session which is known.
    pub(super) fn has_session(&self, sensor: usize) -> Verdict {
        let Some((_, client)) = self.answered_in_trouble(sensor) else { return Ok(()) };
        let connect = self.contracts[sensor].connect.as_ref();
        let will_told = connect.is_some_and(|connect| connect.will);
        let Some(standings) = client.and_then(|client| client.client.as_ref()) else {
            return Err("the session is not on the disk".into());
        };
        // A CONNECT that is repeated begins another dialogue about the will.
        let again =
            will_told && matches!(standings.standing, Standing::Connecting | Standing::Asleep);
        if standings.standing != Standing::Active && !again {
            return Err(format!("on the disk it is {:?}", standings.standing));
        }
        let Some(will) = self.contracts[sensor].new_will else { return Ok(()) };
        let payload = standings.will.as_ref().map(|will| &*will.message);
        if payload == Some(self.ledger.get(will).payload.as_slice()) {
            return Ok(());
        }
        Err("its will is not on the disk".into())
    }

    /// DISCONNECT to one that goes to sleep.
    pub(super) fn has_sleep(&self, sensor: usize) -> Verdict {
        let Some((_, client)) = self.answered_in_trouble(sensor) else { return Ok(()) };
        let standing = client.and_then(|client| client.client.as_ref()).map(|one| one.standing);
        if standing == Some(Standing::Asleep) {
            return Ok(());
        }
        Err(format!("on the disk it does not sleep: {standing:?}"))
    }

    /// DISCONNECT to one that says goodbye.
    pub(super) fn has_left(&self, sensor: usize) -> Verdict {
        let Some((_, client)) = self.answered_in_trouble(sensor) else { return Ok(()) };
        let standing = client.and_then(|client| client.client.as_ref()).map(|one| one.standing);
        if standing.is_none_or(|standing| standing == Standing::Gone) {
            return Ok(());
        }
        Err(format!("on the disk it is still there: {standing:?}"))
    }

    /// SUBACK and UNSUBACK.
    pub(super) fn has_subscription(&self, sensor: usize, filter: &str, qos: Option<u8>) -> Verdict {
        let Some((_, client)) = self.session_on_disk(sensor) else { return Ok(()) };
        let found = client.and_then(|client| {
            client.subscriptions.iter().find(|subscription| &*subscription.filter == filter)
        });
        let granted = found.map(|subscription| subscription.granted as u8);
        // UNSUBACK cannot say no.
        if granted == qos || (qos.is_none() && self.disk_trouble()) {
            return Ok(());
        }
        Err(format!("on the disk the subscription to {filter:?} is {granted:?}, not {qos:?}"))
    }

    /// REGACK, SUBACK, REGISTER: the id stays that of the name.
    pub(super) fn has_topic(&self, sensor: usize, name: &str) -> Verdict {
        let Some((_, client)) = self.session_on_disk(sensor) else { return Ok(()) };
        let known = client.is_some_and(|client| client.topics.iter().any(|t| &*t.name == name));
        if known { Ok(()) } else { Err(format!("the id of {name:?} is not on the disk")) }
    }

    /// PUBLISH and PUBREL at QoS 2 to a sensor.
    pub(super) fn has_outbound(&self, sensor: usize, msg_id: u16, released: bool) -> Verdict {
        let Some((_, client)) = self.session_on_disk(sensor) else { return Ok(()) };
        let outbound = client.and_then(|client| client.outbound);
        match outbound {
            Some(OutboundImage { msg_id: id, released: done, .. }) if id == msg_id => {
                if released && !done {
                    return Err("on the disk PUBREC has not come".into());
                }
                Ok(())
            }
            _ if released => Ok(()),
            _ => Err(format!("its message id is not on the disk: {outbound:?}")),
        }
    }

    /// PUBLISH at QoS 2 to the broker: repeated after a crash, it must bear the same packet id.
    pub(super) fn has_request(&self, message: MsgNo, packet_id: u16) -> Verdict {
        let Some(stored) = self.stored.as_ref().filter(|_| !self.skips("disk")) else {
            return Ok(());
        };
        // It may have been taken over more than once.
        let payload = self.ledger.get(message).payload.as_slice();
        let requests = stored.safe.main.requests.values().filter(|one| &*one.payload == payload);
        let ids: Vec<u16> = requests.map(|request| request.packet_id).collect();
        if ids.contains(&packet_id) {
            return Ok(());
        }
        Err(format!("message {message} is not on the disk with its packet id, but {ids:?}"))
    }

    /// PUBREL to the broker.
    pub(super) fn has_release(&self, packet_id: u16) -> Verdict {
        let Some(stored) = self.stored.as_ref().filter(|_| !self.skips("disk")) else {
            return Ok(());
        };
        let mut requests = stored.safe.main.requests.values();
        match requests.find(|request| request.packet_id == packet_id) {
            Some(request) if !request.released => Err("on the disk PUBREC has not come".into()),
            _ => Ok(()),
        }
    }

    /// PUBREC to the broker.
    pub(super) fn has_received(&self, packet_id: u16) -> Verdict {
        let Some(stored) = self.stored.as_ref().filter(|_| !self.skips("disk")) else {
            return Ok(());
        };
        if stored.safe.main.received.contains_key(&packet_id) {
            return Ok(());
        }
        Err("that it came is not on the disk".into())
    }

    /// Filters that the broker has been asked for, and of which the gateway would know nothing if its
    /// life ended now. It writes them down before it answers whoever asked, not before it asks.
    pub(super) fn is_written_down(&self, filter: &str) -> bool {
        let name = filter.strip_prefix(self.prefix).unwrap_or(filter);
        self.stored.as_ref().is_some_and(|stored| stored.safe.main.filters.contains_key(name))
    }

    /// Publications that a new life finds, with their packet ids.
    pub(super) fn requests_on_disk(&self) -> Vec<(u16, Option<MsgNo>, u8)> {
        let Some(stored) = &self.stored else { return Vec::new() };
        let requests = stored.safe.main.requests.values();
        let sent = requests.filter(|request| request.packet_id != 0);
        sent.map(|one| (one.packet_id, self.ledger.identify(&one.payload), one.qos as u8)).collect()
    }

    /// Message id of the QoS 2 message that is under way to a sensor.
    pub(super) fn under_way(&self, sensor: usize) -> Option<u16> {
        let client = self.stored.as_ref()?.client(&self.contracts[sensor].client_id)?;
        client.outbound.map(|outbound| outbound.msg_id)
    }

    /// How a sensor stands on the disk, and the message of its will.
    pub(super) fn standing(&self, sensor: usize) -> Option<(Standing, Option<MsgNo>)> {
        let stored = self.stored.as_ref()?;
        let client = stored.client(&self.contracts[sensor].client_id)?.client.as_ref()?;
        let will = client.will.as_ref().and_then(|will| self.ledger.identify(&will.message));
        Some((client.standing, will))
    }

    /// When everybody is gone for good, nothing is left on the disk either.
    ///
    /// # Errors
    /// What is left.
    pub fn disk_is_empty(&self) -> Verdict {
        let Some(Stored { safe, .. }) = &self.stored else { return Ok(()) };
        let left = [
            safe.clients.len(),
            safe.main.filters.len(),
            safe.main.requests.len(),
            safe.main.received.len(),
        ];
        if left == [0; 4] {
            return Ok(());
        }
        Err(format!("left on the disk: {left:?} (clients, filters, requests, received)"))
    }
}
