//! What the packets of a client look like to somebody who has seen many devices: known habits of client
//! stacks, and known troubles between a device and its gateway.

use std::time::Duration;

use serde::Serialize;

use crate::codec::{Message, Publish, Qos, ReturnCode};
use crate::time::Time;

/// How often something has to be seen before it is said.
const OFTEN: usize = 3;
/// Within this time the same message is a repetition, and not a reading that has not changed.
const SOON: Duration = Duration::from_secs(30);

/// Something worth looking into.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Hint {
    /// In a few words.
    pub title: &'static str,
    /// What it may be, and what to do.
    pub advice: &'static str,
}

/// One packet.
#[derive(Clone, Debug)]
pub(super) struct Step<'a> {
    pub(super) time: Time,
    /// To the device; else from it.
    pub(super) sent: bool,
    pub(super) message: Message<'a>,
}

/// Whether packets look like something.
type Rule = fn(&[Step<'_>]) -> bool;

/// What is to be said of these packets, oldest first.
pub(super) fn of(steps: &[Step<'_>]) -> Vec<Hint> {
    let rules: [(Rule, Hint); 7] = [
        (
            answers_are_not_heard,
            Hint {
                title: "It connects again and again",
                advice: "It repeats CONNECT although each was answered: the answers do not reach it. Look \
                         for a firewall or NAT between, for a device that listens on another port than \
                         it sends from, or for a radio that cannot receive yet.",
            },
        ),
        (
            drops_at_ping,
            Hint {
                title: "It starts over when its first ping is due",
                advice: "This looks like RIOT asymcute, which counts the failed pings of an earlier outage \
                         in each new session: restart the device.",
            },
        ),
        (
            leaves_registers_unanswered,
            Hint {
                title: "It does not answer REGISTER",
                advice: "RIOT emcute has no handler for it, and Zephyr has none left when all its topics are \
                         in use. Give it predefined or short topic ids, or let it subscribe to topics \
                         without wildcards; [[client]] profile = \"emcute\" does that.",
            },
        ),
        (
            leaves_publishes_unanswered,
            Hint {
                title: "It does not acknowledge messages",
                advice: "PUBLISH with QoS 1 or 2 is repeated and gets no answer: it is out of reach, asleep \
                         without having said so, or its receive window is shorter than the link takes. \
                         If the link is slow, raise retry_interval.",
            },
        ),
        (
            has_forgotten_topics,
            Hint {
                title: "It does not know the topic ids of its session",
                advice: "It answers \"invalid topic id\": it has probably restarted without a clean session. \
                         The gateway registers the topics again; a clean session, or predefined ids, \
                         avoid it.",
            },
        ),
        (
            uses_stale_topics,
            Hint {
                title: "It uses topic ids that it was not given",
                advice: "The gateway answers \"invalid topic id\", on which a device has to register the \
                         topic again. This one goes on: it does not look at the answer, or its list of \
                         predefined ids is not the one under [topics].",
            },
        ),
        (
            repeats_what_was_acknowledged,
            Hint {
                title: "It repeats messages that were acknowledged",
                advice: "The acknowledgements do not reach it, or later than it waits. Nothing is published \
                         twice, but its battery pays: look at the link, and at the retry time of the \
                         device.",
            },
        ),
    ];
    rules.into_iter().filter(|(rule, _)| rule(steps)).map(|(_, hint)| hint).collect()
}

/// CONNECT, our answer, CONNECT, our answer; and nothing else from it.
fn answers_are_not_heard(steps: &[Step<'_>]) -> bool {
    let mut row = 0;
    let mut answered = false;
    for step in steps {
        match (&step.message, step.sent) {
            (Message::Connect(_), false) => {
                row = if answered || row == 0 { row + 1 } else { row };
                answered = false;
            }
            (Message::ConnAck { .. } | Message::WillTopicReq, true) => answered = true,
            (_, false) => row = 0,
            (_, true) => {}
        }
    }
    row >= OFTEN
}

/// CONNECTs as far apart as its keep-alive says, or three quarters of that, without a ping between them.
fn drops_at_ping(steps: &[Step<'_>]) -> bool {
    let mut row = 0;
    let mut last: Option<(Time, Duration)> = None;
    for step in steps.iter().filter(|step| !step.sent) {
        match &step.message {
            Message::Connect(connect) => {
                let keep_alive = Duration::from_secs(connect.duration.into());
                let due = last.is_some_and(|(time, keep_alive)| {
                    let apart = step.time.since(time);
                    !keep_alive.is_zero()
                        && apart >= keep_alive.mul_f32(0.7)
                        && apart <= keep_alive.mul_f32(1.4)
                });
                row = if due { row + 1 } else { 0 };
                last = Some((step.time, keep_alive));
            }
            Message::PingReq { .. } | Message::Disconnect { .. } => last = None,
            _ => {}
        }
    }
    row >= OFTEN - 1
}

/// The last requests of ours that `asks` recognises were not answered with what `answers` recognises.
fn unanswered(
    steps: &[Step<'_>],
    asks: impl Fn(&Message<'_>) -> bool,
    answers: impl Fn(&Message<'_>) -> bool,
) -> bool {
    let mut row = 0;
    for step in steps {
        if step.sent && asks(&step.message) {
            row += 1;
        } else if !step.sent && answers(&step.message) {
            row = 0;
        }
    }
    row >= OFTEN
}

fn leaves_registers_unanswered(steps: &[Step<'_>]) -> bool {
    unanswered(
        steps,
        |message| matches!(message, Message::Register { .. }),
        |message| matches!(message, Message::RegAck { .. }),
    )
}

fn leaves_publishes_unanswered(steps: &[Step<'_>]) -> bool {
    let asks = |message: &Message<'_>| matches!(message, Message::Publish(publish) if matches!(publish.qos, Qos::One | Qos::Two));
    let answers = |message: &Message<'_>| {
        matches!(message, Message::PubAck { .. } | Message::PubRec { .. } | Message::PubComp { .. })
    };
    unanswered(steps, asks, answers)
}

fn count(steps: &[Step<'_>], sent: bool, which: impl Fn(&Message<'_>) -> bool) -> usize {
    steps.iter().filter(|step| step.sent == sent && which(&step.message)).count()
}

fn is_invalid_topic(message: &Message<'_>) -> bool {
    let (Message::PubAck { code, .. } | Message::RegAck { code, .. }) = message else {
        return false;
    };
    *code == ReturnCode::INVALID_TOPIC_ID
}

fn has_forgotten_topics(steps: &[Step<'_>]) -> bool {
    count(steps, false, is_invalid_topic) >= OFTEN - 1
}

fn uses_stale_topics(steps: &[Step<'_>]) -> bool {
    let mut row = 0;
    for step in steps {
        if step.sent && is_invalid_topic(&step.message) {
            row += 1;
        } else if !step.sent && matches!(step.message, Message::Register { .. }) {
            row = 0;
        }
    }
    row >= OFTEN
}

/// PUBLISH, PUBACK, and the same PUBLISH again soon; some stacks have one message id for all.
fn repeats_what_was_acknowledged(steps: &[Step<'_>]) -> bool {
    let mut times = 0;
    let mut last: Option<(Time, &Publish<'_>)> = None;
    let mut acknowledged = false;
    for step in steps {
        match &step.message {
            Message::PubAck { msg_id, code, .. } if step.sent && *code == ReturnCode::ACCEPTED => {
                acknowledged = last.is_some_and(|(_, publish)| publish.msg_id == *msg_id);
            }
            Message::Publish(publish) if !step.sent => {
                let again = last.is_some_and(|(time, before)| {
                    step.time.since(time) < SOON
                        && Publish { dup: before.dup, ..*publish } == *before
                });
                if again && acknowledged && publish.qos == Qos::One {
                    times += 1;
                }
                last = Some((step.time, publish));
                acknowledged = false;
            }
            _ => {}
        }
    }
    times >= OFTEN
}

#[cfg(test)]
mod tests;
