//! The ways by which devices come in. Paho's gateway is built for one of them, and its file does not say for
//! which: the others become comments.

use super::{Given, Setting};
use crate::cli::import::draft::{Draft, Line, Place, Section};
use crate::cli::import::text::quote;
use crate::cli::import::{NO_DTLS, NO_DTLS_LISTENER};

/// A kind of network, as Paho's `build.sh` calls it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(in crate::cli::import) enum Network {
    Udp,
    Udp6,
    Xbee,
    Loralink,
    Dtls,
    Dtls6,
    Rfcomm,
}

pub(super) fn translate(given: &Given<'_>, network: Option<Network>, draft: &mut Draft) {
    let conf = &given.settings;
    let has = |key: &str| conf.all.iter().any(|setting| setting.key == key);
    let mut found = Vec::new();
    for (key, kind) in [
        ("GatewayPortNo", Network::Udp),
        ("GatewayIPv6PortNo", Network::Udp6),
        ("SerialDevice", Network::Xbee),
        ("DeviceRxLoRaLink", Network::Loralink),
    ] {
        if has(key) {
            found.push(kind);
        }
    }
    let taken = network.or(found.first().copied()).unwrap_or(Network::Udp);
    let mut first = link(given, taken);
    if network.is_none() && found.len() > 1 {
        let comment = "Which network Paho's gateway was built for is not in its file; this one is taken. If it was \
                       another: --network of this command, or take the # away below. Here all of them can be used \
                       at once.";
        first.lines.insert(0, Line::Comment(comment.to_owned()));
    }
    draft.add(first);
    // DTLS has the keys of UDP.
    let same = match taken {
        Network::Dtls => Network::Udp,
        Network::Dtls6 => Network::Udp6,
        other => other,
    };
    for other in found.into_iter().filter(|other| *other != same) {
        let mut section = link(given, other);
        section.switch_off();
        draft.add(section);
    }
    leave_dtls(given, taken, draft);
    if let Some(setting) = conf.get("RFCOMMAddress") {
        let reason = "There is no Bluetooth Classic (RFCOMM) here. Bluetooth LE is a [[ble]], see docs/ble.md; a \
                      /dev/rfcommN that the system has made is a [[serial]] with framing \"length\".";
        draft.leave(Given::place(setting), setting.key, setting.value, reason);
    }
}

fn link(given: &Given<'_>, network: Network) -> Section {
    let conf = &given.settings;
    match network {
        Network::Udp => udp(given, "0.0.0.0"),
        Network::Udp6 => udp6(given, "[::]"),
        Network::Dtls => without_dtls("127.0.0.1", conf.get("GatewayPortNo")),
        Network::Dtls6 => without_dtls("[::1]", conf.get("GatewayIPv6PortNo")),
        Network::Xbee => xbee(given),
        Network::Loralink => loralink(given),
        Network::Rfcomm => {
            let mut section = Section::new(Place::Links, "[[udp]]");
            section.comment("There is no Bluetooth Classic (RFCOMM) here; this listener is for this machine only.");
            section.text("listen", "127.0.0.1:1883", None);
            section
        }
    }
}

/// A listener that nobody else reaches: it joins no group either, by which packets could come in.
fn without_dtls(address: &str, port: Option<&Setting<'_>>) -> Section {
    let mut section = listener(address, (port, None), None);
    section.lines.insert(1, Line::Comment(NO_DTLS_LISTENER.to_owned()));
    section
}

fn udp(given: &Given<'_>, address: &str) -> Section {
    let conf = &given.settings;
    let group = conf.get("MulticastIP").map(|ip| (ip, ip.value.to_owned()));
    let ports = (conf.get("GatewayPortNo"), conf.get("MulticastPortNo"));
    listener(address, ports, group)
}

