//! `pub`: publishes as a device would.

use std::io::{BufRead, Read};
use std::path::PathBuf;

use clap::{ArgGroup, Args};
use tokio::sync::mpsc;

use super::Failure;
use super::link::{Connection, Interrupts, Link, block_on, explain_refusal, reason};
use super::values::topic_name;
use crate::client::{Client, Event, MAX_PAYLOAD, Publication, Refusal, Topic, UnconnectedError};
use crate::codec::{Qos, ReturnCode};

/// Publish as an MQTT-SN device
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("where").required(true).args(["topic", "predefined"])),
    group(ArgGroup::new("what").required(true).args(["message", "file", "lines", "stdin", "null"])),
    after_help = "\
A topic of two characters is sent as a short topic name, without registering it (--no-short \
registers it). QoS -1 is sent without a connection and is never acknowledged; it needs a predefined \
id (-T) or a topic of two characters. QoS 0 over UDP may be lost.

With --serial the gateway is at the other end of a serial line, and this is a device there, or with \
framings of radios (xbee, hub, loralink, aquila) the radio that brings its packets. If there is a \
radio at the line, and the gateway has another one, --to says its address (xbee, loralink). The \
tool has the line to itself, and ends if it is unplugged.

With --sleep the gateway keeps the session: what comes for the device waits there, and whoever \
connects next with the same --id and --no-clean gets it. If nobody does in time, the gateway \
publishes the will.

Examples:
  mqtt-sn-gateway pub -t sensors/a -m 21.5 -q 1
  mqtt-sn-gateway pub --gateway gateway.example:1883 -T 7 -m on -r
  mqtt-sn-gateway pub -t ab -m 1 -q -1
  mqtt-sn-gateway pub -t sensors/a -m 21.5 -q 1 -i sensor-a -c --sleep 600
  tail -f readings | mqtt-sn-gateway pub -t sensors/a -q 1 -l
  mqtt-sn-gateway pub --serial /dev/ttyUSB1 -t sensors/a -m 21.5 -q 1
  mqtt-sn-gateway pub --serial /dev/ttyUSB1 --framing hub --address 05 -t sensors/a -m 21.5"
)]
pub struct Arguments {
    /// Topic to publish to
    #[arg(short, long, value_parser = topic_name)]
    topic: Option<String>,

    /// Predefined topic id to publish to, 1 to 65534
    #[arg(short = 'T', long, value_name = "ID", value_parser = clap::value_parser!(u16).range(1..=65_534))]
    predefined: Option<u16>,

    /// The message
    #[arg(short, long, allow_hyphen_values = true)]
    message: Option<String>,

    /// Send this file as one message
    #[arg(short, long)]
    file: Option<PathBuf>,

    /// Send each line of standard input as a message
    #[arg(short, long)]
    lines: bool,

    /// Send all of standard input as one message
    #[arg(short, long)]
    stdin: bool,

    /// Send an empty message; with --retain it removes the retained one
    #[arg(short, long)]
    null: bool,

    /// QoS: -1, 0, 1 or 2
    #[arg(short, long, default_value = "0", value_parser = qos, allow_hyphen_values = true)]
    qos: Qos,

    /// Ask the broker to retain the message
    #[arg(short, long)]
    retain: bool,

    /// In the end, do not say goodbye but that this device sleeps for so many seconds. Needs --id
    #[arg(long, value_name = "SECONDS", requires = "id", value_parser = clap::value_parser!(u16).range(1..))]
    sleep: Option<u16>,

    #[command(flatten)]
    connection: Connection,
}

/// Lines read ahead.
const LINES_AHEAD: usize = 16;

/// Runs the command.
///
/// # Errors
/// The gateway cannot be reached, refuses something, or the message cannot be read.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.sleep.is_some() && arguments.qos == Qos::MinusOne {
        return Err(Failure::usage(
            "QoS -1 has no connection, so there is nothing to keep while asleep: leave out --sleep \
             or use another QoS",
        ));
    }
    let messages = Messages::new(arguments)?;
    block_on(async {
        let mut link = Link::open(&arguments.connection, "pub").await?;
        if arguments.qos == Qos::MinusOne {
            publish_unconnected(&mut link, arguments, messages).await
        } else {
            publish(&mut link, arguments, messages).await
        }
    })
}

async fn publish_unconnected(
    link: &mut Link,
    arguments: &Arguments,
    mut messages: Messages,
) -> Result<(), Failure> {
    let mut interrupts = Interrupts::new()?;
    loop {
        let message = tokio::select! {
            message = messages.next() => message?,
            () = interrupts.next() => None,
        };
        let Some(payload) = message else { return Ok(()) };
        let publication = arguments.publication(payload)?;
        let datagram = Client::publish_unconnected(&publication).map_err(|error| match error {
            UnconnectedError::Topic => Failure::usage(
                "QoS -1 has no connection on which to register a topic: \
                 use a predefined id (-T) or a topic of two characters",
            ),
            UnconnectedError::TooLarge => too_large(),
        })?;
        // A line may take its time.
        tokio::select! {
            sent = link.send_alone(datagram) => sent?,
            () = interrupts.next() => return Err(Failure::silent()),
        }
    }
}

