//! The wrong scheme for a port, and whatever else answers there.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use crate::rig::{Gateway, configuration};
use crate::support::certificates::{Authority, Valid};
use crate::{Broker, gateway, rig};

/// What the gateway says about this address.
#[track_caller]
fn complaint(url: &str, tls: &str) -> String {
    let gateway = match tls {
        "" => Gateway::start(&configuration(url, "connect_timeout = \"2s\"", "")),
        tls => gateway(url, "connect_timeout = \"2s\"", tls),
    };
    gateway.log.wait_for(&["WARN cannot ", url])
}

/// Somebody who answers every connection with the same, and hangs up.
fn stubborn(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer);
        }
    });
    address
}

#[test]
fn tls_on_a_port_without() {
    let broker = rig::mosquitto("");
    let url = format!("mqtts://localhost:{}", broker.address().port());
    let line = complaint(&url, "insecure = true");
    assert!(line.contains("TLS") && line.contains("write mqtt:// in `url`"), "{line}");
    let line = complaint(&url.replace("mqtts", "wss"), "insecure = true");
    assert!(line.contains("TLS") && line.contains("write ws:// in `url`"), "{line}");
    let http = stubborn(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let line = complaint(&format!("mqtts://{http}"), "insecure = true");
    assert!(line.contains("does not speak TLS") && line.contains("write mqtt://"), "{line}");
}

#[test]
fn no_tls_on_a_port_with() {
    let authority = Authority::new("Site CA");
    let issued = authority.issue(&["localhost"], Valid::Now);
    let broker = Broker::with_tls(&issued, "");
    let line = complaint(&broker.url("mqtt"), "");
    assert!(line.contains("TLS") && line.contains("write mqtts:// in `url`"), "{line}");
    let line = complaint(&broker.url("ws"), "");
    assert!(line.contains("wss://"), "{line}");
}

#[test]
fn web_socket_where_there_is_none() {
    let broker = rig::mosquitto("");
    let line = complaint(&format!("ws://localhost:{}", broker.address().port()), "");
    assert!(line.contains("HTTP") && line.contains("write mqtt://"), "{line}");
}

#[test]
fn none_where_there_is_web_socket() {
    let http = stubborn(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let line = complaint(&format!("mqtt://{http}"), "");
    assert!(line.contains("it speaks HTTP on that port") && line.contains("ws://"), "{line}");
}

#[test]
fn http_that_does_not_change_over() {
    for (answer, parts) in [
        (
            &b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..],
            ["answered HTTP 404 Not Found to GET /mqtt instead of 101", "check the path in `url`"],
        ),
        (
            b"HTTP/1.1 301 Moved Permanently\r\nLocation: https://elsewhere/mqtt\r\n\r\n",
            ["answered HTTP 301", "it points to https://elsewhere/mqtt"],
        ),
        (
            b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
            ["HTTP 503", "the broker behind it may be away"],
        ),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", ["HTTP 403", "in front of the broker refuses"]),
        (b"\x20\x02\x00\x05", ["does not speak HTTP", "write mqtt:// in `url`"]),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
            ["refused the WebSocket", "Connection"],
        ),
    ] {
        let line = complaint(&format!("ws://{}", stubborn(answer)), "");
        for part in parts {
            assert!(line.contains(part), "no {part:?} in {line:?}");
        }
    }
}

#[test]
fn silence_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for (scheme, name) in [("mqtts", "TLS"), ("ws", "WebSocket")] {
        let tls = if scheme == "mqtts" { "insecure = true" } else { "" };
        let line = complaint(&format!("{scheme}://{address}"), tls);
        let expected = format!("it did not finish the {name} handshake within 2 s");
        assert!(line.contains(&expected), "{line}");
    }
}
