//! The environment over the file.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use mqtt_sn_gateway::config::Config;
use mqtt_sn_gateway::core::{Profile, Takeover};
use mqtt_sn_gateway::store::commit::SyncMode;

fn load(text: &str, variables: &[(&str, &str)]) -> Config {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), value.into()));
    match Config::from_toml(Path::new("gateway.toml"), text, variables) {
        Ok(config) => config,
        Err(error) => panic!("{error}"),
    }
}

const FILE: &str = r#"
name = "file"
[upstream]
url = "mqtt://file"
[topics]
1 = "file"
[[udp]]
listen = "127.0.0.1:1"
receive_buffer = "1MiB"
"#;

#[test]
fn variables_win_over_the_file() {
    let config = load(
        FILE,
        &[
            ("MQTT_SN_GATEWAY_NAME", "variable"),
            ("MQTT_SN_GATEWAY_UPSTREAM__URL", r#"["mqtt://one", "mqtt://two"]"#),
            ("MQTT_SN_GATEWAY_UPSTREAM__KEEP_ALIVE", "5s"),
            ("MQTT_SN_GATEWAY_SESSIONS__RETRY_COUNT", "7"),
            ("MQTT_SN_GATEWAY_SESSIONS__RETRY_INTERVAL", "\"2s\""),
            ("MQTT_SN_GATEWAY_STATUS__PUBLISH", "false"),
            ("MQTT_SN_GATEWAY_TOPICS__1", "variable"),
            ("MQTT_SN_GATEWAY_TOPICS__2", "two"),
            ("MQTT_SN_GATEWAY_UDP__0__LISTEN", "127.0.0.1:2"),
        ],
    );
    assert_eq!(&*config.name, "variable");
    assert_eq!(config.upstream.brokers.len(), 2);
    assert_eq!(config.upstream.keep_alive, Duration::from_secs(5));
    assert_eq!(config.sessions.retry_count, 7);
    assert_eq!(config.sessions.retry_interval, Duration::from_secs(2));
    assert!(!config.status.publish);
    assert_eq!(config.topics, [(1, "variable".into()), (2, "two".into())]);
    assert_eq!(config.udp[0].listen.to_string(), "127.0.0.1:2");
    assert_eq!(config.udp[0].receive_buffer, 1 << 20, "the rest of the table stays");
}

#[test]
fn links_can_come_from_variables_alone() {
    let variables: Vec<(String, String)> = (0..12)
        .map(|n| (format!("MQTT_SN_GATEWAY_UDP__{n}__LISTEN"), format!("127.0.0.1:{}", 100 + n)))
        .collect();
    let borrowed: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let config = load("", &borrowed);
    let ports: Vec<u16> = config.udp.iter().map(|link| link.listen.port).collect();
    assert_eq!(ports, (100..112).collect::<Vec<u16>>());
    assert_eq!(config.core_settings().links.len(), 12);
}

#[test]
fn a_table_of_tables_can_be_given_whole_and_amended() {
    let config = load(
        "",
        &[
            ("MQTT_SN_GATEWAY_UDP", r#"[{ listen = "127.0.0.1:5", receive_buffer = "1MiB" }]"#),
            ("MQTT_SN_GATEWAY_UDP__0__RECEIVE_BUFFER", "2MiB"),
        ],
    );
    assert_eq!(config.udp.len(), 1);
    assert_eq!(config.udp[0].receive_buffer, 2 << 20);
}

#[test]
fn rules_for_clients_come_from_the_file_and_from_variables() {
    let file = format!("{FILE}[[client]]\nid = \"meter-*\"\nprofile = \"emcute\"\n");
    let config = load(
        &file,
        &[
            ("MQTT_SN_GATEWAY_CLIENT__0__PROFILE", "asymcute"),
            ("MQTT_SN_GATEWAY_CLIENT__1__ID", "17"),
            ("MQTT_SN_GATEWAY_CLIENT__1__PROFILE", "zephyr"),
            ("MQTT_SN_GATEWAY_SESSIONS__TAKEOVER", "never"),
            ("MQTT_SN_GATEWAY_SESSIONS__SLEEP_TOLERANCE", "2"),
            ("MQTT_SN_GATEWAY_SESSIONS__KEEP_SESSION_ON_WAKE", "false"),
        ],
    );
    let core = config.core_settings();
    let rules: Vec<(&str, &str)> =
        core.rules.iter().map(|rule| (&*rule.id, Profile::at(rule.profile).name)).collect();
    assert_eq!(rules, [("meter-*", "asymcute"), ("17", "zephyr")]);
    assert_eq!((core.takeover, core.sleep_tolerance_permille), (Takeover::Never, 2_000));
    assert!(!core.keep_session_on_wake);
}

#[test]
fn text_that_looks_like_a_number_stays_text_where_text_is_wanted() {
    let config = load(
        FILE,
        &[
            ("MQTT_SN_GATEWAY_NAME", "12"),
            ("MQTT_SN_GATEWAY_UPSTREAM__USERNAME", "true"),
            ("MQTT_SN_GATEWAY_UPSTREAM__PASSWORD", "0x10"),
            ("MQTT_SN_GATEWAY_TOPICS__9", "1.5"),
        ],
    );
    assert_eq!(&*config.name, "12");
    assert_eq!(config.upstream.username.as_deref(), Some("true"));
    assert_eq!(config.upstream.password.as_ref().map(|p| p.reveal()), Some(&b"0x10"[..]));
    assert_eq!(config.topics[1], (9, "1.5".into()));
    assert_eq!(config.mqtt_settings().password.as_deref(), Some(&b"0x10"[..]));
}

#[test]
fn the_state_is_where_the_key_the_service_manager_or_the_file_says() {
    let in_etc = |text: &str, variables: &[(&str, &str)]| {
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), value.into()));
        let text = format!("{text}{FILE}");
        match Config::from_toml(Path::new("/etc/gw/gateway.toml"), &text, variables) {
            Ok(config) => config.state_dir,
            Err(error) => panic!("{error}"),
        }
    };
    const KEY: &str = "state_dir = \"kept\"";
    const OURS: (&str, &str) = ("MQTT_SN_GATEWAY_STATE_DIR", "mine");
    const SYSTEMD: (&str, &str) = ("STATE_DIRECTORY", "/var/lib/gw");
    for (text, variables, expected) in [
        ("", &[][..], "/etc/gw/state"),
        ("", &[("STATE_DIRECTORY", "")], "/etc/gw/state"),
        ("", &[SYSTEMD], "/var/lib/gw"),
        ("", &[("STATE_DIRECTORY", "/var/lib/gw:/var/lib/other")], "/var/lib/gw"),
        (KEY, &[], "/etc/gw/kept"),
        (KEY, &[SYSTEMD], "/etc/gw/kept"),
        (KEY, &[SYSTEMD, OURS], "/etc/gw/mine"),
        ("state_dir = \"/srv/gw\"", &[], "/srv/gw"),
        ("", &[("MQTT_SN_GATEWAY_STATE_DIR", "/srv/7"), SYSTEMD], "/srv/7"),
    ] {
        assert_eq!(in_etc(text, variables), Path::new(expected), "{text} {variables:?}");
    }
    assert_eq!(load(FILE, &[]).state_dir, Path::new("state"));
}

