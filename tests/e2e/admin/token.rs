//! On an address that others reach a token is asked for.

use std::fs;
use std::net::SocketAddr;

use super::http::{Answer, address, get, read, request, send};
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
    assert_eq!(get(admin, "/page/main.js").status, 200);
    for path in ["/nowhere", "/page/"] {
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
fn everything_that_is_described_needs_it_unless_it_is_said_to_be_open() {
    let (gateway, admin) = start();
    said(&gateway);
    let description = Description::load();
    let (mut open, mut closed) = (0, 0);
    for (path, method) in description.operations() {
        // Somebody who would be let in on the loopback.
        let asked = path.replace("{id}", "meter");
        let answer = request(admin, &method, &asked, "X-Requested-With: test\r\n", "");
        if description.is_open(&path, &method) {
            assert_eq!(answer.status, 200, "{method} {path}");
            open += 1;
        } else {
            // After ten tries it is the other one.
            let expected = if closed < 10 { 401 } else { 429 };
            assert_eq!(answer.status, expected, "{method} {path}");
            description.check(&path, &method, &answer);
            closed += 1;
        }
    }
    assert!(open >= 2 && closed > 10, "{open} and {closed}");
}

#[test]
fn who_has_no_token_keeps_no_place() {
    let (gateway, admin) = start();
    let token = said(&gateway);
    let asked = |path: &str, more: &str| {
        let text = format!("GET {path} HTTP/1.1\r\nHost: gateway.example\r\n{more}\r\n");
        let mut stream = send(admin, text.as_bytes());
        let answer = read(&mut stream).expect("an answer");
        (stream, answer)
    };
    let mut held = Vec::new();
    for (path, status) in [("/healthz", 200), ("/metrics", 401)] {
        for _ in 0..70 {
            let (mut stream, answer) = asked(path, "");
            // Of many tries without it the last hear 429.
            assert!([status, 429].contains(&answer.status), "{path}: {answer:?}");
            assert_eq!(answer.header("connection"), Some("close"), "{path}");
            // It is not said only.
            assert!(read(&mut stream).is_none());
            held.push(stream);
        }
    }
    let authorization = format!("Authorization: Bearer {token}\r\n");
    let (_, answer) = asked("/api/v1/links", &authorization);
    assert_eq!((answer.status, answer.header("connection")), (200, None));
    let foreign = format!("{authorization}Sec-Fetch-Site: cross-site\r\n");
    assert_eq!(asked("/healthz", &foreign).1.status, 403);
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
