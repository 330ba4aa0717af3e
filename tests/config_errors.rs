//! Broken configurations: each problem is named with its place, what is wrong and what to do.

use std::ffi::OsString;
use std::path::Path;

use mqtt_sn_gateway::config::{Config, ConfigError};

/// A listener, so that the only problem is the one in question.
const LINK: &str = "\n[[udp]]\nlisten = \"127.0.0.1:1883\"\n";

fn errors(text: &str, variables: &[(&str, &str)]) -> String {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), value.into()));
    match Config::from_toml(Path::new("gateway.toml"), text, variables) {
        Ok(config) => panic!("this was accepted:\n{text}\nas\n{}", config.to_toml()),
        Err(ConfigError::Invalid(invalid)) => invalid.to_string(),
        Err(other) => panic!("{other}"),
    }
}

/// One problem in a configuration: where it is reported, and what message and help contain.
struct Case {
    text: &'static str,
    place: &'static str,
    says: &'static str,
    help: &'static str,
}

const fn case(
    text: &'static str,
    place: &'static str,
    says: &'static str,
    help: &'static str,
) -> Case {
    Case { text, place, says, help }
}

const CASES: &[Case] = &[
    case("[upstream]\nmode = \"x\"", "2:8", "`mode` cannot be \"x\"", "\"transparent\""),
    case("[upstream]\nconnections = 0", "2:15", "`connections`", "from 1 to 64"),
    case("[upstream]\nconnections = 65", "2:15", "`connections`", "from 1 to 64"),
    case("[upstream]\nconnections = \"3\"", "2:15", "`connections`", "a whole number"),
    // Keys.
    case("nmae = \"a\"", "1:1", "no key `nmae` at the top level", "did you mean `name`?"),
    case("[upstream]\nurls = \"embedded\"", "2:1", "no key `urls` under [upstream]", "`url`?"),
    case("[sessions]\nRetry-Interval = \"1s\"", "2:1", "`Retry-Interval`", "`retry_interval`?"),
    case("[udpp]\n", "1:2", "no key `udpp`", "did you mean `udp`?"),
    case("max_clients = 3", "1:1", "no key `max_clients`", "it belongs under [sessions]"),
    case("[log]\nzzz = 1", "2:1", "no key `zzz` under [log]", "allowed under [log]: level, format"),
    case("[admin]\nlisten = \"8080\"", "2:10", "`listen` cannot be \"8080\"", "127.0.0.1:8080"),
    case(
        "[admin]\nport = 1",
        "2:1",
        "no key `port` under [admin]",
        "allowed under [admin]: listen",
    ),
    case(
        "[upstream.tls]\ncafile = \"x\"",
        "2:1",
        "no key `cafile` under [upstream.tls]",
        "`ca_file`?",
    ),
    case("[[client]]\nid = \"a\"\nmode = \"x\"", "3:8", "", "\"aggregating\", \"transparent\""),
    case("[[client]]\nid = \"a\"\nusername = \"u\"", "3:12", "a login is of no use here", "mode ="),
    case(
        "[upstream]\nmode = \"transparent\"\n[[client]]\nid = \"a\"\npassword = \"p\"",
        "5:12",
        "there is a password but no `username`",
        "add username",
    ),
    case(
        "[[client]]\nid = \"a\"\ncert_file = \"c.pem\"",
        "3:13",
        "there is `cert_file` but no `key_file`",
        "",
    ),
    case(
        "[[client]]\nid = \"a\"\nmode = \"transparent\"\ncert_file = \"c\"\nkey_file = \"k\"",
        "4:13",
        "no broker in `url` is spoken to by TLS",
        "mqtts://",
    ),
    case("[[client]]\nid = \"a\"\nidentity = \"x\"", "3:1", "there is no key `identity`", ""),
    case(
        "[[client]]\nid = \"a\"\nprofil = \"x\"",
        "3:1",
        "no key `profil` under [[client]]",
        "did",
    ),
    case("max_topics = 3", "1:1", "no key `max_topics`", "it belongs under [[client]]"),
    case("name = \"a\"\nname = \"b\"", "2:1", "duplicate key", "https://toml.io"),
    // Syntax.
    case("name = gateway", "1:8", "this is not TOML", "text stands in quotes"),
    case("name = \"a\ngateway_id = 1", "1:10", "this is not TOML", ""),
    // Kinds of values.
    case("name = 7", "1:8", "`name` is a string, but this is a whole number", "name = \"…\""),
    case("gateway_id = \"1\"", "1:14", "a whole number, but this is a string", "1 to 255"),
    case("[status]\npublish = \"yes\"", "2:11", "true or false, but this is a string", "= true or"),
    case("upstream = \"mqtt://x\"", "1:12", "`upstream` is a table", "write [upstream]"),
    case("[upstream]\nurl = 5", "2:7", "`url` is a string", "in quotes"),
    case("[upstream]\nkeep_alive = true", "2:14", "a duration, but this is true or false", "10s"),
    case("[upstream]\nkeep_alive = 10", "2:14", "a duration with a unit", "keep_alive = \"10s\""),
    case("[upstream]\nkeep_alive = 1979-05-27", "2:14", "this is a date", ""),
    // Ranges.
    case("gateway_id = 0", "1:14", "`gateway_id` is out of range", "from 1 to 255"),
    case("gateway_id = 256", "1:14", "`gateway_id` is out of range", "from 1 to 255"),
    case("gateway_id = 0x100", "1:14", "`gateway_id` is out of range", "from 1 to 255"),
    case("[sessions]\nmax_client_id_length = 129", "2:24", "out of range", "from 1 to 128"),
    case("[sessions]\nmax_clients = -1", "2:15", "out of range", "from 1 to 1000000"),
    case("[sessions]\nretry_count = 1.5", "2:15", "a whole number", "from 0 to 100"),
    case("[sessions]\nkeep_alive_tolerance = 0.9", "2:24", "out of range", "1.0 to 10.0"),
    case("[sessions]\nkeep_alive_tolerance = nan", "2:24", "out of range", "1.0 to 10.0"),
    case("[sessions]\nkeep_alive_tolerance = inf", "2:24", "out of range", "1.0 to 10.0"),
    case("[sessions]\nsleep_tolerance = 0.99", "2:19", "out of range", "1.0 to 10.0"),
    case("[sessions]\nsleep_tolerance = \"2\"", "2:19", "a number, but this is a string", "1.0 to"),
    case("[sessions]\nretry_interval = \"0s\"", "2:18", "out of range", "from \"10ms\" to \"1h\""),
    case("[sessions]\nretry_interval = \"10\"", "2:18", "cannot be \"10\"", "write \"10s\""),
    case("[sessions]\nsession_expiry = \"10ms\"", "2:18", "out of range", "or \"0s\" for never"),
    case("[sessions]\nmax_buffered_bytes = 5", "2:22", "a size with a unit", "= \"5B\""),
    case("[sessions]\nmax_buffered_bytes = \"64kb\"", "2:22", "cannot be", "write \"64KiB\""),
    case("[sessions]\nmax_buffered_bytes = \"2GiB\"", "2:22", "out of range", "to \"1GiB\""),
    case(
        "[sessions]\nmax_buffered_bytes_total = \"1KiB\"",
        "2:28",
        "is below `max_buf",
        "one client",
    ),
    case("[discovery]\nadvertise_interval = \"1d\"", "2:22", "out of range", "18h12m15s"),
    // Sessions and clients.
    case(
        "[sessions]\ntakeover = \"sometimes\"",
        "2:12",
        "`takeover` cannot be \"sometimes\"",
        "  = one of \"always\", \"asleep-or-lost\", \"never\"",
    ),
    case(
        "[sessions]\ntakeover = \"asleep_or_lost\"",
        "2:12",
        "`takeover` cannot be",
        "did you mean \"asleep-or-lost\"?",
    ),
    case("[sessions]\ntakeover = true", "2:12", "`takeover` is a string", "in quotes"),
    case("[sessions]\nkeep_session_on_wake = 1", "2:24", "is true or false", "without quotes"),
    case("[sessions]\nqueue_qos0_messages = \"no\"", "2:23", "is true or false", "without quotes"),
    case("[[client]]\n", "1:1", "this [[client]] has no `id`", "id = \"meter-*\""),
    case("[[client]]\nprofile = \"emcute\"", "1:1", "this [[client]] has no `id`", ""),
    case("[client]\nid = \"a\"", "1:2", "`client` is a list of tables", "[[client]], with two"),
    case("client = [\"a\"]", "1:11", "`client` is a list of tables, but this is a string", ""),
    case("[[client]]\nid = \"\"", "2:6", "`id` cannot be \"\"", "\"*\" is any number of"),
    case("[[client]]\nid = 7", "2:6", "`id` is a string, but this is a whole number", "in quotes"),
    case("[[client]]\nid = [\"a\"]", "2:6", "`id` is a string, but this is a list", "in quotes"),
    case(
        "[[client]]\nid = \"a\"\nprofile = \"zephir\"",
        "3:11",
        "`profile` cannot be \"zephir\"",
        "did you mean \"zephyr\"? one of \"standard\", \"zephyr\"",
    ),
    case(
        "[[client]]\nid = \"a\"\nprofile = \"\"",
        "3:11",
        "`profile` cannot be \"\"",
        "one of \"st",
    ),
    case("[[client]]\nid = \"a\"\nprofile = 1", "3:11", "`profile` is a string", "in quotes"),
    case(
        "[[client]]\nid = \"a-*\"\n[[client]]\nid = \"b\"\n[[client]]\nid = \"a-*\"",
        "6:6",
        "the pattern \"a-*\" is there twice",
        "the first [[client]] that matches",
    ),
    case(
        "[[client]]\nid = \"*\"\n[[client]]\nid = \"b\"",
        "4:6",
        "what \"b\" matches is matched by \"*\" before it",
        "the special ones before the general ones",
    ),
    case(
        "[[client]]\nid = \"*-a-client-id-of-24-bytes\"",
        "2:6",
        "no client id is as long as",
        "up to 23 bytes; [sessions] max_client_id_length",
    ),
    case(
        "[[client]]\nid = \"a\"\nlink = \"udp 127*\"\n[[client]]\nid = \"a\"\nlink = \"udp 127.0*\"",
        "5:6",
        "the pattern \"a\" is there twice",
        "the first [[client]] that matches",
    ),
    case(
        "[[client]]\nid = \"a\"\nlink = \"serial*\"",
        "3:8",
        "`link` cannot be \"serial*\"",
        "no link is called so; there is \"udp 127.0.0.1:",
    ),
    case("[[client]]\nid = \"a\"\nallow = \"no\"", "3:9", "`allow` is true or false", "quotes"),
    case("[[client]]\nid = \"a\"\nmax_qos = 3", "3:11", "out of range", "from 0 to 2"),
    case(
        "[[client]]\nid = \"a\"\npublish = [\"a\", \"b/#/c\"]",
        "3:17",
        "`publish` cannot be \"b/#/c\"",
        "%c is the client id",
    ),
    case(
        "[[client]]\nid = \"a\"\nsubscribe = \"\"",
        "3:13",
        "`subscribe` cannot be \"\"",
        "a topic filter, like",
    ),
    case("[[client]]\nid = \"a\"\npublish = 7", "3:11", "`publish` is a string", "in quotes"),
    case(
        "[[client]]\nid = \"a\"\ntopic_prefix = \"a/+/\"",
        "3:16",
        "`topic_prefix` cannot be \"a/+/\"",
        "without +, #",
    ),
    case(
        concat!(
            "[[client]]\nid = \"a\"\ntopic_prefix = \"%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c",
            "%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c\""
        ),
        "3:16",
        "`topic_prefix` cannot be",
        "which makes a prefix of up to 1035 bytes; 1024 is the most",
    ),
    case("[[client]]\nid = \"a\"\nmax_topics = 0", "3:14", "out of range", "from 1 to 65534"),
    case("[[client]]\nid = \"a\"\nretry_count = -1", "3:15", "out of range", "from 0 to 100"),
    case("[[client]]\nid = \"a\"\nretry_interval = 5", "3:18", "with a unit", "\"5s\""),
    case(
        "[[client]]\nid = \"a\"\n[client.topics]\n0 = \"a\"",
        "4:1",
        "\"0\" is no topic id",
        "from 1 to 65534",
    ),
    case("[access]\ndefault = \"dney\"", "2:11", "`default` cannot be", "did you mean \"deny\"?"),
    case("[access]\nallow = true", "2:1", "no key `allow` under [access]", "allowed under"),
    // Names and topics.
    case("name = \"\"", "1:8", "`name` cannot be \"\"", "1 to 64 bytes"),
    case("name = \"a/b\"", "1:8", "`name` cannot be \"a/b\"", "without /, +, #"),
    case("name = \"a\\u0000b\"", "1:8", "`name` cannot be \"a\\0b\"", "control characters"),
    case("[topics]\n0 = \"a\"", "2:1", "\"0\" is no topic id", "1 to 65534"),
    case("[topics]\n65535 = \"a\"", "2:1", "\"65535\" is no topic id", "1 to 65534"),
    case("[topics]\nboiler = \"a\"", "2:1", "\"boiler\" is no topic id", "id = \"topic\""),
    case("[topics]\n1 = \"a/+\"", "2:5", "\"a/+\" is no topic name", "only for subscriptions"),
    case("[topics]\n1 = \"\"", "2:5", "\"\" is no topic name", "1 to 65535 bytes"),
    case("[topics]\n1 = 2", "2:5", "a topic name is a string", "1 = \"sensors/temperature\""),
    case("[topics]\n1 = \"a\"\n01 = \"b\"", "3:1", "topic id 1 is given twice", ""),
    case("[topics]\n1 = \"mqtt-sn-gateway/x\"", "2:5", "is no topic name", "the gateway itself"),
    case("[upstream]\ntopic_prefix = \"a/#\"", "2:16", "`topic_prefix` cannot be", "without +, #"),
    // Home Assistant.
    case("[home_assistant]\nenable = true", "2:1", "no key `enable`", "did you mean `enabled`?"),
    case("[home_assistant]\nprefix = \"a/\"", "2:10", "`prefix` cannot be", "without / at the end"),
    case("[home_assistant]\nprefix = \"#\"", "2:10", "`prefix` cannot be", "homeassistant"),
    case(
        "[status]\npublish = false\n[home_assistant]\nenabled = true",
        "4:11",
        "learns from the status topics",
        "publish = true under [status]",
    ),
    case(
        "[[client]]\nid = \"a\"\n[client.home_assistant]\nname = \"A\"",
        "1:1",
        "1 to 100 [[client.home_assistant.entity]]",
        "",
    ),
    case(
        "[[client]]\nid = \"a\"\n[[client.home_assistant.entity]]\nkey = \"a b\"\ntopic = \"t\"",
        "4:7",
        "`key` cannot be",
        "letters, digits",
    ),
    case(
        "[[client]]\nid = \"a\"\n[[client.home_assistant.entity]]\nkey = \"a\"",
        "3:1",
        "has no `topic`",
        "are needed",
    ),
    case(
        "[[client]]\nid = \"a\"\n[[client.home_assistant.entity]]\nkey = \"a\"\ntopic = \"+/t\"",
        "5:9",
        "`topic` cannot be",
        "one topic",
    ),
    case(
        "[[client]]\nid = \"a\"\n[[client.home_assistant.entity]]\nkey = \"a\"\ntopic = \"t\"\n\
         platform = \"binary_sensor\"\nunit = \"W\"",
        "7:8",
        "`unit` is for platform = \"sensor\"",
        "",
    ),
    case(
        "[[client]]\nid = \"a\"\n[[client.home_assistant.entity]]\nkey = \"a\"\ntopic = \"t\"\n\
         [[client.home_assistant.entity]]\nkey = \"a\"\ntopic = \"u\"",
        "7:7",
        "`key` cannot be",
        "another entity",
    ),
    case(
        "[[client]]\nid = \"a\"\n[[client.home_assistant.entity]]\nkey = \"a\"\ntopic = \"t\"\n\
         devise_class = \"x\"",
        "6:1",
        "no key `devise_class`",
        "did you mean `device_class`?",
    ),
    // Upstream.
    case("[upstream]\nurl = \"host:1883\"", "2:7", "`url` cannot be", "write \"mqtt://host:1883\""),
    case("[upstream]\nurl = \"embeded\"", "2:7", "`url` cannot be", "did you mean \"embedded\"?"),
    case(
        "[upstream]\nurl = \"ftp://host\"",
        "2:7",
        "",
        "there is no scheme ftp://; mqtt://, mqtts://",
    ),
    case("[upstream]\nurl = \"ssl://host:1\"", "2:7", "", "write \"mqtts://host:1\""),
    case("[upstream]\nurl = \"http://host/x\"", "2:7", "", "write \"ws://host/x\""),
    case("[upstream]\nurl = \"https://host\"", "2:7", "", "write \"wss://host\""),
    case("[upstream]\nurl = \"wss://me:geheim@host/\"", "2:7", "…@host/", "keys username and"),
    case("[upstream]\nurl = \"https://me:geheim@host\"", "2:7", "…@host", "is called wss://"),
    case("[upstream]\nurl = \"ws://host/a b\"", "2:7", "", "visible ASCII characters"),
    case("[upstream]\nurl = \"ws://host/a#b\"", "2:7", "", "without #"),
    case("[upstream]\nurl = \"ws://host?a\"", "2:7", "", "begins with /"),
    case("[upstream]\nurl = \"ws://ho st/a\"", "2:7", "", "\"ho st\" is no host name"),
    case("[upstream]\nurl = \"mqtts://host/a\"", "2:7", "", "only ws:// and wss:// have a path"),
    case("[upstream]\nurl = \"tcp://host\"", "2:7", "", "write \"mqtt://host\""),
    case("[upstream]\nurl = \"mqtt://host:0\"", "2:7", "", "from 1 to 65535"),
    case("[upstream]\nurl = \"mqtt://host:99999\"", "2:7", "", "from 1 to 65535"),
    case("[upstream]\nurl = \"mqtt://::1\"", "2:7", "", "from 1 to 65535"),
    case("[upstream]\nurl = \"mqtt://\"", "2:7", "", "is no host name"),
    case("[upstream]\nurl = \"mqtt://a b\"", "2:7", "", "\"a b\" is no host name"),
    case("[upstream]\nurl = \"mqtt://host/path\"", "2:7", "", "only ws:// and wss:// have a path"),
    case("[upstream]\nurl = [\"mqtt://a\", \"b\"]", "2:20", "\"b\"", "write \"mqtt://b\""),
    case("[upstream]\nurl = []", "2:1", "`url` names no broker", "at least one"),
    case("[upstream]\nmode = \"x\"", "2:8", "`mode` cannot be \"x\"", "\"aggregating\""),
    case("[upstream]\nversion = \"4\"", "2:11", "cannot be \"4\"", "\"auto\", \"5\", \"3.1.1\""),
    case("[upstream]\nversion = \"5\"", "2:11", "speaks only MQTT 3.1.1", "\"auto\""),
    case("[upstream]\nversion = 5", "2:11", "`version` is a string", "in quotes"),
    case("[upstream]\nfailback_interval = \"1ms\"", "2:21", "is out of range", "\"0s\" for never"),
    case("[upstream]\nreconnect_min = \"2m\"", "2:17", "is below `reconnect_min`", "grows"),
    case("[upstream]\npassword = \"x\"", "2:12", "a password but no `username`", "add username"),
    case(
        "[upstream]\npassword_file = \"/nowhere\"",
        "2:17",
        "cannot read `password_file` /nowhere",
        "",
    ),
    case(
        "[upstream.tls]\ninsecure = true",
        "2:12",
        "no broker in `url` is spoken to by TLS",
        "mqtts:// or wss:// in `url`",
    ),
    case(
        "upstream.url = [\"mqtt://a\", \"ws://b\"]\nupstream.tls.ca_file = \"x\"",
        "2:24",
        "no broker in `url` is spoken to by TLS",
        "",
    ),
    case(
        "upstream.url = \"mqtts://a\"\nupstream.tls.insecure = \"yes\"",
        "2:25",
        "`insecure` is true or false",
        "without quotes",
    ),
    case(
        "upstream.url = \"mqtts://a\"\nupstream.tls.server_name = \"a b\"",
        "2:28",
        "`server_name` cannot be \"a b\"",
        "without a port",
    ),
    case(
        "upstream.url = \"mqtts://a\"\nupstream.tls.cert_file = \"x\"",
        "2:26",
        "there is `cert_file` but no `key_file`",
        "name it twice",
    ),
    case(
        "upstream.url = \"mqtts://a\"\nupstream.tls.key_file = \"x\"",
        "2:25",
        "there is `key_file` but no `cert_file`",
        "",
    ),
    case(
        "upstream.url = \"mqtts://a\"\nupstream.tls.ca_file = \"/nowhere.pem\"",
        "2:24",
        "cannot read `ca_file` /nowhere.pem: No such file",
        "begin at the directory of the configuration file",
    ),
    case("[upstream]\nkeep_alive = \"0s\"", "2:14", "`keep_alive` is out of range", "from \"1s\""),
    case(
        "[embedded_broker]\nlisten = \"0.0.0.0:1883\"",
        "2:10",
        "`listen` cannot be",
        "this machine only",
    ),
    case("[embedded_broker]\nlisten = \"1883\"", "2:10", "`listen` cannot be", "address and port"),
    // State.
    case("state_dir = \"\"", "1:13", "`state_dir` cannot be \"\"", "name a directory"),
    case(
        "state_dir = \"a\\u0000b\"",
        "1:13",
        "`state_dir` cannot be \"a\\0b\"",
        "beside this file",
    ),
    case("state_dir = false", "1:13", "`state_dir` is a string, but this is true", "in quotes"),
    case("state_dri = \"x\"", "1:1", "no key `state_dri`", "did you mean `state_dir`?"),
    case("sync = \"off\"", "1:1", "no key `sync` at the top level", "it belongs under [store]"),
    case(
        "[store]\nsink = \"off\"",
        "2:1",
        "no key `sink` under [store]",
        "batch_records, batch_time",
    ),
    case("[store]\nbatch_tme = \"1s\"", "2:1", "no key `batch_tme`", "did you mean `batch_time`?"),
    case("[store]\nsync = \"on\"", "2:8", "`sync` cannot be", "\"batch\", \"always\", \"off\""),
    case("[store]\nsync = \"none\"", "2:8", "`sync` cannot be", "  = one of \"batch\""),
    case("[store]\nsync = false", "2:8", "`sync` is a string", "in quotes"),
    case("[store]\nbatch_records = 0", "2:17", "out of range", "from 1 to 10000"),
    case("[store]\nbatch_records = 10001", "2:17", "out of range", "from 1 to 10000"),
    case("[store]\nbatch_records = \"64\"", "2:17", "a whole number, but this", "from 1 to 10000"),
    case("[store]\nbatch_time = \"0s\"", "2:14", "out of range", "from \"1ms\" to \"10s\""),
    case("[store]\nbatch_time = \"11s\"", "2:14", "out of range", "from \"1ms\" to \"10s\""),
    case("[store]\nbatch_time = 20", "2:14", "a duration with a unit", "batch_time = \"20s\""),
    // Spool.
    case("max_age = \"1d\"", "1:1", "no key `max_age`", "it belongs under [upstream.spool]"),
    case("[spool]\nmax_age = \"1d\"", "1:2", "no key `spool` at the", "belongs under [upstream]"),
    case("[upstream.spol]", "1:11", "no key `spol` under [upstream]", "did you mean `spool`?"),
    case("[upstream]\nspool = \"1GiB\"", "2:9", "`spool` is a table", "write [upstream.spool] on"),
    case(
        "[upstream.spool]\nmax_size = \"1GiB\"",
        "2:1",
        "no key `max_size` under [upstream.spool]",
        "allowed under [upstream.spool]: max_bytes, max_age, qos0",
    ),
    case("[upstream.spool]\nmax_bytes = \"63KiB\"", "2:13", "out of range", "from \"64KiB\" to"),
    case("[upstream.spool]\nmax_bytes = 0", "2:13", "a size with a unit", "max_bytes = \"0B\""),
    case("[upstream.spool]\nmax_age = \"0s\"", "2:11", "out of range", "from \"1s\" to \"3650d\""),
    case("[upstream.spool]\nqos0 = \"spool\"", "2:8", "`qos0` cannot be", "\"drop\", \"keep\""),
    case("[upstream.spool]\nqos0 = true", "2:8", "`qos0` is a string", "in quotes"),
    // Log.
    case("[log]\nlevel = \"loud\"", "2:9", "`level` cannot be \"loud\"", "error, warn, info"),
    case("[log]\nlevel = \"inf\"", "2:9", "`level` cannot be", "did you mean \"info\"?"),
    case("[log]\nlevel = \"info,a=b=c\"", "2:9", "`level` cannot be", ""),
    case("[log]\nformat = \"xml\"", "2:10", "`format` cannot be \"xml\"", "\"text\", \"json\""),
];

