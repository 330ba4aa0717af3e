//! The three files of Paho's MQTTSNGateway, read as it reads them.

use std::cell::Cell;

use crate::cli::import::input::{Wrong, lines};

/// Keys of `gateway.conf`, with those of earlier versions.
const KEYS: [&str; 48] = [
    "GatewayID",
    "GatewayName",
    "MaxNumberOfClients",
    "KeepAlive",
    "LoginID",
    "Password",
    "BrokerName",
    "BrokerPortNo",
    "BrokerSecurePortNo",
    "SecureConnection",
    "RootCAfile",
    "RootCApath",
    "CertKey",
    "CertsKey",
    "CertsFile",
    "PrivateKey",
    "AggregatingGateway",
    "AggregateGateway",
    "QoS-1",
    "OoS-1ProxyName",
    "Forwarder",
    "ForwardersList",
    "PredefinedTopic",
    "PredefinedTopicList",
    "ClientAuthentication",
    "ClientAuthorization",
    "ClientsList",
    "MQTTVersion",
    "MaxInflightMsgs",
    "GatewayPortNo",
    "MulticastIP",
    "MulticastPortNo",
    "MulticastTTL",
    "GatewayIPv6PortNo",
    "MulticastIPv6",
    "MulticastIPv6PortNo",
    "MulticastIPv6If",
    "MulticastHops",
    "DtlsCertsKey",
    "DtlsPrivKey",
    "Baudrate",
    "SerialDevice",
    "ApiMode",
    "BaudrateLoRaLink",
    "DeviceRxLoRaLink",
    "DeviceTxLoRaLink",
    "RFCOMMAddress",
    "ShearedMemory",
];

/// `key=value` on a line.
#[derive(Clone, Debug)]
pub(super) struct Setting<'a> {
    pub(super) line: usize,
    pub(super) key: &'a str,
    pub(super) value: &'a str,
    /// Whether the translation has made use of it.
    used: Cell<bool>,
}

/// `gateway.conf`.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings<'a> {
    pub(super) all: Vec<Setting<'a>>,
    /// Lines that Paho's gateway passes over, as key and value if they are that.
    pub(super) odd: Vec<(usize, &'a str, &'a str)>,
}

impl<'a> Settings<'a> {
    /// Reads the file. It is one if it has a key that Paho's gateway knows.
    pub(super) fn parse(octets: &'a [u8]) -> Result<Self, Wrong> {
        let mut settings = Self::default();
        for (line, text) in lines(octets)? {
            match text.split_once('=') {
                // The key has to begin the line, and the sign to follow at once.
                Some((key, value)) if key == key.trim() => {
                    let value = value.trim();
                    settings.all.push(Setting { line, key, value, used: Cell::new(false) });
                }
                Some((key, value)) => settings.odd.push((line, key.trim(), value.trim())),
                None => settings.odd.push((line, text.trim(), "")),
            }
        }
        if !settings.all.iter().any(|setting| KEYS.contains(&setting.key)) {
            let message =
                "this is no gateway.conf of Paho's MQTTSNGateway: no line sets one of its keys";
            let help = "it has lines like GatewayID=1 and BrokerName=broker.example; the first file named \
                        is gateway.conf";
            return Err(Wrong::new(0, message, help));
        }
        Ok(settings)
    }

    /// The first line with this key, which is the one that counts.
    pub(super) fn get(&self, key: &str) -> Option<&Setting<'a>> {
        let found = self.all.iter().find(|setting| setting.key == key)?;
        found.used.set(true);
        Some(found)
    }

    /// The same for a key that had several names.
    pub(super) fn get_any(&self, keys: &[&str]) -> Option<&Setting<'a>> {
        keys.iter().find_map(|key| self.get(key))
    }

    /// Whether a switch is on. To ask is not to make use of it.
    pub(super) fn is_on(&self, keys: &[&str]) -> bool {
        let mut found =
            keys.iter().filter_map(|key| self.all.iter().find(|setting| setting.key == *key));
        found.next().is_some_and(|setting| setting.value.eq_ignore_ascii_case("yes"))
    }

    /// What nobody has asked for.
    pub(super) fn unused(&self) -> impl Iterator<Item = &Setting<'a>> {
        self.all.iter().filter(|setting| !setting.used.get())
    }
}

impl Setting<'_> {
    /// The number with which the value begins, as C's `atoi` has it.
    pub(super) fn number(&self) -> Option<u64> {
        leading_number(self.value)
    }
}

fn leading_number(text: &str) -> Option<u64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// A line of `clients.conf`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Listed {
    pub(super) line: usize,
    pub(super) id: String,
    pub(super) address: String,
    /// Its connection to the broker is to use TLS.
    pub(super) secure: bool,
    pub(super) unstable: bool,
    /// It publishes without connecting.
    pub(super) connectionless: bool,
    pub(super) forwarder: bool,
}

/// A line of `predefinedTopic.conf`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Predefined {
    pub(super) line: usize,
    /// Whose topic it is; `None` is everybody's.
    pub(super) client: Option<String>,
    pub(super) topic: String,
    pub(super) id: u64,
}

/// One of the lists, with the lines that are none of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct List<T> {
    pub(super) entries: Vec<T>,
    pub(super) odd: Vec<(usize, String)>,
}

/// A list, whose kind shows in what is in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum AnyList {
    Clients(List<Listed>),
    Topics(List<Predefined>),
    /// There is nothing in it.
    Empty,
}

