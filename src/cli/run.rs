//! `run`: the gateway itself.

use std::path::{Path, PathBuf};

use super::{Failure, values};
use crate::capture::{Choice, FILE_BYTES, Setup, Sink, Wrapping};
use crate::config::{Config, DEFAULT_PATH, Source};
use crate::ops::logging;
use crate::runtime;
use crate::store::file;

pub(super) const HELP: &str = "\
Runs in the foreground and logs to standard error. SIGTERM or Ctrl-C stops it; it says goodbye to \
the broker and exits with 0. SIGHUP has it read the configuration again: rules, topics, limits and the \
level of the log change at once, and the log says what needs a restart.

What has to survive it (sessions, topic ids, waiting messages, the spool) is in the directory \
`state_dir`, which one gateway uses at a time; `mqtt-sn-gateway check` says where it is. If the \
state there is damaged the gateway does not start, and says so: restore it from a backup, or begin \
with nothing by --reset-state, once and by hand. All devices then connect and subscribe anew, and \
what waited for them or for the broker is in the file that was moved aside only.

With --capture the packets of all links go to a file as well, both ways, for Wireshark, tshark and \
`mqtt-sn-gateway decode`. A file that is made is for its owner only; one that is a capture is overwritten, \
anything else is not. Into a named pipe (mkfifo) or to standard output Wireshark shows them live. The \
gateway never waits for it: what is not written in time is left out, counted and told.

Examples:
  mqtt-sn-gateway run --capture sensors.pcapng
  mqtt-sn-gateway run --capture sensors.pcapng --capture-max 1GiB --capture-client 'meter-*'
  mqtt-sn-gateway run --capture - --capture-as pdu | wireshark -k -i -
  mqtt-sn-gateway run --config /etc/mqtt-sn-gateway/gateway.toml
  MQTT_SN_GATEWAY_UPSTREAM__URL=mqtt://broker.example mqtt-sn-gateway
  MQTT_SN_GATEWAY_LOG__LEVEL=debug mqtt-sn-gateway
  mqtt-sn-gateway run --reset-state";

/// Options of `run`.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Arguments {
    /// Move a damaged or unwanted state aside and begin with nothing
    #[arg(long)]
    reset_state: bool,

    #[command(flatten)]
    capture: Capture,
}

/// Options of a capture.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Capture")]
struct Capture {
    /// Write all packets, payloads included, to this pcapng file; - for standard output
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,

    /// End it before the file becomes larger; 64MiB if it is a file, without end if it is a pipe
    #[arg(long, value_name = "SIZE", requires = "capture", value_parser = values::capture_size)]
    capture_max: Option<u64>,

    /// Only packets of clients whose ids are like this; * is anything, ? one character
    #[arg(long, value_name = "PATTERN", requires = "capture")]
    capture_client: Option<String>,

    /// Only packets of links whose names in the log are like this, such as "serial *"
    #[arg(long, value_name = "PATTERN", requires = "capture")]
    capture_link: Option<String>,

    /// udp: as if all had come by UDP to port 1883; pdu: for Wireshark 4.2 or newer, which then needs no
    /// settings
    #[arg(long, value_name = "HOW", requires = "capture", default_value = "udp", value_parser = values::wrapping())]
    capture_as: Wrapping,
}

impl Capture {
    /// Opens what is named.
    fn setup(&self) -> Result<Option<Setup>, Failure> {
        let Some(path) = &self.capture else { return Ok(None) };
        let sink = Sink::named(path).map_err(|error| Failure::run(error.to_string()))?;
        let max_bytes = self.capture_max.or(sink.is_file().then_some(FILE_BYTES));
        let choice = Choice {
            client: self.capture_client.clone(),
            link: self.capture_link.clone(),
            max_bytes,
            time: None,
            wrapping: self.capture_as,
        };
        Ok(Some(Setup { sink, choice }))
    }
}

/// Runs until it is told to stop.
pub(super) fn run(
    arguments: &Arguments,
    config: &Config,
    source: &Source,
    origin: runtime::Origin,
) -> Result<(), Failure> {
    logging::init(&config.log).map_err(|error| Failure::usage(error.to_string()))?;
    if *source == Source::Sample {
        tracing::info!(
            "no {DEFAULT_PATH} here and no --config: running with the built-in sample \
             (`mqtt-sn-gateway config > {DEFAULT_PATH}` writes it to begin from)"
        );
    }
    if arguments.reset_state {
        reset(&config.state_dir)?;
    }
    let capture = arguments.capture.setup()?;
    runtime::run(config, Some(origin), capture).map_err(|error| Failure::run(error.to_string()))
}

fn reset(directory: &Path) -> Result<(), Failure> {
    match file::reset(directory).map_err(|error| Failure::run(error.to_string()))? {
        Some(path) => tracing::warn!(
            "the state was moved aside to {} and the gateway begins with nothing; delete that file \
             when nobody needs it any more",
            path.display()
        ),
        None => tracing::info!("there is no state in {} to be moved aside", directory.display()),
    }
    Ok(())
}
