//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::Failure;
use crate::cases::CASES;
use crate::hosted::Disk;

pub const USAGE: &str = "\
cargo bench --bench gateway -- [OPTIONS] [CASE]...

CASE: the beginning of a case's name; without one, all cases run

Options:
  --list            name the cases and what they are
  --quick           one short run of each case instead of three; fewer devices
  --runs N          runs of each case, median reported (default 3, with --quick 1)
  --relay-only      measure the relay alone
  --gateway PATH    measure this program instead of the one just built
  --pin             measured process and load on a core each
  --baseline        compare the ratios with benches/baseline.toml
  --write-baseline  write the ratios to benches/baseline.toml";

#[derive(Default)]
pub struct Options {
    pub cases: Vec<String>,
    pub quick: bool,
    pub runs: Option<usize>,
    pub relay_only: bool,
    pub pin: bool,
    pub gateway: Option<PathBuf>,
    pub baseline: bool,
    pub write_baseline: bool,
}

pub enum Command {
    Measure(Options),
    /// Be the relay: MQTT-SN here, broker there.
    Relay {
        udp: SocketAddr,
        broker: SocketAddr,
    },
    /// Become this program, but one that ends with its parent.
    Become(Vec<String>),
    /// Be the gateway, with a disk of our own.
    Host {
        config: PathBuf,
        disk: Disk,
    },
    List,
    Help,
    /// Started by `cargo test`, which must not measure anything.
    Test,
}

pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Command, Failure> {
    let mut arguments = arguments.peekable();
    let mut options = Options::default();
    // `cargo bench` adds --bench, `cargo test` does not.
    let mut bench = false;
    if arguments.next_if(|first| first == "--relay").is_some() {
        let mut address = || -> Result<SocketAddr, Failure> {
            Ok(arguments.next().ok_or("--relay needs two addresses")?.parse()?)
        };
        return Ok(Command::Relay { udp: address()?, broker: address()? });
    }
    if arguments.next_if(|first| first == "--host").is_some() {
        let mut argument = || arguments.next().ok_or("--host needs a file and a disk");
        return Ok(Command::Host { config: argument()?.into(), disk: argument()?.parse()? });
    }
    if arguments.next_if(|first| first == "--become").is_some() {
        return Ok(Command::Become(arguments.collect()));
    }
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--bench" => bench = true,
            "--quick" => options.quick = true,
            "--relay-only" => options.relay_only = true,
            "--pin" => options.pin = true,
            "--baseline" => options.baseline = true,
            "--write-baseline" => options.write_baseline = true,
            "--gateway" => options.gateway = Some(value()?.into()),
            "--runs" => options.runs = Some(positive(&value()?)?),
            "--list" => return Ok(if bench { Command::List } else { Command::Test }),
            "--help" | "-h" => return Ok(Command::Help),
            option if option.starts_with('-') => {
                return Err(format!("unknown option {option}\n\n{USAGE}").into());
            }
            case if CASES.iter().any(|known| known.name.starts_with(case)) => {
                options.cases.push(argument);
            }
            case => {
                let known: Vec<_> = CASES.iter().map(|case| case.name).collect();
                return Err(format!("no case {case}; there are {}", known.join(", ")).into());
            }
        }
    }
    Ok(if bench { Command::Measure(options) } else { Command::Test })
}

fn positive(text: &str) -> Result<usize, Failure> {
    match text.parse() {
        Ok(number @ 1..=100) => Ok(number),
        _ => Err(format!("--runs {text}: a number from 1 to 100 is needed").into()),
    }
}
