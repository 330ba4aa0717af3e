//! What the service manager is told, and how often it wants to hear from us (sd_notify(3)).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The way to the service manager.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    to: SocketAddr,
}

impl Notifier {
    /// The service manager that the environment names, if it names one.
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        Self::to(&std::env::var_os("NOTIFY_SOCKET")?).ok()
    }

    /// `name` is a path, or, after an `@`, a name of the abstract kind.
    ///
    /// # Errors
    /// If there can be no such socket.
    pub fn to(name: &OsStr) -> io::Result<Self> {
        let to = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, to })
    }

    /// Links are open, and devices are served.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// A configuration is being read; [`Self::ready`] follows.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// The loop turns.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// A line for `systemctl status`.
    pub fn status(&self, line: &str) {
        self.send(&format!("STATUS={}", line.replace(char::is_control, " ")));
    }

    fn send(&self, text: &str) {
        // A manager that does not listen has its own troubles; nothing here depends on it.
        let _ = self.socket.send_to_addr(text.as_bytes(), &self.to);
    }
}

/// How often the manager wants to hear that we are alive, if it does: half of what it allows. `usec` and
/// `pid` are the values of `WATCHDOG_USEC` and `WATCHDOG_PID`.
#[must_use]
pub fn watchdog_interval(usec: Option<&str>, pid: Option<&str>) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.trim() != std::process::id().to_string()) {
        // Meant for another process.
        return None;
    }
    let usec = usec?.trim().parse::<u64>().ok().filter(|usec| *usec > 0)?;
    Some(Duration::from_micros(usec / 2).max(Duration::from_millis(1)))
}

/// The same from the environment.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    let variable = |name| std::env::var(name).ok();
    watchdog_interval(variable("WATCHDOG_USEC").as_deref(), variable("WATCHDOG_PID").as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn the_manager_hears_it_by_path_and_by_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("mqtt-sn-gateway-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let abstractly = UnixDatagram::bind_addr(&address).unwrap();
        let name = std::ffi::OsString::from(format!("@{name}"));
        for (socket, name) in [(by_path, path.into_os_string()), (abstractly, name)] {
            let notifier = Notifier::to(&name).unwrap();
            notifier.ready();
            assert_eq!(received(&socket), "READY=1");
            notifier.status("two\nlines");
            assert_eq!(received(&socket), "STATUS=two lines");
            notifier.reloading();
            let said = received(&socket);
            let since = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            assert!(since.parse::<u64>().unwrap() > 0);
        }
    }

    #[test]
    fn a_manager_that_is_gone_does_no_harm() {
        let directory = tempfile::tempdir().unwrap();
        let notifier = Notifier::to(directory.path().join("nobody").as_os_str()).unwrap();
        notifier.ready();
    }

    #[test]
    fn the_watchdog_is_for_this_process_or_for_nobody() {
        let own = std::process::id().to_string();
        assert_eq!(watchdog_interval(Some("3000000"), None), Some(Duration::from_millis(1_500)));
        assert_eq!(watchdog_interval(Some("2000"), Some(&own)), Some(Duration::from_millis(1)));
        assert_eq!(watchdog_interval(Some("1"), None), Some(Duration::from_millis(1)));
        for nothing in [None, Some(""), Some("0"), Some("-1"), Some("x")] {
            assert_eq!(watchdog_interval(nothing, None), None);
        }
        assert_eq!(watchdog_interval(Some("3000000"), Some("1")), None);
    }
}