#[test]
fn each_problem_is_named_with_its_place() {
    for Case { text, place, says, help } in CASES {
        let shown = errors(&format!("{text}{LINK}"), &[]);
        let first = format!("gateway.toml:{place}: ");
        assert!(shown.starts_with(&first), "expected {first} for\n{text}\n\ngot\n{shown}");
        let headings = shown.lines().filter(|line| line.starts_with("gateway.toml:")).count();
        assert_eq!(headings, 1, "more than one problem:\n{shown}");
        let message = shown.lines().next().expect("a first line");
        assert!(message.contains(says), "expected “{says}” in\n{shown}");
        assert!(shown.contains(help), "expected “{help}” in\n{shown}");
        let (line, _) = place.split_once(':').expect("line and column");
        assert!(shown.contains(&format!("\n{line} | ")), "the line is not shown:\n{shown}");
    }
}

/// The one problem in a configuration: its place, and a part of its first line.
#[track_caller]
fn is_the_only_problem(text: &str, place: &str, says: &str) {
    let shown = errors(text, &[]);
    let expected = format!("gateway.toml:{place}: ");
    assert!(shown.starts_with(&expected), "expected {expected}, got\n{shown}");
    assert!(shown.lines().next().is_some_and(|line| line.contains(says)), "{says}:\n{shown}");
    assert_eq!(shown.matches("gateway.toml:").count(), 1, "{shown}");
}

