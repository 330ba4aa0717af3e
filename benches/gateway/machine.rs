//! The machine that the figures belong to.

use std::fs;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;

use crate::Failure;

/// One paragraph for the head of the report.
pub fn facts() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    // ARM kernels name the board instead of the processor.
    let model = ["model name", "Model", "Hardware"]
        .iter()
        .find_map(|key| cpu.lines().find_map(|line| line.strip_prefix(key)))
        .map_or("unknown CPU", |value| value.trim_start_matches([' ', '\t', ':']));
    let build = if cfg!(debug_assertions) { "\nDEBUG BUILD: figures mean nothing" } else { "" };
    format!(
        "{cores} cores, {model}, Linux {}, net.core.rmem_max {}, load {}{build}",
        read("/proc/sys/kernel/osrelease"),
        read("/proc/sys/net/core/rmem_max"),
        read("/proc/loadavg").split(' ').next().unwrap_or("?"),
    )
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "?".into(), |text| text.trim().into())
}

/// Raises the number of files that may be open as far as allowed; returns it.
pub fn raise_file_limit() -> Result<usize, Failure> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(usize::try_from(hard).unwrap_or(usize::MAX))
}

/// Lets this thread, and children that it starts from now on, run on one core only.
pub fn pin(core: usize) -> Result<(), Failure> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cores)?)
}

/// The core farthest from the first, by number; fails where there is only one.
pub fn other_core() -> Result<usize, Failure> {
    match std::thread::available_parallelism()?.get() {
        1 => Err("--pin needs two cores".into()),
        count => Ok(count - 1),
    }
}

/// Watches how much of the machine other programs take.
pub struct Others {
    since: Instant,
    busy: Duration,
    ours: Duration,
}

impl Others {
    pub fn watch() -> Result<Self, Failure> {
        Ok(Self { since: Instant::now(), busy: busy(), ours: ours()? })
    }

    /// Cores that others have kept busy on average, as a remark; `None` if they hardly did.
    pub fn remark(&self) -> Result<Option<String>, Failure> {
        let (busy, ours) = (busy().saturating_sub(self.busy), ours()?.saturating_sub(self.ours));
        let cores = busy.saturating_sub(ours).as_secs_f64() / self.since.elapsed().as_secs_f64();
        Ok((cores > 0.1).then(|| {
            format!("other programs kept {cores:.1} cores busy meanwhile: expect wild figures")
        }))
    }
}

/// CPU time of the whole machine since it started, without idling; zero if the kernel does not say.
fn busy() -> Duration {
    /// `/proc/stat` counts hundredths of a second on every common architecture.
    const TICK_MS: u64 = 10;
    let line = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = line.lines().next().unwrap_or_default().split_whitespace().skip(1);
    // user nice system idle iowait irq softirq steal; what guests use is part of user.
    let ticks: u64 = fields
        .take(8)
        .enumerate()
        .filter(|(index, _)| !matches!(index, 3 | 4))
        .filter_map(|(_, ticks)| ticks.parse::<u64>().ok())
        .sum();
    Duration::from_millis(TICK_MS * ticks)
}

/// CPU time of this process and of its children that have ended.
fn ours() -> Result<Duration, Failure> {
    let mut sum = Duration::ZERO;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        for time in [usage.user_time(), usage.system_time()] {
            sum += Duration::from_micros(u64::try_from(time.num_microseconds())?);
        }
    }
    Ok(sum)
}
