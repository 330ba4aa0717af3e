//! The sample `gateway.toml`: it runs as it is, shows every default truthfully, and every key that it
//! shows can be used.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use mqtt_sn_gateway::config::{Broker, Config, SAMPLE};
use mqtt_sn_gateway::core::{ClientRule, Profile, Takeover};
use mqtt_sn_gateway::mqtt::Spool;
use mqtt_sn_gateway::store::commit::{CommitSettings, SyncMode};

#[path = "support/mod.rs"]
mod support;

use support::certificates::prepare;

const NO_VARIABLES: [(OsString, OsString); 0] = [];

fn load(text: &str) -> Config {
    match Config::from_toml(Path::new("gateway.toml"), text, NO_VARIABLES) {
        Ok(config) => config,
        Err(error) => panic!("{error}"),
    }
}

/// A commented-out setting: `#key = value` or `#[[table]]`, where prose has a space after the `#`.
fn setting(line: &str) -> Option<&str> {
    let begins = |c: char| c.is_ascii_alphanumeric() || c == '[';
    line.strip_prefix('#').filter(|rest| rest.starts_with(begins))
}

/// The key of a setting, or the table that it opens.
fn key(setting: &str) -> &str {
    if setting.starts_with('[') {
        return setting;
    }
    setting.split_once(" = ").expect("a commented setting has a value").0
}

