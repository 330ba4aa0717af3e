//! Whatever the files are: what is printed can be read by the gateway, repeats no secret, and lets in nobody
//! who was not let in before.

use std::ffi::OsString;
use std::path::Path;

use proptest::prelude::*;

use super::input::LONGEST;
use super::paho::{Network, Wishes};
use super::settle::settle;
use super::{emqx, paho};
use crate::config::{Broker, Config};

const CONF: &str = include_str!("../../../tests/import/paho/gateway.conf");
const EVERYTHING: &str = include_str!("../../../tests/import/paho/everything.conf");
const CLIENTS: &str = include_str!("../../../tests/import/paho/clients.conf");
const TOPICS: &str = include_str!("../../../tests/import/paho/predefinedTopic.conf");
const EXAMPLE: &str = include_str!("../../../tests/import/emqx/gateway.conf");
const CLUSTER: &str = include_str!("../../../tests/import/emqx/cluster.hocon");
const PLUGIN: &str = include_str!("../../../tests/import/emqx/emqx_sn.conf");

fn load(text: &str) -> Config {
    let variables: [(OsString, OsString); 0] = [];
    Config::from_toml(Path::new("gateway.toml"), text, variables)
        .unwrap_or_else(|error| panic!("{error}"))
}

fn paho_text(conf: &str, lists: &[&str]) -> String {
    paho::tests::text_of(conf, lists, Wishes::default())
}

/// What a line in the other file became, as the part of the text from one mark to another.
fn part<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from} in {text}"));
    rest.split_once(to).map_or(rest, |(part, _)| part)
}

/// One change to a file.
#[derive(Clone, Debug)]
enum Change {
    Put(usize, Vec<u8>),
    Take(usize, usize),
    Copy(usize, usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let words = prop::sample::select(vec![
        "\n",
        "=",
        "\0",
        "\r",
        "#",
        "\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        "${x}",
        "\\u",
        "\"\"\"",
        "\u{202e}",
        "YES",
        "99999999999999999999",
        "-1",
        "*",
        "?",
        "/",
        "+",
        "include \"x\"\n",
        "secureConnection",
        ": ",
        "\u{1b}",
    ]);
    let octets = prop_oneof![
        words.prop_map(|word| word.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..6)
    ];
    prop_oneof![
        (any::<usize>(), octets).prop_map(|(at, octets)| Change::Put(at, octets)),
        (any::<usize>(), 1..40_usize).prop_map(|(at, many)| Change::Take(at, many)),
        (any::<usize>(), 1..80_usize, any::<usize>())
            .prop_map(|(from, many, to)| Change::Copy(from, many, to)),
    ]
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(change(), 0..12)
}

fn apply(text: &str, changes: &[Change]) -> Vec<u8> {
    let mut octets = text.as_bytes().to_vec();
    for change in changes {
        let length = octets.len() + 1;
        let reach = |at: usize, many: usize| (at % length, (at % length + many).min(length - 1));
        match change {
            Change::Put(at, new) => {
                drop(octets.splice(at % length..at % length, new.iter().copied()))
            }
            Change::Take(at, many) => {
                let (from, to) = reach(*at, *many);
                octets.drain(from..to);
            }
            Change::Copy(from, many, to) => {
                let (begin, end) = reach(*from, *many);
                let new = octets[begin..end].to_vec();
                octets.splice(to % length..to % length, new);
            }
        }
    }
    octets
}

/// The text has nothing in it that a terminal would take for a command.
fn is_plain(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_500) })]

    #[test]
    fn any_files_of_paho_become_a_configuration_or_an_error(
        conf in prop::sample::select(vec![CONF, EVERYTHING]),
        of_conf in changes(),
        of_clients in changes(),
        of_topics in changes(),
        network in prop::sample::select(vec![None, Some(Network::Dtls), Some(Network::Loralink), Some(Network::Udp6)]),
        passwords in any::<bool>(),
    ) {
        let (conf, clients) = (apply(conf, &of_conf), apply(CLIENTS, &of_clients));
        let topics = apply(TOPICS, &of_topics);
        let wishes = Wishes { network, passwords };
        if let Ok(draft) = paho::tests::draft_of(&conf, &[&clients, &topics], wishes) {
            let text = settle(draft).map_err(|failure| TestCaseError::fail(format!("{failure:?}")))?;
            let config = load(&text);
            prop_assert!(is_plain(&text), "{:?}", text);
            prop_assert!(!config.upstream.brokers.contains(&Broker::Embedded));
        }
    }

    #[test]
    fn whoever_was_not_let_in_by_paho_is_not_let_in(of_clients in changes(), of_topics in changes()) {
        // Without TLS, for which the authorities of the system would be read each time.
        let clients = CLIENTS.replace(",secureConnection", "");
        let (clients, topics) = (apply(&clients, &of_clients), apply(TOPICS, &of_topics));
        let closed = EVERYTHING.replace("QoS-1=YES", "QoS-1=NO");
        for conf in [EVERYTHING, closed.as_str()] {
            let draft = paho::tests::draft_of(conf.as_bytes(), &[&clients, &topics], Wishes::default());
            if let Ok(draft) = draft {
                let config = load(&settle(draft).map_err(|failure| TestCaseError::fail(format!("{failure:?}")))?);
                let settings = config.core_settings();
                let rule = settings.rule_for("somebody else", None).and_then(|at| settings.rules.get(at));
                prop_assert!(rule.map_or(config.deny_by_default, |rule| !rule.allow));
            }
        }
    }

    #[test]
    fn any_file_of_emqx_becomes_a_configuration_or_an_error(
        file in prop::sample::select(vec![EXAMPLE, CLUSTER, PLUGIN]),
        changes in changes(),
        passwords in any::<bool>(),
    ) {
        if let Ok(draft) = emqx::tests::draft_of(&apply(file, &changes), passwords) {
            let text = settle(draft).map_err(|failure| TestCaseError::fail(format!("{failure:?}")))?;
            prop_assert!(is_plain(&text), "{:?}", text);
            load(&text);
        }
    }
}