#[test]
fn links_have_problems_of_their_own() {
    for (text, place, says) in [
        ("[[udp]]\n", "1:1", "this [[udp]] has no `listen`"),
        ("[udp]\nlisten = \"0.0.0.0:1\"", "1:2", "`udp` is a list of tables, but this is a table"),
        ("udp = [1]", "1:8", "`udp` is a list of tables, but this is a whole number"),
        ("[[udp]]\nlisten = \"1883\"", "2:10", "`listen` cannot be \"1883\""),
        ("[[udp]]\nlisten = \"::1:1883\"", "2:10", "`listen` cannot be \"::1:1883\""),
        ("[[udp]]\nlisten = \"localhost:1883\"", "2:10", "`listen` cannot be"),
        ("[[udp]]\nlisten = \"[::1%]:1883\"", "2:10", "`listen` cannot be"),
        ("[[udp]]\nlisten = \"0.0.0.0:1\"\nlisen = 1", "3:1", "no key `lisen` under [[udp]]"),
        (
            "[[udp]]\nlisten = \"0.0.0.0:1\"\ngroups = [\"10.0.0.1:1\"]",
            "3:11",
            "`groups` cannot be",
        ),
        ("[[udp]]\nlisten = \"0.0.0.0:1\"\ngroups = \"225.1.1.1:0\"", "3:10", "`groups` cannot be"),
        (
            "[[udp]]\nlisten = \"0.0.0.0:1\"\nadvertise_to = \"[::]:1\"",
            "3:16",
            "`advertise_to` cannot",
        ),
        ("[[udp]]\nlisten = \"0.0.0.0:1\"\nreceive_buffer = \"1KiB\"", "3:18", "out of range"),
        ("[[udp]]\nlisten = \"0.0.0.0:1\"\nretry_interval = \"2h\"", "3:18", "out of range"),
        (
            "[[udp]]\nlisten = \"0.0.0.0:1\"\n[[udp]]\nlisten = \"127.0.0.1:1\"",
            "4:10",
            "127.0.0.1:1 is in the way of 0.0.0.0:1",
        ),
        ("[[serial]]\n", "1:1", "this [[serial]] has no `device`"),
        ("[serial]\ndevice = \"/a\"", "1:2", "`serial` is a list of tables, but this is a table"),
        ("[[serial]]\ndevice = 1", "2:10", "`device` is a string, but this is a whole number"),
        ("[[serial]]\ndevice = \"ttyS0\"", "2:10", "`device` cannot be \"ttyS0\""),
        ("[[serial]]\ndevice = \"/a\\u0000\"", "2:10", "`device` cannot be \"/a\\0\""),
        (
            "[[serial]]\ndevice = \"/a\"\n[[serial]]\ndevice = \"/a\"",
            "4:10",
            "device /a is there twice",
        ),
        ("[[serial]]\ndevice = \"/a\"\nbaud = 1", "3:8", "`baud` is out of range"),
        ("[[serial]]\ndevice = \"/a\"\nframing = \"x\"", "3:11", "`framing` cannot be \"x\""),
        ("[[serial]]\ndevice = \"/a\"\nmax_packet = \"31B\"", "3:14", "out of range"),
        (
            "[[serial]]\ndevice = \"/a\"\naddress = 1",
            "3:1",
            "`address` is for framing \"rh-serial\" only",
        ),
        (
            "[[serial]]\ndevice = \"/a\"\nframing = \"rh-serial\"\naddress = 255",
            "4:11",
            "`address` is out of range",
        ),
        (
            "[[serial]]\ndevice = \"/a\"\nframing = \"rh-serial\"\nmax_packet = \"252B\"",
            "4:14",
            "`max_packet` is out of range",
        ),
        (
            "[[serial]]\ndevice = \"/a\"\nframing = \"loralink\"\npairing = true",
            "4:1",
            "`pairing` is for framing \"aquila\" only",
        ),
        (
            "[[serial]]\ndevice = \"/a\"\nframing = \"aquila\"\npan_id = 0",
            "4:10",
            "`pan_id` is out of range",
        ),
        (
            "[[serial]]\ndevice = \"/a\"\nframing = \"aquila\"\nkey = \"c0ffee\"",
            "4:7",
            "`key` is no key of 16 octets",
        ),
        (
            "[[serial]]\ndevice = \"/a\"\nframing = \"aquila\"\nkey_file = \"/nowhere\"",
            "4:12",
            "cannot read `key_file` /nowhere",
        ),
        (
            "[[serial]]\ndevice = \"/a\"\nframing = \"loralink\"\nsend_device = \"/a\"",
            "4:15",
            "`send_device` is `device` again",
        ),
        (
            "[[serial]]\ndevice = \"/a\"\n[[serial]]\ndevice = \"/b\"\nframing = \"loralink\"\n\
             send_device = \"/a\"",
            "6:15",
            "device /a is there twice",
        ),
        (
            "[[serial]]\ndevice = \"/a\"\nsend_device = \"/b\"",
            "3:1",
            "`send_device` is for framing \"loralink\" only",
        ),
        (
            "[[serial]]\ndevice = \"/a\"\nflow_control = \"rts\"",
            "3:16",
            "`flow_control` cannot be \"rts\"",
        ),
        ("[[serial]]\ndevice = \"/a\"\nopen_delay = \"2m\"", "3:14", "out of range"),
        (
            "[[serial]]\ndevice = \"/a\"\nrate_limit = 1",
            "3:14",
            "`rate_limit` is a size with a unit",
        ),
        ("[[serial]]\ndevice = \"/a\"\nlora = \"SF99\"", "3:8", "`lora` cannot be \"SF99\""),
        (
            "[[serial]]\ndevice = \"/a\"\nlora = \"SF9\"\nduty_cycle = \"1\"",
            "4:14",
            "`duty_cycle` cannot be \"1\"",
        ),
        (
            "[[serial]]\ndevice = \"/a\"\nduty_cycle = \"1%\"",
            "3:14",
            "how long a packet takes is not known",
        ),
    ] {
        is_the_only_problem(text, place, says);
    }
}

