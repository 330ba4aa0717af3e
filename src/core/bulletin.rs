//! What the broker is told of the clients: how each stands, as a retained message.
//!
//! A client with news stands in a line, once, and what is told is how it stands when its turn comes: a
//! hundred thousand sleepers that wake at once make no flood. With each connection to the broker all are
//! told anew, because nobody knows what the broker has. So much is told at a time, and no more.
//!
//! Of those that are no more only what the broker has heard of is kept, until it has been told.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::time::Duration;

use super::client::{Client, State};
use super::gateway::Gateway;
use super::home::HomeDevice;
use super::lines::LineState;
use super::peer::{Address, LinkId};
use super::slots::{Handle, KEPT};
use super::upstream::LineId;
use crate::time::Time;

/// Most messages at a time.
const BATCH: u32 = 50;
/// Most clients that are looked at for them.
const LOOKS: u32 = 1_024;
/// From one time to the next: 500 messages a second.
const PAUSE: Duration = Duration::from_millis(100);
/// Most farewells that are said again if the connection breaks before the broker has answered anything.
const UNSURE: usize = 1_024;

/// Something to be told of a client.
#[derive(Clone, Copy, Debug)]
pub struct News<'a> {
    /// Client id.
    pub id: &'a str,
    /// How it stands; `None` if its session has ended, and nothing is to be said of it any more.
    pub standing: Option<Standing<'a>>,
    /// What is to be said before that to Home Assistant.
    pub home: HomeNews<'a>,
}

/// Something to be told to Home Assistant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HomeNews<'a> {
    /// Nothing.
    Nothing,
    /// This is a device.
    Device(&'a HomeDevice),
    /// It is none, or none any more.
    NoDevice,
}

/// How a client stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standing<'a> {
    /// `active`, `asleep`, `awake`, `lost` or `disconnected`.
    pub state: &'static str,
    /// Name of its link.
    pub link: Option<&'a str>,
    /// Where it is, or was last.
    pub address: Option<Address>,
    /// Signal strength of its last packet, dBm.
    pub rssi: Option<i16>,
    /// Since when it stands so.
    pub since: Time,
    /// When it is up again, as it has announced.
    pub sleep_until: Option<Time>,
}

/// What is kept of each client for this, in an octet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Public(u8);

impl Public {
    const LOST: u8 = 1;
    const SHOWN: u8 = 2;
    const IN_LINE: u8 = 4;
    const DESCRIBED: u8 = 8;
    const FRESH: u8 = 16;

    /// Its last connection ended without a goodbye.
    pub(crate) fn is_lost(self) -> bool {
        self.0 & Self::LOST != 0
    }

    pub(crate) fn set_lost(&mut self, lost: bool) {
        self.set(Self::LOST, lost);
    }

    /// The broker may have heard how it stands.
    fn is_shown(self) -> bool {
        self.0 & Self::SHOWN != 0
    }

    /// Gives what was before.
    pub(crate) fn set_shown(&mut self, shown: bool) -> bool {
        self.set(Self::SHOWN, shown)
    }

    /// It stands in the line of those with news. Gives what was before.
    fn set_in_line(&mut self, in_line: bool) -> bool {
        self.set(Self::IN_LINE, in_line)
    }

    /// Home Assistant may have a description of it.
    fn is_described(self) -> bool {
        self.0 & Self::DESCRIBED != 0
    }

    /// Gives what was before.
    pub(crate) fn set_described(&mut self, described: bool) -> bool {
        self.set(Self::DESCRIBED, described)
    }

    /// That is as the rules have it, and was told in the present round.
    fn is_fresh(self) -> bool {
        self.0 & Self::FRESH != 0
    }

    fn set_fresh(&mut self, fresh: bool) -> bool {
        self.set(Self::FRESH, fresh)
    }

    fn set(&mut self, bit: u8, to: bool) -> bool {
        let before = self.0 & bit != 0;
        self.0 = if to { self.0 | bit } else { self.0 & !bit };
        before
    }
}

/// The last word on a client that is no more.
#[derive(Debug)]
struct Farewell {
    id: Box<str>,
    /// `None` if its session has ended.
    word: Option<LastWord>,
    /// Home Assistant may have a description of it, which is to go.
    described: bool,
}

#[derive(Clone, Copy, Debug)]
struct LastWord {
    lost: bool,
    place: Option<(LinkId, Address)>,
    rssi: Option<i16>,
    since: Time,
}

