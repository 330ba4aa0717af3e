//! Opening a serial device, and why it cannot be opened. These calls may block: not for the loop.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User};
use tokio_serial::{ErrorKind, SerialPortBuilderExt, SerialStream};

/// Why a device cannot be opened now. A gateway tries again, whatever the reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Trouble {
    /// There is nothing under this name.
    Missing,
    /// Something is there, but not a serial line.
    NotSerial,
    /// This user may not open it; the group that may, and the user.
    Forbidden { group: Option<String>, user: String },
    /// Another program has it to itself; which one, if that can be seen.
    InUse { by: Option<String> },
    /// What the system says.
    Other(String),
}

/// How a port is set up; always with 8 data bits, no parity and 1 stop bit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// Bits a second.
    pub(crate) baud: u32,
    pub(crate) flow_control: FlowControl,
}

/// How the ends of a line tell each other to wait.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FlowControl {
    /// Not at all.
    #[default]
    None,
    /// By the wires RTS and CTS.
    Hardware,
    /// By the octets XON and XOFF, which packets must not have: for framings that escape them.
    Software,
}

impl FlowControl {
    /// Words of the configuration.
    pub const WORDS: [(&'static str, Self); 3] =
        [("none", Self::None), ("hardware", Self::Hardware), ("software", Self::Software)];
}

impl fmt::Display for FlowControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(_, other)| other == self);
        f.write_str(word.map_or("", |(word, _)| word))
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} baud", self.baud)?;
        match self.flow_control {
            FlowControl::None => Ok(()),
            flow_control => write!(f, ", {flow_control} flow control"),
        }
    }
}

/// Opens it for us alone. Must be called inside the runtime.
pub(crate) fn open(device: &str, how: How) -> Result<SerialStream, Trouble> {
    match fs::metadata(device) {
        Ok(found) if !found.file_type().is_char_device() => return Err(Trouble::NotSerial),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Trouble::Missing),
        // What else is wrong is said when it is opened.
        Ok(_) | Err(_) => {}
    }
    let flow_control = match how.flow_control {
        FlowControl::None => tokio_serial::FlowControl::None,
        FlowControl::Hardware => tokio_serial::FlowControl::Hardware,
        FlowControl::Software => tokio_serial::FlowControl::Software,
    };
    let port = tokio_serial::new(device, how.baud).flow_control(flow_control);
    port.open_native_async().map_err(|error| match error.kind() {
        ErrorKind::Io(io::ErrorKind::NotFound) => Trouble::Missing,
        ErrorKind::Io(io::ErrorKind::PermissionDenied) => {
            Trouble::Forbidden { group: group_of(device), user: own_name() }
        }
        // So it reports EBUSY, and a lock that is held.
        ErrorKind::NoDevice => Trouble::InUse { by: holder(device) },
        _ if error.description == Errno::ENOTTY.desc() => Trouble::NotSerial,
        _ => Trouble::Other(error.description),
    })
}

impl Trouble {
    /// In words for who has named the device in the command line, and not in a configuration.
    pub(crate) fn for_tool(&self) -> String {
        match self {
            Self::Missing => "there is no such device; plug it in, or see with \
                              `ls -l /dev/serial/by-id` what it is called"
                .to_owned(),
            Self::NotSerial => {
                "this is no serial device; `ls -l /dev/serial/by-id` shows some".to_owned()
            }
            Self::Forbidden { group: Some(group), user } => format!(
                "user {user} may not open it; it belongs to group {group}: `usermod -aG {group} \
                 {user}` as root, then log in again"
            ),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "there is no such device; plug it in, or see with `ls -l /dev/serial/by-id` what it \
                 is called and set `device` under [[serial]]",
            ),
            Self::NotSerial => {
                f.write_str("this is no serial device; set `device` under [[serial]] to one")
            }
            Self::Forbidden { group: Some(group), user } => write!(
                f,
                "user {user} may not open it; it belongs to group {group}: `usermod -aG {group} \
                 {user}`, then start the gateway again"
            ),
            Self::Forbidden { group: None, user } => {
                write!(f, "user {user} may not open it; `ls -lL` with the device shows who may")
            }
            Self::InUse { by: Some(program) } => {
                write!(f, "{program} has it open; stop that, or give it another device")
            }
            Self::InUse { by: None } => f.write_str(
                "another program has it to itself; `fuser -v` with the device, as root, names it",
            ),
            Self::Other(text) => write!(f, "it cannot be opened: {text}"),
        }
    }
}

