//! What `pub` and `sub` have in common: their arguments about the connection, and the way to the
//! gateway that drives a [`Client`].

mod arguments;
mod serial;
mod udp;
mod words;

use std::io;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep_until;

use super::forwarder::Header;
use super::{Failure, explain};
use crate::client::{Client, Event, Loss};
use crate::codec::{Message, Packet, ReturnCode, decode};
use crate::time::Time;
pub(super) use arguments::Connection;
use serial::Serial;
use udp::Udp;
pub(super) use words::{explain_refusal, reason};

/// A client with its way to the gateway.
pub(super) struct Link {
    pub(super) client: Client,
    way: Way,
    /// In front of every packet, both ways.
    forwarder: Option<Header>,
    origin: Instant,
    debug: bool,
    /// The client id is longer than MQTT-SN 1.2 §5.3.1 has it.
    long_id: bool,
    retry: Duration,
    tries: u64,
    /// The gateway has answered once: it is there, and no refusal of the system says otherwise.
    answered: bool,
    sending: Option<Vec<u8>>,
}

/// How packets go to the gateway and back.
enum Way {
    Udp(Udp),
    Serial(Box<Serial>),
}

impl Link {
    /// Finds the way to the gateway. Nothing is sent.
    pub(super) async fn open(arguments: &Connection, command: &str) -> Result<Self, Failure> {
        let way = match arguments.line()? {
            Some((plan, place)) => {
                Way::Serial(Box::new(Serial::open(plan, place, arguments.debug)?))
            }
            None => Way::Udp(Udp::open(&arguments.gateway.0, arguments.gateway.1).await?),
        };
        Ok(Self {
            client: Client::new(arguments.options(command)),
            way,
            forwarder: arguments.forwarder.clone(),
            origin: Instant::now(),
            debug: arguments.debug,
            long_id: arguments.id.as_ref().is_some_and(|id| id.len() > 23),
            retry: arguments.retry,
            tries: u64::from(arguments.retries) + 1,
            answered: false,
            sending: None,
        })
    }

    /// The time as the client counts it.
    pub(super) fn now(&self) -> Time {
        Time(0).after(self.origin.elapsed())
    }

    /// Sends, receives and waits until there is an event. Nothing is lost if it is not awaited to
    /// the end.
    pub(super) async fn next_event(&mut self) -> Result<Event, Failure> {
        loop {
            self.flush().await?;
            if let Some(event) = self.client.poll_event() {
                return Ok(event);
            }
            let due =
                self.client.next_timeout().map(|due| self.origin + Duration::from_millis(due.0));
            let timer = async {
                match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                received = self.way.receive() => match received? {
                    Ok(datagram) => self.receive(&datagram),
                    Err(error) => self.check(&error).await?,
                },
                () = timer => {
                    // Timers of the system may be a little early.
                    let now = self.client.next_timeout().map_or(self.now(), |due| due.max(self.now()));
                    self.client.handle_timeout(now);
                }
            }
        }
    }

    /// Sends one datagram that belongs to no connection.
    pub(super) async fn send_alone(&mut self, datagram: Vec<u8>) -> Result<(), Failure> {
        if let Way::Udp(udp) = &mut self.way {
            udp.stay();
        }
        self.sending = Some(self.wrap(datagram));
        self.flush().await?;
        match &mut self.way {
            Way::Udp(_) => Ok(()),
            // Nothing comes back that would have to be waited for.
            Way::Serial(serial) => serial.flush().await,
        }
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        loop {
            let next = match self.sending.take() {
                Some(datagram) => Some(datagram),
                None => self.client.poll_transmit().map(|packet| self.wrap(packet)),
            };
            // Kept where it is found again should nobody wait for the end of this.
            self.sending = next;
            let Some(datagram) = &self.sending else { return Ok(()) };
            let outcome = self.way.send(datagram).await?;
            if self.debug && outcome.is_ok() {
                self.show("→", datagram);
            }
            self.sending = None;
            if let Err(error) = outcome {
                self.check(&error).await?;
            }
        }
    }

    fn wrap(&self, packet: Vec<u8>) -> Vec<u8> {
        match &self.forwarder {
            Some(header) => header.wrap(&packet),
            None => packet,
        }
    }