/// What is still to be told.
#[derive(Debug, Default)]
pub(crate) struct Bulletin {
    /// Clients with news, each once; while the broker is there.
    line: VecDeque<Handle>,
    /// All are being told anew: those from this place on are still to come.
    round: Option<u32>,
    /// Of clients of which the broker has heard, so there are no more than there were clients: nobody else
    /// is told of before these.
    farewells: VecDeque<Farewell>,
    /// Those that were said by the present connection since the broker has last answered.
    unsure: VecDeque<Farewell>,
    not_before: Time,
}

impl Bulletin {
    fn is_empty(&self) -> bool {
        self.line.is_empty() && self.farewells.is_empty() && self.round.is_none()
    }

    fn part(&mut self, client: &mut Client, word: Option<LastWord>) {
        if client.public.set_shown(false) {
            // It may come back, and is away until then.
            let described = word.is_none() && client.public.set_described(false);
            self.farewells.push_back(Farewell { id: (*client.id).into(), word, described });
        }
    }
}

/// What became of one that was looked at.
enum Look {
    Told,
    Passed,
    Refused,
    Nobody,
}

/// Tells one; gives whether it was taken.
type Say<'a> = &'a mut dyn FnMut(&News<'_>) -> bool;

impl Gateway {
    /// There is something new about a client.
    pub(crate) fn has_news(&mut self, handle: Handle) {
        if self.settings.tell_states
            && self.lines.at(LineId::MAIN).broker.connected
            && let Some(client) = self.clients.get_mut(handle)
            && !client.public.set_in_line(true)
        {
            self.bulletin.line.push_back(handle);
        }
    }

    /// A client's session has ended: nothing is to be said of it any more.
    pub(crate) fn forget_in_public(&mut self, handle: Handle) {
        if let Some(client) = self.clients.get_mut(handle) {
            self.bulletin.part(client, None);
        }
    }

    /// As [`Self::forget_in_public`], for a session that an earlier life has left.
    pub(crate) fn forget_id_in_public(&mut self, id: &str) {
        if self.settings.tell_states {
            let described = self.settings.home_prefix.is_some();
            self.bulletin.farewells.push_back(Farewell { id: id.into(), word: None, described });
        }
    }

    /// A client's record is about to be taken away: the last that is said of it.
    pub(crate) fn part_in_public(&mut self, handle: Handle) {
        if let Some(client) = self.clients.get_mut(handle) {
            let word = LastWord {
                lost: client.public.is_lost(),
                place: client.peer.as_ref().map(|peer| (peer.link(), peer.as_ref().address())),
                rssi: client.signal.rssi,
                since: client.last_heard,
            };
            self.bulletin.part(client, Some(word));
        }
    }

    /// The main connection stands: what the broker has may be of long ago.
    pub(crate) fn begin_round(&mut self) {
        let some = self.settings.tell_states && self.clients.len() > 0;
        self.bulletin.round = some.then_some(0);
    }

    /// The main connection is lost. All will be told anew.
    pub(crate) fn end_round(&mut self) {
        self.bulletin.round = None;
        for handle in core::mem::take(&mut self.bulletin.line) {
            if let Some(client) = self.clients.get_mut(handle) {
                client.public.set_in_line(false);
            }
        }
        let Bulletin { farewells, unsure, .. } = &mut self.bulletin;
        // The older ones first.
        unsure.append(farewells);
        core::mem::swap(unsure, farewells);
    }

    /// The broker has answered what was sent to it after all that was told before.
    pub(crate) fn told_for_sure(&mut self) {
        self.bulletin.unsure = VecDeque::new();
    }

    /// When [`Self::tell`] has something to tell.
    #[must_use]
    pub fn tells_at(&self) -> Option<Time> {
        let connected = self.lines.at(LineId::MAIN).broker.connected;
        (connected && !self.bulletin.is_empty()).then_some(self.bulletin.not_before)
    }

    /// Tells what is due by the main connection. `say` tells one, and gives whether it was taken; if not
    /// it is told the next time.
    pub fn tell(&mut self, now: Time, say: Say<'_>) {
        if self.tells_at().is_none_or(|at| at > now) {
            return;
        }
        self.bulletin.not_before = now.after(PAUSE);
        let mut told = 0;
        for _ in 0..LOOKS {
            match self.look(say) {
                Look::Told => told += 1,
                Look::Passed => {}
                Look::Refused | Look::Nobody => break,
            }
            if told == BATCH {
                break;
            }
        }
        for queue in [&mut self.bulletin.farewells, &mut self.bulletin.unsure] {
            if queue.is_empty() && queue.capacity() > KEPT {
                *queue = VecDeque::new();
            }
        }
        let line = &mut self.bulletin.line;
        if line.is_empty() && line.capacity() > KEPT {
            *line = VecDeque::new();
        }
    }

    fn look(&mut self, say: Say<'_>) -> Look {
        if let Some(farewell) = self.bulletin.farewells.pop_front() {
            return self.say_farewell(farewell, say);
        }
        if let Some(handle) = self.bulletin.line.pop_front() {
            let look = self.say_standing(handle, say);
            if matches!(look, Look::Refused) {
                self.bulletin.line.push_front(handle);
            } else if let Some(client) = self.clients.get_mut(handle) {
                client.public.set_in_line(false);
            }
            return look;
        }
        let Some(place) = self.bulletin.round else { return Look::Nobody };
        let look = match self.clients.handle_at(place) {
            Some(handle) => {
                if let Some(client) = self.clients.get_mut(handle) {
                    client.public.set_fresh(false);
                }
                self.say_standing(handle, say)
            }
            None => Look::Passed,
        };
        if !matches!(look, Look::Refused) {
            let next = place.saturating_add(1);
            self.bulletin.round = (next < self.clients.places()).then_some(next);
        }
        look
    }

    fn say_farewell(&mut self, farewell: Farewell, say: Say<'_>) -> Look {
        if let Some(handle) = self.client_named(&farewell.id) {
            // It is back. What the broker has of it is of its former life.
            if let Some(client) = self.clients.get_mut(handle) {
                client.public.set_shown(true);
                if farewell.described {
                    client.public.set_described(true);
                }
            }
            if self.bulletin.round.is_none_or(|next| next > handle.slot) {
                self.has_news(handle);
            }
            return Look::Passed;
        }
        let standing = farewell.word.map(|word| Standing {
            state: if word.lost { "lost" } else { "disconnected" },
            link: word.place.and_then(|(link, _)| self.link_name(link)),
            address: word.place.map(|(_, address)| address),
            rssi: word.rssi,
            since: word.since,
            sleep_until: None,
        });
        let home = if farewell.described { HomeNews::NoDevice } else { HomeNews::Nothing };
        if !say(&News { id: &farewell.id, standing, home }) {
            self.bulletin.farewells.push_front(farewell);
            return Look::Refused;
        }
        let unsure = &mut self.bulletin.unsure;
        if unsure.len() >= UNSURE {
            unsure.pop_front();
        }
        unsure.push_back(farewell);
        Look::Told
    }

    fn say_standing(&mut self, handle: Handle, say: Say<'_>) -> Look {
        let Some(client) = self.clients.get(handle) else { return Look::Passed };
        let Some(standing) = self.standing(client) else { return Look::Passed };
        let rule = self.settings.rules.get(usize::from(client.rule));
        let device = rule.and_then(|rule| rule.home.as_deref());
        let wanted = self.settings.home_prefix.is_some() && !client.public.is_fresh();
        let home = match device.filter(|_| wanted) {
            Some(device) => HomeNews::Device(device),
            None if wanted && client.public.is_described() => HomeNews::NoDevice,
            None => HomeNews::Nothing,
        };
        if !say(&News { id: &client.id, standing: Some(standing), home }) {
            return Look::Refused;
        }
        let described = device.is_some();
        if let Some(client) = self.clients.get_mut(handle) {
            client.public.set_shown(true);
            client.public.set_fresh(true);
            client.public.set_described(described);
        }
        Look::Told
    }

    /// How a client stands, if that can be said at the moment.
    fn standing<'a>(&'a self, client: &'a Client) -> Option<Standing<'a>> {
        let line = self.lines.get(client.line);
        let ending = client.line.is_own() && line.is_some_and(|l| l.state == LineState::Closing);
        let (state, since) = match client.state {
            // It is decided soon.
            State::Connecting => return None,
            State::Active => ("active", client.connected_at),
            State::Asleep => ("asleep", client.nap.since),
            State::Awake => ("awake", client.nap.since),
            // It is there for what is still to be delivered in its name, and what was last said holds.
            State::Gone if ending && !client.public.is_shown() => return None,
            State::Gone if client.public.is_lost() => ("lost", client.last_heard),
            State::Gone => ("disconnected", client.last_heard),
        };
        let peer = client.peer.as_ref();
        Some(Standing {
            state,
            link: peer.and_then(|peer| self.link_name(peer.link())),
            address: peer.map(|peer| peer.as_ref().address()),
            rssi: client.signal.rssi,
            since,
            sleep_until: client.wakes_at(),
        })
    }
}
