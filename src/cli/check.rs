//! `check`: the configuration in effect.

use super::{Failure, print};
use crate::config::{Config, DEFAULT_PATH, Source};

pub(super) const HELP: &str = "\
Prints every key with its value, from the file and the environment together; a password is not \
shown. If something is wrong, says what and where, and the exit code is 2. Names are not looked up \
and nothing is opened, so this can be done beside a running gateway.

Examples:
  mqtt-sn-gateway check
  mqtt-sn-gateway check --config /etc/mqtt-sn-gateway/gateway.toml";

/// Prints what is in effect; that it can be printed means that it is right.
pub(super) fn run(config: &Config, source: &Source) -> Result<(), Failure> {
    let from = match source {
        Source::File(path) => format!("{} is fine", path.display()),
        Source::Sample => format!("there is no {DEFAULT_PATH} here: this is the built-in sample"),
    };
    print(&format!("# {from}. In effect, with the environment:\n{}", config.to_toml()))
}
