//! The state of the real program: killed, started again, on a disk without room, and refused.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use common::{gateway, run_in};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A gateway whose broker is away, and a device at it.
struct Running {
    child: Child,
    device: UdpSocket,
    log: BufReader<ChildStderr>,
    /// What was read of it.
    lines: String,
}

impl Running {
    /// Starts it in a directory that has a `gateway.toml`.
    fn start(directory: &Path) -> Self {
        Self::spawn(gateway().arg("run"), directory)
    }

    fn spawn(command: &mut Command, directory: &Path) -> Self {
        let mut child = command.current_dir(directory).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let device = UdpSocket::bind("127.0.0.1:0").unwrap();
        device.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut running = Self { child, device, log, lines: String::new() };
        let line = running.logged("listening for MQTT-SN on udp ");
        let address = line.split_whitespace().last().unwrap().to_owned();
        running.device.connect(address).unwrap();
        running
    }

    /// Waits for a line of the log that contains `text`.
    fn logged(&mut self, text: &str) -> String {
        loop {
            let start = self.lines.len();
            let length = self.log.read_line(&mut self.lines).unwrap();
            assert_ne!(length, 0, "no {text:?} in:\n{}", self.lines);
            if self.lines[start..].contains(text) {
                return self.lines[start..].trim_end().to_owned();
            }
        }
    }

    fn ask(&self, packet: &[u8]) -> Vec<u8> {
        self.device.send(packet).unwrap();
        let mut answer = [0; 256];
        let length = self.device.recv(&mut answer).unwrap();
        answer[..length].to_vec()
    }

    /// CONNECT without CleanSession.
    fn connect(&self) -> Vec<u8> {
        self.ask(&[9, 0x04, 0, 0x01, 0, 60, b'd', b'e', b'v'])
    }

    /// PUBLISH to a short topic at QoS 1; the return code.
    fn publish(&self, id: u8, payload: &[u8]) -> u8 {
        let head = [7 + payload.len() as u8, 0x0C, 0b0010_0010, b'a', b'b', 0, id];
        let answer = self.ask(&[&head[..], payload].concat());
        assert_eq!(answer[..6], [7, 0x0D, b'a', b'b', 0, id], "PUBACK");
        answer[6]
    }

    fn signal(&mut self, signal: Signal) -> Option<i32> {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory with a configuration: nobody listens at the broker's address.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let text = "[upstream]\nurl = \"mqtt://127.0.0.1:9\"\n[[udp]]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(directory.path().join("gateway.toml"), text).unwrap();
    directory
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_and_after_an_end() {
    let directory = directory();
    for (round, end) in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL].into_iter().enumerate()
    {
        let mut running = Running::start(directory.path());
        let expected = match round {
            0 => "state: empty, beginning with nothing".to_owned(),
            n => format!("state: going on with 1 client, 0 messages for them, {} pub", 3 * n),
        };
        running.logged(&expected);
        assert_eq!(running.connect(), [3, 0x05, 0]);
        for id in 1..=3 {
            assert_eq!(running.publish(3 * round as u8 + id, b"x"), 0);
        }
        assert_eq!(running.signal(end), (end == Signal::SIGTERM).then_some(0));
        let mut rest = String::new();
        running.log.read_to_string(&mut rest).unwrap();
        assert!(!rest.contains("the disk"), "{rest}");
    }
    let mut running = Running::start(directory.path());
    running.logged("going on with 1 client, 0 messages for them, 9 publications for the broker");
    // A second one on the same directory does not come as far as its sockets.
    let second = run_in(directory.path(), &["run"]);
    assert_eq!(second.code, 1);
    let expected = format!("error: another gateway (pid {}) uses ", running.child.id());
    assert!(second.err.starts_with(&expected), "{}", second.err);
    assert_eq!(second.err.lines().count(), 1, "{}", second.err);
}

#[test]
fn a_torn_end_is_said_and_damage_is_refused_until_a_reset() {
    let directory = directory();
    let journal = directory.path().join("state/journal");
    let mut running = Running::start(directory.path());
    assert_eq!(running.connect(), [3, 0x05, 0]);
    for id in 1..=3 {
        assert_eq!(running.publish(id, b"x"), 0);
    }
    running.signal(Signal::SIGKILL);
    let whole = std::fs::read(&journal).unwrap();

    std::fs::write(&journal, [&whole[..], b"torn"].concat()).unwrap();
    let mut running = Running::start(directory.path());
    assert!(
        running.lines.contains(" WARN state directory ")
            && running.lines.contains("the last 4 octets of the journal were not whole"),
        "{}",
        running.lines
    );
    running.logged("1 client, 0 messages for them, 3 publications");
    running.signal(Signal::SIGKILL);

    let mut damaged = whole.clone();
    damaged[50] ^= 1;
    std::fs::write(&journal, &damaged).unwrap();
    let refused = run_in(directory.path(), &["run"]);
    assert_eq!(refused.code, 1);
    for part in ["error: cannot use ", "state/journal: it is damaged at octet ", "--reset-state"] {
        assert!(refused.err.contains(part), "{}", refused.err);
    }
    assert_eq!(std::fs::read(&journal).unwrap(), damaged);

    let mut running = Running::spawn(gateway().args(["run", "--reset-state"]), directory.path());
    running.logged("state: empty, beginning with nothing");
    assert!(running.lines.contains("the state was moved aside to "), "{}", running.lines);
}

#[test]
fn a_disk_without_room_refuses_and_loses_nothing() {
    let directory = directory();
    // No file may be longer than 32 blocks (of 512 octets, or 1,024); errors instead of a signal.
    let script = "trap '' XFSZ; ulimit -f 32; exec \"$0\" run";
    let program = gateway().get_program().to_owned();
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(program).env_remove("STATE_DIRECTORY");
    let mut running = Running::spawn(&mut shell, directory.path());
    assert_eq!(running.connect(), [3, 0x05, 0]);
    let payload = [b'x'; 200];
    let accepted = (1..=250).take_while(|id| running.publish(*id, &payload) == 0).count();
    assert!((30..250).contains(&accepted), "{accepted}");
    let line = running.logged("cannot write to ");
    assert!(line.contains("state/journal"), "{line}");
    // It goes on with what needs no disk.
    assert_eq!(running.ask(&[2, 0x16]), [2, 0x17], "PINGRESP");
    assert_eq!(running.publish(251, &payload), 1, "congestion");
    running.signal(Signal::SIGKILL);
    let mut running = Running::start(directory.path());
    running.logged(&format!("{accepted} publications for the broker"));
    assert_eq!(running.connect(), [3, 0x05, 0]);
    assert_eq!(running.publish(252, &payload), 0, "there is room again");
}