#[test]
#[cfg(feature = "ble")]
fn bluetooth_has_problems_of_its_own() {
    for (text, place, says) in [
        ("[ble]\nadapter = \"hci0\"", "1:2", "`ble` is a list of tables, but this is a table"),
        ("[[ble]]\nadapter = \"hci\"", "2:11", "`adapter` cannot be \"hci\""),
        ("[[ble]]\n[[ble]]", "2:1", "two [[ble]] take whichever adapter there is"),
        (
            "[[ble]]\nadapter = \"hci1\"\n[[ble]]\nadapter = \"hci1\"",
            "4:11",
            "adapter hci1 is there twice",
        ),
        ("[[ble]]\nprofile = \"uart\"", "2:11", "`profile` cannot be \"uart\""),
        ("[[ble]]\nprofile = \"custom\"", "1:1", "this [[ble]] has no `service`"),
        ("[[ble]]\nservice = \"ffe0\"", "2:11", "`service` cannot be \"ffe0\""),
        (
            "[[ble]]\nprofile = \"nus\"\nservice = \"0xFFE0\"",
            "3:11",
            "profile nus has a service of its own",
        ),
        ("[[ble]]\nwrite = \"0xFFE\"", "2:9", "`write` cannot be \"0xFFE\""),
        ("[[ble]]\nallow = [\"a\", \"\"]", "2:15", "`allow` cannot be \"\""),
        ("[[ble]]\npermit_join = \"2d\"", "2:15", "`permit_join` cannot be \"2d\""),
        ("[[ble]]\nmtu = 22", "2:7", "`mtu` is out of range"),
        ("[[ble]]\nmax_connections = 65", "2:19", "`max_connections` is out of range"),
        ("[[ble]]\nslot_time = \"10ms\"", "2:13", "out of range"),
        ("[[ble]]\nmax_packet = \"31B\"", "2:14", "out of range"),
    ] {
        is_the_only_problem(text, place, says);
    }
}

