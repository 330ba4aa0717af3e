//! Nothing that this program starts outlives it: not after a signal, a panic or a hang.

use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{self, SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::Failure;

/// Process ids of the children that are not yet reaped, and their directories. A process id stays
/// ours until `wait`, which happens under this lock: a signal sent under it cannot hit a stranger.
static CHILDREN: Mutex<Vec<(i32, PathBuf)>> = Mutex::new(Vec::new());

fn children() -> MutexGuard<'static, Vec<(i32, PathBuf)>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child process that is killed when this is dropped, and a directory that goes with it.
pub struct Guarded {
    child: Child,
    pub directory: TempDir,
    pub pid: Pid,
}

impl Guarded {
    pub fn spawn(command: &mut Command, directory: TempDir) -> Result<Self, Failure> {
        let mut children = children();
        let child = command.stdin(Stdio::null()).spawn()?;
        let id = i32::try_from(child.id())?;
        children.push((id, directory.path().into()));
        Ok(Self { child, directory, pid: Pid::from_raw(id) })
    }

    /// Kills the child and starts another in its place.
    pub fn replace(&mut self, command: &mut Command) -> Result<(), Failure> {
        let mut children = children();
        self.child.kill()?;
        self.child.wait()?;
        children.retain(|(id, _)| *id != self.pid.as_raw());
        self.child = command.stdin(Stdio::null()).spawn()?;
        let id = i32::try_from(self.child.id())?;
        children.push((id, self.directory.path().into()));
        self.pid = Pid::from_raw(id);
        Ok(())
    }

    /// How the child ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        let mut children = children();
        let status = self.child.try_wait()?;
        if status.is_some() {
            children.retain(|(id, _)| *id != self.pid.as_raw());
        }
        Ok(status)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let mut children = children();
        // Both fail only if the child is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        children.retain(|(id, _)| *id != self.pid.as_raw());
    }
}

/// From now on SIGINT, SIGTERM, SIGHUP and the passing of `limit` end the program with its
/// children.
///
/// To be called before other threads exist: they inherit the blocked signals, as children do until
/// they unblock them.
pub fn watch(limit: Duration) -> Result<(), Failure> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block()?;
    let descriptor = SignalFd::new(&signals)?;
    let deadline = Instant::now() + limit;
    std::thread::Builder::new().name("guard".into()).spawn(move || {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) if left.is_zero() => abandon(&format!("not finished after {limit:?}")),
                Ok(1..) => abandon("stopped by a signal"),
                _ => {}
            }
        }
    })?;
    Ok(())
}

/// Replaces this process by `program` and its arguments, which then ends when the parent does,
/// whatever ends that. The process id stays.
pub fn become_program(program: &[String]) -> Result<(), Failure> {
    let (path, arguments) = program.split_first().ok_or("--become needs a program")?;
    end_with_parent()?;
    let error = Command::new(path).args(arguments).exec();
    Err(format!("cannot start {path}: {error}").into())
}

/// Ends this process when its parent ends, and lets signals through that the parent blocks.
pub fn end_with_parent() -> Result<(), Failure> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    Ok(SigSet::all().thread_unblock()?)
}

fn abandon(why: &str) {
    // The lock is never given back: no new child can be started any more.
    let children = children();
    for (id, directory) in children.iter() {
        let _ = signal::kill(Pid::from_raw(*id), Signal::SIGKILL);
        let _ = std::fs::remove_dir_all(directory);
    }
    eprintln!("\nbenchmark: {why}");
    std::process::exit(1);
}
