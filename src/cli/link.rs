//! What `pub` and `sub` have in common: their arguments about the connection, and the UDP socket
//! that drives a [`Client`].

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::net::{UdpSocket, lookup_host};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep_until;

use super::values::{client_id, duration, host_port, qos, topic_name};
use super::{Failure, explain};
use crate::client::{Client, Event, Loss, Options, Refusal, Will};
use crate::codec::{Qos, ReturnCode, decode};
use crate::time::Time;

/// Arguments about the connection.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// The gateway; the port may be left out
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883", value_parser = host_port)]
    gateway: (String, u16),

    /// Client id; without it a random one
    #[arg(short, long, value_name = "CLIENT ID", value_parser = client_id)]
    id: Option<String>,

    /// Keep-alive in seconds; 0 turns it off
    #[arg(short, long, value_name = "SECONDS", default_value_t = 60)]
    keep_alive: u16,

    /// Keep the session: no clean session. Needs --id
    #[arg(short = 'c', long = "no-clean", requires = "id", conflicts_with = "clean")]
    no_clean: bool,

    /// Begin with a clean session; this is the default
    #[arg(long)]
    clean: bool,

    /// Topic of the will, which the gateway publishes when this client is lost
    #[arg(long, value_name = "TOPIC", value_parser = topic_name)]
    will_topic: Option<String>,

    /// Payload of the will
    #[arg(long, value_name = "MESSAGE", default_value = "", requires = "will_topic")]
    will_payload: String,

    /// QoS of the will: 0, 1 or 2
    #[arg(long, value_name = "QOS", default_value = "0", value_parser = qos, requires = "will_topic")]
    will_qos: Qos,

    /// Retain the will
    #[arg(long, requires = "will_topic")]
    will_retain: bool,

    /// How long to wait for an answer before asking again, in seconds or with a unit
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    retry: Duration,

    /// How often to ask again
    #[arg(long, value_name = "N", default_value_t = 3)]
    retries: u32,

    /// Register topics of two characters too, instead of using them as short topic names
    #[arg(long)]
    no_short: bool,

    /// Show every packet, both ways, on standard error
    #[arg(short, long)]
    debug: bool,
}

impl Connection {
    pub(super) fn is_debug(&self) -> bool {
        self.debug
    }

    fn options(&self, command: &str) -> Options {
        let will = self.will_topic.as_ref().map(|topic| Will {
            topic: topic.clone(),
            payload: self.will_payload.clone().into_bytes(),
            qos: self.will_qos,
            retain: self.will_retain,
        });
        Options {
            client_id: self.id.clone().unwrap_or_else(|| random_id(command)),
            keep_alive: self.keep_alive,
            clean_session: !self.no_clean,
            will,
            retry_interval: self.retry,
            retry_count: self.retries,
            short_topics: !self.no_short,
        }
    }
}

/// A client with its socket.
pub(super) struct Link {
    pub(super) client: Client,
    socket: UdpSocket,
    gateway: SocketAddr,
    /// Where else it may be, should nothing listen there.
    other_addresses: Vec<SocketAddr>,
    origin: Instant,
    debug: bool,
    /// The client id is longer than MQTT-SN 1.2 §5.3.1 has it.
    long_id: bool,
    retry: Duration,
    tries: u64,
    /// The gateway has answered once: it is there, and no refusal of the system says otherwise.
    answered: bool,
    sending: Option<Vec<u8>>,
    buffer: Vec<u8>,
}

impl Link {
    /// Looks the gateway up and opens a socket to it. Nothing is sent.
    pub(super) async fn open(arguments: &Connection, command: &str) -> Result<Self, Failure> {
        let (host, port) = (&arguments.gateway.0, arguments.gateway.1);
        let mut addresses: Vec<SocketAddr> = lookup_host((host.as_str(), port))
            .await
            .map_err(|error| Failure::run(format!("cannot look up the gateway {host}: {error}")))?
            .collect();
        // Tried from the end: IPv4 first, on which a gateway listens unless told otherwise.
        addresses.reverse();
        addresses.sort_by_key(SocketAddr::is_ipv4);
        let address = addresses
            .pop()
            .ok_or_else(|| Failure::run(format!("the gateway {host} has no address")))?;
        Ok(Self {
            client: Client::new(arguments.options(command)),
            socket: open_socket(address).await?,
            gateway: address,
            other_addresses: addresses,
            origin: Instant::now(),
            debug: arguments.debug,
            long_id: arguments.id.as_ref().is_some_and(|id| id.len() > 23),
            retry: arguments.retry,
            tries: u64::from(arguments.retries) + 1,
            answered: false,
            sending: None,
            buffer: vec![0; 65_536],
        })
    }

