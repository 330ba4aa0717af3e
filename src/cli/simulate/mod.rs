//! `simulate`: many devices at once against a gateway, and what came through.

mod device;
mod faults;
mod histogram;
mod ledger;
mod net;
mod payload;
mod plan;
mod promises;
mod report;
mod stats;
mod usual;
mod watch;
mod world;

use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use clap::Args;

use super::line::{LineArguments, Plan as LinePlan};
use super::values::{client_id, duration, host_port, qos};
use super::{Failure, print};
use crate::client::MAX_PAYLOAD;
use crate::codec::Qos;
use faults::Rates;
use net::Way;
use plan::Plan;
use report::Report;
use usual::Usual;
use world::World;

/// Let many devices loose on a gateway and check what comes through
#[derive(Debug, Args)]
#[command(after_help = "\
The devices stand in a circle. Each publishes data, which the device before it subscribes to, and \
commands for the device after it; so both ways through the gateway and its broker are checked from \
end to end. Every message says who sent it, where to and which one it is. Every other device \
subscribes with a wildcard, so that the gateway has to register topics with it. Names of devices \
and topics begin with --id-prefix; nothing is retained, and with --clean nothing stays behind.

First all devices connect, then they publish for --duration, then what is under way is waited for. \
Checked is what the protocol promises: what is acknowledged at QoS 1 or 2 arrives, QoS 2 exactly \
once, QoS 0 at most once and, unless datagrams are lost, at all; in order, under the right topic, \
at the right device; nothing while a device is asleep; PINGRESP only when nothing waits any more; \
topic ids that stay; an answer to everything. Where --loss, --duplicate or --delay make it \
impossible to tell, nothing is said. If a device loses its session, what was under way to it is \
counted as excused.

Sleepers wake a little before --sleep is over: by turns to collect with PINGREQ and to publish with \
CONNECT. Measured times include everything: gateway, broker and this program on its one core.

With --serial all devices share a line that has the gateway at its other end. With framings of \
radios each has an address, with others each sits behind a forwarder with a node id of its own; the \
gateway sees them as different devices. The line is written to as fast as --baud says, and what would not \
go through is held back and counted, not lost. On a slow line everything takes its time: half of \
it is used if --rate and --connect-rate say nothing, and an answer may wait for some seconds. The \
gateway's retry_interval for the line should be longer than that. If the line itself loses octets, \
say --lossy-network.

Examples:
  mqtt-sn-gateway simulate                               100 devices, QoS 1, 30 s
  mqtt-sn-gateway simulate -n 1000 --rate 2000 -q 0,1,2  all kinds of messages
  mqtt-sn-gateway simulate -n 1000 --sleepers 50 --sleep 5 --loss 5 --duplicate 2 --delay 50ms
  mqtt-sn-gateway simulate -n 10000 --connect-rate 0 --rate 1000     everybody connects at once
  mqtt-sn-gateway simulate -n 20 --will 50 --keep-alive 10           half of them vanish
  mqtt-sn-gateway simulate --gateway gateway.example --lossy-network --json
  mqtt-sn-gateway simulate --serial /dev/ttyUSB1 --framing cobs --baud 115200 -n 20 -q 0,1,2

Exit codes: 0 every promise held, 1 one was broken, a device did not get in, or the gateway cannot \
be reached, 2 wrong usage.")]
pub struct Arguments {
    /// The gateway; the port may be left out
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883", value_parser = host_port)]
    gateway: (String, u16),

    #[command(flatten)]
    line: LineArguments,