#[test]
fn keys_are_not_shown() {
    for key in ["c0ffee", "c0ffeec0ffeec0ffeec0ffeec0ffeeg"] {
        let shown = errors(
            &format!("[[serial]]\ndevice = \"/a\"\nframing = \"aquila\"\nkey = \"{key}\""),
            &[],
        );
        assert!(shown.contains("(hidden)") && !shown.contains("c0ffee"), "{shown}");
    }
}

#[test]
fn without_a_link_the_lines_to_add_are_shown() {
    assert_eq!(
        errors("name = \"a\"", &[]),
        "gateway.toml: there is no link to any device\n  \
         = at least one is needed; add these two lines:\n\n    [[udp]]\n    \
         listen = \"0.0.0.0:1883\"\n"
    );
}

#[test]
fn the_whole_form_of_a_problem() {
    assert_eq!(
        errors(&format!("[sessions]\n  retry_intervall = \"10s\"{LINK}"), &[]),
        "gateway.toml:2:3: there is no key `retry_intervall` under [sessions]\n\
         \x20 |\n\
         2 |   retry_intervall = \"10s\"\n\
         \x20 |   ^^^^^^^^^^^^^^^\n\
         \x20 = did you mean `retry_interval`? allowed under [sessions]: max_clients, \
         max_client_id_length, retry_interval, retry_count, keep_alive_tolerance, \
         sleep_tolerance, takeover, keep_session_on_wake, unauthenticated_publish, \
         max_topics_per_client, max_subscriptions_per_client, max_buffered_messages, \
         max_buffered_bytes, max_buffered_bytes_total, queue_qos0_messages, session_expiry\n"
    );
}

