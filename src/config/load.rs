//! From text to [`Config`]: every key of every table.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ble::read_ble;
use super::checked::{Config, DEFAULT_RECEIVE_BUFFER, Log, LogFormat, Secret, Sessions, UdpLink};
use super::clients::{Surroundings, read_access, read_clients};
use super::endpoint::Endpoint;
use super::error::{self, ConfigError, Invalid, Origin, Problem};
use super::home::read_home;
use super::reader::{Complaint, Reader, bad_value};
use super::serial::read_serial;
use super::state::{self, check_state_dir, read_spool, read_store};
use super::tls::read_tls;
use super::tree::{Node, Table, Value, parse_document};
use super::values::{
    TAKEOVERS, check_admin, check_level, check_loopback, check_name, check_prefix, check_topic,
    check_topic_id, parse_broker,
};
use super::{SAMPLE, env};
use crate::mqtt::Version;

/// The file that is read when none is named.
pub const DEFAULT_PATH: &str = "gateway.toml";

/// Where a configuration came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// There is no file: the sample's defaults.
    Sample,
}

impl Config {
    /// Reads the file, or, if none is named and there is no `gateway.toml` here, the built-in
    /// sample; then the environment over it.
    ///
    /// # Errors
    /// The file cannot be read, or something in it or in the environment is wrong.
    pub fn load(
        path: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(Self, Source), ConfigError> {
        let default = Path::new(DEFAULT_PATH);
        let file = path.unwrap_or(default);
        match std::fs::read(file) {
            Ok(octets) => {
                let config = Self::from_octets(file, &octets, variables)?;
                Ok((config, Source::File(file.to_owned())))
            }
            Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                let name = Path::new("(built-in sample)");
                Ok((Self::from_toml(name, SAMPLE, variables)?, Source::Sample))
            }
            Err(reason) => Err(ConfigError::Unreadable { path: file.to_owned(), reason }),
        }
    }

    fn from_octets(
        path: &Path,
        octets: &[u8],
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        match std::str::from_utf8(octets) {
            Ok(text) => Self::from_toml(path, text, variables),
            Err(error) => {
                let good =
                    String::from_utf8_lossy(octets.get(..error.valid_up_to()).unwrap_or(&[]));
                let problem = Complaint::new(
                    "this is not UTF-8",
                    "TOML files are UTF-8; what stands before this place is fine",
                )
                .at(&Origin::File(good.len()..good.len()));
                Err(ConfigError::Invalid(Invalid::new(path, &good, vec![problem])))
            }
        }
    }

    /// Reads TOML. `path` is what problems are reported under and what relative paths in it begin
    /// at; it is not opened.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn from_toml(
        path: &Path,
        source: &str,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let invalid = |problems| ConfigError::Invalid(Invalid::new(path, source, problems));
        let mut root = parse_document(source).map_err(invalid)?;
        let variables: Vec<(OsString, OsString)> = variables.into_iter().collect();
        let given = state::given_directory(&variables);
        let mut problems = Vec::new();
        env::apply(&mut root, variables, &mut problems);
        let source_of = error::Source { path, text: source };
        let config = read_config(root, source_of, given, &mut problems);
        if problems.is_empty() { Ok(config) } else { Err(invalid(problems)) }
    }
}