    fn receive(&mut self, datagram: &[u8]) {
        let now = self.now();
        let packet = match &self.forwarder {
            Some(header) => header.unwrap(datagram),
            None => Some(datagram),
        };
        // What is for others who share the line.
        let Some(packet) = packet else { return };
        if self.debug {
            self.show("←", datagram);
        }
        // That goes to everybody.
        let advertise =
            |packet| matches!(packet, Packet { message: Message::Advertise { .. }, .. });
        self.answered |= !decode(packet).is_ok_and(advertise);
        // What is no packet has been shown; a client goes on.
        let _ = self.client.handle_datagram(now, packet);
    }

    fn show(&self, arrow: &str, datagram: &[u8]) {
        let words = match decode(datagram) {
            Ok(packet) => explain::packet(&packet),
            Err(error) => format!("malformed: {error} [{}]", explain::hex(datagram)),
        };
        eprintln!("{:9.3} {arrow} {words}", self.origin.elapsed().as_secs_f64());
    }

    /// A gateway that was there may be about to come back; one that never was is an error, unless
    /// its name has another address.
    async fn check(&mut self, error: &io::Error) -> Result<(), Failure> {
        let Way::Udp(udp) = &mut self.way else { return Ok(()) };
        if self.answered {
            return Ok(());
        }
        if !udp.turn().await? {
            return Err(Failure::run(udp.explain(error)));
        }
        self.client.connect(self.now());
        Ok(())
    }

    /// Says why the connection is over.
    pub(super) fn explain_loss(&self, loss: &Loss) -> String {
        let gateway = self.way.gateway();
        match loss {
            Loss::Refused(code) => {
                let guess = match *code {
                    ReturnCode::NOT_SUPPORTED if self.long_id => {
                        "; many gateways take client ids of up to 23 bytes only"
                    }
                    _ => "",
                };
                format!("the gateway {gateway} refused the connection: {}{guess}", reason(*code))
            }
            Loss::NoAnswer(name) if self.answered => format!(
                "the gateway {gateway} does not answer any more ({name} sent {} times)",
                self.tries
            ),
            Loss::NoAnswer(name) => format!(
                "no answer {} after {} tries, {} apart ({name}): {}",
                self.way.whence(),
                self.tries,
                crate::config::format_duration(self.retry),
                self.way.silence()
            ),
            Loss::Ended => format!("the gateway {gateway} ended the connection"),
        }
    }
}

impl Way {
    /// The next packet. The inner error concerns one datagram, the outer one is the end; so below.
    async fn receive(&mut self) -> Result<io::Result<Vec<u8>>, Failure> {
        match self {
            Self::Udp(udp) => Ok(udp.receive().await.map(<[u8]>::to_vec)),
            Self::Serial(serial) => serial.receive().await.map(Ok),
        }
    }

    async fn send(&mut self, datagram: &[u8]) -> Result<io::Result<()>, Failure> {
        match self {
            Self::Udp(udp) => Ok(udp.send(datagram).await),
            Self::Serial(serial) => serial.send(datagram).map(Ok),
        }
    }

    /// Behind "the gateway".
    fn gateway(&self) -> String {
        match self {
            Self::Udp(udp) => udp.gateway().to_string(),
            Self::Serial(serial) => format!("on {}", serial.name()),
        }
    }

    /// Behind "no answer".
    fn whence(&self) -> String {
        match self {
            Self::Udp(udp) => format!("from {}", udp.gateway()),
            Self::Serial(serial) => format!("on {}", serial.name()),
        }
    }

    /// Why there may be no answer.
    fn silence(&self) -> String {
        match self {
            Self::Udp(_) => "is the gateway running, and does UDP get through?".to_owned(),
            Self::Serial(serial) => serial.silence(),
        }
    }
}

/// Ctrl-C and SIGTERM, from the moment of its making.
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    pub(super) fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::run(format!("cannot listen for signals: {error}")))
        };
        let interrupt = listen(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Runs a command on a runtime of its own.
pub(super) fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime()?.block_on(command)
}

/// A runtime for this thread.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::run(format!("cannot start: {error}")))
}
