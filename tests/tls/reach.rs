//! What works.

use mqtt_sn_gateway::codec::{Qos, ReturnCode};

use crate::rig::{
    Device, Gateway, Listener, Upstream, configuration, heard, publish, with_mosquitto,
};
use crate::support::certificates::{Authority, Issued, Valid};
use crate::{Broker, exchange, gateway, tls_lines};

with_mosquitto!(by_tls, by_web_socket_and_tls);

fn version(kind: Upstream) -> &'static str {
    match kind {
        Upstream::Mqtt311 => "version = \"3.1.1\"",
        _ => "version = \"5\"",
    }
}

fn by_tls(kind: Upstream) {
    let authority = Authority::new("Site CA");
    let broker = Broker::with_tls(&authority.issue(&["localhost"], Valid::Now), "");
    let tls = format!("ca_file = {:?}", authority.file());
    let mut gateway = gateway(&broker.url("mqtts"), version(kind), &tls);
    gateway.wait_for_broker(1);
    exchange(&gateway, broker.world());
    let line = gateway.log.wait_for(&["INFO connected to mqtts://localhost:", "TLS 1.3"]);
    assert!(line.contains("new session"), "{line}");
    assert_eq!(gateway.log.count("WARN"), 0);
    assert_eq!(gateway.terminate(), 0);
    gateway.log.wait_for(&["INFO stopped"]);
}

fn by_web_socket_and_tls(kind: Upstream) {
    let authority = Authority::new("Site CA");
    let issued = authority.issue(&["localhost"], Valid::Now);
    let broker = Broker::with_tls(&issued, "protocol websockets");
    let tls = format!("ca_file = {:?}", authority.file());
    let mut gateway = gateway(&broker.url("wss"), version(kind), &tls);
    gateway.wait_for_broker(1);
    exchange(&gateway, broker.world());
    gateway.log.wait_for(&["INFO connected to wss://localhost:", "/mqtt (", "TLS 1.3"]);
    assert_eq!(gateway.terminate(), 0);
    gateway.log.wait_for(&["INFO stopped"]);
}

#[test]
fn by_web_socket() {
    let broker = Broker::start("protocol websockets");
    let url = format!("{}/some/path?with=query", broker.url("ws"));
    let mut gateway = Gateway::start(&configuration(&url, "", ""));
    gateway.wait_for_broker(1);
    exchange(&gateway, broker.world());
    let status = Listener::start(broker.world(), &["mqtt-sn-gateway/e2e/status"]);
    status.until("online");
    assert_eq!(gateway.terminate(), 0);
    // The goodbye arrives through frames, too.
    gateway.log.wait_for(&["INFO stopped"]);
    status.wait("the goodbye", |all| all.iter().any(|one| one.payload == "offline").then_some(()));
    let log = broker.mosquitto.log();
    assert!(log.contains("Client e2e disconnected."), "a clean DISCONNECT: {log}");
}

#[test]
fn by_tls_1_2() {
    let authority = Authority::new("Site CA");
    let issued = authority.issue(&["127.0.0.1"], Valid::Now);
    let broker = Broker::with_tls(&issued, "tls_version tlsv1.2\nciphers ECDHE+AESGCM");
    let tls = format!("ca_file = {:?}", authority.file());
    // By address: the certificate has it.
    let url = broker.url("mqtts").replace("localhost", "127.0.0.1");
    let gateway = gateway(&url, "", &tls);
    gateway.wait_for_broker(1);
    exchange(&gateway, broker.world());
}

#[test]
fn with_a_certificate_of_ours() {
    let authority = Authority::new("Site CA");
    let broker = Broker::with_tls(
        &authority.issue(&["localhost"], Valid::Now),
        &format!(
            "cafile {}\nrequire_certificate true\nuse_identity_as_username true",
            authority.file().display()
        ),
    );
    let ours = authority.issue(&["gateway.site"], Valid::Now);
    let tls = format!(
        "ca_file = {:?}\ncert_file = {:?}\nkey_file = {:?}",
        authority.file(),
        ours.certificate,
        ours.key
    );
    let gateway = gateway(&broker.url("mqtts"), "", &tls);
    gateway.wait_for_broker(1);
    exchange(&gateway, broker.world());
    let log = broker.mosquitto.log();
    assert!(log.contains("u'gateway.site'"), "it knows us by our certificate: {log}");
}

