//! `run`: the gateway itself.

use std::path::Path;

use super::Failure;
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

Examples:
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
    runtime::run(config, Some(origin)).map_err(|error| Failure::run(error.to_string()))
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
