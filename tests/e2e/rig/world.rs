//! The other side of the broker, played by mosquitto_pub and mosquitto_sub.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::lines::Lines;

/// What a listener heard.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Heard {
    pub topic: String,
    pub payload: String,
    pub qos: u8,
    pub retain: bool,
}

/// Shorthand for what is expected to be heard live.
pub fn heard(topic: &str, payload: &str, qos: u8) -> Heard {
    Heard { topic: topic.to_owned(), payload: payload.to_owned(), qos, retain: false }
}

/// A mosquitto_sub. It connects again by itself when its broker was away.
pub struct Listener {
    child: Child,
    lines: Lines,
}

const MARKER: &str = "e2e-ready/";

impl Listener {
    /// Subscribes at QoS 2 and waits until the subscription holds.
    #[track_caller]
    pub fn start(broker: SocketAddr, filters: &[&str]) -> Self {
        Self::with(broker, filters, &[])
    }

    /// The same with more arguments, such as `-c -i id` for a session that the broker keeps.
    #[track_caller]
    pub fn with(broker: SocketAddr, filters: &[&str], arguments: &[&str]) -> Self {
        // What is retained comes after the SUBACK, so the marker says that the subscription holds.
        static MARKERS: AtomicU32 = AtomicU32::new(0);
        let marker = MARKERS.fetch_add(1, Ordering::Relaxed);
        let marker = format!("{MARKER}{}-{marker}", std::process::id());
        publish_retained(broker, &marker, "here");
        let mut command = Command::new("mosquitto_sub");
        command.args(["-h", "127.0.0.1", "-p", &broker.port().to_string(), "-q", "2"]);
        command.args(["-F", "%q %r %t %p", "-t", &marker]).args(arguments);
        for filter in filters {
            command.args(["-t", filter]);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = Lines::collect(child.stdout.take().unwrap(), |_| true);
        let listener = Self { child, lines };
        listener.lines.wait_for(&[&marker]);
        listener
    }

    /// Waits until what was heard satisfies.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, mut found: impl FnMut(&[Heard]) -> Option<T>) -> T {
        self.lines.wait(what, |lines| found(&parse(lines)))
    }

    /// Waits for a message with this payload and returns what came before it.
    #[track_caller]
    pub fn until(&self, payload: &str) -> Vec<Heard> {
        self.wait(payload, |heard| {
            let end = heard.iter().position(|heard| heard.payload == payload)?;
            Some(heard[..end].to_vec())
        })
    }

    /// Waits for this many messages and returns them.
    #[track_caller]
    pub fn take(&self, count: usize) -> Vec<Heard> {
        self.wait(&format!("{count} messages"), |heard| {
            (heard.len() >= count).then(|| heard.to_vec())
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(lines: &[String]) -> Vec<Heard> {
    let messages = lines.iter().map(|line| {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("mosquitto_sub printed {line:?}"));
        let (qos, retain) = (word().parse().unwrap(), word() == "1");
        let (topic, payload) = (word().to_owned(), word().to_owned());
        Heard { topic, payload, qos, retain }
    });
    messages.filter(|heard| !heard.topic.starts_with(MARKER)).collect()
}

/// Makes a session that keeps everything for a listener who comes later, with `-c -i <id>`.
#[track_caller]
pub fn keep_for(broker: SocketAddr, id: &str, filter: &str) {
    let port = broker.port().to_string();
    let status = Command::new("mosquitto_sub")
        .args(["-h", "127.0.0.1", "-p", &port, "-q", "2", "-c", "-i", id, "-t", filter, "-E"])
        .status();
    assert!(status.is_ok_and(|status| status.success()), "mosquitto_sub -E");
}

/// Publishes and returns once the broker has acknowledged.
#[track_caller]
pub fn publish(broker: SocketAddr, topic: &str, payload: &str, qos: u8) {
    run(broker, &["-t", topic, "-m", payload, "-q", &qos.to_string()]);
}

/// Publishes a message that the broker keeps.
#[track_caller]
pub fn publish_retained(broker: SocketAddr, topic: &str, payload: &str) {
    run(broker, &["-t", topic, "-m", payload, "-q", "1", "-r"]);
}

/// Publishes each line under a topic, in order, and returns once the broker has acknowledged all.
#[track_caller]
pub fn publish_lines(broker: SocketAddr, topic: &str, lines: &[String], qos: u8) {
    let mut child = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &broker.port().to_string()])
        .args(["-t", topic, "-l", "-q", &qos.to_string()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("mosquitto_pub: {error}; tests/setup.sh installs it"));
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, (lines.join("\n") + "\n").as_bytes()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success(), "mosquitto_pub -l");
}

#[track_caller]
fn run(broker: SocketAddr, arguments: &[&str]) {
    let output = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &broker.port().to_string()])
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("mosquitto_pub: {error}; tests/setup.sh installs it"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "mosquitto_pub {arguments:?}: {errors}");
}