/// The sample with every line taken into use except one, because the password can be given once, and
/// with a broker that is spoken to by TLS.
fn everything_in_use(left_out: &str) -> String {
    SAMPLE
        .replace("\"embedded\"\n", "\"mqtts://host\"\n")
        .lines()
        .map(|line| setting(line).filter(|setting| key(setting) != left_out).unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// Settings that are shown with an example because they have no default.
const EXAMPLES: [&str; 18] = [
    "username",
    "password",
    "password_file",
    "ca_file",
    "cert_file",
    "key_file",
    "server_name",
    "1",
    "2",
    "advertise_to",
    "groups",
    "[[serial]]",
    "[[ble]]",
    "allow",
    "[[client]]",
    "[client.topics]",
    "[client.home_assistant]",
    "[[client.home_assistant.entity]]",
];

#[test]
fn runs_as_it_is() {
    let config = load(SAMPLE);
    assert_eq!(&*config.name, "gateway");
    assert_eq!(config.upstream.brokers, [Broker::Embedded]);
    assert_eq!(config.udp.len(), 1);
    assert_eq!(config.udp[0].listen.to_string(), "0.0.0.0:1883");
    assert_eq!(config.udp[0].receive_buffer, 4 * 1024 * 1024);
}

#[test]
fn shows_the_defaults_that_hold() {
    let active = load(SAMPLE).to_toml();
    // What stands below a table that is an example is one too, up to the next table.
    let mut example = false;
    let with_defaults: String = SAMPLE
        .lines()
        .map(|line| {
            let setting = setting(line);
            if let Some(table) = setting.or(Some(line)).filter(|text| text.starts_with('[')) {
                example = EXAMPLES.contains(&table);
            }
            match setting {
                Some(setting) if !example && !EXAMPLES.contains(&key(setting)) => setting,
                _ => line,
            }
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_ne!(with_defaults, SAMPLE);
    assert_eq!(load(&with_defaults).to_toml(), active);

    let udp = load("[[udp]]\nlisten = \"0.0.0.0:1883\"").udp;
    let from_code = Config { udp, ..Config::default() };
    assert_eq!(from_code.to_toml(), active);
}

#[test]
fn every_line_can_be_taken_into_use() {
    let directory = prepare();
    let path = directory.path().join("gateway.toml");
    for left_out in ["password", "password_file"] {
        let config = match Config::from_toml(&path, &everything_in_use(left_out), NO_VARIABLES) {
            Ok(config) => config,
            Err(error) => panic!("{error}"),
        };
        let expected = if left_out == "password" { "hush" } else { "secret" };
        let password = config.upstream.password.as_ref().expect("a password");
        assert_eq!(password.reveal(), expected.as_bytes());
        assert_eq!(config.topics.len(), 2);
        assert_eq!(config.udp[0].advertise_to.len(), 2);
        assert_eq!(config.udp[0].groups.len(), 1);
        assert_eq!(config.serial.len(), 1);
        assert_eq!(config.clients.len(), 1);
        for text in [config.to_toml(), format!("{config:?}"), format!("{:?}", config.upstream)] {
            assert!(!text.contains("hush") && !text.contains("secret"), "{text}");
        }
    }
}

#[test]
fn names_every_key_in_the_order_of_the_tables() {
    let directory = prepare();
    let text = everything_in_use("password_file");
    let path = directory.path().join("gateway.toml");
    let in_effect = Config::from_toml(&path, &text, NO_VARIABLES).expect("the sample").to_toml();
    let mut table = String::new();
    let mut checked = 0;
    for line in in_effect.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') {
            table = line.to_owned();
            continue;
        }
        let name = line.split(" = ").next().expect("a key");
        let start = if table.is_empty() { 0 } else { SAMPLE.find(&table).expect("the table") };
        let found = SAMPLE[start..]
            .lines()
            .any(|line| line.trim_start_matches('#').starts_with(&format!("{name} = ")));
        assert!(found, "{table} {name} is not in the sample");
        checked += 1;
    }
    assert!(checked > 40, "only {checked} keys");
}

#[test]
fn explains_every_profile() {
    let lines: Vec<String> = Profile::ALL
        .iter()
        .map(|profile| format!("#   {:<10} {}", profile.name, profile.about))
        .collect();
    let shown = SAMPLE.lines().skip_while(|line| *line != lines[0]).take_while(|line| *line != "#");
    assert_eq!(shown.collect::<Vec<_>>(), lines, "the list of profiles in gateway.toml");
}

/// Another value for every key of the sample: `table key`, in the order of the sample.
const OTHER_VALUES: &[(&str, &str)] = &[
    ("name", "\"other\""),
    ("gateway_id", "2"),
    ("state_dir", "\"other\""),
    ("upstream url", "\"wss://other\""),
    ("upstream mode", "\"transparent\""),
    ("upstream version", "\"3.1.1\""),
    ("upstream username", "\"other\""),
    ("upstream password", "\"other\""),
    ("upstream password_file", "\"other-password\""),
    ("upstream keep_alive", "\"5s\""),
    ("upstream topic_prefix", "\"other/\""),
    ("upstream connect_timeout", "\"5s\""),
    ("upstream reconnect_min", "\"5s\""),
    ("upstream reconnect_max", "\"5s\""),
    ("upstream connections", "5"),
    ("upstream user_properties", "true"),
    ("upstream failback_interval", "\"5s\""),
    ("upstream.tls ca_file", "\"tls/other.pem\""),
    ("upstream.tls cert_file", "\"tls/gateway-and-more.pem\""),
    ("upstream.tls key_file", "\"tls/gateway-copy.key\""),
    ("upstream.tls server_name", "\"other\""),
    ("upstream.tls insecure", "true"),
    ("upstream.spool max_bytes", "\"5MiB\""),
    ("upstream.spool max_age", "\"5s\""),
    ("upstream.spool qos0", "\"keep\""),
    ("embedded_broker listen", "\"127.0.0.1:5\""),
    ("sessions max_clients", "5"),
    ("sessions max_client_id_length", "25"),
    ("sessions retry_interval", "\"5s\""),
    ("sessions retry_count", "5"),
    ("sessions keep_alive_tolerance", "5"),
    ("sessions sleep_tolerance", "5"),
    ("sessions takeover", "\"never\""),
    ("sessions keep_session_on_wake", "false"),
    ("sessions unauthenticated_publish", "false"),
    ("sessions max_topics_per_client", "5"),
    ("sessions max_subscriptions_per_client", "5"),
    ("sessions max_buffered_messages", "5"),
    ("sessions max_buffered_bytes", "\"5KiB\""),
    ("sessions max_buffered_bytes_total", "\"5MiB\""),
    ("sessions queue_qos0_messages", "true"),
    ("sessions session_expiry", "\"5s\""),
    ("discovery advertise_interval", "\"5s\""),
    ("discovery answer_search", "false"),
    ("topics 1", "\"other\""),
    ("topics 2", "\"other\""),
    ("udp listen", "\"127.0.0.1:5\""),
    ("udp advertise_to", "[]"),
    ("udp groups", "[]"),
    ("udp retry_interval", "\"5s\""),
    ("udp receive_buffer", "\"5KiB\""),
    ("serial device", "\"/dev/ttyS0\""),
    ("serial baud", "9600"),
    ("serial framing", "\"length\""),
    ("serial flow_control", "\"software\""),
    ("serial open_delay", "\"5s\""),
    ("serial retry_interval", "\"5s\""),
    ("serial max_packet", "\"100B\""),
    ("serial rate_limit", "\"5B\""),
    ("serial lora", "\"SF12\""),
    ("serial duty_cycle", "\"0.1%\""),
    ("ble adapter", "\"hci7\""),
    ("ble profile", "\"hm10\""),
    ("ble allow", "[]"),
    ("ble permit_join", "\"5s\""),
    ("ble mtu", "23"),
    ("ble split", "false"),
    ("ble max_connections", "5"),
    ("ble slot_time", "\"5s\""),
    ("ble retry_interval", "\"5s\""),
    ("ble max_packet", "\"100B\""),
    ("client id", "\"other\""),
    ("client link", "\"udp 0*\""),
    ("client allow", "false"),
    ("client publish", "[]"),
    ("client subscribe", "[]"),
    ("client max_qos", "0"),
    ("client username", "\"other\""),
    ("client password", "\"other\""),
    ("client password_file", "\"broker-password\""),
    ("client cert_file", "\"tls/gateway.pem\""),
    ("client key_file", "\"tls/gateway.key\""),
    ("client topic_prefix", "\"other/\""),
    ("client profile", "\"emcute\""),
    ("client max_topics", "5"),
    ("client max_subscriptions", "5"),
    ("client max_buffered_messages", "5"),
    ("client max_buffered_bytes", "\"5KiB\""),
    ("client retry_interval", "\"5s\""),
    ("client retry_count", "6"),
    ("client.topics 1", "\"other\""),
    ("client.home_assistant name", "\"other\""),
    ("client.home_assistant model", "\"other\""),
    ("client.home_assistant.entity key", "\"other\""),
    ("client.home_assistant.entity topic", "\"other\""),
    ("client.home_assistant.entity name", "\"other\""),
    ("client.home_assistant.entity unit", "\"other\""),
    ("client.home_assistant.entity device_class", "\"other\""),
    ("client.home_assistant.entity state_class", "\"other\""),
    ("client.home_assistant.entity value_template", "\"other\""),
    ("client.home_assistant.entity expire_after", "\"5s\""),
    ("access default", "\"deny\""),
    ("store sync", "\"off\""),
    ("store batch_records", "5"),
    ("store batch_time", "\"5ms\""),
    ("status publish", "false"),
    ("home_assistant enabled", "true"),
    ("home_assistant prefix", "\"other\""),
    ("admin listen", "\"\""),
    ("log level", "\"debug\""),
    ("log format", "\"json\""),
];

/// Keys that neither the core nor the MQTT session is told: sockets, files, logging and when to try
/// again are the business of those who do IO.
const OF_OTHERS: &[&str] = &[
    "state_dir",
    "upstream url",
    "upstream reconnect_min",
    "upstream reconnect_max",
    "upstream failback_interval",
    "upstream.tls ca_file",
    "upstream.tls cert_file",
    "upstream.tls key_file",
    "upstream.tls server_name",
    "upstream.tls insecure",
    "embedded_broker listen",
    "udp listen",
    "udp groups",
    "udp receive_buffer",
    "serial baud",
    "serial framing",
    "serial flow_control",
    "serial open_delay",
    "serial rate_limit",
    "serial lora",
    "serial duty_cycle",
    "ble profile",
    "ble allow",
    "ble permit_join",
    "ble mtu",
    "ble split",
    "ble max_connections",
    "ble slot_time",
    "store sync",
    "store batch_records",
    "store batch_time",
    // Nobody is told unless it is enabled.
    "home_assistant prefix",
    "admin listen",
    "log level",
    "log format",
];

#[test]
fn every_key_has_an_effect() {
    let directory = prepare();
    let path = directory.path().join("gateway.toml");
    let load = |text: &str| match Config::from_toml(&path, text, NO_VARIABLES) {
        Ok(config) => config,
        Err(error) => panic!("{error}"),
    };
    let told = |config: &Config| {
        // They are not shown to anybody by mistake.
        let passwords = config.clients.iter().map(|rule| rule.login.clone()?.password);
        let passwords: Vec<_> = passwords.collect();
        format!("{:?}{:?}{passwords:?}", config.core_settings(), config.mqtt_settings())
    };
    let mut remaining = OTHER_VALUES.iter().copied();
    let mut table = String::new();
    for line in SAMPLE.lines().map(|line| setting(line).unwrap_or(line)) {
        if line.starts_with('[') {
            table = format!("{} ", line.trim_matches(['[', ']']));
        }
        let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let full = format!("{table}{name}");
        // With a login of its own, and with a unit, they can be nothing else.
        if matches!(&*full, "client mode" | "client.home_assistant.entity platform") {
            continue;
        }
        let (key, value) = remaining.next().unwrap_or_default();
        assert_eq!(full, key, "the next key of the sample has no other value here");
        let left_out = if name == "password" { "password_file" } else { "password" };
        let text = everything_in_use(left_out);
        // From the table on, because another may have a line that reads so.
        let header = table.trim_end();
        let begin = text.find(&format!("\n[{header}]"));
        let begin = begin.or_else(|| text.find(&format!("\n[[{header}]]"))).unwrap_or_default();
        let (before, after) = text.split_at(begin);
        let at = after.find(&format!("\n{name} = ")).expect("the line") + 1;
        let rest = &after[at + after[at..].find('\n').expect("its end")..];
        let changed = format!("{before}{}{name} = {value}{rest}", &after[..at]);
        let (one, other) = (load(&text), load(&changed));
        if OF_OTHERS.contains(&key) {
            assert_ne!(format!("{one:?}"), format!("{other:?}"), "{key} changes nothing");
        } else {
            assert_ne!(told(&one), told(&other), "{key} changes nothing");
        }
    }
    assert_eq!(remaining.next(), None, "no key of the sample");
}

#[test]
fn rules_for_clients_reach_the_core_in_their_order() {
    let config = load(
        r#"
[sessions]
takeover = "asleep-or-lost"
sleep_tolerance = 1.25
[[client]]
id = "meter-7"
[[client]]
id = "meter-*"
profile = "emcute"
[[client]]
id = "*"
profile = "standard"
[[udp]]
listen = "127.0.0.1:0"
"#,
    );
    let core = config.core_settings();
    let rule = |line: u32, id: &str, profile: &str| ClientRule {
        id: id.into(),
        origin: format!("gateway.toml:{line}: [[client]] id = \"{id}\"").into(),
        profile: Profile::named(profile).expect("a profile"),
        ..ClientRule::default()
    };
    assert_eq!(
        core.rules,
        [rule(5, "meter-7", "standard"), rule(7, "meter-*", "emcute"), rule(10, "*", "standard")]
    );
    assert_eq!((core.takeover, core.sleep_tolerance_permille), (Takeover::AsleepOrLost, 1_250));
    for profile in Profile::ALL {
        let text = format!("[[client]]\nid = \"a\"\nprofile = \"{}\"\n", profile.name);
        let config = load(&format!("{text}[[udp]]\nlisten = \"127.0.0.1:0\""));
        assert_eq!(Profile::at(config.clients[0].profile), profile);
        assert!(config.to_toml().contains(&text), "{}", config.to_toml());
    }
}

#[test]
fn what_is_printed_in_effect_reads_back_the_same() {
    let text = r##"
name = "ü \"quoted\" \\ name"
gateway_id = 7
state_dir = "/var/lib/a \"b\""
topics = { 1 = "a\tb", 65534 = "$x" }
[upstream]
url = ["mqtt://one", "mqtt://[::1]:1884", "mqtt://[fe80::1%eth0]", "ws://one", "wss://one:1/?a=b",
       "mqtts://one", "embedded"]
version = "3.1.1"
username = "me"
keep_alive = "1m30s"
topic_prefix = "site/"
reconnect_min = "500ms"
failback_interval = "0s"
[upstream.tls]
server_name = "broker.example"
insecure = true
[upstream.spool]
max_bytes = "1GiB"
max_age = "1d12h"
qos0 = "keep"
[store]
sync = "off"
batch_records = 10000
batch_time = "1s500ms"
[sessions]
keep_alive_tolerance = 2
sleep_tolerance = 1.001
takeover = "asleep-or-lost"
keep_session_on_wake = false
queue_qos0_messages = true
session_expiry = "0s"
max_buffered_bytes = "2KiB"
max_buffered_bytes_total = "1GiB"
[[udp]]
listen = "[::1]:2000"
advertise_to = "[ff02::1%eth0]:1883"
groups = ["[ff02::2%3]:1883"]
retry_interval = "2s"
[[udp]]
listen = "127.0.0.1:2000"
[[serial]]
device = "/dev/ttyS0"
[[serial]]
device = "/dev/ttyS1"
baud = 9600
framing = "length"
retry_interval = "3s"
max_packet = "60B"
[[client]]
id = "meter-\"ü\"?*"
link = "udp 127*"
profile = "emcute"
allow = false
publish = []
subscribe = ["a/%c/#", "+"]
max_qos = 0
topic_prefix = "%c/"
max_buffered_bytes = "1KiB"
retry_interval = "1s500ms"
retry_count = 0
[client.topics]
7 = "own"
[access]
default = "deny"
[[client]]
id = "*"
[log]
level = "info,mqtt_sn_gateway::core=debug"
format = "json"
"##;
    let config = load(text);
    let printed = config.to_toml();
    assert_eq!(load(&printed).to_toml(), printed);
    assert_eq!(
        config.upstream.brokers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "mqtt://one:1883",
            "mqtt://[::1]:1884",
            "mqtt://[fe80::1%eth0]:1883",
            "ws://one:80/mqtt",
            "wss://one:1/?a=b",
            "mqtts://one:8883",
            "embedded"
        ]
    );
    assert_eq!(config.topics, [(1, "a\tb".into()), (65534, "$x".into())]);
    assert_eq!(config.sessions.keep_alive_tolerance_permille, 2_000);
    assert_eq!(config.state_dir, Path::new("/var/lib/a \"b\""));
    let spool = Spool { max_bytes: 1 << 30, max_age: Duration::from_secs(36 * 3_600), qos0: true };
    assert_eq!(config.mqtt_settings().spool, Some(spool));
    let store = CommitSettings {
        sync: SyncMode::Off,
        records: 10_000,
        time: Duration::from_millis(1_500),
        ..CommitSettings::default()
    };
    assert_eq!(config.store, store);
}

#[test]
fn each_change_is_written_at_once_with_sync_always() {
    let link = "[[udp]]\nlisten = \"127.0.0.1:0\"\n";
    for text in ["[store]\nsync = \"always\"\n", "[store]\nsync = \"always\"\nbatch_records = 64\n"]
    {
        let config = load(&format!("{text}{link}"));
        assert_eq!((config.store.sync, config.store.records), (SyncMode::Always, 1));
        assert!(config.to_toml().contains("\nsync = \"always\"\nbatch_records = 1\n"));
        assert_eq!(load(&config.to_toml()).store, config.store);
    }
    assert_eq!(load(link).store, CommitSettings::default());
    assert_eq!(load(link).mqtt_settings().spool, Some(Spool::default()));
}