/// Relative paths begin where the file is; `state` is the directory that the service manager gives.
fn read_config(
    root: Table,
    source: error::Source<'_>,
    state: Option<PathBuf>,
    problems: &mut Vec<Problem>,
) -> Config {
    let directory = source.path.parent().unwrap_or(Path::new(""));
    let mut config = Config::default();
    let mut found = Vec::new();
    let mut root = Reader::new("", root, &mut found);
    root.text("name", &mut config.name, check_name);
    root.integer("gateway_id", 1..=255, &mut config.gateway_id);
    config.state_dir = state.unwrap_or_else(|| directory.join(&config.state_dir));
    root.text("state_dir", &mut config.state_dir, |text| check_state_dir(text, directory));
    let upstream = root.table("upstream");
    let embedded = root.table("embedded_broker");
    let sessions = root.table("sessions");
    let discovery = root.table("discovery");
    let topics = root.table("topics");
    let udp = root.tables("udp");
    let serial = root.tables("serial");
    let ble = root.tables("ble");
    let clients = root.tables("client");
    let access = root.table("access");
    let store = root.table("store");
    let status = root.table("status");
    let home = root.table("home_assistant");
    let admin = root.table("admin");
    let log = root.table("log");
    root.finish();

    let mut upstream = Reader::new("upstream", upstream, &mut found);
    let spool = upstream.table("spool");
    let tls = upstream.table("tls");
    let url = read_upstream(upstream, directory, &mut config);
    read_tls(Reader::new("upstream.tls", tls, &mut found), directory, &url, &mut config.upstream);
    let spool = Reader::new("upstream.spool", spool, &mut found);
    read_spool(spool, &mut config.upstream.spool);
    let mut embedded = Reader::new("embedded_broker", embedded, &mut found);
    embedded.text("listen", &mut config.embedded_broker.listen, check_loopback);
    embedded.finish();
    read_sessions(Reader::new("sessions", sessions, &mut found), &mut config.sessions);
    let mut discovery = Reader::new("discovery", discovery, &mut found);
    discovery.duration_or_never(
        "advertise_interval",
        SECOND..=SECOND * 65_535,
        &mut config.discovery.advertise_interval,
    );
    config.discovery.advertise_interval = whole_seconds(config.discovery.advertise_interval);
    discovery.boolean("answer_search", &mut config.discovery.answer_search);
    discovery.finish();
    read_topics(topics, &mut config.topics, &mut found);
    if let (Some([]), Some([]), Some([])) = (udp.as_deref(), serial.as_deref(), ble.as_deref()) {
        let complaint = Complaint::new(
            "there is no link to any device",
            "at least one is needed; add these two lines:\n\n[[udp]]\nlisten = \"0.0.0.0:1883\"",
        );
        found.push(complaint.at(&Origin::Missing));
    }
    read_links(udp.unwrap_or_default(), &mut config.udp, &mut found);
    read_serial(serial.unwrap_or_default(), directory, &mut config.serial, &mut found);
    read_ble(ble.unwrap_or_default(), &mut config.ble, &mut found);
    let links = config.link_names();
    let longest = config.sessions.max_client_id_length;
    let transparent = config.upstream.transparent;
    let tls = config.upstream.uses_tls().then(|| config.upstream.tls.clone());
    let tls = tls.as_ref();
    let around = Surroundings { longest, links: &links, directory, transparent, tls, source };
    read_clients(clients.unwrap_or_default(), &around, &mut config.clients, &mut found);
    read_access(Reader::new("access", access, &mut found), &mut config.deny_by_default);
    read_store(Reader::new("store", store, &mut found), &mut config.store);
    let mut status = Reader::new("status", status, &mut found);
    status.boolean("publish", &mut config.status.publish);
    status.finish();
    let home = Reader::new("home_assistant", home, &mut found);
    read_home(home, config.status.publish, &mut config.home_assistant);
    let mut admin = Reader::new("admin", admin, &mut found);
    admin.text("listen", &mut config.admin.listen, check_admin);
    admin.finish();
    read_log(Reader::new("log", log, &mut found), &mut config.log);
    problems.append(&mut found);
    config
}

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Shortest interval that makes sense anywhere: below, timers would do nothing but expire.
pub(super) const SHORTEST: Duration = Duration::from_millis(10);

pub(super) const KIB: u64 = 1 << 10;
pub(super) const GIB: u64 = 1 << 30;

/// Rounded up: both protocols count in whole seconds.
fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX))
}

/// What `mode` can be, and whether each device then has a connection of its own.
pub(super) const MODES: [(&str, bool); 2] = [("aggregating", false), ("transparent", true)];