impl AnyList {
    /// Reads `clients.conf` or `predefinedTopic.conf`. The lines of the latter end with a number behind
    /// the second comma.
    pub(super) fn parse(octets: &[u8]) -> Result<Self, Wrong> {
        let lines = lines(octets)?;
        let mut clients = List { entries: Vec::new(), odd: Vec::new() };
        let mut topics = List { entries: Vec::new(), odd: Vec::new() };
        for (line, text) in &lines {
            // White space is taken out wherever it is, also out of names.
            let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            match topic(*line, &text) {
                Some(entry) => topics.entries.push(entry),
                None => topics.odd.push((*line, text.clone())),
            }
            match client(*line, &text) {
                Some(entry) => clients.entries.push(entry),
                None => clients.odd.push((*line, text)),
            }
        }
        let Some((first, _)) = lines.first() else { return Ok(Self::Empty) };
        if topics.entries.len() * 2 > lines.len() {
            return Ok(Self::Topics(topics));
        }
        if clients.entries.is_empty() {
            let message = "this is neither a clients.conf nor a predefinedTopic.conf";
            let help = "the lines of the one are like Client01,192.168.1.7:12001, those of the other like \
                        Client01,a/topic,1";
            return Err(Wrong::new(*first, message, help));
        }
        Ok(Self::Clients(clients))
    }
}

/// `ClientID,topic,id`.
fn topic(line: usize, text: &str) -> Option<Predefined> {
    let (client, rest) = text.split_once(',')?;
    let (topic, id) = rest.split_once(',')?;
    let client = (!matches!(client, "*" | "COMMON")).then(|| client.to_owned());
    Some(Predefined { line, client, topic: topic.to_owned(), id: leading_number(id)? })
}

/// `ClientID,address` with words behind it. They count wherever in the line they stand, in the id as well.
fn client(line: usize, text: &str) -> Option<Listed> {
    let (id, rest) = text.split_once(',')?;
    let address = rest.split(',').next().unwrap_or(rest);
    if id.is_empty() || address.is_empty() {
        return None;
    }
    Some(Listed {
        line,
        id: id.to_owned(),
        address: address.to_owned(),
        secure: text.contains("secureConnection"),
        unstable: text.contains("unstableLine"),
        connectionless: text.contains("QoS-1"),
        forwarder: text.contains("forwarder"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_paho_does() {
        let text = b"GatewayID=1\r\nGatewayID=2\n KeepAlive=60\nKeepAlive =70\nName\n#LoginID=x\nBrokerName =\n\
                     GatewayName=  a b  \nQoS-1=Yes\nMaxNumberOfClients=30;\nPassword=a=b";
        let settings = Settings::parse(text).unwrap();
        assert_eq!(settings.get("GatewayID").unwrap().value, "1");
        assert_eq!(settings.get("GatewayName").unwrap().value, "a b");
        assert_eq!(settings.get("MaxNumberOfClients").unwrap().number(), Some(30));
        assert_eq!(settings.get("Password").unwrap().value, "a=b");
        assert!(settings.is_on(&["QoS-1"]) && settings.get("LoginID").is_none());
        let odd = [
            (3, "KeepAlive", "60"),
            (4, "KeepAlive", "70"),
            (5, "Name", ""),
            (7, "BrokerName", ""),
        ];
        assert_eq!(settings.odd, odd);
        let unused: Vec<usize> = settings.unused().map(|setting| setting.line).collect();
        assert_eq!(unused, [2, 9]);
    }

    #[test]
    fn another_file_is_told_from_it() {
        for wrong in ["", "[upstream]\nurl = 1\n", "gatewayid=1", "<xml/>"] {
            assert_eq!(Settings::parse(wrong.as_bytes()).unwrap_err().line, 0, "{wrong}");
        }
        assert_eq!(Settings::parse(b"GatewayID=1\n\xFF=").unwrap_err().line, 2);
        assert_eq!(AnyList::parse(b"# none\n\n"), Ok(AnyList::Empty));
        assert_eq!(AnyList::parse(b"#\nGatewayID=1\n").unwrap_err().line, 2);
    }

    #[test]
    fn lists_are_told_apart_by_what_is_in_them() {
        let text = b"Client 01, 10.0.0.1:1\nnobody\nb,[::1]:2,unstableLine, secureConnection\n\
                     QoS-1_x,10.0.0.3:3\nf,5,forwarder\n,10.0.0.4:4\n";
        let Ok(AnyList::Clients(list)) = AnyList::parse(text) else { panic!() };
        let ids: Vec<&str> = list.entries.iter().map(|listed| &*listed.id).collect();
        assert_eq!(ids, ["Client01", "b", "QoS-1_x", "f"]);
        let [a, b, c, d] = &list.entries[..] else { panic!() };
        assert_eq!((&*b.address, b.unstable, b.secure, b.line), ("[::1]:2", true, true, 3));
        assert!(!a.secure && c.connectionless && d.forwarder && !d.connectionless);
        assert_eq!(list.odd, [(2, "nobody".to_owned()), (6, ",10.0.0.4:4".to_owned())]);

        let text = b"*, a/b, 1\nCOMMON,c,2\nc1,x y/z,70000\nc1,t,x\n";
        let Ok(AnyList::Topics(list)) = AnyList::parse(text) else { panic!() };
        let all: Vec<_> =
            list.entries.iter().map(|t| (t.client.as_deref(), &*t.topic, t.id)).collect();
        assert_eq!(all, [(None, "a/b", 1), (None, "c", 2), (Some("c1"), "xy/z", 70_000)]);
        assert_eq!(list.odd, [(4, "c1,t,x".to_owned())]);
    }
}
