//! On an address that others reach a token is asked for.

use std::fs;
use std::net::SocketAddr;

use super::http::{Answer, address, get, request};
use super::schema::Description;
use crate::rig::{Gateway, free_tcp_port, steady_configuration};

/// A gateway that listens on all addresses.
fn start() -> (Gateway, SocketAddr) {
    let port = free_tcp_port();
    let rest = format!(
        "[admin]\nlisten = \"0.0.0.0:0\"\n[embedded_broker]\nlisten = \"127.0.0.1:{port}\"\n"
    );
    let gateway = Gateway::start(&steady_configuration("embedded", "", &rest));
    gateway.wait_for_broker(1);
    let admin = SocketAddr::from(([127, 0, 0, 1], address(&gateway).port()));
    (gateway, admin)
}

/// The token that the log says.
#[track_caller]
fn said(gateway: &Gateway) -> String {
    let line = gateway.log.wait_for(&["the token for the admin interface is "]);
    let (_, rest) = line.split_once("interface is ").unwrap();
    rest.split(' ').next().unwrap().to_owned()
}

fn with(admin: SocketAddr, token: &str) -> Answer {
    let header = format!("Authorization: Bearer {token}\r\nHost: gateway.example\r\n");
    request(admin, "GET", "/api/v1/clients", &header, "")
}

#[test]
fn the_token_is_said_once_and_kept_as_a_hash() {
    let (mut gateway, admin) = start();
    let token = said(&gateway);
    assert_eq!(with(admin, &token).status, 200);
    // The page asks for the token itself.
    for path in ["/healthz", "/readyz", "/", "/page/main.js"] {
        assert_eq!(get(admin, path).status, 200, "{path}");
    }
    for path in ["/metrics", "/api/v1/clients", "/api/v1/openapi.json", "/nowhere", "/page/"] {
        let answer = get(admin, path);
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.header("www-authenticate").is_some_and(|how| how.starts_with("Bearer")));
    }
    let intent = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(request(admin, "POST", "/api/v1/reload", &intent, "").status, 200);
    let foreign = format!("{intent}Origin: http://evil.example\r\n");
    assert_eq!(request(admin, "POST", "/api/v1/reload", &foreign, "").status, 403);
    let file = gateway.state().join("admin-token");
    assert!(!fs::read_to_string(&file).unwrap().contains(&token));

    // The next start knows it, and says nothing of it.
    assert_eq!(gateway.terminate(), 0);
    gateway.restart_and_wait();
    let admin = SocketAddr::from(([127, 0, 0, 1], address(&gateway).port()));
    assert_eq!(with(admin, &token).status, 200);
    assert_eq!(gateway.log.count("the token for the admin interface"), 0);

    // And without the file there is another one.
    assert_eq!(gateway.terminate(), 0);
    fs::remove_file(&file).unwrap();
    gateway.restart_and_wait();
    let admin = SocketAddr::from(([127, 0, 0, 1], address(&gateway).port()));
    let other = said(&gateway);
    assert_ne!(other, token);
    assert_eq!((with(admin, &token).status, with(admin, &other).status), (401, 200));
}

#[test]
fn guessing_is_slowed_down_and_keeps_no_operator_out() {
    let (gateway, admin) = start();
    let token = said(&gateway);
    let description = Description::load();
    let refused: Vec<Answer> = (0..15).map(|_| with(admin, "guess")).collect();
    for answer in &refused {
        description.check("/api/v1/clients", "GET", answer);
    }
    assert_eq!(refused.first().map(|answer| answer.status), Some(401));
    let last = refused.last().unwrap();
    assert_eq!((last.status, last.header("retry-after")), (429, Some("60")));
    assert_eq!(with(admin, &token).status, 200);
    gateway.log.wait_for(&["admin interface: 127.0.0.1 was refused"]);
}

#[test]
fn a_damaged_file_lets_nobody_in_and_the_gateway_runs() {
    let (mut gateway, _) = start();
    said(&gateway);
    assert_eq!(gateway.terminate(), 0);
    let file = gateway.state().join("admin-token");
    fs::write(&file, "sha256:x\n").unwrap();
    gateway.restart_and_wait();
    gateway.log.wait_for(&["there is no token for the admin interface", "delete it"]);
    let admin = SocketAddr::from(([127, 0, 0, 1], address(&gateway).port()));
    assert_eq!(with(admin, "").status, 401);
    assert_eq!(get(admin, "/healthz").status, 200);
    crate::rig::Device::connected(gateway.link(), "served").ping();
}