#[test]
fn all_problems_come_at_once_and_in_order() {
    let text = "nme = 1\ngateway_id = 0\n[log]\nlevel = 3\nformat = \"x\"\n[sessions]\nx = 1\n";
    let shown = errors(text, &[("MQTT_SN_GATEWAY_STATUS__PUBLISH", "perhaps")]);
    let places: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("gateway.toml:"))
        .map(|line| line.split(": ").next().expect("a place").trim())
        .collect();
    assert_eq!(places, ["1:1", "2:14", "4:9", "5:10", "7:1", "there is no link to any device"]);
    assert!(shown.contains("environment variable MQTT_SN_GATEWAY_STATUS__PUBLISH: `publish` is"));
    assert!(shown.find("gateway.toml:7").unwrap() < shown.find("environment variable").unwrap());
}

#[test]
fn rules_for_clients_have_an_end() {
    let text: String = (0..1_001).map(|n| format!("[[client]]\nid = \"meter-{n}\"\n")).collect();
    let shown = errors(&format!("{text}{LINK}"), &[]);
    assert!(
        shown.starts_with("gateway.toml:2001:1: there are more than 1000 [[client]]"),
        "{shown}"
    );
    assert_eq!(shown.matches("gateway.toml:").count(), 1, "{shown}");
}

