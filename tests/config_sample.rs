//! The sample `gateway.toml`: it runs as it is, shows every default truthfully, and every key that it
//! shows can be used.

use std::ffi::OsString;
use std::path::Path;

use mqtt_sn_gateway::config::{Broker, Config, SAMPLE};

const NO_VARIABLES: [(OsString, OsString); 0] = [];

fn load(text: &str) -> Config {
    match Config::from_toml(Path::new("gateway.toml"), text, NO_VARIABLES) {
        Ok(config) => config,
        Err(error) => panic!("{error}"),
    }
}

/// A commented-out setting: `#key = value`, where prose has a space after the `#`.
fn setting(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

fn key(setting: &str) -> &str {
    setting.split_once(" = ").expect("a commented setting has a value").0
}

/// Settings that are shown with an example because they have no default.
const EXAMPLES: [&str; 7] =
    ["username", "password", "password_file", "1", "2", "advertise_to", "groups"];

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
    let with_defaults: String = SAMPLE
        .lines()
        .map(|line| match setting(line) {
            Some(setting) if !EXAMPLES.contains(&key(setting)) => setting,
            _ => line,
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
    let directory = tempfile::tempdir().expect("a directory for the password");
    std::fs::write(directory.path().join("broker-password"), "hush\n").expect("the password");
    let path = directory.path().join("gateway.toml");
    for left_out in ["password", "password_file"] {
        let text: String = SAMPLE
            .lines()
            .map(|line| setting(line).filter(|setting| key(setting) != left_out).unwrap_or(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        let config = match Config::from_toml(&path, &text, NO_VARIABLES) {
            Ok(config) => config,
            Err(error) => panic!("{error}"),
        };
        let expected = if left_out == "password" { "hush" } else { "secret" };
        let password = config.upstream.password.as_ref().expect("a password");
        assert_eq!(password.reveal(), expected.as_bytes());
        assert_eq!(config.topics.len(), 2);
        assert_eq!(config.udp[0].advertise_to.len(), 2);
        assert_eq!(config.udp[0].groups.len(), 1);
        for text in [config.to_toml(), format!("{config:?}"), format!("{:?}", config.upstream)] {
            assert!(!text.contains("hush") && !text.contains("secret"), "{text}");
        }
    }
}

#[test]
fn names_every_key_in_the_order_of_the_tables() {
    let in_effect = load(SAMPLE).to_toml();
    let mut table = String::new();
    let mut checked = 0;
    for line in in_effect.lines().filter(|line| !line.is_empty()) {
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
    assert!(checked > 30, "only {checked} keys");
}

#[test]
fn what_is_printed_in_effect_reads_back_the_same() {
    let text = r##"
name = "ü \"quoted\" \\ name"
gateway_id = 7
topics = { 1 = "a\tb", 65534 = "$x" }
[upstream]
url = ["mqtt://one", "mqtt://[::1]:1884", "mqtt://[fe80::1%eth0]", "embedded"]
version = "3.1.1"
username = "me"
keep_alive = "1m30s"
topic_prefix = "site/"
reconnect_min = "500ms"
[sessions]
keep_alive_tolerance = 2
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
[log]
level = "info,mqtt_sn_gateway::core=debug"
format = "json"
"##;
    let config = load(text);
    let printed = config.to_toml();
    assert_eq!(load(&printed).to_toml(), printed);
    assert_eq!(
        config.upstream.brokers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["mqtt://one:1883", "mqtt://[::1]:1884", "mqtt://[fe80::1%eth0]:1883", "embedded"]
    );
    assert_eq!(config.topics, [(1, "a\tb".into()), (65534, "$x".into())]);
    assert_eq!(config.sessions.keep_alive_tolerance_permille, 2_000);
}
