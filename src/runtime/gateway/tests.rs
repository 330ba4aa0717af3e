//! The loop with a machine of a few lines, against real sockets.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Buf;
use tokio::sync::mpsc;

use super::super::ways::Ways;
use super::*;
use crate::admin::{self, Question};
use crate::capture::{Choice, Folder, LEAST_BYTES};
use crate::config;
use crate::core::upstream::{LineId, Login};
use crate::core::{self, Address, Effect, Effects, LinkId};
use crate::engine::Wish;
use crate::ops::logging;
use crate::store::commit::{Commit, Outcome, SyncMode};
use crate::store::file::FileStorage;
use crate::store::journal::{Journal, Storage};
use crate::store::record::Record;
use crate::transport::udp::UdpLink;
use crate::upstream::{Accepted, Brokers, Server, Settings};

/// Speaks lines with the broker. What a device sends goes to the broker as a line and back to the
/// device; a line from the broker goes to the device that sent last, except for these:
/// `ok` accepts the session, `bad` ends it, `again` ends it without a pause.
///
/// What a device sends after `keep ` is written down before the device hears of it.
#[derive(Default)]
struct Lines {
    effects: Effects,
    output: BytesMut,
    last: Option<(LinkId, Address)>,
    accepted: bool,
    deadlines: Vec<Time>,
    /// To be written, and being written.
    kept: Vec<Vec<u8>>,
    writing: Vec<Vec<u8>>,
    commits: u64,
    log: Log,
    asked: Rc<Cell<u64>>,
}

type Log = Arc<Mutex<Vec<String>>>;

#[derive(Debug)]
struct Fault(&'static str);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Fault {}

impl ConnectionEnd for Fault {
    fn reconnect_at_once(&self) -> bool {
        self.0 == "again"
    }
}

impl Lines {
    fn note(&self, text: impl Into<String>) {
        self.log.lock().unwrap().push(text.into());
    }

    fn reply(&mut self, bytes: &[u8]) {
        if let Some((link, to)) = self.last {
            let bytes = self.effects.store(bytes);
            self.effects.push(Effect::Send { link, to, bytes, client: None });
        }
    }
}

impl Machine for Lines {
    type Error = Fault;

    fn link_room(&mut self, _: Time, _: LinkId, _: Option<u32>) {}

    fn link_largest(&mut self, _: LinkId, _: usize) {}

    fn device_room(&mut self, _: Time, _: LinkId, _: &Address, _: Option<core::DeviceRoom>) {}

    fn datagram(&mut self, _: Time, link: LinkId, from: &Address, _: core::Signal, bytes: &[u8]) {
        self.last = Some((link, *from));
        if let Some(kept) = bytes.strip_prefix(b"keep ") {
            self.kept.push(kept.to_vec());
            return;
        }
        self.reply(bytes);
        if let Some(count) = bytes.strip_prefix(b"flood ") {
            let count = std::str::from_utf8(count).unwrap().parse::<u32>().unwrap();
            for number in 0..count {
                self.output.extend_from_slice(format!("{number:0100}\n").as_bytes());
            }
            return;
        }
        self.output.extend_from_slice(bytes);
        self.output.extend_from_slice(b"\n");
    }

    fn broker_open(&mut self, _: Time, _: LineId) {
        self.note("open");
        self.output.extend_from_slice(b"hello\n");
    }

    fn broker_input(&mut self, _: Time, _: LineId, input: &mut BytesMut) -> Result<(), Fault> {
        while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
            let line = input.split_to(end);
            input.advance(1);
            match &*line {
                b"ok" => self.accepted = true,
                b"bad" => return Err(Fault("it said bad")),
                b"again" => return Err(Fault("again")),
                line => self.reply(line),
            }
        }
        Ok(())
    }

    fn reconfigure(&mut self, _: Time, settings: crate::core::Settings, _: Login) {
        self.note(format!("reconfigured with {} clients", settings.max_clients));
    }

    fn broker_output(&mut self, _: LineId) -> Option<&mut BytesMut> {
        Some(&mut self.output)
    }

    fn summary(&self) -> String {
        "what there was".to_owned()
    }

    fn broker_hung_up(&mut self, _: LineId) {
        self.note("hung up");
    }

    fn broker_leave(&mut self, _: Time, _: LineId) {
        self.note("leave");
        self.output.extend_from_slice(b"leaving\n");
    }

    fn broker_closed(&mut self, _: Time, _: LineId) {
        self.note("closed");
        self.accepted = false;
    }

    fn timeout(&mut self, now: Time) {
        let due = self.deadlines.iter().filter(|deadline| **deadline <= now).count();
        self.note(format!("timeout for {due}"));
        self.deadlines.retain(|deadline| *deadline > now);
    }

    fn broker_unreachable(&mut self, _: Time, _: LineId) {}

    fn take_wish(&mut self) -> Option<Wish> {
        None
    }

    fn take_speaking(&mut self) -> Option<LineId> {
        None
    }

    fn line_rule(&self, _: LineId) -> u16 {
        0
    }

    fn line_name(&self, _: LineId) -> Option<String> {
        None
    }

    fn take_ended(&mut self) -> Option<(LineId, Fault)> {
        None
    }

    fn next_timeout(&self) -> Option<Time> {
        self.asked.set(self.asked.get() + 1);
        self.deadlines.iter().min().copied()
    }

    fn commit(&mut self, _: Time) -> Option<Commit> {
        assert!(self.writing.is_empty(), "one at a time");
        self.writing = std::mem::take(&mut self.kept);
        let mut records = Vec::new();
        for payload in &self.writing {
            self.commits += 1;
            Record::Message { serial: self.commits, topic: "t", payload }.put(&mut records);
        }
        let number = self.commits;
        (!records.is_empty()).then_some(Commit { number, records, snapshot: None })
    }

    fn committed(&mut self, _: Time, outcome: Outcome) {
        for kept in std::mem::take(&mut self.writing) {
            let word: &[u8] = if outcome.journal.is_ok() { b"kept " } else { b"lost " };
            let text = [word, &kept].concat();
            self.note(String::from_utf8(text.clone()).unwrap());
            self.reply(&text);
        }
    }

    fn outgoing(&self) -> &Effects {
        &self.effects
    }

    fn clear(&mut self) {
        self.effects.clear();
    }

    fn shutdown(&mut self, _: Time) {
        self.output.extend_from_slice(b"bye\n");
    }

    fn broker_accepted(&self, _: LineId) -> Option<Accepted> {
        self.accepted.then_some(Accepted { version: "lines", resumed: true })
    }
}

