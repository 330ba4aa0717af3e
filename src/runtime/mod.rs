//! The one loop that joins sockets, time and the pure part of the gateway.
//!
//! One task, one thread. Each turn takes what has arrived everywhere (up to a fair share), gives it
//! to the machine, has written what must survive, then sends all datagrams that came of it in
//! batches, and writes to the broker once. Idle, it sleeps in the kernel until something arrives or a deadline passes.

mod diary;
mod engine;
mod figures;
mod gateway;
mod links;
mod machine;
mod notices;
mod own;
mod pulse;
mod reload;
mod sentence;
mod state;
mod summary;
mod timer;
mod traffic;
mod ways;
mod whose;
mod wording;

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::io;

use tracing::{info, warn};

use crate::admin::{self, Admin, Questions};
use crate::capture::Setup;
use crate::config::{Broker, Config};
use crate::core::LinkId;
use crate::engine::Engine;
use crate::ops::files;
use crate::ops::signals::Signals;
use crate::store::file::StateError;
use crate::store::writer::Writer;
use crate::time::Time;
#[cfg(feature = "ble")]
use crate::transport::ble::BleLink;
use crate::transport::serial::SerialLink;
use crate::transport::udp::{OpenError, Shown, UdpLink};
#[cfg(feature = "embedded-broker")]
use crate::upstream::embedded;
use crate::upstream::{self, BrokerConnection, Server, TlsError};
use gateway::{Gateway, Parts};
use links::Link;
use own::OwnConnections;
use pulse::Pulse;
use reload::Reload;
use state::State;
use timer::Clock;
use ways::{TlsParts, Ways};

pub use diary::Snapshot;
pub use machine::{ConnectionEnd, Machine};
pub use reload::Origin;
pub use traffic::{Direction, LinkTraffic, TrafficCount};

/// Why the gateway could not run. Shown to the person who started it.
#[derive(Debug)]
pub enum RunError {
    /// The state cannot be used.
    State(StateError),
    /// A listener cannot be opened.
    Udp(OpenError),
    /// TLS towards the broker cannot be set up.
    Tls(TlsError),
    /// The built-in broker does not start.
    #[cfg(feature = "embedded-broker")]
    EmbeddedBroker(embedded::EmbeddedError),
    /// The configuration names the built-in broker, but this program has none.
    NoEmbeddedBroker,
    /// The system refuses what every program needs.
    System(io::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(error) => error.fmt(f),
            Self::Udp(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            #[cfg(feature = "embedded-broker")]
            Self::EmbeddedBroker(error) => error.fmt(f),
            Self::NoEmbeddedBroker => f.write_str(
                "this program was built without the built-in broker; set `url` under [upstream] to \
                 a broker of your own, such as \"mqtt://localhost:1883\", or build with \
                 `--features embedded-broker`",
            ),
            Self::System(error) => write!(f, "the system does not let the gateway run: {error}"),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::State(error) => Some(error),
            Self::Udp(error) => Some(error),
            Self::Tls(error) => Some(error),
            #[cfg(feature = "embedded-broker")]
            Self::EmbeddedBroker(error) => Some(error),
            Self::NoEmbeddedBroker => None,
            Self::System(error) => Some(error),
        }
    }
}

/// Runs the gateway until a signal ends it, with a capture if there is to be one from the start. On SIGHUP
/// the configuration is read again from `origin`, if there is one.
///
/// # Errors
/// If something cannot be opened at the start. Afterwards troubles are logged, not returned.
pub fn run(
    config: &Config,
    origin: Option<Origin>,
    capture: Option<Setup>,
) -> Result<(), RunError> {
    // Before any socket: a second gateway must not take anything from the first.
    let State { journal, image, not_before } = state::open(config).map_err(RunError::State)?;
    let store = Writer::start(journal).map_err(RunError::System)?;
    let reload = origin.map(|origin| Reload::new(origin, config.clone()));
    let (asker, questions) = admin::channel();
    let listen = config.admin.listen;
    let served = listen.map(|listen| {
        let (state_dir, name) = (config.state_dir.clone(), config.name.to_string());
        (admin::Settings { listen, asker, state_dir, name }, questions)
    });
    run_loop(
        config,
        Start { reload, store: Some(store), not_before, served, capture },
        |seed, now| {
            let existed = image.is_some();
            let (core, mqtt) = (config.core_settings(), config.mqtt_settings());
            let mut engine = Engine::durable(core, mqtt, config.store, seed, now, image);
            engine.set_address_format(|address| Shown(address).to_string());
            state::announce(config, existed.then(|| engine.restored()));
            engine
        },
    )
}

/// Runs a machine on the sockets that the configuration names, until a signal ends it. What it
/// wants to survive is written to `store`, if there is one. `make` gets a random seed and the time
/// at which the machine begins, which is not before `not_before`.
///
/// # Errors
/// If something cannot be opened at the start. Afterwards troubles are logged, not returned.
pub fn run_machine<M: Machine>(
    config: &Config,
    store: Option<Writer>,
    not_before: Time,
    make: impl FnOnce(u64, Time) -> M,
) -> Result<(), RunError> {
    let start = Start { reload: None, store, not_before, served: None, capture: None };
    run_loop(config, start, make)
}

/// What a loop begins with beside its configuration.
struct Start {
    reload: Option<Reload>,
    store: Option<Writer>,
    not_before: Time,
    served: Option<(admin::Settings, Questions)>,
    capture: Option<Setup>,
}

