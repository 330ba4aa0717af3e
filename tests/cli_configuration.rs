//! `check`, `config` and what every command does with a configuration, seen from outside.

mod common;

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use common::{gateway, run, run_in};

const GOOD: &str = "name = \"test\"\n[[udp]]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn config_prints_the_sample_in_the_repository() {
    let ended = run(&["config"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let sample = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.toml"));
    assert_eq!(ended.out, sample.expect("gateway.toml"));
}

#[test]
fn check_prints_what_is_in_effect_in_a_form_that_can_be_read_again() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("gateway.toml"), GOOD).expect("written");
    let first = run_in(directory.path(), &["check"]);
    assert_eq!((first.code, first.err.as_str()), (0, ""));
    assert!(first.out.starts_with("# gateway.toml is fine."), "{}", first.out);
    assert!(first.out.contains("\nretry_interval = \"10s\"\n"), "{}", first.out);

    fs::write(directory.path().join("again.toml"), &first.out).expect("written");
    let second = run_in(directory.path(), &["--config", "again.toml", "check"]);
    assert_eq!(second.code, 0, "{}", second.err);
    let values = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(values(&second.out), values(&first.out));
}

#[test]
fn the_sample_stands_in_for_a_missing_file_unless_one_was_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let ended = run_in(directory.path(), &["check"]);
    assert_eq!(ended.code, 0);
    assert!(ended.out.starts_with("# there is no gateway.toml here: this is the built-in sample"));
    assert!(ended.out.contains("listen = \"0.0.0.0:1883\""));
    assert_eq!(run_in(directory.path(), &["check", "--config", ""]).out, ended.out);

    for command in ["check", "run"] {
        let ended = run_in(directory.path(), &[command, "--config", "missing.toml"]);
        assert_eq!((ended.code, ended.out.as_str()), (2, ""));
        assert!(
            ended.err.starts_with("missing.toml: cannot read the configuration"),
            "{}",
            ended.err
        );
        assert!(ended.err.contains("mqtt-sn-gateway config > missing.toml"));
    }
}

#[test]
fn a_broken_file_ends_every_command_that_needs_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = format!("{GOOD}[sessions]\nretry_intervall = \"10\"\nmax_clients = 0\n");
    fs::write(directory.path().join("gateway.toml"), text).expect("written");
    let commands: [&[&str]; 3] = [&[], &["run"], &["check"]];
    for arguments in commands {
        let ended = run_in(directory.path(), arguments);
        assert_eq!((ended.code, ended.out.as_str()), (2, ""));
        assert!(ended.err.starts_with("gateway.toml:5:1: there is no key"), "{}", ended.err);
        assert!(ended.err.contains("\n5 | retry_intervall = \"10\"\n  | ^^^^"), "{}", ended.err);
        assert!(ended.err.contains("gateway.toml:6:15: `max_clients` is out of range"));
    }
}

#[test]
fn the_environment_reaches_the_configuration() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("other.toml");
    fs::write(&path, GOOD).expect("written");
    let check = |name: &str, value: &str| -> common::Ended {
        let mut command = gateway();
        command.env("MQTT_SN_GATEWAY_CONFIG", &path).env(name, value).arg("check");
        command.output().expect("it runs").into()
    };
    let ended = check("MQTT_SN_GATEWAY_UPSTREAM__URL", "mqtt://broker.example");
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains("url = \"mqtt://broker.example:1883\""), "{}", ended.out);
    assert!(ended.out.contains("name = \"test\""));

    let ended = check("MQTT_SN_GATEWAY_UPSTREAM__ULR", "x");
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.starts_with("environment variable MQTT_SN_GATEWAY_UPSTREAM__ULR: there is no")
    );
    assert!(ended.err.contains("did you mean `url`?"), "{}", ended.err);
}

