//! `config --from-paho` and `config --from-emqx`, as a user has them: files of the other gateways in, a
//! `gateway.toml` out that `check` finds nothing wrong with.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Ended, gateway, run, run_in};
use tempfile::TempDir;

#[path = "support/mod.rs"]
mod support;

use support::certificates::{Authority, Valid};

fn samples(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(of)
}

/// A directory with copies of the samples of one gateway.
fn copies(of: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for entry in fs::read_dir(samples(of)).expect("samples") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, directory.path().join(path.file_name().expect("a name"))).expect("a copy");
    }
    directory
}

/// Translates, compares with what is expected, and has the outcome checked.
fn becomes(directory: &Path, arguments: &[&str], expected: &Path) {
    let ended = run_in(directory, &[&["config"], arguments].concat());
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{arguments:?}");
    let shown = ended.out.replace(&*directory.to_string_lossy(), "/there");
    let wanted = fs::read_to_string(expected).expect("what is expected");
    assert_eq!(shown, wanted, "{arguments:?} is not {}", expected.display());
    is_fine(directory, &ended.out);
}

/// As the user goes on: writes it to a file, has it checked, and asks for what is in effect.
fn is_fine(directory: &Path, text: &str) -> String {
    fs::write(directory.join("gateway.toml"), text).expect("written");
    let checked = run_in(directory, &["check", "--config", "gateway.toml"]);
    assert_eq!((checked.code, checked.err.as_str()), (0, ""), "{text}");
    assert!(checked.out.starts_with("# gateway.toml is fine."), "{}", checked.out);
    checked.out
}

#[test]
fn pahos_sample_becomes_what_is_expected() {
    let directory = copies("paho");
    becomes(directory.path(), &["--from-paho", "gateway.conf"], &samples("paho/gateway.toml"));
}

#[test]
fn everything_that_paho_can_becomes_what_is_expected() {
    let directory = copies("paho");
    let expected = samples("paho/everything.toml");
    becomes(directory.path(), &["--from-paho", "everything.conf"], &expected);
    // Named, and in another order: the same but for how they are named.
    let named =
        ["config", "--from-paho", "everything.conf", "predefinedTopic.conf", "clients.conf"];
    let ended = run_in(directory.path(), &named);
    let shown = ended.out.replace(&*directory.path().to_string_lossy(), "/there");
    let wanted = fs::read_to_string(expected).expect("what is expected");
    assert_eq!(
        shown,
        wanted.replace("#   /there/clients", "#   clients").replace("#   /there/pre", "#   pre")
    );
}

#[test]
fn each_network_of_paho_can_be_checked() {
    let directory = copies("paho");
    for (word, link) in [
        ("udp", "listen = \"0.0.0.0:10000\""),
        ("udp6", "listen = \"[::]:10000\""),
        ("xbee", "framing = \"xbee\""),
        ("loralink", "send_device = \"/dev/loralinkTx\""),
        ("dtls", "listen = \"127.0.0.1:10000\""),
        ("dtls6", "listen = \"[::1]:10000\""),
        ("rfcomm", "listen = \"127.0.0.1:1883\""),
    ] {
        let ended =
            run_in(directory.path(), &["config", "--from-paho", "gateway.conf", "--network", word]);
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{word}");
        let effect = is_fine(directory.path(), &ended.out);
        assert!(effect.contains(&format!("\n{link}\n")), "{word}: {effect}");
    }
}

#[test]
fn emqx_becomes_what_is_expected() {
    let directory = copies("emqx");
    for (from, to) in [
        ("gateway.conf", "gateway.toml"),
        ("cluster.hocon", "cluster.toml"),
        ("emqx_sn.conf", "emqx_sn.toml"),
    ] {
        becomes(directory.path(), &["--from-emqx", from], &samples("emqx").join(to));
    }
}