/// A gateway in a thread of its own.
struct Rig {
    links: Vec<SocketAddr>,
    signals: mpsc::Sender<Signal>,
    thread: JoinHandle<()>,
    /// What the machine noted.
    log: Log,
    /// Lines of the log.
    lines: Captured,
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Rig {
    fn start(brokers: &[SocketAddr], links: usize, deadlines: Vec<Time>) -> Self {
        Self::start_with(brokers, links, deadlines, None)
    }

    /// With a state.
    fn start_keeping(storage: impl Storage + 'static) -> Self {
        // Nobody is there: nothing answers on a port that is not bound any more.
        let (_, broker) = broker();
        let (journal, ..) = Journal::open(storage, SyncMode::Batch).unwrap();
        Self::start_with(&[broker], 1, Vec::new(), Some(Writer::start(journal).unwrap()))
    }

    fn start_with(
        brokers: &[SocketAddr],
        links: usize,
        deadlines: Vec<Time>,
        store: Option<Writer>,
    ) -> Self {
        Self::start_going_back(brokers, links, deadlines, store, Duration::ZERO)
    }

    /// That tries earlier brokers again after each interval.
    fn start_going_back(
        brokers: &[SocketAddr],
        links: usize,
        deadlines: Vec<Time>,
        store: Option<Writer>,
        failback_interval: Duration,
    ) -> Self {
        let servers = brokers.iter().map(|address| Server {
            host: address.ip().to_string().into(),
            port: address.port(),
            ..Server::default()
        });
        let brokers = Brokers {
            servers: servers.collect(),
            tls: None,
            connect_timeout: Duration::from_secs(5),
        };
        let settings = Settings {
            brokers: Arc::new(brokers),
            reconnect_min: Duration::from_millis(20),
            reconnect_max: Duration::from_millis(50),
            failback_interval,
        };
        let log = Log::default();
        let lines = Captured::default();
        let (ready, started) = std::sync::mpsc::channel();
        let thread = {
            let (log, lines) = (log.clone(), lines.clone());
            std::thread::spawn(move || {
                let subscriber =
                    logging::subscriber("info", logging::Style::default(), move || lines.clone());
                tracing::subscriber::with_default(subscriber.unwrap(), || {
                    run(settings, links, deadlines, store, log, &ready);
                });
            })
        };
        let (links, signals) = started.recv().unwrap();
        Self { links, signals, thread, log, lines }
    }

    fn stop(self) -> (Vec<String>, String) {
        self.signals.blocking_send(Signal::Terminate).unwrap();
        self.thread.join().unwrap();
        let log = self.log.lock().unwrap().clone();
        let lines = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        (log, lines)
    }
}

type Started = (Vec<SocketAddr>, mpsc::Sender<Signal>);

fn run(
    settings: Settings,
    links: usize,
    deadlines: Vec<Time>,
    store: Option<Writer>,
    log: Log,
    ready: &std::sync::mpsc::Sender<Started>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let links: Vec<UdpLink> = (0..links)
            .map(|index| {
                let settings = config::UdpLink {
                    listen: "127.0.0.1:0".parse().unwrap(),
                    advertise_to: Vec::new(),
                    groups: Vec::new(),
                    retry_interval: None,
                    receive_buffer: 1024 * 1024,
                };
                UdpLink::open(LinkId(index as u16), &settings).unwrap()
            })
            .collect();
        let addresses = links.iter().map(UdpLink::local_addr).collect();
        let links = links.into_iter().map(|link| Link::Udp(Box::new(link))).collect();
        let (sender, signals) = Signals::channel();
        let ways = Ways::to(settings.brokers.clone());
        let own = OwnConnections::new(settings.clone(), ways, usize::MAX);
        let broker = BrokerConnection::new(settings, 7);
        let asked = Rc::new(Cell::new(0));
        let machine = Lines { log: log.clone(), asked: asked.clone(), ..Lines::default() };
        let clock = Clock::start(Time(0));
        let (brokers, reload) = (vec![broker], None);
        let (questions, pulse) = (None, None);
        let parts = Parts { links, brokers, own, store, signals, reload, clock, questions, pulse };
        let gateway = Gateway::new(parts, |now: Time| {
            let after = |deadline: &Time| now.after(deadline.since(Time(0)));
            Lines { deadlines: deadlines.iter().map(after).collect(), ..machine }
        });
        ready.send((addresses, sender)).unwrap();
        gateway.run(None).await;
        log.lock().unwrap().push(format!("asked {}", asked.get()));
    });
}