    /// The time as the client counts it.
    pub(super) fn now(&self) -> Time {
        Time(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
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
                received = self.socket.recv(&mut self.buffer) => match received {
                    Ok(length) => self.receive(length),
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
        // Nothing comes back, so nothing says that another address would be better.
        self.other_addresses.clear();
        self.sending = Some(datagram);
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        loop {
            let next = match self.sending.take() {
                Some(datagram) => Some(datagram),
                None => self.client.poll_transmit(),
            };
            // Kept where it is found again should nobody wait for the end of this.
            self.sending = next;
            let Some(datagram) = &self.sending else { return Ok(()) };
            let outcome = self.socket.send(datagram).await;
            if self.debug && outcome.is_ok() {
                self.show("→", datagram);
            }
            self.sending = None;
            if let Err(error) = outcome {
                self.check(&error).await?;
            }
        }
    }

    fn receive(&mut self, length: usize) {
        let now = self.now();
        let datagram = self.buffer.get(..length).unwrap_or(&[]);
        if self.debug {
            self.show("←", datagram);
        }
        self.answered = true;
        // What is no packet has been shown; a client goes on.
        let _ = self.client.handle_datagram(now, datagram);
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
        if self.answered {
            return Ok(());
        }
        if let Some(address) = self.other_addresses.pop() {
            self.gateway = address;
            self.socket = open_socket(address).await?;
            self.client.connect(self.now());
            return Ok(());
        }
        Err(Failure::run(match error.kind() {
            io::ErrorKind::ConnectionRefused => format!(
                "nothing listens on UDP {}: is the gateway running, and is this its address?",
                self.gateway
            ),
            _ => format!("cannot reach {}: {error}", self.gateway),
        }))
    }

    /// Says why the connection is over.
    pub(super) fn explain_loss(&self, loss: &Loss) -> String {
        let gateway = self.gateway;
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
                "no answer from {gateway} after {} tries, {} apart ({name}): is the gateway \
                 running, and does UDP get through?",
                self.tries,
                crate::config::format_duration(self.retry)
            ),
            Loss::Ended => format!("the gateway {gateway} ended the connection"),
        }
    }
}

/// A socket of its own for one gateway.
async fn open_socket(gateway: SocketAddr) -> Result<UdpSocket, Failure> {
    let any: SocketAddr = match gateway {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let unusable = |error| Failure::run(format!("cannot send to {gateway}: {error}"));
    let socket = UdpSocket::bind(any).await.map_err(unusable)?;
    // So that only the gateway's datagrams come in, and a refusal of the system too.
    socket.connect(gateway).await.map_err(unusable)?;
    Ok(socket)
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

/// Says why a request was refused.
pub(super) fn explain_refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Gateway(name, code) => format!("the gateway refused {name}: {}", reason(*code)),
        Refusal::TooLarge => "it does not fit into a packet".to_owned(),
        Refusal::TooMany => "too many requests wait for an answer".to_owned(),
    }
}

/// A return code with what it usually means.
pub(super) fn reason(code: ReturnCode) -> String {
    match code {
        ReturnCode::CONGESTION => {
            "congestion (it is full, or its broker is away; try again later)".to_owned()
        }
        ReturnCode::INVALID_TOPIC_ID => "invalid topic id (is it predefined there?)".to_owned(),
        ReturnCode::NOT_SUPPORTED => "not supported (or not allowed)".to_owned(),
        ReturnCode(code) => format!("reserved code 0x{code:02X}"),
    }
}

/// Runs a command on a runtime of its own.
pub(super) fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::run(format!("cannot start: {error}")))?
        .block_on(command)
}

/// A client id that nobody else has, within 23 characters.
fn random_id(command: &str) -> String {
    let random = RandomState::new().hash_one(std::process::id());
    format!("{command}-{random:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_fit_and_differ() {
        let (one, other) = (random_id("pub"), random_id("pub"));
        assert!(one.len() <= 23 && one.starts_with("pub-"));
        assert_ne!(one, other);
    }
}