#[test]
fn a_flood_of_problems_is_cut() {
    let text: String = (0..100).map(|n| format!("zzzz{n} = 1\n")).collect();
    let shown = errors(&format!("{text}{LINK}"), &[]);
    assert_eq!(shown.matches("there is no key").count(), 20);
    assert!(shown.ends_with("… and 80 more\n"), "{shown}");
}

#[test]
fn problems_of_the_environment_name_the_variable() {
    for (name, value, says) in [
        ("MQTT_SN_GATEWAY_NMAE", "x", "no key `nmae`"),
        ("MQTT_SN_GATEWAY_UPSTREAM__URLL", "x", "no key `urll` under [upstream]"),
        ("MQTT_SN_GATEWAY_UPSTREAM__URL", "host", "`url` cannot be \"host\""),
        ("MQTT_SN_GATEWAY_UPSTREAM_URL", "embedded", "no key `upstream_url`"),
        ("MQTT_SN_GATEWAY_UPSTREAM__KEEP_ALIVE", "10", "`keep_alive` is a duration with a unit"),
        ("MQTT_SN_GATEWAY_GATEWAY_ID", "one", "`gateway_id` is a whole number"),
        ("MQTT_SN_GATEWAY_NAME__X", "1", "`name` has no keys below it"),
        ("MQTT_SN_GATEWAY_UDP__2__LISTEN", "0.0.0.0:5", "`udp` is a list: a number from 0 to 1"),
        ("MQTT_SN_GATEWAY_UDP__LISTEN", "0.0.0.0:5", "`udp` is a list: a number from 0 to 1"),
        ("MQTT_SN_GATEWAY_UDP__0__LISTEN", "nowhere", "`listen` cannot be \"nowhere\""),
        ("MQTT_SN_GATEWAY_UDP__1__GROUPS", "225.1.1.1:1", "this [[udp]] has no `listen`"),
        ("MQTT_SN_GATEWAY_CLIENT__0__PROFILE", "zephyr", "this [[client]] has no `id`"),
        ("MQTT_SN_GATEWAY_CLIENT__0__ID", "", "`id` cannot be \"\""),
        ("MQTT_SN_GATEWAY_CLIENT__1__ID", "a", "`client` is a list: a number from 0 to 0"),
        ("MQTT_SN_GATEWAY_CLIENT", "a", "`client` is a list of tables"),
        ("MQTT_SN_GATEWAY_SESSIONS__TAKEOVER", "alway", "`takeover` cannot be \"alway\""),
        ("MQTT_SN_GATEWAY_STATE_DIR", "", "`state_dir` cannot be \"\""),
        ("MQTT_SN_GATEWAY_STORE__SYNC", "", "`sync` cannot be \"\""),
        ("MQTT_SN_GATEWAY_STORE__BATCH_RECORDS", "many", "`batch_records` is a whole number"),
        ("MQTT_SN_GATEWAY_UPSTREAM__SPOOL__QOS0", "kep", "`qos0` cannot be \"kep\""),
        ("MQTT_SN_GATEWAY_UPSTREAM__SPOOL", "64MiB", "`spool` is a table"),
        ("MQTT_SN_GATEWAY_TOPICS__X", "a/b", "\"x\" is no topic id"),
        ("MQTT_SN_GATEWAY_", "1", "no key ``"),
        ("MQTT_SN_GATEWAY_LOG", "debug", "`log` is a table"),
    ] {
        let shown = errors(&format!("name = \"a\"{LINK}"), &[(name, value)]);
        let expected = format!("environment variable {name}: ");
        assert!(shown.starts_with(&expected), "{shown}");
        assert!(shown.lines().next().is_some_and(|line| line.contains(says)), "{says}:\n{shown}");
    }
}