/// In transparent mode a rule can have another one, and after a SIGHUP there may be others in the files.
#[test]
fn with_certificates_of_single_devices() {
    let authority = Authority::new("Site CA");
    let demands = format!(
        "cafile {}\nrequire_certificate true\nuse_identity_as_username true",
        authority.file().display()
    );
    let broker = Broker::with_tls(&authority.issue(&["localhost"], Valid::Now), &demands);
    let of = |name: &str| authority.issue(&[name], Valid::Now);
    let (shared, meters, others) = (of("gateway.site"), of("meters.site"), of("others.site"));
    let files = |issued: &Issued| {
        format!("cert_file = {:?}\nkey_file = {:?}\n", issued.certificate, issued.key)
    };
    let rules = format!(
        "[upstream.tls]\nca_file = {:?}\n{}[[client]]\nid = \"meter-*\"\n{}",
        authority.file(),
        files(&shared),
        files(&meters)
    );
    let mode = "mode = \"transparent\"";
    let gateway = Gateway::start(&configuration(&broker.url("mqtts"), mode, &rules));
    gateway.wait_for_broker(1);
    let mut meter = Device::connected(gateway.link(), "meter-7");
    let _other = Device::connected(gateway.link(), "other");
    let logged = |client: &str, user: &str| {
        let log = broker.mosquitto.log();
        let by = |line: &&str| line.contains(&format!("as {client} (")) && line.contains(user);
        assert!(log.lines().any(|line| by(&line)), "no {client} by {user}: {log}");
    };
    logged("meter-7", "u'meters.site'");
    logged("other", "u'gateway.site'");
    std::fs::copy(&others.certificate, &meters.certificate).unwrap();
    std::fs::copy(&others.key, &meters.key).unwrap();
    gateway.hang_up();
    gateway.log.wait_for(&["gateway.toml: read again"]);
    meter.disconnect();
    assert_eq!(meter.connect("meter-7"), ReturnCode::ACCEPTED);
    logged("meter-7", "u'others.site'");
}

/// The address of the broker is not what its certificate says, and we know that.
#[test]
fn under_another_name() {
    let authority = Authority::new("Site CA");
    let broker = Broker::with_tls(&authority.issue(&["broker.site"], Valid::Now), "");
    let tls = format!("ca_file = {:?}\nserver_name = \"broker.site\"", authority.file());
    let gateway = gateway(&broker.url("mqtts"), "", &tls);
    gateway.wait_for_broker(1);
    exchange(&gateway, broker.world());
}

/// Signed by itself, and named itself: both kinds of such certificates are in use.
#[test]
fn signed_by_itself_and_named() {
    let authority = Authority::new("not asked");
    for is_authority in [false, true] {
        let issued = authority.self_signed(&["localhost"], is_authority);
        let broker = Broker::with_tls(&issued, "");
        let tls = format!("ca_file = {:?}", issued.certificate);
        let gateway = gateway(&broker.url("mqtts"), "", &tls);
        gateway.wait_for_broker(1);
        exchange(&gateway, broker.world());
    }
}

#[test]
fn insecure_is_said_at_every_start() {
    let authority = Authority::new("nobody");
    let broker = Broker::with_tls(&authority.self_signed(&["elsewhere"], true), "");
    let mut gateway = gateway(&broker.url("mqtts"), "", "insecure = true");
    gateway.wait_for_broker(1);
    exchange(&gateway, broker.world());
    for _ in 0..2 {
        gateway.wait_for_broker(1);
        gateway.log.wait_for(&["WARN insecure = true", "ca_file"]);
        assert_eq!(gateway.terminate(), 0);
        gateway.restart();
    }
}

