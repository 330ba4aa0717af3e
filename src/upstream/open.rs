//! From a list of brokers to an open way to one of them: TCP, and TLS and WebSocket where the address
//! says so.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::server::Server;
use super::stream::{Stream, Wire};
use super::tls::Tls;
use super::websocket;

/// Brokers, and what it takes to reach them. Any number of connections share one.
#[derive(Debug)]
pub struct Brokers {
    /// In the order in which they are tried.
    pub servers: Box<[Server]>,
    /// TLS; needed if one of them is spoken to by TLS.
    pub tls: Option<Tls>,
    /// How long each step may take: looking up the name, TCP, TLS, WebSocket.
    pub connect_timeout: Duration,
}

/// An open way to a broker, on which no MQTT was spoken yet.
#[derive(Debug)]
pub struct Opened {
    /// The way.
    pub stream: Stream,
    /// Index of the broker in the list.
    pub server: usize,
    /// Its address.
    pub address: SocketAddr,
}

/// Of each broker that could not be reached: its index, and why.
pub type Failures = Vec<(usize, Failure)>;

/// Why one broker could not be reached.
#[derive(Debug)]
pub enum Failure {
    /// The name service knows nothing of it, or failed.
    Resolve(io::Error),
    /// The name has no address.
    NoAddress,
    /// The name service did not answer for so long.
    ResolveTimeout(Duration),
    /// It did not answer for so long.
    ConnectTimeout(Duration),
    /// TCP could not connect.
    Connect(io::Error),
    /// It did not finish a handshake, that of TLS or WebSocket, for so long.
    HandshakeTimeout(&'static str, Duration),
    /// A handshake failed: why, and what to do.
    Handshake(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(error) => {
                let text = error.to_string();
                let text = text.strip_prefix("failed to lookup address information: ");
                let text = text.map_or_else(|| error.to_string(), str::to_owned);
                write!(f, "its name does not resolve ({text}); check `url` and the name service")
            }
            Self::NoAddress => f.write_str("its name has no address; check `url`"),
            Self::ResolveTimeout(after) => {
                write!(f, "the name service did not answer within {} s", after.as_secs_f32())
            }
            Self::ConnectTimeout(after) => write!(
                f,
                "it did not answer within {} s; check the network and firewalls",
                after.as_secs_f32()
            ),
            Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                f.write_str("connection refused: nothing listens on that port; start the broker or correct `url`")
            }
            Self::Connect(error) => write!(f, "{error}"),
            Self::HandshakeTimeout(what, after) => write!(
                f,
                "it did not finish the {what} handshake within {} s; does it speak {what} on that port?",
                after.as_secs_f32()
            ),
            Self::Handshake(why) => f.write_str(why),
        }
    }
}

/// Tries the brokers of a range, in order, and the addresses of each, until one can be used.
///
/// # Errors
/// If none can: each with the last thing that went wrong there.
pub async fn open(brokers: &Brokers, range: Range<usize>) -> Result<(Opened, Failures), Failures> {
    let mut failures = Vec::new();
    for index in range {
        let Some(server) = brokers.servers.get(index) else { break };
        match open_server(brokers, server).await {
            Ok((stream, address)) => {
                return Ok((Opened { stream, server: index, address }, failures));
            }
            Err(failure) => failures.push((index, failure)),
        }
    }
    Err(failures)
}

async fn open_server(brokers: &Brokers, server: &Server) -> Result<(Stream, SocketAddr), Failure> {
    let limit = brokers.connect_timeout;
    let addresses = match timeout(limit, lookup_host((&*server.host, server.port))).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err(Failure::Resolve(error)),
        Err(_) => return Err(Failure::ResolveTimeout(limit)),
    };
    let mut last = Failure::NoAddress;
    for address in addresses {
        match open_address(brokers, server, address).await {
            Ok(stream) => return Ok((stream, address)),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

async fn open_address(
    brokers: &Brokers,
    server: &Server,
    address: SocketAddr,
) -> Result<Stream, Failure> {
    let limit = brokers.connect_timeout;
    let stream = match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Failure::Connect(error)),
        Err(_) => return Err(Failure::ConnectTimeout(limit)),
    };
    // Writes are whole batches already; waiting for more would only add delay.
    let _ = stream.set_nodelay(true);
    let mut wire = Wire::Tcp(stream);
    if server.scheme.has_tls()
        && let Wire::Tcp(stream) = wire
    {
        let Some(tls) = &brokers.tls else {
            return Err(Failure::Handshake("TLS is not set up".to_owned()));
        };
        wire = match timeout(limit, tls.connect(server, stream)).await {
            Ok(stream) => Wire::Tls(Box::new(stream.map_err(Failure::Handshake)?)),
            Err(_) => return Err(Failure::HandshakeTimeout("TLS", limit)),
        };
    }
    if !server.scheme.has_path() {
        return Ok(Stream::wire(wire));
    }
    match timeout(limit, websocket::connect(server, wire)).await {
        Ok(socket) => Ok(Stream::web_socket(socket.map_err(Failure::Handshake)?)),
        Err(_) => Err(Failure::HandshakeTimeout("WebSocket", limit)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn server(host: &str, port: u16) -> Server {
        Server { host: host.into(), port, ..Server::default() }
    }

    fn try_all(servers: &[Server], first: usize) -> Result<(usize, usize), Vec<String>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let brokers =
            Brokers { servers: servers.into(), tls: None, connect_timeout: Duration::from_secs(5) };
        match runtime.block_on(open(&brokers, first..servers.len())) {
            Ok((opened, failures)) => Ok((opened.server, failures.len())),
            Err(failures) => Err(failures.iter().map(|(_, failure)| failure.to_string()).collect()),
        }
    }

    #[test]
    fn the_first_that_answers_is_taken_and_the_others_are_explained() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap().port();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Too long for a name: refused without asking anybody.
        let nameless = server(&"a".repeat(64), 1883);
        let servers = [nameless.clone(), server("127.0.0.1", closed), server("localhost", open)];
        assert_eq!(try_all(&servers, 0), Ok((2, 2)));
        assert_eq!(try_all(&servers, 2), Ok((2, 0)));
        let failures = try_all(&servers[..2], 0).unwrap_err();
        assert!(failures[0].starts_with("its name does not resolve ("), "{failures:?}");
        assert_eq!(
            failures[1],
            "connection refused: nothing listens on that port; start the broker or correct `url`"
        );
    }
}
