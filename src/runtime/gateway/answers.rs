//! What the loop answers to those who look at it, between its turns.

use std::task::{Context, Poll};

use super::{Gateway, Machine, Shared};
use crate::admin::{Figures, Question, UpstreamFigures, UpstreamState};
use crate::core::upstream::LineId;
use crate::engine::Engine;

/// Questions answered in one turn.
const FAIR_SHARE: usize = 4;

impl<M: Machine> Gateway<M> {
    /// Answers some of the questions that wait. Ready if there was one.
    pub(super) fn poll_questions(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut some = false;
        for _ in 0..FAIR_SHARE {
            let Some(questions) = &mut self.questions else { break };
            let Poll::Ready(question) = questions.poll(cx) else { break };
            some = true;
            self.answer(question);
        }
        if some { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whoever has asked may have given up: then nobody is told, and that is all.
    fn answer(&mut self, question: Question) {
        match question {
            Question::Alive(reply) => drop(reply.send(())),
            Question::Upstream(reply) => drop(reply.send(self.upstream_states())),
            Question::Figures(reply) => {
                if let Some(figures) = self.figures() {
                    drop(reply.send(Box::new(figures)));
                }
            }
        }
    }

    fn upstream_states(&mut self) -> Vec<UpstreamState> {
        let Self { machine, brokers, .. } = self;
        let state = |Shared { line, connection, .. }: &Shared| UpstreamState {
            connected: machine.engine().is_some_and(|engine| is_connected(engine, *line)),
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

fn is_connected(engine: &Engine, line: LineId) -> bool {
    engine.session_of(line).is_some_and(crate::mqtt::Session::is_connected)
}
