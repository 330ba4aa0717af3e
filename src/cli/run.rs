//! `run`: the gateway itself.

use super::Failure;
use crate::config::{Config, DEFAULT_PATH, Source};
use crate::ops::logging;
use crate::runtime;

pub(super) const HELP: &str = "\
Runs in the foreground and logs to standard error. SIGTERM or Ctrl-C stops it; it says goodbye to \
the broker and exits with 0.

Examples:
  mqtt-sn-gateway run --config /etc/mqtt-sn-gateway/gateway.toml
  MQTT_SN_GATEWAY_UPSTREAM__URL=mqtt://broker.example mqtt-sn-gateway
  MQTT_SN_GATEWAY_LOG__LEVEL=debug mqtt-sn-gateway";

/// Runs until it is told to stop.
pub(super) fn run(config: &Config, source: &Source) -> Result<(), Failure> {
    logging::init(&config.log).map_err(|error| Failure::usage(error.to_string()))?;
    if *source == Source::Sample {
        tracing::info!(
            "no {DEFAULT_PATH} here and no --config: running with the built-in sample \
             (`mqtt-sn-gateway config > {DEFAULT_PATH}` writes it to begin from)"
        );
    }
    runtime::run(config).map_err(|error| Failure::run(error.to_string()))
}