/// Gives the place of `url`, if it is there and fine.
fn read_upstream(mut reader: Reader<'_>, directory: &Path, config: &mut Config) -> Option<Origin> {
    let upstream = &mut config.upstream;
    let url = reader.texts("url", &mut upstream.brokers, parse_broker);
    if let Some(origin) = &url
        && upstream.brokers.is_empty()
    {
        let help = "give at least one: url = \"embedded\" or url = \"mqtt://host:1883\"";
        reader.complain(origin, Complaint::new("`url` names no broker", help));
    }
    reader.choice("mode", &mut upstream.transparent, &MODES);
    let version = reader.choice(
        "version",
        &mut upstream.version,
        &[("auto", Version::Auto), ("5", Version::V5), ("3.1.1", Version::V311)],
    );
    if let Some(origin) = version
        && upstream.version == Version::V5
        && upstream.uses_embedded()
    {
        let help = "write \"auto\" or \"3.1.1\", or name another broker in `url`";
        reader
            .complain(&origin, Complaint::new("the built-in broker speaks only MQTT 3.1.1", help));
    }
    let mut login = LoginKeys {
        username: upstream.username.take(),
        password: upstream.password.take(),
        password_file: upstream.password_file.take(),
    };
    read_login(&mut reader, directory, &mut login);
    upstream.username = login.username;
    upstream.password = login.password;
    upstream.password_file = login.password_file;
    reader.duration("keep_alive", SECOND..=SECOND * 65_535, &mut upstream.keep_alive);
    upstream.keep_alive = whole_seconds(upstream.keep_alive);
    reader.text("topic_prefix", &mut upstream.topic_prefix, check_prefix);
    reader.boolean("user_properties", &mut upstream.user_properties);
    reader.integer("connections", 1..=64, &mut upstream.connections);
    reader.duration("connect_timeout", SHORTEST * 10..=HOUR, &mut upstream.connect_timeout);
    let min = reader.duration("reconnect_min", SHORTEST..=DAY, &mut upstream.reconnect_min);
    let max = reader.duration("reconnect_max", SHORTEST..=DAY, &mut upstream.reconnect_max);
    if let Some(origin) = max.or(min)
        && upstream.reconnect_max < upstream.reconnect_min
    {
        let help = "the pause between attempts grows from the one to the other";
        reader.complain(&origin, Complaint::new("`reconnect_max` is below `reconnect_min`", help));
    }
    let interval = &mut upstream.failback_interval;
    reader.duration_or_never("failback_interval", SHORTEST * 10..=DAY, interval);
    reader.finish();
    url
}

/// User name and password, and where the password came from if it was a file.
#[derive(Default)]
pub(super) struct LoginKeys {
    pub(super) username: Option<Box<str>>,
    pub(super) password: Option<Secret>,
    pub(super) password_file: Option<PathBuf>,
}

/// `username`, `password` and `password_file`; the last of them is where the first stands.
pub(super) fn read_login(
    reader: &mut Reader<'_>,
    directory: &Path,
    login: &mut LoginKeys,
) -> Option<Origin> {
    let username = reader.text("username", &mut login.username, |text| {
        if text.len() > 65_535 || text.contains('\0') {
            return Err(Complaint::new(
                "`username` does not fit MQTT",
                "up to 65535 bytes without NUL",
            ));
        }
        Ok(Some(text.into()).filter(|_| !text.is_empty()))
    });
    let mut from_file = None;
    let inline =
        reader.text("password", &mut login.password, |text| check_password(text.as_bytes()));
    let file = reader.text("password_file", &mut from_file, |text| {
        if text.is_empty() {
            return Ok(None);
        }
        let path = directory.join(text);
        read_password(&path).map(|password| Some((path, password)))
    });
    let has_inline = login.password.is_some();
    if let Some((path, password)) = from_file {
        login.password = password;
        login.password_file = Some(path);
    }
    if let Some(origin) = &file
        && has_inline
        && login.password_file.is_some()
    {
        let help = "keep the one and take the other out";
        let message = "`password` and `password_file` are both given";
        reader.complain(origin, Complaint::new(message, help));
    }
    let password = file.or(inline);
    if let Some(origin) = &password
        && login.password.is_some()
        && login.username.is_none()
    {
        let help = "add username = \"…\"; MQTT 3.1.1 has no password without it";
        reader.complain(origin, Complaint::new("there is a password but no `username`", help));
    }
    username.or(password)
}