/// As much of everything as there is room for.
#[test]
fn the_largest_files_are_translated_as_well() {
    let fill = |most: usize, line: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for number in 0.. {
            let line = line(number);
            if text.len() + line.len() > most {
                break;
            }
            text.push_str(&line);
        }
        text
    };
    let conf =
        format!("GatewayID=1\nClientAuthentication=YES\n{}", fill(LONGEST, &|_| "x=\n".into()));
    let clients = fill(LONGEST, &|n| format!("{n},a:1\n"));
    let topics = fill(LONGEST, &|n| format!("{},a/+,{n}\n", n % 3_000));
    let config = load(&paho_text(&conf, &[&clients, &topics]));
    assert_eq!((config.clients.len(), config.deny_by_default), (999, true));

    // A quarter, because each is compared with all before it.
    let topics = fill(LONGEST / 4, &|n| format!("{{id={n},topic=t}}"));
    let text = format!("gateway.mqttsn {{ predefined = [{topics}] }}");
    let config = load(&emqx::tests::text_of(&text, false));
    assert_eq!(config.topics.len(), topics.matches('{').count() - 1);
}

#[test]
fn secrets_are_repeated_only_if_that_was_asked_for() {
    for odd in ["", " Password=geheim\nPassword geheim\nPassword =geheim\nPassword=geheim\n"] {
        let conf = format!("{EVERYTHING}\n{odd}");
        let text = paho_text(&conf, &[CLIENTS, TOPICS]);
        assert!(!text.contains("geheim") && text.contains("\n#password_file = "), "{text}");
        let wishes = Wishes { network: None, passwords: true };
        let text = paho::tests::text_of(&conf, &[CLIENTS, TOPICS], wishes);
        assert_eq!(text.matches("geheim").count(), 1);
        let config = load(&text);
        assert_eq!(config.upstream.password.unwrap().reveal(), b"geheim # in the cellar");
    }
    assert!(!emqx::tests::text_of(CLUSTER, false).contains("geheim"));
    assert_eq!(emqx::tests::text_of(CLUSTER, true).matches("geheim").count(), 1);
    assert!(emqx::tests::text_of(PLUGIN, true).contains("\npassword = \"abc\" # emqx.conf:14\n"));
    // Without a user name there is nothing to do with it.
    let text = paho_text("GatewayID=1\nPassword=geheim", &[]);
    assert!(text.contains("gateway.conf:2: Password = (hidden)") && !text.contains("geheim"));
}

