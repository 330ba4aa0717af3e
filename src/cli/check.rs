//! `check`: the configuration in effect, and the state.

#[cfg(feature = "ble")]
mod ble;
mod client;
mod serial;

use std::time::Duration;

use super::line::framing;
use super::values::duration;
use super::{Failure, print};
use crate::config::{Config, DEFAULT_PATH, Source};
use crate::store::file;
use crate::transport::framing::Framing;

pub(super) const HELP: &str = "\
Prints every key with its value, from the file and the environment together; a password is not \
shown. In front of them it says where the state is, whether it can be used, and by which process \
it is in use. If something is wrong with the configuration, says what and where, and the exit code \
is 2. Names are not looked up, and nothing is made or changed, so this can be done beside a running \
gateway.

With --client it says instead which [[client]] a device falls under and what that means for it: whether \
it may connect, what is put in front of its topics, what it may publish and subscribe to, and its \
limits. Where that depends on the link by which it comes, every link is shown; --link chooses one.

With --serial it opens a serial device instead, asks what sits at the other end (XBee modules and hubs \
answer), listens for a few seconds, and says what it found and how it looks in gateway.toml. A device of a \
[[serial]] is tried as that says; of another one speeds and framings are tried in turn, unless --baud \
and --framing say them. Exit code 1 if the device cannot be opened or does not speak what was expected. \
Not while the gateway runs: it has the device to itself.

With --ble it lists the Bluetooth adapters, listens for devices, and says what the gateway would do with \
each: connect to it, or why not. Exit code 1 if Bluetooth cannot be used; the reason and a remedy are \
said. It can be done beside a running gateway.

Run it as the user that the gateway runs as: another one may see another state.

Examples:
  mqtt-sn-gateway check
  mqtt-sn-gateway check --config /etc/mqtt-sn-gateway/gateway.toml
  mqtt-sn-gateway check --client meter-7
  mqtt-sn-gateway check --serial /dev/ttyUSB0
  mqtt-sn-gateway check --ble
  mqtt-sn-gateway check --client meter-7 --link 'udp 0.0.0.0:1883'";

/// How long it is listened to a line.
const LISTEN: Duration = Duration::from_secs(3);
/// The same for Bluetooth: some devices advertise every few seconds only.
#[cfg(feature = "ble")]
const LISTEN_BLE: Duration = Duration::from_secs(8);

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Say what applies to the device with this client id
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Say it for this link
    #[arg(long, value_name = "NAME", requires = "client")]
    link: Option<String>,
    /// Open this serial device and say what is there
    #[arg(long, value_name = "DEVICE", conflicts_with = "client", group = "heard")]
    serial: Option<String>,
    /// Framing on that line
    #[arg(long, value_name = "WORD", requires = "serial", value_parser = framing())]
    framing: Option<Framing>,
    /// Its speed, bits a second
    #[arg(long, value_name = "N", requires = "serial", value_parser = clap::value_parser!(u32).range(300..=4_000_000))]
    baud: Option<u32>,
    /// Look for Bluetooth devices, by this adapter
    #[cfg(feature = "ble")]
    #[arg(long, value_name = "ADAPTER", num_args = 0..=1, default_missing_value = "", conflicts_with = "client", group = "heard")]
    ble: Option<String>,
    /// How long to listen, each time [default: 3s, 8s for Bluetooth]
    #[arg(long, value_name = "TIME", requires = "heard", value_parser = duration)]
    listen: Option<Duration>,
}

/// Prints what is in effect; that it can be printed means that it is right.
pub(super) fn run(arguments: &Arguments, config: &Config, source: &Source) -> Result<(), Failure> {
    if let Some(id) = &arguments.client {
        return print(&client::explain(config, id, arguments.link.as_deref())?);
    }
    if let Some(device) = &arguments.serial {
        let wanted = serial::Wanted {
            framing: arguments.framing,
            baud: arguments.baud,
            listen: arguments.listen.unwrap_or(LISTEN),
        };
        return serial::check(device, wanted, config);
    }
    #[cfg(feature = "ble")]
    if let Some(adapter) = &arguments.ble {
        return ble::check(adapter, arguments.listen.unwrap_or(LISTEN_BLE), config);
    }
    let from = match source {
        Source::File(path) => format!("{} is fine", path.display()),
        Source::Sample => format!("there is no {DEFAULT_PATH} here: this is the built-in sample"),
    };
    // Whole, because this may be read somewhere else than where the gateway is started.
    let directory =
        std::path::absolute(&config.state_dir).unwrap_or_else(|_| config.state_dir.clone());
    // A name may have a line end in it.
    let shown = directory.display().to_string().replace(char::is_control, "?");
    let state = format!("{shown}: {}", file::look(&directory));
    print(&format!(
        "# {from}. In effect, with the environment:\n# State in {state}.\n{}",
        config.to_toml()
    ))
}
