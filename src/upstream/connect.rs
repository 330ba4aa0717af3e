//! From a list of brokers to an open TCP connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// One place where a broker may be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// Name or address, without brackets.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// It is the one inside this program.
    pub embedded: bool,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.embedded {
            f.write_str("the built-in broker on ")?;
        } else {
            f.write_str("mqtt://")?;
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A connection that TCP has accepted.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) stream: TcpStream,
    /// Index of the broker in the list.
    pub(super) server: usize,
    pub(super) address: SocketAddr,
}

/// Why one broker could not be reached.
#[derive(Debug)]
pub(super) enum Failure {
    Resolve(io::Error),
    NoAddress,
    ResolveTimeout(Duration),
    ConnectTimeout(Duration),
    Connect(io::Error),
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
        }
    }
}

/// Tries the brokers from `first` on, in order, and the addresses of each, until one answers.
///
/// # Errors
/// If none did: each with the last thing that went wrong there.
pub(super) async fn connect(
    servers: Box<[Server]>,
    first: usize,
    limit: Duration,
) -> Result<(Opened, Vec<(usize, Failure)>), Vec<(usize, Failure)>> {
    let mut failures = Vec::new();
    for (index, server) in servers.iter().enumerate().skip(first) {
        match connect_one(server, limit).await {
            Ok((stream, address)) => {
                return Ok((Opened { stream, server: index, address }, failures));
            }
            Err(failure) => failures.push((index, failure)),
        }
    }
    Err(failures)
}

async fn connect_one(server: &Server, limit: Duration) -> Result<(TcpStream, SocketAddr), Failure> {
    let addresses = match timeout(limit, lookup_host((&*server.host, server.port))).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err(Failure::Resolve(error)),
        Err(_) => return Err(Failure::ResolveTimeout(limit)),
    };
    let mut last = Failure::NoAddress;
    for address in addresses {
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Writes are whole batches already; waiting for more would only add delay.
                let _ = stream.set_nodelay(true);
                return Ok((stream, address));
            }
            Ok(Err(error)) => last = Failure::Connect(error),
            Err(_) => last = Failure::ConnectTimeout(limit),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn server(host: &str, port: u16) -> Server {
        Server { host: host.into(), port, embedded: false }
    }

    fn try_all(servers: &[Server], first: usize) -> Result<(usize, usize), Vec<String>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let attempt = connect(servers.into(), first, Duration::from_secs(5));
        match runtime.block_on(attempt) {
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

    #[test]
    fn brokers_are_named_as_they_are_written() {
        assert_eq!(server("broker.example", 1883).to_string(), "mqtt://broker.example:1883");
        assert_eq!(server("2001:db8::1", 1883).to_string(), "mqtt://[2001:db8::1]:1883");
        let built_in = Server { embedded: true, ..server("127.0.0.1", 1883) };
        assert_eq!(built_in.to_string(), "the built-in broker on 127.0.0.1:1883");
    }
}