fn read_password(path: &Path) -> Result<Option<Secret>, Complaint> {
    let octets = std::fs::read(path).map_err(|error| {
        Complaint::new(
            format!("cannot read `password_file` {}: {error}", path.display()),
            "relative names begin at the directory of the configuration file; \
             the gateway's user must be able to read it",
        )
    })?;
    let line = octets.strip_suffix(b"\n").unwrap_or(&octets);
    check_password(line.strip_suffix(b"\r").unwrap_or(line))
}

fn check_password(octets: &[u8]) -> Result<Option<Secret>, Complaint> {
    if octets.len() > 65_535 {
        return Err(Complaint::new("the password is too long for MQTT", "up to 65535 bytes"));
    }
    Ok(Some(Secret::new(octets)).filter(|_| !octets.is_empty()))
}

fn read_sessions(mut reader: Reader<'_>, sessions: &mut Sessions) {
    reader.integer("max_clients", 1..=1_000_000, &mut sessions.max_clients);
    reader.integer("max_client_id_length", 1..=128, &mut sessions.max_client_id_length);
    reader.duration("retry_interval", SHORTEST..=HOUR, &mut sessions.retry_interval);
    reader.integer("retry_count", 0..=100, &mut sessions.retry_count);
    reader.permille(
        "keep_alive_tolerance",
        1_000..=10_000,
        &mut sessions.keep_alive_tolerance_permille,
    );
    let tolerance = &mut sessions.sleep_tolerance_permille;
    reader.permille("sleep_tolerance", 1_000..=10_000, tolerance);
    reader.choice("takeover", &mut sessions.takeover, &TAKEOVERS);
    reader.boolean("keep_session_on_wake", &mut sessions.keep_session_on_wake);
    reader.boolean("queue_qos0_messages", &mut sessions.queue_qos0_messages);
    reader.boolean("unauthenticated_publish", &mut sessions.unauthenticated_publish);
    reader.integer("max_topics_per_client", 1..=65_534, &mut sessions.max_topics_per_client);
    let most = &mut sessions.max_subscriptions_per_client;
    reader.integer("max_subscriptions_per_client", 1..=65_535, most);
    reader.integer("max_buffered_messages", 1..=1_000_000, &mut sessions.max_buffered_messages);
    let each = reader.size("max_buffered_bytes", KIB..=GIB, &mut sessions.max_buffered_bytes);
    let most = &mut sessions.max_buffered_bytes_total;
    let total = reader.size("max_buffered_bytes_total", KIB..=1024 * GIB, most);
    if let Some(origin) = total.or(each)
        && sessions.max_buffered_bytes_total < sessions.max_buffered_bytes
    {
        let message = "`max_buffered_bytes_total` is below `max_buffered_bytes`";
        reader.complain(
            &origin,
            Complaint::new(message, "the total is at least what one client may take"),
        );
    }
    reader.duration_or_never("session_expiry", SECOND..=DAY * 3_650, &mut sessions.session_expiry);
    reader.finish();
}