#[test]
fn check_explains_what_applies_to_a_device() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = "[topics]\n1 = \"all\"\n2 = \"all/two\"\n\
                [[udp]]\nlisten = \"127.0.0.1:1\"\nretry_interval = \"3s\"\n\
                [[udp]]\nlisten = \"127.0.0.1:2\"\n\
                [[client]]\nid = \"meter-*\"\nlink = \"*:2\"\npublish = [\"m/%c/#\"]\nsubscribe = []\n\
                max_qos = 1\ntopic_prefix = \"site/%c/\"\nprofile = \"zephyr\"\nmax_topics = 7\n\
                [client.topics]\n2 = \"own\"\n\
                [[client]]\nid = \"bad-*\"\nallow = false\n";
    fs::write(directory.path().join("gateway.toml"), text).expect("written");
    let check = |arguments: &[&str]| run_in(directory.path(), &[&["check"], arguments].concat());
    let ended = check(&["--client", "meter-7", "--link", "udp 127.0.0.1:2"]);
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (
            0,
            "gateway.toml:9: [[client]] id = \"meter-*\", link = \"*:2\" applies to \"meter-7\"\n\
             may connect            yes\n\
             topic_prefix           site/meter-7/\n\
             mode                   aggregating: it shares the gateway's connection\n\
             publish                m/meter-7/#\n\
             subscribe              nothing\n\
             max_qos                1\n\
             profile                zephyr: Zephyr's mqtt_sn library: 64 octets for a topic name\n\
             max_topics             7\n\
             max_subscriptions      100\n\
             max_buffered_messages  1000\n\
             max_buffered_bytes     256KiB\n\
             retry_interval         10s\n\
             retry_count            3\n\
             predefined topic       1 = all\n\
             predefined topic       2 = own\n"
        )
    );
    // On the other link it is another matter, and so both are shown.
    let ended = check(&["--client", "meter-7"]);
    for line in [
        "On udp 127.0.0.1:1:\n\ngateway.toml:9: [[client]] id = \"meter-*\", link = \"*:2\" fits the id, but \
         not the link udp 127.0.0.1:1\nno [[client]] applies to \"meter-7\"\nmay connect            yes\n",
        "retry_interval         3s\n",
        "On udp 127.0.0.1:2:\n\ngateway.toml:9: ",
    ] {
        assert!(ended.out.contains(line), "{line} is missing in\n{}", ended.out);
    }
    let ended = check(&["--client", "bad-1"]);
    assert_eq!(
        ended.out,
        "gateway.toml:20: [[client]] id = \"bad-*\" applies to \"bad-1\"\nmay connect            no: this \
         client id is not allowed (gateway.toml:20: [[client]] id = \"bad-*\")\n"
    );
    let ended = check(&["--client", "meter-+", "--link", "udp 127.0.0.1:2"]);
    assert!(ended.out.contains("no: a client id with /, + or #"), "{}", ended.out);
    let ended = check(&["--client", "a", "--link", "serial"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.contains("there is \"udp 127.0.0.1:1\", \"udp 127.0.0.1:2\""),
        "{}",
        ended.err
    );
    let ended = check(&["--client", ""]);
    assert!(ended.code == 2 && ended.err.contains("1 to 23 bytes"), "{}", ended.err);
}

#[test]
fn check_shows_sessions_and_clients_in_effect() {
    let directory = tempfile::tempdir().expect("a directory");
    let rule = "[[client]]\nid = \"riot-*\"\nprofile = \"emcute\"\n";
    let sessions = "[sessions]\ntakeover = \"never\"\nsleep_tolerance = 2\n";
    fs::write(directory.path().join("gateway.toml"), format!("{GOOD}{sessions}{rule}"))
        .expect("written");
    let ended = run_in(directory.path(), &["check"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    for line in [
        "\nsleep_tolerance = 2.0\n",
        "\ntakeover = \"never\"\n",
        "\nkeep_session_on_wake = true\n",
        "\nqueue_qos0_messages = false\n",
        rule,
    ] {
        assert!(ended.out.contains(line), "{line} is missing in\n{}", ended.out);
    }

    let text = format!("{GOOD}{rule}[[client]]\nid = \"*\"\nprofile = \"emcut\"\n");
    fs::write(directory.path().join("gateway.toml"), text).expect("written");
    let ended = run_in(directory.path(), &["check"]);
    assert_eq!((ended.code, ended.out.as_str()), (2, ""));
    assert!(
        ended.err.starts_with("gateway.toml:9:11: `profile` cannot be \"emcut\"\n")
            && ended.err.contains("9 | profile = \"emcut\"\n  |           ^^^^^^^\n")
            && ended.err.contains("did you mean \"emcute\"? one of \"standard\", "),
        "{}",
        ended.err
    );
}

/// The line of `check` about the state.
fn state_line(directory: &Path) -> String {
    let ended = run_in(directory, &["check"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let line = ended.out.lines().nth(1).and_then(|line| line.strip_prefix("# State in "));
    line.unwrap_or_else(|| panic!("{}", ended.out)).to_owned()
}

#[test]
fn check_says_how_the_state_is_and_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (here, state) = (directory.path(), directory.path().join("state"));
    fs::write(here.join("gateway.toml"), GOOD).expect("written");
    let shown = |what: &str| format!("{}: {what}.", state.display());
    assert_eq!(state_line(here), shown("not there yet, the first start makes it"));
    assert!(!state.exists());

    fs::create_dir(&state).expect("a directory");
    assert_eq!(state_line(here), shown("empty, and can be used"));
    assert_eq!(fs::read_dir(&state).expect("a directory").count(), 0);

    fs::write(state.join("journal"), b"0123456789").expect("written");
    assert_eq!(state_line(here), shown("a journal of 10 bytes, and no gateway uses it"));
    assert_eq!(fs::read_dir(&state).expect("a directory").count(), 1);

    // Held by this process, as by a gateway.
    let lock = fs::File::create(state.join("lock")).expect("a file");
    let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).expect("nobody has it");
    assert_eq!(state_line(here), shown("in use by a gateway"));
    fs::write(state.join("lock"), "17\n").expect("written");
    assert_eq!(state_line(here), shown("in use by a gateway (pid 17)"));
    drop(lock);
    assert_eq!(state_line(here), shown("a journal of 10 bytes, and no gateway uses it"));

    fs::remove_dir_all(&state).expect("removed");
    fs::write(&state, "").expect("written");
    assert_eq!(state_line(here), shown("it is not a directory"));
    fs::remove_file(&state).expect("removed");
    symlink(here.join("nowhere"), &state).expect("a link");
    assert_eq!(state_line(here), shown("it is a link to something that is not there"));

    let elsewhere = format!("state_dir = \"no/such/place\"\n{GOOD}");
    fs::write(here.join("gateway.toml"), elsewhere).expect("written");
    let parent = here.join("no/such");
    let expected = format!(
        "{}/place: it cannot be made, because {} is not there.",
        parent.display(),
        parent.display()
    );
    assert_eq!(state_line(here), expected);
}

#[test]
fn check_says_when_the_state_cannot_be_used() {
    // Nobody but root can be kept from nothing.
    if nix::unistd::Uid::effective().is_root() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("gateway.toml"), GOOD).expect("written");
    let state = directory.path().join("state");
    fs::create_dir(&state).expect("a directory");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o500)).expect("read-only");
    let line = state_line(directory.path());
    assert!(line.contains(" cannot use it: Permission denied"), "{line}");
}