async fn publish(
    link: &mut Link,
    arguments: &Arguments,
    mut messages: Messages,
) -> Result<(), Failure> {
    let mut interrupts = Interrupts::new()?;
    link.client.connect(link.now());
    let mut failed = false;
    let mut leaving = false;
    let mut more = true;
    loop {
        let idle = link.client.is_connected() && link.client.pending() == 0;
        if !more && !leaving && idle {
            leaving = true;
            match arguments.sleep {
                Some(seconds) => link.client.sleep(link.now(), seconds),
                None => link.client.disconnect(link.now()),
            }
        }
        tokio::select! {
            biased;
            () = interrupts.next(), if !leaving => {
                if !link.client.is_connected() {
                    return Err(Failure::silent());
                }
                failed |= link.client.pending() > 0;
                (leaving, more) = (true, false);
                link.client.disconnect(link.now());
            }
            event = link.next_event() => match event? {
                Event::Connected | Event::Published(_, Ok(())) => {}
                Event::Published(_, Err(refusal)) => {
                    failed = true;
                    eprintln!("error: {}", explain_refusal(&refusal));
                    // Whoever is congested does not want more for a while (§6.6).
                    if matches!(refusal, Refusal::Gateway(_, ReturnCode::CONGESTION)) {
                        more = false;
                    }
                }
                Event::Rejected { code, .. } => {
                    failed = true;
                    eprintln!("error: the gateway refused a message: {}", reason(code));
                }
                Event::Disconnected => break,
                Event::Lost(loss) => return Err(Failure::run(link.explain_loss(&loss))),
                // Its goodbye was for a while only, and the gateway knows.
                Event::Asleep => break,
                _ => {}
            },
            message = messages.next(), if more && idle => match message? {
                Some(payload) => {
                    let publication = arguments.publication(payload)?;
                    let now = link.now();
                    link.client.publish(now, publication);
                }
                None => more = false,
            },
        }
    }
    if failed { Err(Failure::silent()) } else { Ok(()) }
}

impl Arguments {
    fn publication(&self, payload: Vec<u8>) -> Result<Publication, Failure> {
        if payload.len() > MAX_PAYLOAD {
            return Err(too_large());
        }
        let topic = match (self.predefined, &self.topic) {
            (Some(id), _) => Topic::Predefined(id),
            (None, topic) => Topic::Name(topic.clone().unwrap_or_default()),
        };
        Ok(Publication { topic, payload, qos: self.qos, retain: self.retain })
    }
}

/// Where the messages come from.
enum Messages {
    One(Option<Vec<u8>>),
    Lines(mpsc::Receiver<std::io::Result<Vec<u8>>>),
}

impl Messages {
    fn new(arguments: &Arguments) -> Result<Self, Failure> {
        if arguments.lines {
            return Ok(Self::Lines(read_lines()));
        }
        let payload = match (&arguments.message, &arguments.file) {
            (Some(message), _) => message.clone().into_bytes(),
            (None, Some(path)) => {
                let unreadable =
                    |error| Failure::run(format!("cannot read {}: {error}", path.display()));
                read_all(std::fs::File::open(path).map_err(unreadable)?).map_err(unreadable)?
            }
            (None, None) if arguments.stdin => read_all(std::io::stdin().lock())
                .map_err(|error| Failure::run(format!("cannot read standard input: {error}")))?,
            (None, None) => Vec::new(),
        };
        if payload.len() > MAX_PAYLOAD {
            return Err(too_large());
        }
        Ok(Self::One(Some(payload)))
    }

    /// The next message; `None` after the last. Nothing is lost if it is not awaited to the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::One(message) => Ok(message.take()),
            Self::Lines(lines) => lines
                .recv()
                .await
                .transpose()
                .map_err(|error| Failure::run(format!("cannot read standard input: {error}"))),
        }
    }
}

/// Reads one octet more than fits, and no further.
fn read_all(input: impl Read) -> std::io::Result<Vec<u8>> {
    let mut payload = Vec::new();
    input.take(MAX_PAYLOAD as u64 + 1).read_to_end(&mut payload)?;
    Ok(payload)
}

/// Reads lines on a thread of their own: a terminal or a pipe may keep us waiting.
fn read_lines() -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let outcome = input.by_ref().take(MAX_PAYLOAD as u64 + 2).read_until(b'\n', &mut line);
            let message = match outcome {
                Ok(0) => return,
                Ok(_) => Ok(without_line_end(line)),
                Err(error) => Err(error),
            };
            let failed = message.is_err();
            if sender.blocking_send(message).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

fn without_line_end(mut line: Vec<u8>) -> Vec<u8> {
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    line
}

fn too_large() -> Failure {
    Failure::run(format!(
        "a message has at most {MAX_PAYLOAD} bytes: more does not fit into a UDP packet"
    ))
}

fn qos(text: &str) -> Result<Qos, String> {
    match text {
        "-1" => Ok(Qos::MinusOne),
        _ => super::values::qos(text).map_err(|_| "a QoS is -1, 0, 1 or 2".to_owned()),
    }
}