fn broker() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Accepts a connection and checks that it begins anew.
fn accept(listener: &TcpListener) -> BufReader<TcpStream> {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut reader = BufReader::new(stream);
    assert_eq!(line(&mut reader), "hello");
    reader
}

fn line(reader: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn device(link: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.connect(link).unwrap();
    socket
}

fn heard(socket: &UdpSocket) -> String {
    let mut buffer = [0; 2_048];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[test]
fn bytes_flow_in_all_directions_and_the_end_is_clean() {
    let (listener, address) = broker();
    let rig = Rig::start(&[address], 2, Vec::new());
    let mut connection = accept(&listener);
    connection.get_ref().write_all(b"ok\n").unwrap();
    let devices: Vec<UdpSocket> = rig.links.iter().map(|link| device(*link)).collect();
    for (index, device) in devices.iter().enumerate() {
        let text = format!("reading {index}");
        device.send(text.as_bytes()).unwrap();
        assert_eq!(heard(device), text, "an answer on the same link");
        assert_eq!(line(&mut connection), text);
        // In two pieces: the machine waits for the rest.
        connection.get_ref().write_all(b"comm").unwrap();
        connection.get_ref().write_all(b"and\n").unwrap();
        assert_eq!(heard(device), "command");
    }
    let signals = rig.signals.clone();
    signals.blocking_send(Signal::Hangup).unwrap();
    signals.blocking_send(Signal::Terminate).unwrap();
    assert_eq!(line(&mut connection), "bye");
    let mut rest = Vec::new();
    connection.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "and then the connection ends");
    drop(connection);
    rig.thread.join().unwrap();
    let lines = String::from_utf8(rig.lines.0.lock().unwrap().clone()).unwrap();
    let connected =
        format!(" INFO connected to mqtt://{address} ({address}, lines, session resumed)\n");
    assert!(lines.contains(&connected), "{lines}");
    assert!(
        lines.contains(" INFO SIGTERM: stopping; handled what there was\n INFO stopped\n"),
        "{lines}"
    );
    assert!(lines.contains("SIGHUP; so far: what there was"), "{lines}");
}

#[test]
fn a_lost_broker_is_found_again_and_said_so() {
    let (listener, address) = broker();
    let rig = Rig::start(&[address], 1, Vec::new());
    // Lost before it answered, lost after it answered, refused by the session, and once more.
    drop(accept(&listener));
    let connection = accept(&listener);
    connection.get_ref().write_all(b"ok\n").unwrap();
    let device = device(rig.links[0]);
    device.send(b"before").unwrap();
    assert_eq!(heard(&device), "before");
    drop(connection);
    let connection = accept(&listener);
    connection.get_ref().write_all(b"bad\n").unwrap();
    let connection = accept(&listener);
    connection.get_ref().write_all(b"again\n").unwrap();
    let mut connection = accept(&listener);
    connection.get_ref().write_all(b"ok\n").unwrap();
    device.send(b"after").unwrap();
    assert_eq!(line(&mut connection), "after");
    drop((connection, listener));
    let (log, lines) = rig.stop();
    let hangs_up = ["open", "hung up", "closed"];
    let ends = ["open", "closed"];
    let expected = [&hangs_up[..], &hangs_up, &ends, &ends, &["open"]].concat();
    assert_eq!(log[..expected.len()], expected);
    for expected in [
        format!(
            " WARN cannot use mqtt://{address}: it closed the connection instead of answering \
             CONNECT; if that is a port for TLS, write mqtts:// in `url`; next try in "
        ),
        format!(" WARN lost the connection to mqtt://{address}: the broker "),
        format!(" WARN cannot use mqtt://{address}: it said bad; next try in "),
    ] {
        assert!(lines.contains(&expected), "{expected}: {lines}");
    }
    assert!(!lines.contains("again"), "{lines}");
}

#[test]
fn brokers_are_tried_in_order() {
    let (gone, gone_address) = broker();
    drop(gone);
    let (useless, useless_address) = broker();
    let (listener, address) = broker();
    let rig = Rig::start(&[gone_address, useless_address, address], 1, Vec::new());
    drop(accept(&useless));
    let connection = accept(&listener);
    connection.get_ref().write_all(b"ok\n").unwrap();
    let device = device(rig.links[0]);
    device.send(b"x").unwrap();
    assert_eq!(heard(&device), "x");
    // Lost: the search begins at the head of the list.
    drop((connection, listener));
    drop(accept(&useless));
    let (_, lines) = rig.stop();
    let expected = format!(
        " WARN cannot connect to mqtt://{gone_address}: connection refused: nothing listens on \
         that port; start the broker or correct `url`; trying the next broker\n"
    );
    assert!(lines.starts_with(&expected), "{lines}");
}

#[test]
fn the_connection_goes_back_to_an_earlier_broker() {
    let (gone, first) = broker();
    drop(gone);
    let (listener, second) = broker();
    let interval = Duration::from_millis(20);
    let rig = Rig::start_going_back(&[first, second], 1, Vec::new(), None, interval);
    let mut connection = accept(&listener);
    let device = device(rig.links[0]);
    device.send(b"before ok").unwrap();
    assert_eq!(heard(&device), "before ok");
    assert_eq!(line(&mut connection), "before ok");
    // There, but the present one has not accepted the session yet: nothing moves until it has.
    let back = TcpListener::bind(first).unwrap();
    connection.get_ref().write_all(b"ok\n").unwrap();
    let mut moved = accept(&back);
    assert_eq!(line(&mut connection), "leaving");
    let mut rest = Vec::new();
    // What comes too late does not disturb the goodbye.
    connection.get_ref().write_all(b"too late\n").unwrap();
    connection.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "and then the connection ends");
    moved.get_ref().write_all(b"ok\n").unwrap();
    device.send(b"after").unwrap();
    assert_eq!(heard(&device), "after");
    assert_eq!(line(&mut moved), "after");
    drop((connection, listener, moved, back));
    let (log, lines) = rig.stop();
    assert_eq!(log[..4], ["open", "leave", "closed", "open"]);
    let expected = format!(
        " INFO mqtt://{first} is there again: the connection moves there from mqtt://{second}\n"
    );
    assert!(lines.contains(&expected), "{lines}");
}

