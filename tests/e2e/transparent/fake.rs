//! A broker that accepts the gateway, and answers the CONNECTs of devices as a test wants.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What it answers to the CONNECT of a client, given its id and the protocol level (4 or 5).
type Answer = dyn Fn(&str, u8) -> Reply + Send + Sync;

/// An answer to CONNECT.
pub enum Reply {
    /// CONNACK with this code, and the end of the connection unless it is 0.
    Connack(u8),
    /// CONNACK with code 0, then DISCONNECT with this reason and the end.
    Dismissed(u8),
    /// The end of the connection.
    HangUp,
}

pub struct FakeBroker {
    address: SocketAddr,
    connects: Arc<Mutex<Vec<(String, u8)>>>,
}

impl FakeBroker {
    pub fn start(answer: impl Fn(&str, u8) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connects: Arc<Mutex<Vec<(String, u8)>>> = Arc::default();
        let (answer, seen): (Arc<Answer>, _) = (Arc::new(answer), connects.clone());
        // Ends with the test.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (answer.clone(), seen.clone());
                thread::spawn(move || serve(stream, &*answer, &seen));
            }
        });
        Self { address, connects }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The protocol levels by which a client has tried to connect so far.
    pub fn levels(&self, id: &str) -> Vec<u8> {
        let connects = self.connects.lock().unwrap();
        connects.iter().filter(|(client, _)| client == id).map(|(_, level)| *level).collect()
    }
}

/// One packet: its first octet and what follows the length. `None` at the end of the stream.
fn packet(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut octet = [0];
    stream.read_exact(&mut octet).ok()?;
    let first = octet[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        stream.read_exact(&mut octet).ok()?;
        length |= usize::from(octet[0] & 0x7F) << shift;
        shift += 7;
        if octet[0] < 0x80 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((first, body))
}

/// Client id and protocol level of a CONNECT.
fn connect(body: &[u8]) -> (String, u8) {
    let level = body[6];
    // Name, level, flags, keep-alive; and the properties of MQTT 5, which are short.
    let mut at = 10;
    if level == 5 {
        at += 1 + usize::from(body[at]);
    }
    let length = usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
    (String::from_utf8(body[at + 2..at + 2 + length].to_vec()).unwrap(), level)
}

fn serve(mut stream: TcpStream, answer: &Answer, seen: &Mutex<Vec<(String, u8)>>) {
    let Some((0x10, body)) = packet(&mut stream) else { return };
    let (id, level) = connect(&body);
    let reply = answer(&id, level);
    seen.lock().unwrap().push((id, level));
    let connack = |code: u8| match level {
        5 => vec![0x20, 3, 0, code, 0],
        _ => vec![0x20, 2, 0, code],
    };
    match reply {
        Reply::HangUp => return,
        Reply::Connack(code) => {
            if stream.write_all(&connack(code)).is_err() || code != 0 {
                return;
            }
        }
        Reply::Dismissed(reason) => {
            let _ = stream.write_all(&connack(0));
            let _ = stream.write_all(&[0xE0, 2, reason, 0]);
            return;
        }
    }
    while let Some((first, body)) = packet(&mut stream) {
        let answer = match first >> 4 {
            3 if first & 6 == 2 => {
                let at = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                vec![0x40, 2, body[at], body[at + 1]]
            }
            12 => vec![0xD0, 0],
            14 => return,
            _ => continue,
        };
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}
