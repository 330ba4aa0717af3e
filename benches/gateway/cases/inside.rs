//! The core alone: where the octets of a sleeper are, and what waking one costs.

use std::time::{Duration, Instant};

use super::{Sample, Scale};
use crate::Failure;
use crate::inside::{Heap, Inside};
use crate::sleeper;
use crate::sn;

/// Overhead of the usual allocator per allocation on 64 bits: 8 octets, and what it takes to get to
/// a multiple of 16; half of the time that is another 8.
const PER_ALLOCATION: f64 = 12.0;

/// Takes every one of `count` sleepers through the steps in `steps`.
fn advance(
    inside: &mut Inside,
    count: usize,
    steps: std::ops::Range<usize>,
    clean: bool,
) -> Result<(), Failure> {
    let mut request = Vec::new();
    for number in 0..count {
        for step in steps.clone() {
            let answer = sleeper::step(&mut request, number, step, clean);
            inside.ask(number, &request, answer)?;
        }
    }
    Ok(())
}

/// Octets on the heap per sleeper, and what each part of a session adds.
pub fn memory(scale: &Scale) -> Result<Sample, Failure> {
    let count = scale.sleepers;
    let mut inside = Inside::new(count);
    let empty = Heap::now();
    let mut values = Vec::new();
    let mut before = empty;
    for (key, steps) in
        [("connect", 0..1), ("topics", 1..5), ("own", 5..6), ("shared", 6..7), ("asleep", 7..8)]
    {
        advance(&mut inside, count, steps, false)?;
        let now = Heap::now();
        values.push((key, now.octets_each(before, count)));
        before = now;
    }
    values.push(("before", before.octets_each(empty, count)));
    // What is remembered to recognise repetitions goes with time, and with the next sign of life.
    inside.pass(Duration::from_secs(600));
    let mut request = Vec::new();
    for number in 0..count {
        sn::wake(&mut request, &sleeper::id(number));
        inside.ask(number, &request, sn::PINGRESP)?;
    }
    let settled = Heap::now();
    let (octets, allocations) =
        (settled.octets_each(empty, count), settled.count_each(empty, count));
    values.push(("each", octets));
    values.push(("count", allocations));
    values.push(("estimate", octets + allocations * PER_ALLOCATION));
    Ok(Sample { values, remarks: Vec::new() })
}

/// CPU of an empty PINGREQ–PINGRESP among few and among many.
pub fn wake(scale: &Scale) -> Result<Sample, Failure> {
    let mut values = Vec::new();
    for (key, count) in [("few", FEW), ("many", scale.sleepers)] {
        let mut inside = Inside::new(count);
        advance(&mut inside, count, 0..sleeper::STEPS, true)?;
        inside.pass(Duration::from_secs(60));
        values.push((key, nanoseconds(&mut inside, count, FEW)?));
        if key == "many" {
            values.push(("all", nanoseconds(&mut inside, count, count)?));
        }
    }
    Ok(Sample { values, remarks: Vec::new() })
}

/// Sleepers of the small gateway, and how many of the large one are woken.
const FEW: usize = 1_000;
const WAKES: usize = 1_000_000;

/// Nanoseconds of an empty PINGREQ–PINGRESP of `woken` out of `count`, in an order that no cache
/// foresees.
fn nanoseconds(inside: &mut Inside, count: usize, woken: usize) -> Result<f64, Failure> {
    // Evenly over all records; the multiplier is coprime to any count that is used here.
    let number = |turn: usize| (turn * 7_919 % woken) * (count / woken);
    let requests: Vec<Vec<u8>> = (0..woken)
        .map(|turn| {
            let mut request = Vec::new();
            sn::wake(&mut request, &sleeper::id(number(turn)));
            request
        })
        .collect();
    let before = inside.sent();
    let begin = Instant::now();
    for turn in 0..WAKES {
        let turn = turn % woken;
        inside.datagram(number(turn), &requests[turn]);
    }
    let each = begin.elapsed().as_secs_f64() * 1e9 / WAKES as f64;
    match inside.sent() - before {
        sent if sent == WAKES as u64 => Ok(each),
        sent => Err(format!("{WAKES} times PINGREQ, {sent} answers").into()),
    }
}

/// Everybody comes, says nothing more and expires: what is left of them.
pub fn storm(scale: &Scale) -> Result<Sample, Failure> {
    let mut inside = Inside::new(scale.many);
    let mut values = Vec::new();
    let empty = Heap::now();
    let mut full = empty;
    for round in ["first", "second"] {
        let mut request = Vec::new();
        for number in 0..scale.many {
            for step in 0..sleeper::STEPS - 1 {
                let answer = sleeper::step(&mut request, number, step, true);
                inside.ask(number, &request, answer)?;
            }
        }
        full = Heap::now();
        inside.pass(Duration::from_secs(2 * u64::from(sleeper::SLEEP)));
        if inside.clients() > 0 {
            return Err(format!("{} clients have not expired", inside.clients()).into());
        }
        let left = Heap::now();
        values.push((round, (left.octets - empty.octets) as f64 / 1024.0));
    }
    values.push(("full", (full.octets - empty.octets) as f64 / 1024.0));
    Ok(Sample { values, remarks: Vec::new() })
}
