//! `sub`: subscribes as a device would, and prints what comes.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use clap::{ArgGroup, Args};
use tokio::time::{Instant, sleep_until};

use super::Failure;
use super::link::{Connection, Interrupts, Link, block_on, explain_refusal};
use super::values::{duration, qos, topic_filter};
use crate::client::{Event, Incoming, RequestId, Topic};
use crate::codec::Qos;

/// Subscribe as an MQTT-SN device and print what comes
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("where").required(true).multiple(true).args(["topic", "predefined"])),
    after_help = "\
Each message is printed on a line of its own. A topic of two characters is subscribed to as a short \
topic name (--no-short uses the name). With --verbose a message of a predefined id is shown under \
#ID. If the gateway goes away, this waits for it to come back and subscribes again.

With --sleep this is a sleeping device: it tells the gateway how long it sleeps, hears nothing \
meanwhile, and wakes a little before the time is over to collect and print what has waited.

With --serial the gateway is at the other end of a serial line, and this is a device there, or with \
framings of radios (xbee, hub, loralink, aquila) the radio that brings its packets. If there is a \
radio at the line, and the gateway has another one, --to says its address (xbee, loralink). The \
tool has the line to itself, and ends if it is unplugged.

Examples:
  mqtt-sn-gateway sub -t 'sensors/#' -v
  mqtt-sn-gateway sub --gateway gateway.example:1883 -T 7 -q 1
  mqtt-sn-gateway sub -t doors/a -C 1 -W 30       one message within 30 s
  mqtt-sn-gateway sub -t doors/a -q 1 --sleep 60  collect once a minute
  mqtt-sn-gateway sub -t doors/a -i door-1 -c     keep the session for next time
  mqtt-sn-gateway sub --serial /dev/ttyUSB1 --framing cobs --baud 115200 -t doors/a -d
  mqtt-sn-gateway sub --serial /dev/ttyUSB1 --forwarder 0x07 -t doors/a"
)]
pub struct Arguments {
    /// Topic or filter to subscribe to; may be given several times
    #[arg(short, long, value_parser = topic_filter)]
    topic: Vec<String>,

    /// Predefined topic id to subscribe to, 1 to 65534; may be given several times
    #[arg(short = 'T', long, value_name = "ID", value_parser = clap::value_parser!(u16).range(1..=65_534))]
    predefined: Vec<u16>,

    /// QoS that is asked for: 0, 1 or 2
    #[arg(short, long, default_value = "0", value_parser = qos)]
    qos: Qos,

    /// Print the topic in front of each message
    #[arg(short, long)]
    verbose: bool,

    /// No line end after each message
    #[arg(short = 'N', long)]
    no_newline: bool,

    /// Leave out messages that were retained before the subscription
    #[arg(short = 'R', long)]
    no_retained: bool,

    /// Stop after so many messages
    #[arg(short = 'C', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Stop after this time, in seconds or with a unit. With --count it is a failure if it comes first
    #[arg(short = 'W', long = "timeout", value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,

    /// Sleep after subscribing, and wake about every so many seconds to collect what has waited
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..))]
    sleep: Option<u16>,

    #[command(flatten)]
    connection: Connection,
}

/// Pause before the next attempt to connect.
const PAUSE: Duration = Duration::from_secs(2);

/// Runs the command.
///
/// # Errors
/// The gateway cannot be reached or refuses every subscription, or the time is up.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(async {
        let link = Link::open(&arguments.connection, "sub").await?;
        let topics = arguments.topic.iter().cloned().map(Topic::Name);
        let topics = topics.chain(arguments.predefined.iter().copied().map(Topic::Predefined));
        Subscriber {
            arguments,
            link,
            topics: topics.collect(),
            asked: BTreeMap::new(),
            refused: 0,
            messages: 0,
            connected_once: false,
            connect_at: None,
            wake_at: None,
            end: None,
        }
        .run()
        .await
    })
}

struct Subscriber<'a> {
    arguments: &'a Arguments,
    link: Link,
    topics: Vec<Topic>,
    /// Subscriptions that are not answered.
    asked: BTreeMap<RequestId, Topic>,
    refused: usize,
    messages: u64,
    connected_once: bool,
    connect_at: Option<Instant>,
    /// Asleep until then.
    wake_at: Option<Instant>,
    /// We are leaving, and this is how it ends.
    end: Option<Result<(), Failure>>,
}

