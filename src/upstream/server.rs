//! One place where a broker may be.

use std::fmt;

/// What is spoken below MQTT.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Scheme {
    /// TCP.
    #[default]
    Mqtt,
    /// TLS over TCP.
    Mqtts,
    /// WebSocket over TCP.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mqtt, Self::Mqtts, Self::Ws, Self::Wss];

    /// What stands before `://`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// The port of an address that names none.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Mqtt => 1883,
            Self::Mqtts => 8883,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// Whether there is TLS.
    #[must_use]
    pub fn has_tls(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    /// Whether there is WebSocket, and so a path.
    #[must_use]
    pub fn has_path(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// One place where a broker may be.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Server {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Name or address, without brackets; may carry an interface (`fe80::1%eth0`).
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// For WebSocket what is asked for, from the first `/` on; else empty.
    pub path: Box<str>,
    /// It is the one inside this program.
    pub embedded: bool,
}

impl Server {
    /// The path of an address for WebSocket that names none.
    pub const DEFAULT_PATH: &str = "/mqtt";

    /// The host as certificates and HTTP know it, without an interface.
    #[must_use]
    pub fn name(&self) -> &str {
        self.host.split_once('%').map_or(&self.host, |(name, _)| name)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.embedded {
            f.write_str("the built-in broker on ")?;
        } else {
            write!(f, "{}://", self.scheme.name())?;
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}{}", self.host, self.port, self.path),
            false => write!(f, "{}:{}{}", self.host, self.port, self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_named_as_they_are_written() {
        let server = |host: &str| Server { host: host.into(), port: 1883, ..Server::default() };
        assert_eq!(server("broker.example").to_string(), "mqtt://broker.example:1883");
        assert_eq!(server("2001:db8::1").to_string(), "mqtt://[2001:db8::1]:1883");
        let built_in = Server { embedded: true, ..server("127.0.0.1") };
        assert_eq!(built_in.to_string(), "the built-in broker on 127.0.0.1:1883");
        let socket =
            Server { scheme: Scheme::Wss, path: "/mqtt?x".into(), ..server("fe80::1%eth0") };
        assert_eq!(socket.to_string(), "wss://[fe80::1%eth0]:1883/mqtt?x");
        assert_eq!(socket.name(), "fe80::1");
    }
}