pub(super) fn read_topics(
    table: Table,
    topics: &mut Vec<(u16, Box<str>)>,
    problems: &mut Vec<Problem>,
) {
    let mut entries = table.0;
    // In the order of the file, so that it is the second of two that is reported.
    entries.sort_by_key(|entry| match &entry.key_origin {
        Origin::File(span) => span.start,
        _ => usize::MAX,
    });
    for entry in entries {
        let id = check_topic_id(&entry.key).and_then(|id| {
            match topics.iter().any(|(known, _)| *known == id) {
                true => Err(Complaint::new(
                    format!("topic id {id} is given twice"),
                    "each id names one topic",
                )),
                false => Ok(id),
            }
        });
        let name = match &entry.node {
            Node { value: Value::String(name), .. } | Node { raw: Some(name), .. } => {
                check_topic(name)
            }
            Node { value, .. } => Err(Complaint::new(
                format!("a topic name is a string, but this is {}", value.kind()),
                "write it in quotes: 1 = \"sensors/temperature\"",
            )),
        };
        match (id, name) {
            (Ok(id), Ok(name)) => topics.push((id, name)),
            (id, name) => {
                problems.extend(id.err().map(|complaint| complaint.at(&entry.key_origin)));
                problems.extend(name.err().map(|complaint| complaint.at(&entry.node.origin)));
            }
        }
    }
    topics.sort_unstable_by_key(|(id, _)| *id);
}

fn read_links(tables: Vec<(Origin, Table)>, links: &mut Vec<UdpLink>, problems: &mut Vec<Problem>) {
    for (begin, table) in tables {
        let mut reader = Reader::new("udp", table, problems);
        let mut listen = None;
        let place =
            reader.text("listen", &mut listen, |text| parse_endpoint("listen", text).map(Some));
        if place.is_none() {
            let help = "add listen = \"0.0.0.0:1883\" below it";
            reader.complain(&begin, Complaint::new("this [[udp]] has no `listen`", help));
        }
        let mut link = UdpLink {
            listen: Endpoint { ip: [0, 0, 0, 0].into(), interface: None, port: 0 },
            advertise_to: Vec::new(),
            groups: Vec::new(),
            retry_interval: None,
            receive_buffer: DEFAULT_RECEIVE_BUFFER,
        };
        reader.texts("advertise_to", &mut link.advertise_to, check_destination);
        reader.texts("groups", &mut link.groups, check_group);
        let mut retry = Duration::ZERO;
        if reader.duration("retry_interval", SHORTEST..=HOUR, &mut retry).is_some() {
            link.retry_interval = Some(retry);
        }
        reader.size("receive_buffer", 4 * KIB..=GIB, &mut link.receive_buffer);
        if let (Some(listen), Some(place)) = (listen, place) {
            if let Some(other) = links.iter().find(|other| other.listen.conflicts_with(&listen)) {
                let complaint = Complaint::new(
                    format!(
                        "{listen} is in the way of {}, which is listened on above",
                        other.listen
                    ),
                    "give each [[udp]] its own address or port; 0.0.0.0 and [::] stand for all \
                     addresses of the machine, [::] for those of IPv4 too",
                );
                reader.complain(&place, complaint);
            }
            link.listen = listen;
        }
        reader.finish();
        links.push(link);
    }
}

fn parse_endpoint(key: &str, text: &str) -> Result<Endpoint, Complaint> {
    text.parse().map_err(|error| {
        let help =
            format!("{error}; write address and port, like \"0.0.0.0:1883\" or \"[::]:1883\"");
        bad_value(key, text, help)
    })
}

fn check_destination(text: &str) -> Result<Endpoint, Complaint> {
    let endpoint = parse_endpoint("advertise_to", text)?;
    if endpoint.port == 0 || endpoint.ip.is_unspecified() {
        let help = "a broadcast, multicast or single address with the port on which devices listen, \
                    like \"255.255.255.255:1883\"";
        return Err(bad_value("advertise_to", text, help));
    }
    Ok(endpoint)
}

fn check_group(text: &str) -> Result<Endpoint, Complaint> {
    let endpoint = parse_endpoint("groups", text)?;
    if endpoint.port == 0 || !endpoint.ip.is_multicast() {
        let help = "a multicast address (224.0.0.0 to 239.255.255.255, or ff00::/8) with a port, \
                    like \"225.1.1.1:1883\"";
        return Err(bad_value("groups", text, help));
    }
    Ok(endpoint)
}

fn read_log(mut reader: Reader<'_>, log: &mut Log) {
    reader.text("level", &mut log.level, check_level);
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    reader.choice("format", &mut log.format, &formats);
    reader.finish();
}
