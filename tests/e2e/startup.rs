//! What stops the program at its start, in words and exit codes.

use std::fs;
use std::net::{TcpListener, UdpSocket};

use crate::rig::{configuration, free_tcp_port, program};

/// Runs the program to its end; exit code and what it said.
#[track_caller]
fn run(configuration: &str) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("gateway.toml"), configuration).unwrap();
    let output = program().current_dir(directory.path()).output().unwrap();
    let code = output.status.code().expect("an exit code, not a signal");
    (code, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_udp_port_in_use() {
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let text = configuration("embedded", "", "").replace("127.0.0.1:0", &address);
    let (code, said) = run(&text);
    assert_eq!(code, 1, "{said}");
    assert_eq!(said.lines().count(), 1, "one line: {said}");
    for part in ["error: ", &address, "another program uses port", "[[udp]]"] {
        assert!(said.contains(part), "no {part:?} in {said:?}");
    }
}

#[test]
fn the_built_in_brokers_port_in_use() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let rest = format!("[embedded_broker]\nlisten = \"{address}\"\n");
    let (code, said) = run(&configuration("embedded", "", &rest));
    assert_eq!(code, 1, "{said}");
    let error = said.lines().last().unwrap();
    for part in ["error: ", &address, "another program uses that port", "[embedded_broker]"] {
        assert!(error.contains(part), "no {part:?} in {said:?}");
    }
}

#[test]
fn an_address_of_another_machine() {
    // TEST-NET-1: an address that no machine has.
    let text = configuration("embedded", "", "").replace("127.0.0.1:0", "192.0.2.201:1883");
    let (code, said) = run(&text);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("192.0.2.201:1883") && said.contains("error: "), "{said}");
}

#[test]
fn a_broken_configuration() {
    let port = free_tcp_port();
    let good = configuration("embedded", "", "");
    let good = format!("{good}[embedded_broker]\nlisten = \"127.0.0.1:{port}\"\n");
    let cases: [(&str, &str, &[&str]); 8] = [
        ("name = \"e2e\"", "name = \"e2e\"\nnmae = 1", &["gateway.toml:2:1", "nmae", "name"]),
        ("name = \"e2e\"", "gateway_id = 256", &["gateway.toml:1:14", "256", "1 to 255"]),
        ("name = \"e2e\"", "name = e2e", &["gateway.toml:1:8"]),
        ("\"100ms\"", "100", &["gateway.toml:5:17", "reconnect_min", "\"100"]),
        ("\"100ms\"", "\"100 parsecs\"", &["gateway.toml:5:17", "parsecs"]),
        ("[upstream]", "[upstraem]", &["gateway.toml:3:2", "upstraem", "upstream"]),
        ("127.0.0.1:0", "localhost", &["gateway.toml:10:10", "listen", "1883"]),
        ("[embedded_broker]", "[topics]\n0 = \"a\"\n[embedded_broker]", &["gateway.toml:14:1"]),
    ];
    for (from, to, parts) in cases {
        assert!(good.contains(from), "{from} stands in\n{good}");
        let (code, said) = run(&good.replacen(from, to, 1));
        assert_eq!(code, 2, "{to}: {said}");
        for part in parts {
            assert!(said.contains(part), "{to}: no {part:?} in:\n{said}");
        }
        let points = |line: &str| line.trim_matches([' ', '|']).starts_with('^');
        assert!(said.lines().any(points), "{to}: no caret in:\n{said}");
    }
}

#[test]
fn no_such_file() {
    let output = program().args(["--config", "nowhere/gateway.toml"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("nowhere/gateway.toml"), "{said}");
}