    /// Devices, each with a UDP port of its own, or with a place of its own on a line
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=payload::MOST_DEVICES as i64))]
    devices: u32,

    /// Messages per second of all devices together; without it one per device, or what takes half
    /// of a line
    #[arg(short, long, value_name = "N", value_parser = rate, conflicts_with = "interval")]
    rate: Option<f64>,

    /// Time between two messages of one device, in seconds or with a unit
    #[arg(long, value_name = "TIME", value_parser = duration)]
    interval: Option<Duration>,

    /// How long messages are published, in seconds or with a unit
    #[arg(short, long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    duration: Duration,

    /// QoS of the messages: 0, 1 or 2, or several by turns, like 0,1,2
    #[arg(short, long, value_name = "QOS", default_value = "1", value_delimiter = ',', value_parser = qos)]
    qos: Vec<Qos>,

    /// Bytes of each message, at least 45; without it 64, or what radios on a line carry
    #[arg(short, long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(payload::SHORTEST as i64..=MAX_PAYLOAD as i64))]
    size: Option<u32>,

    /// Topics with data of each device
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=999))]
    topics: u16,

    /// Devices of a hundred that subscribe; the others only publish
    #[arg(long, value_name = "PERCENT", default_value = "100", value_parser = percent)]
    subscribe: f64,

    /// Devices of a hundred that sleep
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    sleepers: f64,

    /// How long they sleep at a time
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    sleep: u16,

    /// Datagrams of a hundred that get lost, either way
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    loss: f64,

    /// Datagrams of a hundred that come twice, either way
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    duplicate: f64,

    /// Longest delay of a datagram; each has its own, so that they overtake each other
    #[arg(long, value_name = "TIME", value_parser = duration)]
    delay: Option<Duration>,

    /// Repeats the same faults
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// The network itself loses, doubles or delays datagrams: that is no fault of the gateway
    #[arg(long)]
    lossy_network: bool,

    /// Begin with clean sessions; this is the default
    #[arg(long, conflicts_with = "persistent")]
    clean: bool,

    /// Keep the sessions: no clean session, and they stay behind in the end
    #[arg(long)]
    persistent: bool,

    /// First part of client ids and topics; without it a random one
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    id_prefix: Option<String>,

    /// Keep-alive in seconds; 0 turns it off
    #[arg(short, long, value_name = "SECONDS", default_value_t = 60)]
    keep_alive: u16,

    /// Devices that connect per second, 0 for all at once; without it 500, or what takes half of a
    /// line
    #[arg(long, value_name = "N")]
    connect_rate: Option<u32>,

    /// Devices of a hundred that have a will and vanish in the end, so that it is published
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    will: f64,

    /// How long a device waits for an answer before it asks again; without it 3s, or 15s on a line
    #[arg(long, value_name = "TIME", value_parser = duration)]
    retry: Option<Duration>,

    /// How often it asks again
    #[arg(long, value_name = "N", default_value_t = 3)]
    retries: u32,

    /// Wait this long in the end while nothing arrives; without it as long as gateways usually
    /// need to repeat a message, and sleepers to wake twice
    #[arg(long, value_name = "TIME", value_parser = duration)]
    grace: Option<Duration>,

    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// A promise was broken, a device did not get in, or the gateway cannot be reached.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let plan = arguments.plan()?;
    let mut world = World::new(&plan)?;
    world.run()?;
    let report = Report::new(&world);
    print(&if arguments.json { report.json() } else { report.table() })?;
    match report.failure() {
        Some(words) => Err(Failure::run(words)),
        None => Ok(()),
    }
}

