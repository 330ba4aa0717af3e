//! Why a client is silent, and why messages wait for it, in a sentence each.

use std::time::Duration;

use super::api::rfc3339;
use crate::core::{ClientState, ClientView, InFlight};
use crate::time::Time;

/// Why nothing is heard of a client, if nothing is; as far as its present state tells. What ended its last
/// connection is in its diary.
pub(super) fn silent(view: &ClientView<'_>, now: Time) -> Option<String> {
    let silent = now.since(view.last_heard());
    let since = rfc3339(view.last_heard());
    match view.state() {
        ClientState::Connecting => Some(
            "it is in the will dialogue of its CONNECT: what the gateway asked for has not come yet"
                .to_owned(),
        ),
        ClientState::Awake => None,
        ClientState::Active if view.keep_alive().is_zero() => {
            let quiet = silent >= Duration::from_secs(600);
            quiet.then(|| format!("it asked for no keep-alive, and need not say anything; nothing since {since}"))
        }
        ClientState::Active => {
            let late = silent > view.keep_alive();
            late.then(|| {
                format!(
                    "nothing heard since {since}, {} s ago, although its keep-alive is {} s; it counts as lost \
                     after {}",
                    silent.as_secs(),
                    view.keep_alive().as_secs(),
                    seconds(view.allowed_silence())
                )
            })
        }
        ClientState::Asleep => {
            let until = view.sleeps_until()?;
            let text = if until >= now {
                format!("it sleeps until {}, as it announced", rfc3339(until))
            } else {
                format!(
                    "it should have woken at {}, {} s ago; it counts as lost {} after it fell asleep",
                    rfc3339(until),
                    now.since(until).as_secs(),
                    seconds(view.allowed_silence())
                )
            };
            Some(text)
        }
        ClientState::Gone => Some(format!(
            "it is not connected, and was heard last at {since}; its timeline says how that ended"
        )),
    }
}

/// Why messages wait for a client, if some do.
pub(super) fn waiting(view: &ClientView<'_>, now: Time) -> Option<String> {
    if view.waiting() == 0 {
        return None;
    }
    let text = match view.state() {
        ClientState::Asleep => {
            "it sleeps; they are sent when it says PINGREQ, or connects".to_owned()
        }
        ClientState::Gone => "it is not connected; they are sent when it connects".to_owned(),
        ClientState::Connecting => "its connection is not complete yet".to_owned(),
        ClientState::Active | ClientState::Awake => match view.in_flight() {
            _ if view.is_paused(now) => {
                "it has answered \"congestion\" and is given a pause".to_owned()
            }
            Some(InFlight { waits_for_room: true, packet, .. }) => format!(
                "its link, or its own connection, has no room for {packet} now: it is slow, busy, or the \
                 device is not connected to it"
            ),
            Some(InFlight { packet, answer, tries, .. }) => format!(
                "{packet} was sent {}, and waits for {answer}; one message is under way at a time",
                if tries == 1 { "once".to_owned() } else { format!("{tries} times") }
            ),
            None => "they are about to be sent".to_owned(),
        },
    };
    Some(text)
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or("never".to_owned(), |time| format!("{} s", time.as_secs()))
}
