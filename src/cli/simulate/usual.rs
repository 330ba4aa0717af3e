//! What is usual, where the arguments say nothing: on a line it depends on how much that carries.

use std::time::Duration;

use super::payload::SHORTEST;
use crate::cli::Failure;
use crate::cli::line::{Numbers, Plan};
use crate::transport::framing::BITS_PER_OCTET;
use crate::transport::line::{Line, Settings};

/// Bytes of a message.
const SIZE: usize = 64;
/// How long a device waits for an answer.
const RETRY: Duration = Duration::from_secs(3);
/// The same on a line, where some seconds of it may wait at either end.
const RETRY_ON_LINE: Duration = Duration::from_secs(15);
/// Microseconds between two devices that connect.
const CONNECT_INTERVAL: f64 = 2_000.0;
/// Microseconds between two messages of a device.
const INTERVAL: f64 = 1e6;
/// Octets that go each way for a message beside its payload: headers, and acknowledgements.
const ABOUT_A_MESSAGE: usize = 60;
/// Octets each way until a device has connected and subscribed.
const CONNECTING: usize = 250;
/// Octets of a PUBLISH in front of the payload, and of the header of a forwarder.
const PUBLISH: usize = 9;
const FORWARDER: usize = 5;

/// Numbers for a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usual {
    /// Bytes of each message.
    pub(super) size: usize,
    /// Microseconds between two messages of one device.
    pub(super) interval: f64,
    /// Microseconds between two devices that connect.
    pub(super) connect_interval: f64,
    /// How long a device waits for an answer.
    pub(super) retry: Duration,
}

impl Usual {
    /// For so many devices, and messages of this size if somebody has chosen one.
    ///
    /// # Errors
    /// Messages of this size do not go through the line.
    pub(super) fn new(
        line: Option<&Plan>,
        devices: usize,
        size: Option<usize>,
    ) -> Result<Self, Failure> {
        let Some(line) = line else {
            return Ok(Self {
                size: size.unwrap_or(SIZE),
                interval: INTERVAL,
                connect_interval: CONNECT_INTERVAL,
                retry: RETRY,
            });
        };
        let size = size_on_line(line, size)?;
        // Half of the line.
        let takes = |octets: usize| {
            2.0 * octets as f64 * f64::from(BITS_PER_OCTET) * 1e6 / f64::from(line.settings.baud)
        };
        Ok(Self {
            size,
            interval: (devices as f64 * takes(size + ABOUT_A_MESSAGE)).max(INTERVAL),
            connect_interval: takes(CONNECTING).max(CONNECT_INTERVAL),
            retry: RETRY_ON_LINE,
        })
    }
}

fn size_on_line(line: &Plan, size: Option<usize>) -> Result<usize, Failure> {
    let framing = line.framing();
    let head = PUBLISH + if Numbers::of(line) == Numbers::Nodes { FORWARDER } else { 0 };
    let largest = Line::at(line.end, &line.settings).largest();
    let most = largest.saturating_sub(head);
    match size {
        Some(size) if size > most => Err(Failure::usage(format!(
            "framing {framing} carries packets of {largest} octets at most, which is enough for \
             messages of {most}: use a smaller --size"
        ))),
        Some(size) => Ok(size),
        // What a gateway takes that is not told otherwise.
        None => {
            let usual = largest.min(Settings::new(framing).max_packet).saturating_sub(head);
            Ok(usual.clamp(SHORTEST, SIZE))
        }
    }
}
