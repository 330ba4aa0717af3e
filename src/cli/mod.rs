//! The commands of the program.

mod check;
mod decode;
mod devices;
pub mod explain;
mod forwarder;
mod import;
mod line;
mod link;
mod publish;
mod run;
mod simulate;
mod subscribe;
mod values;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Parser, Subcommand};

use crate::config::{Config, Source};
use crate::runtime;

/// A gateway between MQTT-SN devices and an MQTT broker
#[derive(Debug, Parser)]
#[command(
    name = "mqtt-sn-gateway",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  mqtt-sn-gateway                                 run it, with the built-in sample
  mqtt-sn-gateway config > gateway.toml           begin a configuration
  mqtt-sn-gateway check                           see whether it is right
  mqtt-sn-gateway sub -t 'sensors/#' -v           be a device that listens
  mqtt-sn-gateway pub -t sensors/a -m 21.5 -q 1   be a device that speaks
  mqtt-sn-gateway simulate -n 1000                be a thousand devices, and see what comes through
  mqtt-sn-gateway devices                         list the devices of a running gateway

Exit codes: 0 fine, 1 failed while running, 2 wrong usage or configuration."
)]
pub struct Arguments {
    /// The configuration; without it ./gateway.toml, and without that the built-in sample
    #[arg(long, global = true, value_name = "FILE", env = "MQTT_SN_GATEWAY_CONFIG", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway; the same as no command at all
    #[command(after_help = run::HELP)]
    Run(run::Arguments),
    /// Say what is wrong with the configuration, or print it as it is in effect
    #[command(after_help = check::HELP)]
    Check(check::Arguments),
    /// Print a complete commented gateway.toml: the sample, or what another gateway's files become
    #[command(after_help = import::HELP)]
    Config(import::Arguments),
    Decode(decode::Arguments),
    #[command(name = "pub")]
    Publish(publish::Arguments),
    #[command(name = "sub")]
    Subscribe(subscribe::Arguments),
    Simulate(Box<simulate::Arguments>),
    /// List, show and kick the devices of a running gateway
    #[command(after_help = devices::HELP)]
    Devices(devices::Arguments),
}

/// Why a command did not succeed: what to say, and the exit code.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// Something went wrong while running.
    fn run(message: impl Into<String>) -> Self {
        Self { message: format!("error: {}", message.into()), code: 1 }
    }

    /// The command was used wrongly.
    fn usage(message: impl Into<String>) -> Self {
        Self { message: format!("error: {}", message.into()), code: 2 }
    }

    /// Everything has been said.
    fn silent() -> Self {
        Self { message: String::new(), code: 1 }
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        Self { message: error.to_string(), code: 2 }
    }
}

/// Runs the program with the arguments and the environment of the process.
#[must_use]
pub fn main() -> ExitCode {
    match dispatch(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                // If standard error is gone there is nobody to tell.
                let _ = writeln!(io::stderr(), "{}", failure.message.trim_end());
            }
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<(), Failure> {
    // Container files set a variable that has no value to nothing.
    let path = arguments.config.as_deref().filter(|path| !path.as_os_str().is_empty());
    let load = || -> Result<(Config, Source), Failure> { Ok(Config::load(path, environment())?) };
    let origin =
        || runtime::Origin { file: path.map(Path::to_owned), variables: environment().collect() };
    match &arguments.command {
        None => {
            let (config, source) = load()?;
            run::run(&run::Arguments::default(), &config, &source, origin())
        }
        Some(Command::Run(arguments)) => {
            let (config, source) = load()?;
            run::run(arguments, &config, &source, origin())
        }
        Some(Command::Check(arguments)) => {
            let (config, source) = load()?;
            check::run(arguments, &config, &source)
        }
        Some(Command::Config(arguments)) => import::run(arguments),
        Some(Command::Decode(arguments)) => decode::run(arguments),
        Some(Command::Publish(arguments)) => publish::run(arguments),
        Some(Command::Subscribe(arguments)) => subscribe::run(arguments),
        Some(Command::Simulate(arguments)) => simulate::run(arguments),
        Some(Command::Devices(arguments)) => devices::run(arguments),
    }
}

fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

/// Whether a character of foreign text could end a line, move the cursor, or fool the eye: controls, and
/// what is not seen or turns the direction of writing. None is beyond U+FFFF.
fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// Writes to standard output. A reader that has seen enough is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::run(format!("cannot write: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_arguments_is_sound() {
        Arguments::command().debug_assert();
    }
}