fn run_loop<M: Machine>(
    config: &Config,
    Start { reload, store, not_before, served, capture }: Start,
    make: impl FnOnce(u64, Time) -> M,
) -> Result<(), RunError> {
    // First what another program may have taken already, so that an error leaves nothing behind.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Names and files; and serial devices, which take their time to open and to close.
        .max_blocking_threads(2 + config.serial.len())
        .build()
        .map_err(RunError::System)?;
    let result = runtime.block_on(async {
        let signals = Signals::new().map_err(RunError::System)?;
        let links = open_links(config)?;
        let ways = ways(config)?;
        let settings = upstream::Settings {
            brokers: ways.shared().clone(),
            reconnect_min: config.upstream.reconnect_min,
            reconnect_max: config.upstream.reconnect_max,
            failback_interval: config.upstream.failback_interval,
        };
        let broker = || BrokerConnection::new(settings.clone(), random_seed());
        let brokers = (0..config.upstream.connections).map(|_| broker()).collect();
        let own = OwnConnections::new(settings, ways, most_own(config));
        let clock = Clock::start(not_before);
        let make = |now| make(random_seed(), now);
        let (settings, questions) = served.unzip();
        let _admin = settings.and_then(start_admin);
        let pulse = Pulse::from_environment();
        let parts = Parts { links, brokers, own, store, signals, reload, clock, questions, pulse };
        Gateway::new(parts, make).run(capture).await;
        Ok(())
    });
    // A name that is being looked up must not hold up the end.
    runtime.shutdown_background();
    result
}

/// The gateway does without, if need be.
fn start_admin(settings: admin::Settings) -> Option<Admin> {
    Admin::start(settings)
        .inspect_err(|error| warn!("no admin interface: its thread does not start: {error}"))
        .ok()
}

/// Files that are open beside the connections of single clients: state, links, shared connections, the
/// names that are looked up, and the admin interface.
const OTHER_FILES: u64 = 136;

/// How many clients can have a connection of their own. The rest of the gateway is to have its files
/// however many clients there are.
fn most_own(config: &Config) -> usize {
    let links = config.udp.len() + config.serial.len() + config.ble.len();
    let others = OTHER_FILES + 2 * u64::from(config.upstream.connections) + links as u64;
    // The other end of each is in this process, too, if the broker is.
    let each = 1 + u64::from(config.upstream.uses_embedded());
    let needed = u64::from(config.sessions.max_clients) * each + others;
    match files::allow(needed) {
        Ok(()) => usize::MAX,
        Err(most) => {
            let clients = (most.saturating_sub(others) / each).max(1);
            let transparent = config.clients.iter().any(|rule| rule.transparent == Some(true));
            // Otherwise it may become so while the gateway runs.
            if config.upstream.transparent || transparent {
                warn!(
                    "mode = \"transparent\" takes up to {needed} open files for \
                     sessions.max_clients devices, and this process may have {most}: {clients} \
                     devices can be connected at once, others hear \"congestion\"; raise the limit \
                     (LimitNOFILE= in the unit, ulimit -Hn in a shell) or lower max_clients"
                );
            }
            usize::try_from(clients).unwrap_or(usize::MAX)
        }
    }
}

fn open_links(config: &Config) -> Result<Vec<Link>, RunError> {
    let mut links = Vec::new();
    for (index, settings) in config.udp.iter().enumerate() {
        let link = UdpLink::open(link_id(index), settings).map_err(RunError::Udp)?;
        info!("listening for MQTT-SN on udp {}", link.local_addr());
        links.push(Link::Udp(Box::new(link)));
    }
    for settings in &config.serial {
        let link = SerialLink::new(link_id(links.len()), settings);
        links.push(Link::Serial(Box::new(link)));
    }
    #[cfg(feature = "ble")]
    for settings in &config.ble {
        let link = BleLink::new(link_id(links.len()), settings, config.state_dir.clone());
        links.push(Link::Ble(Box::new(link)));
    }
    Ok(links)
}

fn link_id(index: usize) -> LinkId {
    LinkId(u16::try_from(index).unwrap_or(u16::MAX))
}

/// The ways to the brokers; starts the built-in one if it is among them.
fn ways(config: &Config) -> Result<Ways, RunError> {
    let tls = TlsParts::build(config).map_err(RunError::Tls)?;
    for warning in tls.warnings() {
        warn!("{warning}");
    }
    if config.upstream.uses_embedded() {
        start_embedded(config)?;
    }
    let listen = config.embedded_broker.listen;
    let servers = config.upstream.brokers.iter().map(|broker| match broker {
        Broker::Embedded => Server {
            host: listen.ip().to_string().into(),
            port: listen.port(),
            embedded: true,
            ..Server::default()
        },
        Broker::Remote(server) => server.clone(),
    });
    Ok(Ways::new(servers.collect(), tls, config))
}

#[cfg(feature = "embedded-broker")]
fn start_embedded(config: &Config) -> Result<(), RunError> {
    embedded::start(config.embedded_broker.listen).map_err(RunError::EmbeddedBroker)
}

#[cfg(not(feature = "embedded-broker"))]
fn start_embedded(_: &Config) -> Result<(), RunError> {
    Err(RunError::NoEmbeddedBroker)
}

/// Different in every process.
fn random_seed() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}
