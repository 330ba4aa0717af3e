//! Ports of the loopback that stay ours while nobody listens on them.
//!
//! A broker that is stopped, and a gateway that was killed, come back to the same port. One from the
//! range out of which the system gives ports to anybody who asks for none might be somebody else's by
//! then; and who connects to such a port of the loopback again and again will at some time be
//! given that very port as its own, and be connected with itself.

use std::net::{TcpListener, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range of the system's choice (32768 upwards on Linux), above what services use.
const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;

/// Ports once given stay reserved for the life of the process: whoever uses one for TCP has the UDP
/// port of the same number held for it, and the other way round.
static HELD_UDP: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
static HELD_TCP: Mutex<Vec<TcpListener>> = Mutex::new(Vec::new());

/// A TCP port that no other test takes.
pub fn tcp_port() -> u16 {
    find(|port| {
        let Ok(held) = UdpSocket::bind(("127.0.0.1", port)) else { return false };
        let free = TcpListener::bind(("127.0.0.1", port)).is_ok();
        HELD_UDP.lock().expect("not poisoned").push(held);
        free
    })
}

/// A UDP port that no other test takes.
pub fn udp_port() -> u16 {
    find(|port| {
        let Ok(held) = TcpListener::bind(("127.0.0.1", port)) else { return false };
        let free = UdpSocket::bind(("127.0.0.1", port)).is_ok();
        HELD_TCP.lock().expect("not poisoned").push(held);
        free
    })
}

fn find(free: impl Fn(u16) -> bool) -> u16 {
    // Each process begins somewhere else, so that tests that run at once seldom meet.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id().wrapping_mul(7_919) % u32::from(COUNT)) as u16;
    (0..COUNT)
        .map(|_| {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            FIRST + (begin + step % COUNT) % COUNT
        })
        .find(|port| free(*port))
        .expect("a free port")
}