#[test]
fn a_slow_broker_gets_everything_in_order() {
    const COUNT: u32 = 100_000;
    let (listener, address) = broker();
    let rig = Rig::start(&[address], 1, Vec::new());
    let mut connection = accept(&listener);
    let device = device(rig.links[0]);
    device.send(format!("flood {COUNT}").as_bytes()).unwrap();
    assert!(heard(&device).starts_with("flood"));
    // The output is far larger than what the kernel takes; devices are served all the same.
    for number in 0..100 {
        device.send(format!("ping {number}").as_bytes()).unwrap();
        assert_eq!(heard(&device), format!("ping {number}"));
    }
    for number in 0..COUNT {
        assert_eq!(line(&mut connection), format!("{number:0100}"));
    }
    for number in 0..100 {
        assert_eq!(line(&mut connection), format!("ping {number}"));
    }
    drop(connection);
    rig.stop();
}

#[test]
fn a_deaf_broker_does_not_stop_the_end() {
    let (listener, address) = broker();
    let rig = Rig::start(&[address], 1, Vec::new());
    let connection = accept(&listener);
    let device = device(rig.links[0]);
    device.send(b"flood 100000").unwrap();
    assert!(heard(&device).starts_with("flood"));
    rig.signals.blocking_send(Signal::Terminate).unwrap();
    let (_, lines) = rig.stop();
    assert!(
        lines.ends_with(" WARN stopped; a second SIGTERM cut the goodbye to the broker short\n")
    );
    drop(connection);
}