#[test]
fn a_state_can_be_moved_aside() {
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path().join("state");
    // The port is in use, so the gateway ends when that is done.
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = socket.local_addr().expect("an address").port();
    let text = GOOD.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    fs::write(directory.path().join("gateway.toml"), text).expect("written");
    let reset = || run_in(directory.path(), &["run", "--reset-state"]);

    let ended = reset();
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("there is no state in state to be moved aside"), "{}", ended.err);

    fs::create_dir_all(&state).expect("a directory");
    fs::write(state.join("journal"), "no journal at all").expect("written");
    let ended = reset();
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("the state was moved aside to state/journal."), "{}", ended.err);
    let files: Vec<String> = fs::read_dir(&state)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    assert!(files.iter().any(|text| text == "no journal at all"), "{files:?}");

    let lock = fs::File::create(state.join("lock")).expect("a file");
    let _lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).expect("nobody has it");
    let ended = reset();
    assert_eq!(ended.code, 1);
    assert!(ended.err.starts_with("error: another gateway uses the state dir"), "{}", ended.err);
}

#[test]
fn passwords_are_not_printed() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = format!("{GOOD}[upstream]\nusername = \"me\"\npassword = \"geheim\"\n");
    fs::write(directory.path().join("gateway.toml"), text).expect("written");
    let ended = run_in(directory.path(), &["check"]);
    assert_eq!(ended.code, 0);
    assert!(ended.out.contains("# password = (hidden)"), "{}", ended.out);
    assert!(!ended.out.contains("geheim"));
}

#[test]
fn a_file_that_is_not_text_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("gateway.toml"), b"name = \"a\"\n\xFF\xFE").expect("written");
    let ended = run_in(directory.path(), &["check"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("this is not UTF-8"), "{}", ended.err);

    fs::create_dir(directory.path().join("folder")).expect("a folder");
    let ended = run_in(directory.path(), &["check", "--config", "folder"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.starts_with("folder: cannot read"), "{}", ended.err);
    assert!(ended.err.contains("names a file"), "{}", ended.err);
}

#[test]
fn help_teaches_with_examples() {
    for command in ["run", "check", "config", "decode", "pub", "sub"] {
        let ended = run(&[command, "--help"]);
        assert_eq!(ended.code, 0);
        let examples = ended.out.split("Example").nth(1);
        assert!(examples.is_some_and(|text| text.contains("mqtt-sn-gateway")), "{}", ended.out);
    }
    let ended = run(&["--help"]);
    for word in ["run", "check", "config", "decode", "pub", "sub", "Exit codes"] {
        assert!(ended.out.contains(word), "{word}");
    }
}

#[test]
fn wrong_usage_has_an_exit_code_of_its_own() {
    for arguments in [
        &["fly"][..],
        &["--reset-state"],
        &["check", "--reset-state"],
        &["--fly"],
        &["pub", "-t", "a"],
        &["pub", "-m", "a"],
        &["pub", "-t", "a", "-T", "1", "-m", "x"],
        &["pub", "-t", "a", "-m", "x", "-n"],
        &["pub", "-t", "a/#", "-m", "x"],
        &["pub", "-T", "0", "-m", "x"],
        &["pub", "-t", "a", "-m", "x", "-q", "3"],
        &["pub", "-t", "abc", "-m", "x", "-q", "-1"],
        &["pub", "-t", "a", "-m", "x", "-c"],
        &["pub", "-t", "a", "-m", "x", "--will-retain"],
        &["pub", "-t", "a", "-m", "x", "--sleep", "10"],
        &["sub"],
        &["sub", "-t", "a", "-q", "-1"],
        &["sub", "-t", "a", "-C", "0"],
        &["sub", "-t", "a", "-W", "soon"],
        &["decode", "--port", "x"],
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {ended:?}");
        assert!(ended.err.starts_with("error: "), "{arguments:?}: {}", ended.err);
    }
}
