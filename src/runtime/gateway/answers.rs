//! What the loop answers to those who look at it, between its turns.

use std::task::{Context, Poll};

use super::{Gateway, Machine, Shared};
use crate::admin::api::{Client, ClientDetails, Status, TopicNames};
use crate::admin::{
    ClientPart, ClientQuery, Figures, NotJoined, Question, ReloadReply, UpstreamFigures,
    UpstreamState,
};
use crate::core::upstream::LineId;
use crate::core::{ClientView, LinkId, glob_matches};
use crate::engine::Engine;
use crate::runtime::Snapshot;
use crate::time::Time;

/// Questions answered in one turn.
const FAIR_SHARE: usize = 4;
/// Places of the table of clients that are looked at for one answer.
const SLICE: u32 = 1_024;

impl<M: Machine> Gateway<M> {
    /// Answers some of the questions that wait. Ready if there was one.
    pub(super) fn poll_questions(&mut self, cx: &mut Context<'_>, now: Time) -> Poll<()> {
        let mut some = false;
        for _ in 0..FAIR_SHARE {
            let Some(questions) = &mut self.questions else { break };
            let Poll::Ready(question) = questions.poll(cx) else { break };
            some = true;
            if !question.is_given_up() {
                self.answer(now, question);
            }
        }
        if some { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whoever has asked may have given up: then nobody is told, and that is all.
    fn answer(&mut self, now: Time, question: Question) {
        match question {
            Question::Alive(reply) => {
                let _ = reply.send(());
            }
            Question::Upstream(reply) => {
                let _ = reply.send(self.upstream_states());
            }
            Question::Figures(reply) => {
                if let Some(figures) = self.figures() {
                    let _ = reply.send(Box::new(figures));
                }
            }
            Question::Links(reply) => {
                let links = self.links.iter_mut().map(|link| link.figures(&self.traffic));
                let _ = reply.send(links.collect());
            }
            Question::Clients(query, reply) => {
                let links = self.link_names();
                if let Some(engine) = self.machine.engine() {
                    let _ = reply.send(clients(engine, &query, &links));
                }
            }
            Question::Client(id, reply) => {
                let links = self.link_names();
                if let Some(engine) = self.machine.engine() {
                    let view = engine.gateway().client(&id);
                    let details = view.map(|view| Box::new(ClientDetails::new(&view, &links, now)));
                    let _ = reply.send(details);
                }
            }
            Question::Timeline(id, reply) => {
                let timeline = match (&self.diary, id) {
                    (Some(diary), Some(id)) => diary.timeline(Some(&id)).or_else(|| {
                        // After a restart nothing is known of it yet.
                        let known = self.machine.engine()?.gateway().client(&id).is_some();
                        known.then(Snapshot::default)
                    }),
                    (Some(diary), None) => diary.timeline(None),
                    (None, _) => None,
                };
                let _ = reply.send(timeline.map(Box::new));
            }
            Question::Watch(query, reply) => {
                let _ = reply.send(self.diary.as_mut().and_then(|diary| diary.watch(query)));
            }
            Question::Status(reply) => {
                let upstream = self.upstream_states();
                if let Some(engine) = self.machine.engine() {
                    let (stats, spooled) = (engine.gateway().stats(), engine.spooled_bytes());
                    let status = Status::new(&stats, self.started, spooled, upstream);
                    let _ = reply.send(Box::new(status));
                }
            }
            Question::Kick(id, reply) => {
                if let Some(engine) = self.machine.engine() {
                    let _ = reply.send(engine.kick(now, &id));
                }
            }
            Question::Topics(from, reply) => {
                if let Some(engine) = self.machine.engine() {
                    let _ = reply.send(TopicNames::new(engine.gateway(), from));
                }
            }
            Question::PermitJoin(name, time, reply) => {
                let mut links = self.links.iter_mut();
                let link = links.find(|link| link.to_string() == name);
                let _ = reply.send(match link {
                    Some(link) => link.permit_join(time),
                    None => Err(NotJoined::Unknown),
                });
            }
            Question::Reload(reply) => self.reload_for(reply),
            Question::Capture(reply) => {
                let _ = reply.send(self.capture_report());
            }
            Question::CaptureStart(setup, reply) => {
                let _ = reply.send(self.start_capture(*setup));
            }
            Question::CaptureStop(reply) => {
                let _ = reply.send(self.end_capture("an operator has ended it"));
            }
        }
    }

    fn reload_for(&mut self, reply: ReloadReply) {
        if !self.start_reload() {
            let why = "there is no configuration to be read again";
            let _ = reply.send(Err(why.to_owned()));
            return;
        }
        // A disk may hang for longer than anybody waits.
        self.reloading.retain(|reply| !reply.is_closed());
        self.reloading.push(reply);
    }

    fn link_names(&self) -> Vec<String> {
        self.links.iter().map(ToString::to_string).collect()
    }

    fn upstream_states(&mut self) -> Vec<UpstreamState> {
        let Self { machine, brokers, .. } = self;
        let state = |Shared { line, connection, .. }: &Shared| UpstreamState {
            connected: machine.engine().is_some_and(|engine| is_connected(engine, *line)),
            broker: connection.server().map(ToString::to_string),
            trouble: connection.trouble().map(str::to_owned),
        };
        brokers.iter().map(state).collect()
    }

    fn figures(&mut self) -> Option<Figures> {
        let engine = self.machine.engine()?;
        let [_, filters, _, _, topics] = engine.gateway().residue();
        let sessions = self.brokers.iter().filter_map(|broker| engine.session_of(broker.line));
        let upstream = sessions.map(|session| UpstreamFigures {
            connected: session.is_connected(),
            session: *session.stats(),
            round_trips: session.round_trips().copied(),
        });
        Some(Figures {
            started: self.started,
            core: engine.gateway().stats(),
            filters,
            topics,
            upstream: upstream.collect(),
            own: engine.own_sessions(),
            spooled_bytes: engine.spooled_bytes(),
            written: engine.written(),
            commit_latency: self.store.as_ref().map(|store| *store.latency()),
            links: self.links.iter_mut().map(|link| link.figures(&self.traffic)).collect(),
        })
    }

    /// The line of `systemctl status`.
    pub(super) fn status_line(&mut self) -> Option<String> {
        let states = self.upstream_states();
        let stats = self.machine.engine()?.gateway().stats();
        let broker = match states.iter().find(|state| !state.connected) {
            None => "broker connected".to_owned(),
            Some(UpstreamState { trouble: None, .. }) => "broker not connected yet".to_owned(),
            Some(UpstreamState { trouble: Some(trouble), .. }) => format!("broker away: {trouble}"),
        };
        Some(format!(
            "{} clients, {} of them connected, {} asleep; {broker}",
            stats.clients, stats.connected, stats.asleep
        ))
    }
}

/// The clients that fit, in a part of the table.
fn clients(engine: &Engine, query: &ClientQuery, links: &[String]) -> ClientPart {
    let gateway = engine.gateway();
    let on: Option<Vec<bool>> = (query.link.as_deref())
        .map(|pattern| links.iter().map(|name| glob_matches(pattern, name)).collect());
    let is_on = |link: Option<LinkId>| match (&on, link) {
        (None, _) => true,
        (Some(on), Some(link)) => on.get(usize::from(link.0)).copied().unwrap_or(false),
        (Some(_), None) => false,
    };
    let fits = |view: &ClientView<'_>| {
        query.state.is_none_or(|state| state == view.state())
            && query.text.as_deref().is_none_or(|text| contains(view.id(), text))
            && is_on(view.link())
    };
    let mut part = ClientPart::default();
    for (place, view) in gateway.clients(query.from, SLICE).filter(|(_, view)| fits(view)) {
        part.clients.push(Client::new(&view, links));
        if part.clients.len() >= query.limit {
            part.next = Some(place + 1);
            break;
        }
    }
    let end = part.next.unwrap_or(query.from.saturating_add(SLICE));
    part.next = (end < gateway.client_places()).then_some(end);
    part
}

/// Whether a text has a part, which is in lower case, letters of either case.
fn contains(text: &str, part: &str) -> bool {
    part.is_empty() || text.to_lowercase().contains(part)
}

fn is_connected(engine: &Engine, line: LineId) -> bool {
    engine.session_of(line).is_some_and(crate::mqtt::Session::is_connected)
}