/// Files are found from the directory of the configuration.
#[test]
fn relative_names_begin_at_the_configuration() {
    let authority = Authority::new("Site CA");
    let broker = Broker::with_tls(&authority.issue(&["localhost"], Valid::Now), "");
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("tls")).unwrap();
    std::fs::copy(authority.file(), directory.path().join("tls/ca.pem")).unwrap();
    let rest = "[upstream.tls]\nca_file = \"tls/ca.pem\"\n";
    let text = configuration(&broker.url("mqtts"), "", rest);
    let gateway = Gateway::start_in(directory, &text);
    gateway.wait_for_broker(1);
}

/// What was negotiated once is used again, and the session goes on.
#[test]
fn resumed_after_a_lost_connection() {
    let authority = Authority::new("Site CA");
    let issued = authority.issue(&["localhost"], Valid::Now);
    let broker = Broker::with_tls(&issued, "");
    let tls = format!("ca_file = {:?}", authority.file());
    let gateway = gateway(&broker.url("mqtts"), "", &tls);
    gateway.wait_for_broker(1);
    let mut device = Device::connected(gateway.link(), "device");
    device.subscribe_to("down/#", Qos::One);
    let topic = device.register("up/reading").unwrap();
    let listener = Listener::start(broker.world(), &["up/#"]);
    // Somebody takes our place for a moment: the broker hangs up on us.
    let port = broker.world().port().to_string();
    let status = std::process::Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port, "-i", "e2e", "-t", "x", "-m", "y", "-c"])
        .status();
    assert!(status.unwrap().success());
    gateway.wait_for_broker(2);
    gateway.log.wait_for(&["INFO connected to", "TLS 1.3 resumed, ", "session resumed"]);
    assert_eq!(device.publish(topic, Qos::One, "after"), ReturnCode::ACCEPTED);
    listener
        .wait("the message", |all| all.contains(&heard("up/reading", "after", 1)).then_some(()));
    publish(broker.world(), "down/x", "still there", 1);
    device.receive_until("still there");
}

/// Two listeners of one broker, one by TLS and one without: the list is tried in order.
#[test]
fn schemes_mix_in_a_list() {
    let authority = Authority::new("Site CA");
    let issued = authority.issue(&["elsewhere"], Valid::Now);
    let broker = Broker::start(&tls_lines(&issued, ""));
    let url = format!("{}\", \"mqtt://{}", broker.url("mqtts"), broker.world());
    let text =
        configuration(&url, "", &format!("[upstream.tls]\nca_file = {:?}", authority.file()));
    let text = text.replace(&format!("url = \"{url}\""), &format!("url = [\"{url}\"]"));
    let gateway = Gateway::start(&text);
    gateway.wait_for_broker(1);
    gateway.log.wait_for(&[
        "WARN cannot connect to mqtts://",
        "elsewhere",
        "trying the next broker",
    ]);
    gateway.log.wait_for(&["INFO connected to mqtt://"]);
    exchange(&gateway, broker.world());
}

/// The commands in docs/tls.md make files with which it works.
#[test]
fn by_the_commands_of_the_documentation() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tls.md");
    let text = std::fs::read_to_string(page).unwrap();
    let commands = text.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let output = std::process::Command::new("sh")
        .args(["-ec", commands])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = |name: &str| directory.path().join(name);
    let issued = Issued { certificate: file("broker.pem"), key: file("broker.key") };
    let more = format!("cafile {}\nrequire_certificate true", file("ca.pem").display());
    let broker = Broker::with_tls(&issued, &more);
    let tls = format!(
        "ca_file = {:?}\ncert_file = {:?}\nkey_file = {:?}",
        file("ca.pem"),
        file("gateway.pem"),
        file("gateway.key")
    );
    let gateway = gateway(&broker.url("mqtts"), "", &tls);
    gateway.wait_for_broker(1);
    exchange(&gateway, broker.world());
}