#[test]
fn certificates_that_are_there_are_in_effect() {
    let directory = copies("paho");
    let authority = Authority::new("an authority");
    let issued = authority.issue(&["gateway"], Valid::Now);
    let tls = directory.path().join("tls");
    fs::create_dir(&tls).expect("a directory");
    for (from, to) in [
        (authority.file(), "ca.pem"),
        (issued.certificate, "gateway.pem"),
        (issued.key, "gateway.key"),
    ] {
        fs::copy(from, tls.join(to)).expect("a copy");
    }
    // From elsewhere: names in gateway.conf begin at its directory.
    let conf = directory.path().join("everything.conf");
    let ended = run(&["config", "--from-paho", &conf.to_string_lossy()]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let effect = is_fine(directory.path(), &ended.out);
    for (key, file) in
        [("ca_file", "ca.pem"), ("cert_file", "gateway.pem"), ("key_file", "gateway.key")]
    {
        let line = format!("\n{key} = \"{}\"\n", tls.join(file).display());
        assert!(effect.contains(&line), "{line} is missing in {effect}");
    }
    assert!(!ended.out.contains("not on this machine"), "{}", ended.out);
}

#[test]
fn passwords_are_repeated_on_demand_only() {
    let directory = copies("paho");
    let arguments = ["config", "--from-paho", "everything.conf"];
    let plain = run_in(directory.path(), &arguments);
    assert!(!plain.out.contains("geheim"), "{}", plain.out);
    let open = run_in(directory.path(), &[&arguments[..], &["--passwords"]].concat());
    assert!(open.out.contains("\npassword = \"geheim # in the cellar\" # everything.conf:7\n"));
    let effect = is_fine(directory.path(), &open.out);
    assert!(effect.contains("\n# password = (hidden)\n"), "{effect}");
    // As the comment says: into a file, and the "#" away.
    fs::write(directory.path().join("broker-password"), "geheim\n").expect("written");
    let effect = is_fine(directory.path(), &plain.out.replace("#password_file", "password_file"));
    assert!(effect.contains("\npassword_file = \"broker-password\"\n"), "{effect}");
}

#[test]
fn the_environment_has_no_say_in_it() {
    let directory = copies("emqx");
    let arguments = ["config", "--from-emqx", "gateway.conf"];
    let plain = run_in(directory.path(), &arguments);
    let mut command = gateway();
    command.args(arguments).current_dir(directory.path()).env("MQTT_SN_GATEWAY_NAME", "a/b");
    let ended: Ended = command.output().expect("the program runs").into();
    assert_eq!((ended.code, ended.out), (0, plain.out));
}

#[test]
fn files_that_cannot_be_used_are_errors_with_file_and_line() {
    let directory = copies("paho");
    let write =
        |name: &str, text: &[u8]| fs::write(directory.path().join(name), text).expect("written");
    write("bad.conf", b"GatewayID=1\nGatewayName=\xFF\n");
    write("long.conf", &vec![b'#'; (1 << 20) + 1]);
    write("lost.conf", b"GatewayID=1\nClientAuthentication=YES\nClientsList=none.conf\n");
    write("unsaid.conf", b"GatewayID=1\nPredefinedTopic=YES\n");
    write("brace.conf", b"gateway.mqttsn {\n\n  predefined = [\n}\n");
    for (arguments, code, error) in [
        (&["--from-paho", "none"][..], 1, "none: cannot read it: "),
        (&["--from-emqx", "."], 1, ".: cannot read it: "),
        (&["--from-paho", "gateway.conf", "none"], 1, "none: cannot read it: "),
        (&["--from-paho", "lost.conf"], 1, "none.conf: cannot read it: "),
        (&["--from-paho", "unsaid.conf"], 2, "unsaid.conf: a predefinedTopic.conf has a say here"),
        (&["--from-paho", "bad.conf"], 2, "bad.conf:2: this is not UTF-8\n"),
        (
            &["--from-emqx", "long.conf"],
            2,
            "long.conf: this is no configuration: it is too large\n",
        ),
        (&["--from-paho", "clients.conf"], 2, "clients.conf: this is no gateway.conf of Paho's"),
        (
            &["--from-paho", "gateway.conf", "gateway.conf"],
            2,
            "gateway.conf:3: this is neither a clients.conf",
        ),
        (
            &["--from-paho", "gateway.conf", "clients.conf", "clients.conf"],
            2,
            "clients.conf: this is a clients.conf, and",
        ),
        (&["--from-emqx", "gateway.conf"], 2, "gateway.conf: there is no gateway.mqttsn in it"),
        (&["--from-emqx", "brace.conf"], 2, "brace.conf:4: a value is missing\n"),
        (&["--from-emqx", "gateway.conf", "--from-paho", "gateway.conf"], 2, "error: the argument"),
        (&["--network", "xbee"], 2, "error: the following required arguments"),
        (&["--passwords"], 2, "error: the following required arguments"),
    ] {
        let ended = run_in(directory.path(), &[&["config"], arguments].concat());
        assert_eq!((ended.code, ended.out.as_str()), (code, ""), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(error), "{arguments:?}: {}", ended.err);
    }
    let lost = run_in(directory.path(), &["config", "--from-paho", "lost.conf"]);
    for part in ["  = lost.conf:3 names it", "config --from-paho lost.conf clients.conf"] {
        assert!(lost.err.contains(part), "{}", lost.err);
    }
}

#[test]
fn the_help_teaches_it() {
    let ended = run(&["config", "--help"]);
    assert_eq!(ended.code, 0);
    for part in [
        "--from-paho gateway.conf clients.conf predefinedTopic.conf",
        "--from-emqx",
        "cluster.hocon",
        "--passwords",
    ] {
        assert!(ended.out.contains(part), "{part} is missing in {}", ended.out);
    }
}
