//! `mqtt-sn-gateway devices`, against a running gateway.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Output;

use mqtt_sn_gateway::codec::Qos;

use super::http::address;
use super::start;
use crate::rig::{Gateway, configuration, free_tcp_port, program};

fn devices(admin: SocketAddr, arguments: &[&str]) -> (i32, String, String) {
    let mut command = program();
    command.stdout(std::process::Stdio::piped());
    command.args(["devices", "--url", &format!("http://{admin}")]).args(arguments);
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let text = |octets| String::from_utf8(octets).expect("UTF-8");
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

#[test]
fn devices_are_listed_shown_and_kicked() {
    let (rig, admin) = start("");
    let mut first = rig.device("first/1");
    first.subscribe_to("commands/#", Qos::One);
    first.register("sensors/one").unwrap();
    rig.device("second").sleep(300);
    let (code, out, _) = devices(admin, &[]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines.len(), lines.last()), (0, 4, Some(&"2 clients")), "{out}");
    assert!(lines[0].starts_with("ID ") && lines[1].starts_with("first/1  active"), "{out}");
    assert!(lines[1].contains(&first.address().to_string()), "{out}");
    let (_, out, _) = devices(admin, &["list", "--state", "asleep"]);
    assert!(out.contains("second") && !out.contains("first"), "{out}");
    let (_, out, _) = devices(admin, &["list", "--search", "FIRST", "--link", "udp *"]);
    assert!(out.contains("first/1") && out.ends_with("1 client\n"), "{out}");
    let (code, out, _) = devices(admin, &["show", "first/1"]);
    assert_eq!(code, 0);
    assert!(out.contains("commands/#") && out.contains("sensors/one"), "{out}");
    assert!(out.contains("silent because"), "{out}");
    let (code, out, _) = devices(admin, &["show", "first/1", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &value["id"]), (0, &"first/1".into()));
    let (code, timeline, _) = devices(admin, &["timeline", "first/1"]);
    assert!(code == 0 && timeline.contains("  < REGISTER: \"sensors/one\""), "{timeline}");
    let (code, out, _) = devices(admin, &["kick", "first/1"]);
    assert_eq!((code, &*out), (0, "the session of first/1 is gone\n"));
    let (code, _, err) = devices(admin, &["show", "first/1"]);
    assert_eq!(code, 1);
    assert!(err.starts_with("error: there is no client \"first/1\""), "{err}");
    rig.stop();
}

#[test]
fn it_says_what_is_in_the_way() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, _, err) = devices(nobody, &[]);
    assert_eq!(code, 1);
    assert!(
        err.contains("cannot reach the admin interface") && err.contains("[admin] listen"),
        "{err}"
    );
    let mut command = program();
    let output = command.args(["devices", "--url", "https://example"]).output().expect("it runs");
    let err = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(output.status.code() == Some(2) && err.contains("only http"), "{err}");
    let port = free_tcp_port();
    let rest = format!(
        "[admin]\nlisten = \"0.0.0.0:0\"\n[embedded_broker]\nlisten = \"127.0.0.1:{port}\"\n"
    );
    let gateway = Gateway::start(&configuration("embedded", "", &rest));
    let admin = SocketAddr::from(([127, 0, 0, 1], address(&gateway).port()));
    let (code, _, err) = devices(admin, &[]);
    assert!(code == 1 && err.contains("the token is missing or wrong"), "{err}");
    let line = gateway.log.wait_for(&["the token for the admin interface is "]);
    let token = line.split_once("interface is ").unwrap().1.split(' ').next().unwrap();
    let file = gateway.directory().join("token");
    fs::write(&file, format!("{token}\n")).unwrap();
    let (code, out, err) = devices(admin, &["--token-file", file.to_str().unwrap()]);
    assert!(code == 0 && out.ends_with("0 clients\n"), "{out}{err}");
    let hash = gateway.state().join("admin-token");
    let (code, _, err) = devices(admin, &["--token-file", hash.to_str().unwrap()]);
    assert!(code == 2 && err.contains("only the hash"), "{err}");
}