#[test]
fn the_store_and_the_spool_can_be_set() {
    let config = load(
        FILE,
        &[
            ("MQTT_SN_GATEWAY_STORE__SYNC", "off"),
            ("MQTT_SN_GATEWAY_STORE__BATCH_RECORDS", "500"),
            ("MQTT_SN_GATEWAY_STORE__BATCH_TIME", "100ms"),
            ("MQTT_SN_GATEWAY_UPSTREAM__SPOOL__MAX_BYTES", "1GiB"),
            ("MQTT_SN_GATEWAY_UPSTREAM__SPOOL__MAX_AGE", "30d"),
            ("MQTT_SN_GATEWAY_UPSTREAM__SPOOL__QOS0", "keep"),
        ],
    );
    assert_eq!((config.store.sync, config.store.records), (SyncMode::Off, 500));
    assert_eq!(config.store.time, Duration::from_millis(100));
    let spool = config.mqtt_settings().spool.expect("a spool");
    assert_eq!((spool.max_bytes, spool.qos0), (1 << 30, true));
    assert_eq!(spool.max_age, Duration::from_secs(30 * 24 * 3_600));
}

#[test]
fn variables_that_are_not_meant_for_us_are_left_alone() {
    let config = load(
        FILE,
        &[
            ("PATH", "/bin"),
            ("MQTT_SN_GATEWAY", "x"),
            ("MQTT_SN_GATEWAY_CONFIG", "elsewhere.toml"),
            ("MQTT_SN_GATEWAY_SERVICE_HOST", "10.0.0.1"),
            ("MQTT_SN_GATEWAY_SERVICE_PORT", "1883"),
            ("MQTT_SN_GATEWAY_SERVICE_PORT_MQTTSN", "1883"),
            ("MQTT_SN_GATEWAY_PORT", "udp://10.0.0.1:1883"),
            ("MQTT_SN_GATEWAY_PORT_1883_UDP", "udp://10.0.0.1:1883"),
            ("MQTT_SN_GATEWAY_PORT_1883_UDP_ADDR", "10.0.0.1"),
            // Compose files set what is not set to nothing.
            ("MQTT_SN_GATEWAY_UPSTREAM__USERNAME", ""),
            ("MQTT_SN_GATEWAY_UPSTREAM__PASSWORD", ""),
        ],
    );
    assert_eq!(&*config.name, "file");
    assert!(config.upstream.username.is_none() && config.upstream.password.is_none());
}

#[test]
fn settings_reach_the_rooms_that_use_them() {
    let config = load(
        FILE,
        &[
            ("MQTT_SN_GATEWAY_GATEWAY_ID", "9"),
            ("MQTT_SN_GATEWAY_UDP__0__ADVERTISE_TO", "255.255.255.255:1883"),
            ("MQTT_SN_GATEWAY_UDP__0__RETRY_INTERVAL", "3s"),
            ("MQTT_SN_GATEWAY_UDP__1__LISTEN", "[::1]:1"),
            ("MQTT_SN_GATEWAY_UPSTREAM__TOPIC_PREFIX", "site/"),
        ],
    );
    let core = config.core_settings();
    assert_eq!((core.gateway_id, &*core.name, &*core.topic_prefix), (9, "file", "site/"));
    assert_eq!(core.predefined, [(1, "file".into())]);
    assert!(core.links[0].broadcast && !core.links[1].broadcast);
    assert_eq!(core.links[0].retry_interval, Some(Duration::from_secs(3)));
    let mqtt = config.mqtt_settings();
    let will = mqtt.will.expect("the status topic's will");
    assert_eq!((&*mqtt.client_id, &*will.topic), ("file", "mqtt-sn-gateway/file/status"));
    assert_eq!((&*will.payload, will.retain), (&b"offline"[..], true));
    assert!(
        load(FILE, &[("MQTT_SN_GATEWAY_STATUS__PUBLISH", "false")]).mqtt_settings().will.is_none()
    );
}
