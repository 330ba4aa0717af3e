//! Values of arguments, read and checked. The error is what clap puts behind the value.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::capture::{LEAST_BYTES, Wrapping};
use crate::codec::Qos;
use crate::config::{parse_duration, parse_size};

/// Default port of a gateway.
const PORT: u16 = 1883;

/// Longest time that is taken: clocks cannot add just anything.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A gateway: `HOST:PORT`, `[ADDRESS]:PORT`, or either without the port.
pub(super) fn host_port(text: &str) -> Result<(String, u16), String> {
    let form = "write HOST:PORT, [ADDRESS]:PORT or HOST";
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(form)?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(form)?) })
        }
        // Several colons without brackets: an IPv6 address on its own.
        None if text.matches(':').count() > 1 => (text, None),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or("the port is no number from 1 to 65535")?,
        None => PORT,
    };
    if host.is_empty() { Err(form.to_owned()) } else { Ok((host.to_owned(), port)) }
}

/// How large a capture may become.
pub(super) fn capture_size(text: &str) -> Result<u64, String> {
    let size = parse_size(text)?;
    if size < LEAST_BYTES { Err("it is 16KiB or more".to_owned()) } else { Ok(size) }
}

/// How packets are wrapped in a capture.
pub(super) fn wrapping() -> impl TypedValueParser<Value = Wrapping> {
    let labels = [Wrapping::Udp, Wrapping::Pdu].map(Wrapping::label);
    PossibleValuesParser::new(labels).map(|label| Wrapping::named(&label).unwrap_or_default())
}

pub(super) fn client_id(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it cannot be empty".to_owned()) } else { Ok(text.to_owned()) }
}

pub(super) fn topic_name(text: &str) -> Result<String, String> {
    match text {
        "" => Err("it cannot be empty".to_owned()),
        _ if text.contains(['+', '#']) => {
            Err("+ and # stand for other topics: they are only for subscriptions".to_owned())
        }
        _ => topic_filter(text),
    }
}

pub(super) fn topic_filter(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 65_000 {
        return Err("1 to 65000 bytes".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn qos(text: &str) -> Result<Qos, String> {
    match text {
        "0" => Ok(Qos::Zero),
        "1" => Ok(Qos::One),
        "2" => Ok(Qos::Two),
        _ => Err("a QoS is 0, 1 or 2".to_owned()),
    }
}

/// A duration with a unit, or a number of seconds as mosquitto's tools take it.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = match text.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(seconds.into()),
        Err(_) => parse_duration(text)?,
    };
    match duration {
        Duration::ZERO => Err("it cannot be zero".to_owned()),
        duration if duration > LONGEST => Err("it is too long".to_owned()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_named_in_several_ways() {
        for (text, host, port) in [
            ("host", "host", 1883),
            ("host:1", "host", 1),
            ("127.0.0.1:10000", "127.0.0.1", 10_000),
            ("[::1]:2000", "::1", 2000),
            ("[fe80::1%eth0]", "fe80::1%eth0", 1883),
            ("::1", "::1", 1883),
        ] {
            assert_eq!(host_port(text), Ok((host.to_owned(), port)), "{text}");
        }
        for text in ["", ":1", "host:", "host:0", "host:70000", "[::1", "[::1]1", "host:x"] {
            assert!(host_port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_seconds_or_have_a_unit() {
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        for text in ["0", "0s", "soon", "-1", "", "4000d", "4294967295", "9999999999999ms"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
