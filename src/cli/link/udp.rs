//! The gateway over UDP.

use std::io;
use std::net::SocketAddr;

use tokio::net::{UdpSocket, lookup_host};

use super::super::Failure;

/// Longest datagram.
const LONGEST: usize = 65_536;

/// A socket of its own for one gateway.
pub(super) struct Udp {
    socket: UdpSocket,
    gateway: SocketAddr,
    /// Where else it may be, should nothing listen there.
    others: Vec<SocketAddr>,
    buffer: Vec<u8>,
}

impl Udp {
    /// Looks the gateway up and opens a socket to it. Nothing is sent.
    pub(super) async fn open(host: &str, port: u16) -> Result<Self, Failure> {
        let mut addresses: Vec<SocketAddr> = lookup_host((host, port))
            .await
            .map_err(|error| Failure::run(format!("cannot look up the gateway {host}: {error}")))?
            .collect();
        // Tried from the end: IPv4 first, on which a gateway listens unless told otherwise.
        addresses.reverse();
        addresses.sort_by_key(SocketAddr::is_ipv4);
        let gateway = addresses
            .pop()
            .ok_or_else(|| Failure::run(format!("the gateway {host} has no address")))?;
        let socket = open_socket(gateway).await?;
        Ok(Self { socket, gateway, others: addresses, buffer: vec![0; LONGEST] })
    }

    pub(super) fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    pub(super) async fn receive(&mut self) -> io::Result<&[u8]> {
        let length = self.socket.recv(&mut self.buffer).await?;
        Ok(self.buffer.get(..length).unwrap_or(&[]))
    }

    pub(super) async fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send(datagram).await.map(drop)
    }

    /// Turns to the gateway's next address; false if there is none.
    pub(super) async fn turn(&mut self) -> Result<bool, Failure> {
        let Some(address) = self.others.pop() else { return Ok(false) };
        self.gateway = address;
        self.socket = open_socket(address).await?;
        Ok(true)
    }

    /// Stays with this address: nothing comes back that would say that another one is better.
    pub(super) fn stay(&mut self) {
        self.others.clear();
    }

    /// Why it cannot be reached.
    pub(super) fn explain(&self, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => format!(
                "nothing listens on UDP {}: is the gateway running, and is this its address?",
                self.gateway
            ),
            _ => format!("cannot reach {}: {error}", self.gateway),
        }
    }
}

async fn open_socket(gateway: SocketAddr) -> Result<UdpSocket, Failure> {
    let any: SocketAddr = match gateway {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let unusable = |error| Failure::run(format!("cannot send to {gateway}: {error}"));
    let socket = UdpSocket::bind(any).await.map_err(unusable)?;
    // So that only the gateway's datagrams come in, and a refusal of the system too.
    socket.connect(gateway).await.map_err(unusable)?;
    Ok(socket)
}