#[test]
fn passwords_do_not_get_into_messages() {
    let texts = [
        "[upstream]\npassword = geheim",
        "[upstream]\npassword = \"geheim",
        "[upstream]\nusername = \"a\"\npassword = [\"geheim\"]",
        "[upstream]\nurl = \"mqtt://me:geheim@host\"",
        "[upstream]\nusername = \"a\"\npassword = \"geheim\"\npassword = \"geheim\"",
    ];
    for text in texts {
        let shown = errors(&format!("{text}{LINK}"), &[]);
        assert!(!shown.contains("geheim"), "{shown}");
    }
    let shown = errors(LINK, &[("MQTT_SN_GATEWAY_UPSTREAM__PASSWORD", "geheim")]);
    assert!(shown.contains("no `username`") && !shown.contains("geheim"), "{shown}");
}

#[test]
fn no_slip_in_the_sample_is_more_than_an_error() {
    const SLIPS: &[u8] = b"\"'[]{}=#.\n\\ 0aZ-_,";
    let sample = mqtt_sn_gateway::config::SAMPLE.as_bytes();
    let mut seed = 0xA076_1D64_78BD_642F_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize
    };
    let mut refused = 0;
    for _ in 0..2_000 {
        let mut text = sample.to_vec();
        for _ in 0..1 + next() % 8 {
            let at = next() % text.len();
            match next() % 3 {
                0 => text[at] = SLIPS[next() % SLIPS.len()],
                1 => drop(text.drain(at..text.len().min(at + next() % 40))),
                _ => text.truncate(text.len().max(10) - next() % 10),
            }
        }
        let text = String::from_utf8_lossy(&text);
        let variables: [(OsString, OsString); 0] = [];
        if let Err(error) = Config::from_toml(Path::new("gateway.toml"), &text, variables) {
            assert!(!error.to_string().is_empty());
            refused += 1;
        }
    }
    assert!(refused > 200, "the slips hardly matter: {refused}");
}