#[test]
fn a_broker_that_cannot_be_is_to_be_written_down() {
    for conf in [
        "GatewayID=1",
        "GatewayID=1\nBrokerName=",
        "GatewayID=1\nBrokerName=a b",
        "GatewayID=1\nBrokerName=h\nBrokerPortNo=x",
    ] {
        let text = paho_text(conf, &[]);
        assert!(
            text.contains("\n# Write the broker here:\nurl = \"mqtt://broker.invalid\"\n"),
            "{text}"
        );
        load(&text);
    }
    let text = paho_text("GatewayID=1\nBrokerName=::1\nBrokerPortNo=2", &[]);
    assert!(text.contains("url = \"mqtt://[::1]:2\""), "{text}");
}

#[test]
fn what_our_own_reader_refuses_is_a_comment_with_the_reason() {
    let text = paho_text(
        "GatewayID=256\nGatewayName=a/b\nBrokerName=h\nGatewayPortNo=70000\nKeepAlive=70000",
        &[],
    );
    for line in [
        "\n#gateway_id = 256 # gateway.conf:1\n",
        "\n#name = \"a/b\" # gateway.conf:2\n",
        "\n#listen = \"0.0.0.0:70000\" # gateway.conf:4\n",
        "\n#advertise_interval = \"19h26m40s\" # gateway.conf:5\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    assert_eq!(text.matches("# Not in effect: ").count(), 5, "{text}");
    assert_eq!(load(&text).link_names(), ["udp 127.0.0.1:1883"]);
}

#[test]
fn the_network_that_is_named_is_the_one_that_counts() {
    let links = |network| {
        load(&paho::tests::text_of(CONF, &[], Wishes { network, passwords: false })).link_names()
    };
    assert_eq!(links(None), ["udp 0.0.0.0:10000"]);
    assert_eq!(links(Some(Network::Udp)), ["udp 0.0.0.0:10000"]);
    assert_eq!(links(Some(Network::Udp6)), ["udp [::]:10000"]);
    assert_eq!(links(Some(Network::Xbee)), ["serial /dev/ttyUSB0"]);
    assert_eq!(links(Some(Network::Loralink)), ["serial /dev/loralinkRx"]);
    // Nobody is let in without what kept others out.
    assert_eq!(links(Some(Network::Dtls)), ["udp 127.0.0.1:10000"]);
    assert_eq!(links(Some(Network::Dtls6)), ["udp [::1]:10000"]);
    assert_eq!(links(Some(Network::Rfcomm)), ["udp 127.0.0.1:1883"]);
    for network in [Network::Dtls, Network::Dtls6] {
        let config = load(&paho::tests::text_of(
            CONF,
            &[],
            Wishes { network: Some(network), passwords: false },
        ));
        assert!(config.udp[0].groups.is_empty() && config.udp[0].advertise_to.is_empty());
    }
    let alone = load(&paho_text("GatewayID=1\nBrokerName=h\nSerialDevice=/dev/ttyS1", &[]));
    assert_eq!(alone.link_names(), ["serial /dev/ttyS1"]);
    assert_eq!(alone.serial[0].line.baud, 9_600);
    // What is in comments is right when they are taken away.
    let text = paho_text(CONF, &[]);
    let off = part(&text, "\n#[[serial]]", "# ----").replace("\n#", "\n");
    let off: String =
        off.lines().filter(|line| !line.starts_with(' ')).map(|line| format!("{line}\n")).collect();
    let both = load(&format!("[[serial]]{off}"));
    assert_eq!(both.link_names(), ["serial /dev/ttyUSB0", "serial /dev/loralinkRx"]);
}

#[test]
fn tls_is_for_devices_that_had_it() {
    let conf = "GatewayID=1\nBrokerName=h\nRootCAfile=none.pem\nClientAuthentication=YES\n";
    let url = |conf: &str, clients: &str| {
        let text = paho_text(conf, &[clients]);
        load(&text);
        part(&text, "\nurl = \"", "\"").to_owned()
    };
    assert_eq!(url(conf, "a,1:1\n"), "mqtt://h:1883");
    assert_eq!(url(conf, "a,1:1,secureConnection\n"), "mqtts://h:8883");
    assert_eq!(url(conf, "a,1:1,secureConnection\nb,1:2\n"), "mqtts://h:8883");
    let open = conf.replace("YES", "NO");
    assert_eq!(url(&open, "a,1:1,secureConnection\n"), "mqtt://h:1883");
    assert_eq!(
        url(&format!("{open}SecureConnection=YES\nBrokerPortNo=9"), "a,1:1\n"),
        "mqtts://h:9"
    );
    let text = paho_text(conf, &["a,1:1\n"]);
    assert!(
        text.contains(
            "\n#[upstream.tls]\n# For a url with mqtts://.\n#ca_file = \"/paho/none.pem\""
        ),
        "{text}"
    );
    let text = paho_text(conf, &["a,1:1,secureConnection\n"]);
    assert!(text.contains("\n[upstream.tls]\n# Not all of these files"), "{text}");
    assert!(text.contains("\n#ca_file = \"/paho/none.pem\""), "{text}");
}

#[test]
fn prefixes_of_emqx_are_ours_where_there_is_one() {
    let with = |mountpoint: &str| {
        emqx::tests::text_of(
            &format!("gateway.mqttsn {{mountpoint = {mountpoint}, listeners.udp.a.bind = 1884}}"),
            false,
        )
    };
    let config = load(&with("\"sn/${clientid}/\""));
    assert_eq!((&*config.upstream.topic_prefix, config.clients.len()), ("", 1));
    assert_eq!(config.clients[0].topic_prefix.as_deref(), Some("sn/%c/"));
    assert_eq!(&*load(&with("\"sn/\"")).upstream.topic_prefix, "sn/");
    let text = with("\"${username}/\"");
    assert!(text.contains("emqx.conf:1: gateway.mqttsn.mountpoint = ${username}/\n"), "{text}");
    assert_eq!(&*load(&text).upstream.topic_prefix, "");
}

#[test]
fn what_is_not_understood_in_a_file_of_emqx_is_an_error_with_its_line() {
    for (text, error) in [
        ("gateway.coap {}\n", "0: there is no gateway.mqttsn in it"),
        ("gateway.mqttsn {\n gateway_id = ${ID}\n}", "2: the reference ${ID} is not followed"),
        ("gateway.mqttsn {\n gateway_id = 1\n", "1: this { is not closed"),
        ("mqtt.sn.port 1884\n", "1: there is no = on this line"),
    ] {
        let found = emqx::tests::draft_of(text.as_bytes(), false).map(|_| ()).unwrap_err();
        assert!(found.starts_with(error), "{found}");
    }
}

#[test]
fn listeners_of_emqx_become_listeners() {
    let links = |listeners: &str| {
        load(&emqx::tests::text_of(
            &format!("gateway.mqttsn {{broadcast = true\nlisteners {{{listeners}}}}}"),
            false,
        ))
        .link_names()
    };
    assert_eq!(
        links("udp.a.bind = 1884\nudp.b.bind = \":1885\"\nudp.c.bind = \"[::1]:1886\""),
        ["udp 0.0.0.0:1884", "udp 0.0.0.0:1885", "udp [::1]:1886"]
    );
    assert_eq!(links("udp.a {}"), ["udp 0.0.0.0:1884"]);
    assert_eq!(links("dtls.a.bind = 1887"), ["udp 127.0.0.1:1887"]);
    assert_eq!(links("udp.a.bind = 1884, dtls.a.bind = 1887"), ["udp 0.0.0.0:1884"]);
    assert_eq!(links("udp.a {bind = 1884, enable = false}"), ["udp 127.0.0.1:1883"]);
    assert_eq!(links("udp.a.bind = nowhere"), ["udp 127.0.0.1:1883"]);
    assert_eq!(links(""), ["udp 127.0.0.1:1883"]);
}
