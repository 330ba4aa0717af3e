//! Addresses as the configuration writes them: IP, port and, where needed, the interface.

use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::str::FromStr;

/// An IP address with a port and, for link-local and multicast addresses, the interface by name or
/// number: `0.0.0.0:1883`, `[::]:1883`, `[ff02::1%eth0]:1883`, `225.1.1.1%eth0:1883`.
///
/// The interface is kept as it was written, because it may not exist yet when the configuration is
/// read.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Endpoint {
    /// Address.
    pub ip: IpAddr,
    /// Name or index of the interface.
    pub interface: Option<Box<str>>,
    /// Port.
    pub port: u16,
}

impl Endpoint {
    /// The socket address, with the index of the interface that the caller looked up (0 for none;
    /// IPv4 has no place for it).
    #[must_use]
    pub fn socket_addr(&self, scope_id: u32) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => SocketAddrV4::new(ip, self.port).into(),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, self.port, 0, scope_id).into(),
        }
    }

    /// Whether two listeners on these addresses would be in each other's way. Listening on `[::]`
    /// includes IPv4.
    #[must_use]
    pub fn conflicts_with(&self, other: &Self) -> bool {
        if self.port != other.port || self.port == 0 {
            return false;
        }
        let covers = |a: &Self, b: &Self| match (a.ip, b.ip) {
            (IpAddr::V4(any), IpAddr::V4(_)) => any.is_unspecified(),
            (IpAddr::V6(any), _) => any.is_unspecified(),
            _ => false,
        };
        covers(self, other)
            || covers(other, self)
            || (self.ip == other.ip && self.interface == other.interface)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        let interface = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(v6.scope_id().to_string().into()),
            _ => None,
        };
        Self { ip: address.ip(), interface, port: address.port() }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.ip.is_ipv6() { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}", self.ip)?;
        if let Some(interface) = &self.interface {
            write!(f, "%{interface}")?;
        }
        write!(f, "{close}:{}", self.port)
    }
}

/// Why a text is not an [`Endpoint`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EndpointError {
    /// There is no `:port` at the end, or it is no number up to 65,535.
    Port,
    /// What stands before the port is no IP address; names are not looked up.
    Address,
    /// An IPv6 address without `[` and `]`.
    Brackets,
    /// `%` without a usable interface name after it.
    Interface,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Port => "the port is missing or not a number from 0 to 65535",
            Self::Address => "this is not an IP address (names are not looked up here)",
            Self::Brackets => "an IPv6 address is written in brackets, as in \"[::]:1883\"",
            Self::Interface => {
                "after % comes the name of an interface, as in \"[ff02::1%eth0]:1883\""
            }
        })
    }
}

impl std::error::Error for EndpointError {}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or(EndpointError::Brackets)?;
            (host, port.strip_prefix(':').ok_or(EndpointError::Port)?)
        } else {
            if text.split('%').next().is_some_and(|ip| ip.matches(':').count() > 1) {
                return Err(EndpointError::Brackets);
            }
            text.rsplit_once(':').ok_or(EndpointError::Port)?
        };
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_: &u16| digits).ok_or(EndpointError::Port)?;
        let (ip, interface) = match host.split_once('%') {
            Some((ip, interface)) => (ip, Some(check_interface(interface)?)),
            None => (host, None),
        };
        let ip = ip.parse().map_err(|_| EndpointError::Address)?;
        Ok(Self { ip, interface, port })
    }
}

/// Linux takes up to 15 octets without `/` and white space as the name of an interface.
fn check_interface(name: &str) -> Result<Box<str>, EndpointError> {
    let fine = !name.is_empty()
        && name.len() <= 15
        && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"/%[]:\"".contains(&byte));
    if fine { Ok(name.into()) } else { Err(EndpointError::Interface) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_comes_back() {
        for text in [
            "0.0.0.0:1883",
            "[::]:1883",
            "[ff02::1%eth0]:1883",
            "225.1.1.1%wlan0.5:1883",
            "127.0.0.1:0",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (text, error) in [
            ("0.0.0.0", EndpointError::Port),
            ("0.0.0.0:", EndpointError::Port),
            ("0.0.0.0:+1", EndpointError::Port),
            ("0.0.0.0:65536", EndpointError::Port),
            ("[::]", EndpointError::Port),
            ("[::1883", EndpointError::Brackets),
            ("::1:1883", EndpointError::Brackets),
            ("localhost:1883", EndpointError::Address),
            ("[127.0.0.1x]:1883", EndpointError::Address),
            (":1883", EndpointError::Address),
            ("[fe80::1%]:1883", EndpointError::Interface),
            ("[fe80::1%a b]:1883", EndpointError::Interface),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(error), "{text}");
        }
    }

    #[test]
    fn listeners_in_each_others_way() {
        let conflict =
            |a: &str, b: &str| a.parse::<Endpoint>().unwrap().conflicts_with(&b.parse().unwrap());
        assert!(conflict("127.0.0.1:1", "127.0.0.1:1"));
        assert!(conflict("0.0.0.0:1", "127.0.0.1:1"));
        assert!(conflict("127.0.0.1:1", "0.0.0.0:1"));
        assert!(conflict("[::]:1", "0.0.0.0:1"));
        assert!(!conflict("[::1]:1", "127.0.0.1:1"));
        assert!(!conflict("127.0.0.1:1", "127.0.0.2:1"));
        assert!(!conflict("127.0.0.1:1", "127.0.0.1:2"));
        assert!(!conflict("127.0.0.1:0", "127.0.0.1:0"));
        assert!(!conflict("[fe80::1%a]:1", "[fe80::1%b]:1"));
    }
}