impl Subscriber<'_> {
    async fn run(mut self) -> Result<(), Failure> {
        let mut interrupts = Interrupts::new()?;
        self.link.client.connect(self.link.now());
        let end = self.arguments.timeout.map(|timeout| Instant::now() + timeout);
        loop {
            tokio::select! {
                biased;
                () = interrupts.next() => {
                    if self.end.is_some() || !self.link.client.has_session() {
                        return Ok(());
                    }
                    self.leave(Ok(()));
                }
                event = self.link.next_event() => {
                    let event = event?;
                    if matches!(event, Event::Disconnected) {
                        return self.end.unwrap_or(Ok(()));
                    }
                    self.on_event(event)?;
                }
                () = until(end), if self.end.is_none() => {
                    let outcome = self.time_is_up();
                    if !self.link.client.has_session() {
                        return outcome;
                    }
                    self.leave(outcome);
                }
                () = until(self.connect_at), if self.connect_at.is_some() => {
                    self.connect_at = None;
                    self.link.client.connect(self.link.now());
                }
                () = until(self.wake_at), if self.wake_at.is_some() => {
                    self.wake_at = None;
                    self.link.client.collect(self.link.now());
                }
            }
        }
    }

    fn on_event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Connected => {
                self.connected_once = true;
                self.subscribe_to_all();
            }
            Event::Subscribed(id, outcome) => {
                self.on_subscribed(id, outcome.map_err(|refusal| explain_refusal(&refusal)))
            }
            Event::Asleep | Event::Collected if self.end.is_none() => self.rest(),
            Event::NotCollected if self.end.is_none() => {
                eprintln!("the gateway did not answer; asleep again");
                self.rest();
            }
            Event::Message(message) if self.end.is_none() => self.on_message(&message)?,
            Event::Lost(loss) => {
                let words = self.link.explain_loss(&loss);
                if !self.connected_once || self.end.is_some() {
                    return Err(Failure::run(words));
                }
                eprintln!("{words}; connecting again");
                self.wake_at = None;
                self.connect_at = Some(Instant::now() + PAUSE);
            }
            _ => {}
        }
        Ok(())
    }

    fn subscribe_to_all(&mut self) {
        // Also what the gateway may still know: it costs little and is sure.
        self.link.client.forget_requests();
        self.asked.clear();
        self.refused = 0;
        for topic in &self.topics {
            let now = self.link.now();
            let id = self.link.client.subscribe(now, topic.clone(), self.arguments.qos);
            self.asked.insert(id, topic.clone());
        }
    }

    fn on_subscribed(&mut self, id: RequestId, outcome: Result<Qos, String>) {
        let Some(topic) = self.asked.remove(&id) else { return };
        match outcome {
            Ok(granted)
                if granted != self.arguments.qos && self.arguments.connection.is_debug() =>
            {
                eprintln!("{topic}: granted {granted:?} instead of {:?}", self.arguments.qos);
            }
            Ok(_) => {}
            Err(words) => {
                eprintln!("error: {topic}: {words}");
                self.refused += 1;
                if self.refused == self.topics.len() {
                    self.leave(Err(Failure::silent()));
                }
            }
        }
        if let Some(seconds) = self.arguments.sleep
            && self.asked.is_empty()
            && self.end.is_none()
        {
            self.link.client.sleep(self.link.now(), seconds);
        }
    }

    fn rest(&mut self) {
        self.wake_at = self.arguments.sleep.map(|seconds| Instant::now() + nap(seconds));
    }

    fn on_message(&mut self, message: &Incoming) -> Result<(), Failure> {
        if message.retain && self.arguments.no_retained {
            return Ok(());
        }
        match self.print(message) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.leave(Ok(()));
                return Ok(());
            }
            Err(error) => return Err(Failure::run(format!("cannot write: {error}"))),
        }
        self.messages += 1;
        if self.arguments.count == Some(self.messages) {
            self.leave(Ok(()));
        }
        Ok(())
    }

    fn print(&self, message: &Incoming) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.arguments.verbose {
            write!(out, "{} ", message.topic)?;
        }
        out.write_all(&message.payload)?;
        if !self.arguments.no_newline {
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    fn time_is_up(&self) -> Result<(), Failure> {
        match self.arguments.count {
            Some(count) => Err(Failure::run(format!(
                "the time is up after {} of {count} messages",
                self.messages
            ))),
            None => Ok(()),
        }
    }

    fn leave(&mut self, outcome: Result<(), Failure>) {
        self.end = Some(outcome);
        self.connect_at = None;
        self.wake_at = None;
        self.link.client.disconnect(self.link.now());
    }
}

/// How long a device stays asleep that has said that it sleeps for `seconds`: it wakes a little
/// before the gateway misses it.
pub(super) fn nap(seconds: u16) -> Duration {
    let announced = Duration::from_secs(seconds.into());
    announced - (announced / 10).min(Duration::from_secs(2))
}

/// Waits until then, or for ever.
async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