#[test]
fn deadlines_are_kept_and_idleness_is_idle() {
    let deadlines = vec![Time(0), Time(120), Time(120), Time(40), Time(1_000_000)];
    let (listener, address) = broker();
    let rig = Rig::start(&[address], 1, deadlines);
    let connection = accept(&listener);
    while rig.log.lock().unwrap().iter().filter(|line| line.starts_with("timeout")).count() < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Nothing to do for a while.
    std::thread::sleep(Duration::from_millis(300));
    drop(connection);
    let (log, _) = rig.stop();
    let timeouts: Vec<&str> =
        log.iter().filter_map(|line| line.strip_prefix("timeout for ")).collect();
    assert_eq!(timeouts, ["1", "1", "2"], "{log:?}");
    let asked: u64 = log.last().unwrap().strip_prefix("asked ").unwrap().parse().unwrap();
    assert!(asked < 60, "{asked} turns");
}

#[test]
fn what_a_device_hears_is_written_first() {
    let directory = tempfile::tempdir().unwrap();
    let storage = || FileStorage::open(directory.path()).unwrap();
    let rig = Rig::start_keeping(storage());
    let device = device(rig.links[0]);
    for number in 0..20 {
        device.send(format!("keep {number}").as_bytes()).unwrap();
        assert_eq!(heard(&device), format!("kept {number}"));
    }
    // Those that come while one is written share the next commit.
    for number in 20..200 {
        device.send(format!("keep {number}").as_bytes()).unwrap();
    }
    for number in 20..200 {
        assert_eq!(heard(&device), format!("kept {number}"));
    }
    let (_, lines) = rig.stop();
    assert!(lines.ends_with(" INFO stopped\n"), "{lines}");
    let (_, image, opened) = Journal::open(storage(), SyncMode::Batch).unwrap();
    assert_eq!(image.unwrap().messages.len(), 200);
    assert!((21..=200).contains(&opened.frames), "{opened:?}");
}

/// A disk that does nothing until it is told to, and then fails.
struct Stuck(std::sync::mpsc::Receiver<()>, std::sync::mpsc::Sender<()>);