fn udp6(given: &Given<'_>, address: &str) -> Section {
    let conf = &given.settings;
    let interface = conf.get("MulticastIPv6If").filter(|interface| !interface.value.is_empty());
    let interface = interface.map_or(String::new(), |interface| format!("%{}", interface.value));
    let group = conf.get("MulticastIPv6").map(|ip| (ip, format!("[{}{interface}]", ip.value)));
    let ports = (conf.get("GatewayIPv6PortNo"), conf.get("MulticastIPv6PortNo"));
    listener(address, ports, group)
}

/// A listener that is found by way of a group.
fn listener(
    address: &str,
    (port, group_port): (Option<&Setting<'_>>, Option<&Setting<'_>>),
    group: Option<(&Setting<'_>, String)>,
) -> Section {
    let mut section = Section::new(Place::Links, "[[udp]]");
    match port.and_then(|port| port.number().map(|number| (port, number))) {
        Some((setting, number)) => {
            section.text("listen", &format!("{address}:{number}"), Some(Given::place(setting)));
        }
        None => {
            section.comment("There was no port; 10000 is that of Paho's sample.");
            section.text("listen", &format!("{address}:10000"), None);
        }
    }
    if let (Some((setting, ip)), Some(port)) = (group, group_port) {
        let group = format!(
            "{ip}:{}",
            port.number().map_or_else(|| port.value.to_owned(), |n| n.to_string())
        );
        let list = format!("[{}]", quote(&group));
        section.plain("groups", &list, Some(Given::place(setting)));
        section.plain("advertise_to", &list, Some(Given::place(setting)));
    }
    section
}

fn xbee(given: &Given<'_>) -> Section {
    let conf = &given.settings;
    let mut section = serial(given, ("SerialDevice", "device"), ("Baudrate", 9_600), "xbee");
    section.comment(
        "As Paho's gateway has it: RTS and CTS have to be there. Otherwise take this out.",
    );
    section.text("flow_control", "hardware", None);
    if conf.get("ApiMode").is_some() {
        section.comment("ApiMode is found out from the module.");
    }
    section
}

fn loralink(given: &Given<'_>) -> Section {
    let mut section =
        serial(given, ("DeviceRxLoRaLink", "device"), ("BaudrateLoRaLink", 115_200), "loralink");
    if let Some(setting) =
        given.settings.get("DeviceTxLoRaLink").filter(|setting| !setting.value.is_empty())
    {
        section.text("send_device", setting.value, Some(Given::place(setting)));
    }
    section.comment(
        "How the modems are set, for their time on the air; and the share of it, where the law has a limit. See \
         docs/loralink.md.",
    );
    section.shown("lora", "SF7 BW125 CR4/5");
    section.shown("duty_cycle", "1%");
    section
}

fn serial(
    given: &Given<'_>,
    (device, ours): (&str, &str),
    (baud, default): (&str, u64),
    framing: &str,
) -> Section {
    let conf = &given.settings;
    let mut section = Section::new(Place::Links, "[[serial]]");
    match conf.get(device) {
        Some(setting) => section.text(ours, setting.value, Some(Given::place(setting))),
        None => section
            .comment(format!(
                "There was no {device}. `ls -l /dev/serial/by-id` shows what is plugged in."
            ))
            .text(ours, "/dev/ttyUSB0", None),
    };
    let setting = conf.get(baud);
    let rate = setting.and_then(Setting::number).unwrap_or(default).min(u64::from(u32::MAX));
    section.plain("baud", rate, setting.map(Given::place));
    section.text("framing", framing, None);
    section
}

fn leave_dtls(given: &Given<'_>, taken: Network, draft: &mut Draft) {
    for key in ["DtlsCertsKey", "DtlsPrivKey"] {
        let Some(setting) = given.settings.get(key) else { continue };
        let mut reason = NO_DTLS.to_owned();
        if !matches!(taken, Network::Dtls | Network::Dtls6) {
            reason.push_str(
                " If Paho's gateway was built for it: --network dtls, so that nothing is let in that was not before.",
            );
        }
        draft.leave(Given::place(setting), key, setting.value, reason);
    }
}
