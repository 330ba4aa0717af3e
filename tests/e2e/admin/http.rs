//! HTTP by hand: what goes over the wire is what the test says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::rig::{Gateway, PATIENCE};

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Where the admin interface of a gateway is.
#[track_caller]
pub fn address(gateway: &Gateway) -> SocketAddr {
    gateway.log.wait("the admin interface", |lines| {
        let found = lines.iter().find_map(|line| line.split_once("admin interface on http://"));
        found.map(|(_, address)| address.trim().parse().expect("an address"))
    })
}

/// A connection that has sent something.
pub fn send(to: SocketAddr, octets: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(to).expect("the admin interface");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    // It may have been refused and closed meanwhile.
    let _ = stream.write_all(octets);
    stream
}

/// Reads one answer; `None` if the connection ends before there is one.
pub fn read(stream: &mut TcpStream) -> Option<Answer> {
    read_answer(stream, true)
}

fn read_answer(stream: &mut TcpStream, expects_body: bool) -> Option<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        match stream.read(&mut octet) {
            Ok(1) => head.push(octet[0]),
            _ => return None,
        }
    }
    let head = String::from_utf8(head).expect("a head is ASCII");
    let status = head.split(' ').nth(1)?.parse().expect("a status");
    let answer = Answer { status, head, body: String::new() };
    let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
    // To HEAD there is a length without a body.
    let length = if expects_body { length } else { 0 };
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let body = match answer.header("content-type") {
        // It is no text.
        Some("application/vnd.tcpdump.pcap") => String::from_utf8_lossy(&body).into_owned(),
        _ => String::from_utf8(body).expect("UTF-8"),
    };
    Some(Answer { body, ..answer })
}

/// One request with these headers, each with its line end, and the answer.
#[track_caller]
pub fn request(to: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let length =
        if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let host = if headers.to_lowercase().contains("host:") {
        String::new()
    } else {
        format!("Host: {to}\r\n")
    };
    let text = format!(
        "{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{length}{headers}\r\n{body}"
    );
    let answer = read_answer(&mut send(to, text.as_bytes()), method != "HEAD");
    answer.unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

/// GET.
#[track_caller]
pub fn get(to: SocketAddr, path: &str) -> Answer {
    request(to, "GET", path, "", "")
}

/// GET until the answer is as it should be.
#[track_caller]
pub fn get_until(to: SocketAddr, path: &str, mut right: impl FnMut(&Answer) -> bool) -> Answer {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let answer = get(to, path);
        if right(&answer) {
            return answer;
        }
        assert!(std::time::Instant::now() < end, "{path} stays {answer:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
