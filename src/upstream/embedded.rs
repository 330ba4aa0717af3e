//! A broker inside the program, for trying things out.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rumqttd::{Broker, ConnectionSettings, RouterConfig, ServerSettings};
use tracing::{error, info};

/// How long the broker may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest MQTT packet it takes: the longest UDP datagram and more.
const MAX_PACKET: usize = 1024 * 1024;

/// It keeps the messages of each topic filter in segments of this size, octets…
const SEGMENT: usize = 8 * 1024 * 1024;

/// …and drops the oldest when there are more than this.
const SEGMENTS: usize = 8;

/// Most messages it hands to one connection at once. Retained messages beyond it are not sent at
/// all, so it is far above what a trial needs.
const MAX_OUTGOING: u64 = 50_000;

/// Why the broker could not be started.
#[derive(Debug)]
pub enum EmbeddedError {
    /// The address cannot be used.
    Listen(SocketAddr, io::Error),
    /// No thread for it.
    Thread(io::Error),
    /// It did not come up in time.
    Silent(SocketAddr),
}

impl fmt::Display for EmbeddedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(listen, error) if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "cannot start the built-in broker on tcp {listen}: another program uses that port, \
                 perhaps a broker of your own; to use it set `url = \"mqtt://{listen}\"` under \
                 [upstream], or choose another port for `listen` under [embedded_broker]"
            ),
            Self::Listen(listen, error) => write!(
                f,
                "cannot start the built-in broker on tcp {listen}: {error}; see `listen` under \
                 [embedded_broker]"
            ),
            Self::Thread(error) => write!(f, "cannot start the built-in broker: {error}"),
            Self::Silent(listen) => write!(
                f,
                "the built-in broker does not answer on tcp {listen}; set `url` under [upstream] \
                 to a broker of your own"
            ),
        }
    }
}

impl std::error::Error for EmbeddedError {}

/// Starts the broker on threads of its own, which live as long as the program, and waits until it
/// accepts connections. MQTT 3.1.1, no access control, nothing on disk.
///
/// # Errors
/// If the address cannot be used or the broker does not come up.
pub fn start(listen: SocketAddr) -> Result<(), EmbeddedError> {
    // The broker itself would only log that it cannot listen.
    drop(TcpListener::bind(listen).map_err(|error| EmbeddedError::Listen(listen, error))?);
    let mut broker = Broker::new(config(listen));
    thread::Builder::new()
        .name("broker".to_owned())
        .spawn(move || {
            if let Err(error) = broker.start() {
                error!("the built-in broker has stopped: {error}");
            }
        })
        .map_err(EmbeddedError::Thread)?;
    let deadline = Instant::now() + START_TIMEOUT;
    while TcpStream::connect_timeout(&listen, START_TIMEOUT).is_err() {
        if Instant::now() >= deadline {
            return Err(EmbeddedError::Silent(listen));
        }
        thread::sleep(Duration::from_millis(5));
    }
    info!(
        "using the built-in broker on {listen}, meant for trying things out (nothing is kept on \
         disk, no access control); to use your own, set url = \"mqtt://host:1883\" under [upstream]"
    );
    Ok(())
}

fn config(listen: SocketAddr) -> rumqttd::Config {
    let server = ServerSettings {
        name: "broker-v4".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 10_000,
            max_payload_size: MAX_PACKET,
            max_inflight_count: 1_000,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    };
    rumqttd::Config {
        id: 0,
        router: RouterConfig {
            max_connections: 1_000,
            max_outgoing_packet_count: MAX_OUTGOING,
            max_segment_size: SEGMENT,
            max_segment_count: SEGMENTS,
            ..RouterConfig::default()
        },
        v4: Some([("1".to_owned(), server)].into()),
        v5: None,
        ws: None,
        cluster: None,
        console: None,
        bridge: None,
        prometheus: None,
        metrics: None,
    }
}