/// The group whose members may use a device.
fn group_of(device: &str) -> Option<String> {
    let found = fs::metadata(device).ok()?;
    if !is_for_group(found.mode(), found.gid()) {
        return None;
    }
    Group::from_gid(Gid::from_raw(found.gid())).ok().flatten().map(|group| group.name)
}

/// Nobody is told to join the group of root.
fn is_for_group(mode: u32, group: u32) -> bool {
    const READ_AND_WRITE: u32 = 0o060;
    mode & READ_AND_WRITE == READ_AND_WRITE && group != 0
}

fn own_name() -> String {
    let user = Uid::effective();
    match User::from_uid(user) {
        Ok(Some(user)) => user.name,
        _ => user.to_string(),
    }
}

/// The first other process that has the device open, as far as we may look.
fn holder(device: &str) -> Option<String> {
    let device = fs::canonicalize(device).ok()?;
    let own = std::process::id();
    let mut ours = false;
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if !has_open(&entry.path(), &device) {
            continue;
        }
        if id == own {
            ours = true;
            continue;
        }
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let name = name.trim().replace(char::is_control, "?");
        return Some(format!("process {id} ({name})"));
    }
    ours.then(|| "this gateway itself, under another [[serial]],".to_owned())
}

fn has_open(process: &Path, device: &Path) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == device))
}

#[cfg(test)]
mod tests {
    use nix::pty::openpty;
    use nix::unistd::ttyname;

    use super::*;

    fn at(baud: u32) -> How {
        How { baud, flow_control: FlowControl::None }
    }

    fn refused(device: &str) -> Trouble {
        open(device, at(57_600)).expect_err("it cannot be opened")
    }

    #[tokio::test]
    async fn every_trouble_is_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        assert_eq!(refused(&path("none")), Trouble::Missing);
        std::os::unix::fs::symlink(path("none"), path("dangling")).unwrap();
        assert_eq!(refused(&path("dangling")), Trouble::Missing);
        fs::write(path("file"), "").unwrap();
        assert_eq!(refused(&path("file")), Trouble::NotSerial);
        assert_eq!(refused("/dev/null"), Trouble::NotSerial);
    }

    #[tokio::test]
    async fn a_device_is_for_one_only() {
        let pty = openpty(None, None).unwrap();
        let device = ttyname(&pty.slave).unwrap().display().to_string();
        drop(pty.slave);
        let first = open(&device, at(250_000)).unwrap();
        let Trouble::InUse { by: Some(by) } = refused(&device) else { panic!("it is in use") };
        assert_eq!(by, "this gateway itself, under another [[serial]],");
        drop(first);
        assert!(open(&device, at(9_600)).is_ok(), "it is free again");
    }

    #[test]
    fn every_trouble_says_what_to_do() {
        let group = Some("dialout".to_owned());
        let forbidden = Trouble::Forbidden { group, user: "mqtt".to_owned() };
        assert_eq!(
            forbidden.to_string(),
            "user mqtt may not open it; it belongs to group dialout: `usermod -aG dialout mqtt`, \
             then start the gateway again"
        );
        assert_eq!(
            forbidden.for_tool(),
            "user mqtt may not open it; it belongs to group dialout: `usermod -aG dialout mqtt` as \
             root, then log in again"
        );
        for trouble in [Trouble::Missing, Trouble::NotSerial] {
            assert!(trouble.to_string().contains("[[serial]]"));
            assert!(trouble.for_tool().contains("by-id") && !trouble.for_tool().contains("[["));
        }
        let by = Some("process 7 (minicom)".to_owned());
        assert!(Trouble::InUse { by }.to_string().starts_with("process 7 (minicom) has it open"));
        assert!(Trouble::InUse { by: None }.to_string().contains("fuser -v"));
        assert!(is_for_group(0o20660, 20));
        assert!(!is_for_group(0o20620, 5), "writing is not enough");
        assert!(!is_for_group(0o20660, 0));
    }
}
