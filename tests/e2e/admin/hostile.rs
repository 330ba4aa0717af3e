//! Clients of the admin interface that mean no good, or know no better.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use mqtt_sn_gateway::codec::{PublishTopic, Qos};

use super::http::{get, get_until, read, request, send};
use super::start;

/// What a client hears until the connection ends.
fn rest(mut stream: TcpStream) -> String {
    let mut heard = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut heard);
    String::from_utf8_lossy(&heard).into_owned()
}

fn status(heard: &str) -> Option<u16> {
    heard.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

#[test]
fn garbage_is_refused_and_harmless() {
    let (mut rig, admin) = start("");
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100_000));
    let wide = format!("GET / HTTP/1.1\r\nX-A: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1_000));
    let cases: [&[u8]; 10] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00\x00\x00\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"G\xffT /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        long.as_bytes(),
        wide.as_bytes(),
        many.as_bytes(),
    ];
    for case in cases {
        let heard = rest(send(admin, case));
        let shown = String::from_utf8_lossy(&case[..case.len().min(60)]).into_owned();
        // Nothing at all, or a refusal.
        assert!(heard.is_empty() || status(&heard) >= Some(400), "{shown:?}: {heard}");
    }
    let mut random = 0x1234_5678_9ABC_DEF0_u64;
    for _ in 0..200 {
        let octets: Vec<u8> = (0..200)
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 56) as u8
            })
            .collect();
        let stream = send(admin, &octets);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let heard = rest(stream);
        assert!(heard.is_empty() || status(&heard) >= Some(400), "{octets:02x?}: {heard}");
    }
    assert_eq!(get(admin, "/healthz").status, 200);
    assert!(rig.gateway.is_running());
}

#[test]
fn paths_and_methods_that_do_not_exist_are_told_so() {
    let (_rig, admin) = start("");
    for path in ["/nowhere", "/metrics/", "//metrics", "/metrics/../metrics", "/%6Detrics", "*"] {
        let answer = get(admin, path);
        assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
        assert!(answer.status == 400 || answer.json()["error"].is_string(), "{answer:?}");
    }
    for method in ["POST", "DELETE", "PUT", "OPTIONS", "BREW"] {
        let answer = request(admin, method, "/metrics", "X-Requested-With: test\r\n", "");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    assert_eq!(get(admin, "/metrics?a=%zz&b").status, 200, "a query is not looked at");
}

#[test]
fn requests_in_a_row_are_answered_in_a_row() {
    let (_rig, admin) = start("");
    let one = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stream = send(admin, one.repeat(50).as_bytes());
    for _ in 0..50 {
        assert_eq!(read(&mut stream).expect("an answer").status, 200);
    }
    let old = rest(send(admin, b"GET /healthz HTTP/1.0\r\n\r\n"));
    assert!(old.starts_with("HTTP/1.0 200 ") && old.ends_with("ok\n"), "{old}");
}

/// Connections that say nothing, or a little now and then.
#[test]
fn slow_and_silent_clients_are_cut_off_and_keep_nobody_out() {
    let (rig, admin) = start("");
    let silent: Vec<TcpStream> = (0..40).map(|_| send(admin, b"")).collect();
    let begun: Vec<TcpStream> = (0..24).map(|_| send(admin, b"GET /healthz HT")).collect();
    // All places are taken; it is said so.
    let refused = read(&mut send(admin, b"")).expect("a refusal");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["error"], "too many connections; try again later");
    // Devices do not notice.
    let mut device = rig.device("undisturbed");
    device.publish(PublishTopic::Short(*b"ab"), Qos::One, "21.5");
    // They are given up by and by, and the next one is served.
    let served = || {
        let asked = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        read(&mut send(admin, asked)).is_some_and(|answer| answer.status == 200)
    };
    let end = std::time::Instant::now() + crate::rig::PATIENCE;
    while !served() {
        assert!(std::time::Instant::now() < end, "they hold their places");
        std::thread::sleep(Duration::from_millis(200));
    }
    for stream in silent.into_iter().chain(begun) {
        let heard = rest(stream);
        assert!(heard.is_empty() || status(&heard) == Some(408), "{heard}");
    }
}

#[test]
fn a_client_that_does_not_read_takes_no_memory() {
    let (mut rig, admin) = start("");
    let before = rig.gateway.peak_memory();
    let one = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let deaf: Vec<TcpStream> = (0..20).map(|_| deaf(admin, one.as_bytes())).collect();
    get_until(admin, "/healthz", |answer| answer.status == 200);
    assert!(rig.gateway.is_running());
    let grown = rig.gateway.peak_memory() - before;
    assert!(grown < 32 * 1024, "{grown} KiB");
    drop(deaf);
}

/// Writes requests as long as they are taken, and reads no answer.
fn deaf(to: SocketAddr, octets: &[u8]) -> TcpStream {
    let mut stream = send(to, b"");
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    for _ in 0..50 {
        if stream.write_all(octets).is_err() {
            break;
        }
    }
    stream
}