impl Arguments {
    fn plan(&self) -> Result<Plan, Failure> {
        if self.will > 0.0 && self.keep_alive == 0 {
            return Err(Failure::usage(
                "without a keep-alive nobody misses a device, so no will is published: give \
                 --keep-alive more than 0, or leave out --will",
            ));
        }
        let devices = self.devices as usize;
        let line = self.line.plan()?;
        let size = self.size.map(|size| size as usize);
        let usual = Usual::new(line.as_ref(), devices, size)?;
        let interval = match (self.rate, self.interval) {
            (Some(rate), _) => f64::from(self.devices) / rate * 1e6,
            (None, Some(interval)) => interval.as_secs_f64() * 1e6,
            (None, None) => usual.interval,
        };
        let (way, gateway_name) = self.way(line)?;
        let rates = Rates {
            loss: self.loss / 100.0,
            duplicate: self.duplicate / 100.0,
            delay: self.delay.map_or(0, micros),
        };
        Ok(Plan {
            way,
            gateway_name,
            prefix: self.id_prefix.clone().unwrap_or_else(random_prefix),
            run: RandomState::new().hash_one("run") as u32,
            devices,
            subscribers: self.subscribe / 100.0,
            topics: usize::from(self.topics),
            qos: self.qos.clone(),
            size: usual.size,
            interval: (interval as u64).max(1),
            duration: micros(self.duration),
            connect_interval: match self.connect_rate {
                Some(rate) => 1_000_000_u64.checked_div(rate.into()).unwrap_or(0),
                None => usual.connect_interval as u64,
            },
            sleepers: self.sleepers / 100.0,
            sleep: self.sleep,
            persistent: self.persistent,
            keep_alive: self.keep_alive,
            wills: self.will / 100.0,
            rates,
            seed: self.seed,
            retry: self.retry.unwrap_or(usual.retry),
            retries: self.retries,
            grace: micros(self.grace.unwrap_or_else(|| self.usual_grace(&rates))),
            lossy: self.lossy_network,
        })
    }

    fn way(&self, line: Option<LinePlan>) -> Result<(Way, String), Failure> {
        if let Some(line) = line {
            let name = format!("serial {}", line.device);
            return Ok((Way::Line(line), name));
        }
        let (host, port) = &self.gateway;
        let name =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Ok((Way::Udp(look_up(host, *port)?), name))
    }

    /// Gateways usually wait 10 to 15 s for an acknowledgement and repeat a few times.
    fn usual_grace(&self, rates: &Rates) -> Duration {
        let repeats = if rates.any() || self.lossy_network { 45 } else { 15 };
        let sleep = if self.sleepers > 0.0 { 2 * u64::from(self.sleep) } else { 0 };
        Duration::from_secs(repeats + sleep)
    }
}

fn look_up(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| Failure::run(format!("cannot look up the gateway {host}: {error}")))?;
    // IPv4 first, on which a gateway listens unless told otherwise.
    addresses
        .min_by_key(SocketAddr::is_ipv6)
        .ok_or_else(|| Failure::run(format!("the gateway {host} has no address")))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A prefix that nobody else uses.
fn random_prefix() -> String {
    format!("sim-{:06x}", RandomState::new().hash_one("prefix") & 0xFF_FFFF)
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| (0.001..=1_000_000.0).contains(rate));
    rate.ok_or_else(|| "a number of messages per second, up to 1000000".to_owned())
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').unwrap_or(text).parse().ok();
    percent
        .filter(|percent: &f64| (0.0..=100.0).contains(percent))
        .ok_or_else(|| "a percentage is a number from 0 to 100".to_owned())
}

/// Client ids have at most 23 octets (MQTT-SN 1.2 §5.3.1).
fn prefix(text: &str) -> Result<String, String> {
    let text = client_id(text)?;
    if text.len() > 16 {
        return Err("at most 16 bytes, so that client ids have at most 23".to_owned());
    }
    if text.contains(['+', '#', '/', '\0']) || text.starts_with('$') {
        return Err("it stands in topics: no +, #, / and no $ in front".to_owned());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked() {
        assert_eq!(percent("5"), Ok(5.0));
        assert_eq!(percent("0.5%"), Ok(0.5));
        for text in ["", "-1", "101", "x", "NaN"] {
            assert!(percent(text).is_err(), "{text}");
        }
        assert_eq!(rate("0.5"), Ok(0.5));
        for text in ["0", "-1", "inf", "NaN", "x"] {
            assert!(rate(text).is_err(), "{text}");
        }
        for text in ["", "a/b", "+", "$a", "12345678901234567"] {
            assert!(prefix(text).is_err(), "{text}");
        }
        assert!(prefix(&random_prefix()).is_ok());
    }
}
