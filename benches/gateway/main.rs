//! Measures the real program between a load and a sink of its own, beside a relay that does the
//! least possible: `cargo bench --bench gateway`. See `docs/benchmarks.md`.

mod baseline;
mod cases;
mod exchange;
mod guard;
mod hosted;
mod inside;
mod machine;
mod meter;
mod mqtt;
mod options;
mod relay;
mod report;
mod rig;
mod sink;
mod sleeper;
mod sn;
mod target;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::baseline::Baseline;
use crate::cases::{CASES, Case, Place, Run, Sample, Scale};
use crate::machine::Others;
use crate::options::{Command, Options};
use crate::report::Outcome;
use crate::rig::Rig;
use crate::target::Subject;

/// Every error here ends the run; what it says is for the person who started it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Files open besides the devices' sockets.
const SPARE_FILES: usize = 64;

fn main() -> ExitCode {
    let done = options::parse(std::env::args().skip(1)).and_then(|command| match command {
        Command::Measure(options) => measure(&options),
        Command::Relay { udp, broker } => relay::run(udp, broker),
        Command::Become(program) => guard::become_program(&program),
        Command::Host { config, disk } => hosted::run(&config, disk),
        Command::List => {
            CASES.iter().for_each(|case| println!("{:10} {}", case.name, case.about));
            Ok(())
        }
        Command::Help => {
            println!("{}", options::USAGE);
            Ok(())
        }
        Command::Test => Ok(()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benchmark: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Failure> {
    let baseline = options.baseline.then(Baseline::read).transpose()?;
    let mut scale = if options.quick { QUICK } else { FULL };
    let runs = options.runs.unwrap_or(if options.quick { 1 } else { 3 });
    let wanted = |case: &&Case| {
        (case.relay || !options.relay_only)
            && (options.cases.is_empty()
                || options.cases.iter().any(|it| case.name.starts_with(&**it)))
    };
    let cases: Vec<&'static Case> = CASES.iter().filter(wanted).collect();
    // A generous bound: but for those that say so no case takes ten seconds.
    let limit = |case: &&&Case| match (case.once, &case.run) {
        (true, _) => 90,
        (false, Run::Several(_)) => runs as u64 * 60,
        (false, _) => runs as u64 * 20,
    };
    guard::watch(Duration::from_secs(30 + cases.iter().map(|case| limit(&case)).sum::<u64>()))?;
    let room = machine::raise_file_limit()?.saturating_sub(SPARE_FILES);
    // Asked once: a pinned thread sees but one core.
    let pin = options.pin.then(machine::other_core).transpose()?;
    let facts = machine::facts();
    println!("{facts}\n");
    if room < scale.many {
        println!("only {room} devices instead of {}: too few open files allowed\n", scale.many);
        scale.many = room;
    }
    let gateway = options
        .gateway
        .clone()
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_mqtt-sn-gateway")));
    let (start, others) = (Instant::now(), Others::watch()?);
    let mut outcomes = Vec::new();
    for case in cases {
        eprintln!("{:10} {}", case.name, case.about);
        outcomes.push(run(case, runs, &gateway, options, pin, &scale)?);
    }
    eprintln!("{:.0} s\n", start.elapsed().as_secs_f64());
    report::print(&outcomes, baseline.as_ref())?;
    if let Some(remark) = others.remark()? {
        println!("{remark}");
    }
    if options.write_baseline {
        let ratios: Vec<_> = outcomes.iter().flat_map(Outcome::ratios).collect();
        Baseline::write(&ratios, &facts)?;
    }
    Ok(())
}

/// Gateway and relay in turn, so that a machine that slows down slows both.
fn run(
    case: &'static Case,
    runs: usize,
    gateway: &Path,
    options: &Options,
    pin: Option<usize>,
    scale: &Scale,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome { case, gateway: Vec::new(), relay: Vec::new() };
    let one = |subject: Subject| -> Result<Sample, Failure> {
        let run = match case.run {
            Run::Process(run) => run,
            Run::Inside(run) => {
                return run(scale).map_err(|error| format!("{}: {error}", case.name).into());
            }
            Run::Several(run) => {
                let place = Place { gateway, pin, settings: case.settings };
                return run(place, scale).map_err(|error| format!("{}: {error}", case.name).into());
            }
        };
        let mut rig = Rig::start(subject, gateway, pin, case.settings)
            .map_err(|error| format!("{}, {}: {error}", case.name, subject.name()))?;
        let mut sample = run(&mut rig, scale)
            .map_err(|error| format!("{}, {}: {error}", case.name, subject.name()))?;
        sample.remarks.extend(rig.lost_connections());
        Ok(sample)
    };
    for _ in 0..if case.once { 1 } else { runs } {
        if !options.relay_only {
            outcome.gateway.push(one(Subject::Gateway)?);
        }
        if case.relay {
            outcome.relay.push(one(Subject::Relay)?);
        }
    }
    Ok(outcome)
}

const FULL: Scale = Scale {
    warm_up: Duration::from_millis(300),
    measured: Duration::from_millis(1_500),
    steady: Duration::from_secs(3),
    idle: Duration::from_secs(5),
    long_idle: Duration::from_secs(30),
    many: 10_000,
    sleepers: 100_000,
};

const QUICK: Scale = Scale {
    warm_up: Duration::from_millis(150),
    measured: Duration::from_millis(600),
    steady: Duration::from_secs(1),
    idle: Duration::from_secs(2),
    long_idle: Duration::from_secs(5),
    many: 2_000,
    sleepers: 10_000,
};