impl Storage for Stuck {
    fn load(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        self.1.send(()).unwrap();
        self.0.recv().unwrap();
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }

    fn append_next(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sync_next(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn replace(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn abandon(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_does_not_answer_stops_neither_devices_nor_the_end() {
    let (go, wait) = std::sync::mpsc::channel();
    let (busy, is_busy) = std::sync::mpsc::channel();
    let rig = Rig::start_keeping(Stuck(wait, busy));
    let device = device(rig.links[0]);
    device.send(b"keep 1").unwrap();
    is_busy.recv().unwrap();
    device.send(b"other").unwrap();
    assert_eq!(heard(&device), "other");
    let (log, lines) = rig.stop();
    assert!(!log.contains(&"kept 1".to_owned()));
    let expected = " WARN the disk did not take the last of the state in time; the next start may \
                    miss it\n INFO stopped\n";
    assert!(lines.ends_with(expected), "{lines}");
    go.send(()).unwrap();
}

#[test]
fn what_is_left_is_written_at_the_end() {
    for fails in [false, true] {
        let (go, wait) = std::sync::mpsc::channel();
        let (busy, is_busy) = std::sync::mpsc::channel();
        let directory = tempfile::tempdir().unwrap();
        let rig = if fails {
            Rig::start_keeping(Stuck(wait, busy))
        } else {
            Rig::start_keeping(FileStorage::open(directory.path()).unwrap())
        };
        let device = device(rig.links[0]);
        device.send(b"keep 1").unwrap();
        if fails {
            is_busy.recv().unwrap();
        }
        // Taken after the one before, so it waits while that is written.
        device.send(b"keep 2").unwrap();
        device.send(b"other").unwrap();
        while heard(&device) != "other" {}
        let signals = rig.signals.clone();
        signals.blocking_send(Signal::Terminate).unwrap();
        if fails {
            // Once it has failed nothing more is tried.
            go.send(()).unwrap();
        }
        rig.thread.join().unwrap();
        let log = rig.log.lock().unwrap().clone();
        assert_eq!(log.contains(&"kept 2".to_owned()), !fails, "{log:?}");
        assert_eq!(log.contains(&"lost 1".to_owned()), fails, "{log:?}");
    }
}

#[test]
fn what_was_given_up_is_not_done_later() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (_, address) = broker();
        let settings = Settings {
            brokers: Arc::new(Brokers {
                servers: vec![Server {
                    host: address.ip().to_string().into(),
                    port: address.port(),
                    ..Server::default()
                }]
                .into(),
                tls: None,
                connect_timeout: Duration::from_secs(5),
            }),
            reconnect_min: Duration::from_millis(20),
            reconnect_max: Duration::from_millis(50),
            failback_interval: Duration::ZERO,
        };
        let own = OwnConnections::new(settings.clone(), Ways::to(settings.brokers.clone()), 1);
        let (asker, questions) = admin::channel();
        let parts = Parts {
            links: Vec::new(),
            brokers: vec![BrokerConnection::new(settings, 7)],
            own,
            store: None,
            signals: Signals::channel().1,
            reload: None,
            clock: Clock::start(Time(0)),
            questions: Some(questions),
            pulse: None,
        };
        let mut gateway = Gateway::new(parts, |_| Lines::default());
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::new(directory.path());
        let setup = || {
            let sink = folder.begin(LEAST_BYTES).unwrap();
            Box::new(Setup { sink, choice: Choice::default() })
        };
        // Whoever asks hangs up before the loop comes to it.
        let late = asker.ask(|reply| Question::CaptureStart(setup(), reply));
        assert!(tokio::time::timeout(Duration::ZERO, late).await.is_err());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(gateway.poll_questions(&mut cx, Time(0)).is_ready());
        assert!(gateway.capture_report().is_none());
        // And who waits is answered.
        let answered = asker.ask(|reply| Question::CaptureStart(setup(), reply));
        let turn = poll_fn(|cx| gateway.poll_questions(cx, Time(0)));
        let (answer, ()) = tokio::join!(answered, turn);
        assert!(answer.unwrap().unwrap().active);
        assert!(gateway.capture_report().is_some());
    });
}
