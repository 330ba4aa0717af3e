//! One request from every device and the answer to it, many devices at a time: how devices connect,
//! register and subscribe.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::rig::{REPEAT, Rig, STALL_LIMIT, send, unexpected};
use crate::sn;

/// Message id of the set-up requests; each device has one open.
const MESSAGE_ID: u16 = 1;

/// How an exchange of all devices went.
pub struct Exchanged {
    pub wall: Duration,
    /// Requests that had to be repeated.
    pub repeated: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Waiting(Instant),
    Done,
}

/// What happens to one device's request.
pub enum Event {
    /// It is about to be sent, for the first time or again.
    Asked,
    /// It was answered.
    Answered,
}

/// Sends `request` of every device, at most `window` unanswered at once, until each has got an
/// answer that `accept` takes.
pub fn exchange(
    rig: &mut Rig,
    window: usize,
    what: &str,
    request: impl FnMut(&Rig, usize, &mut Vec<u8>),
    accept: impl FnMut(usize, u8, &[u8]) -> bool,
) -> Result<Exchanged, Failure> {
    exchange_at(rig, window, what, request, accept, |_, _| {})
}

/// As [`exchange`], and tells `on` when what happens.
pub fn exchange_at(
    rig: &mut Rig,
    window: usize,
    what: &str,
    mut request: impl FnMut(&Rig, usize, &mut Vec<u8>),
    mut accept: impl FnMut(usize, u8, &[u8]) -> bool,
    mut on: impl FnMut(usize, Event),
) -> Result<Exchanged, Failure> {
    let (total, begin) = (rig.devices.len(), Instant::now());
    let mut states: Vec<State> = Vec::with_capacity(total);
    let (mut done, mut repeated, mut progress) = (0, 0, begin);
    let mut buffer = Vec::new();
    while done < total {
        while states.len() < total && states.len() - done < window {
            let index = states.len();
            request(rig, index, &mut buffer);
            on(index, Event::Asked);
            send(&rig.devices[index], &buffer)?;
            states.push(State::Waiting(Instant::now()));
        }
        let before = done;
        let moved = rig.turn(REPEAT / 4, |index, _: &UdpSocket, datagram| {
            let Some((kind, body)) = sn::split(datagram) else { return Ok(()) };
            match states.get_mut(index) {
                Some(state @ State::Waiting(_)) if accept(index, kind, body) => {
                    *state = State::Done;
                    on(index, Event::Answered);
                    done += 1;
                    Ok(())
                }
                _ => unexpected(datagram),
            }
        })?;
        if done > before {
            progress = Instant::now();
        }
        if progress.elapsed() > STALL_LIMIT {
            let log = rig.target.log();
            return Err(format!("{what}: {done} of {total} devices got an answer{log}").into());
        }
        if !moved || progress.elapsed() > REPEAT {
            for (index, state) in states.iter_mut().enumerate() {
                if let State::Waiting(since) = state
                    && since.elapsed() > REPEAT
                {
                    request(rig, index, &mut buffer);
                    on(index, Event::Asked);
                    send(&rig.devices[index], &buffer)?;
                    *since = Instant::now();
                    repeated += 1;
                }
            }
        }
    }
    Ok(Exchanged { wall: begin.elapsed(), repeated })
}

/// CONNECT of every device.
pub fn connect(rig: &mut Rig, window: usize) -> Result<Exchanged, Failure> {
    exchange(
        rig,
        window,
        "CONNECT",
        |rig, index, out| sn::connect(out, &rig.client_id(index)),
        |_, kind, body| kind == sn::CONNACK && body == [0],
    )
}

/// REGISTER of one topic per device, its own; returns the topic ids by device.
pub fn register(rig: &mut Rig, window: usize) -> Result<Vec<u16>, Failure> {
    let mut ids = vec![0; rig.devices.len()];
    exchange(
        rig,
        window,
        "REGISTER",
        |_, index, out| sn::register(out, MESSAGE_ID, &format!("bench/{index:05}/value")),
        |index, kind, body| {
            let accepted = kind == sn::REGACK && body.last() == Some(&0);
            if accepted {
                ids[index] = sn::field(body, 0).unwrap_or(0);
            }
            accepted
        },
    )?;
    Ok(ids)
}

/// SUBSCRIBE of every device to `filter`.
pub fn subscribe(rig: &mut Rig, window: usize, qos: u8, filter: &str) -> Result<(), Failure> {
    exchange(
        rig,
        window,
        "SUBSCRIBE",
        |_, _, out| sn::subscribe(out, MESSAGE_ID, qos, filter),
        |_, kind, body| kind == sn::SUBACK && body.last() == Some(&0),
    )?;
    Ok(())
}

/// Opens `count` devices, connects them and registers a topic for each; returns the topic ids.
pub fn ready_devices(rig: &mut Rig, count: usize) -> Result<Vec<u16>, Failure> {
    const WINDOW: usize = 50;
    rig.open_devices(count)?;
    connect(rig, WINDOW)?;
    register(rig, WINDOW)
}
