//! The gateway's name, the broker, limits and discovery.

use std::time::Duration;

use super::{AGGREGATING, AUTHENTICATION, Given, Wishes};
use crate::cli::import::draft::{Draft, Line, Place};
use crate::cli::import::input::LONGEST;
use crate::cli::import::secret::{Login, write_login};
use crate::cli::import::settle::{BROKER_TO_NAME, NO_BROKER};
use crate::cli::import::text::shown;
use crate::config::format_duration;

pub(super) fn translate(given: &Given<'_>, wishes: Wishes, draft: &mut Draft) {
    let conf = &given.settings;
    if let Some(setting) = conf.get("GatewayName") {
        let root = draft.section(Place::Root);
        root.comment(
            "The client id of the gateway's own connection: access rules of the broker have to allow it.",
        );
        if conf.is_on(&AGGREGATING) {
            root.comment(format!("It was {}_Aggregater.", shown(setting.value)));
        }
        root.text("name", setting.value, Some(Given::place(setting)));
    }
    if let Some(setting) = conf.get("GatewayID") {
        number(setting, "gateway_id", Place::Root, draft);
    }
    write_upstream(given, wishes, draft);
    if let Some(setting) = conf.get("MaxNumberOfClients") {
        let comment = "Devices that are remembered count as well as those that are connected, so this may have \
                       to be more than it was.";
        draft.section(Place::Sessions).comment(comment);
        number(setting, "max_clients", Place::Sessions, draft);
    }
    let sessions = draft.section(Place::Sessions);
    sessions.comment("Paho's gateway takes ids that are as long.");
    sessions.plain("max_client_id_length", 64, None);
    let connectionless = conf.get("QoS-1");
    let on = conf.is_on(&["QoS-1"]);
    if on {
        sessions.comment(
            "From any address: Paho's gateway takes QoS −1 from those only that clients.conf lists.",
        );
    }
    sessions.plain("unauthenticated_publish", on, connectionless.map(Given::place));
    if let Some(setting) = conf.get("KeepAlive") {
        match setting.number() {
            Some(seconds @ 1..) => {
                // Beyond what fits, our own check has the word.
                let interval = format_duration(Duration::from_secs(seconds.min(u64::from(u32::MAX))));
                let discovery = draft.section(Place::Discovery);
                discovery.text("advertise_interval", &interval, Some(Given::place(setting)));
            }
            _ => draft.leave(
                Given::place(setting),
                setting.key,
                setting.value,
                "It is the time between two ADVERTISE, in seconds; \"0s\" for advertise_interval of \
                 [discovery] turns them off.",
            ),
        }
    }
}

/// A key whose value is a whole number.
fn number(setting: &super::Setting<'_>, key: &str, place: Place, draft: &mut Draft) {
    let from = Given::place(setting);
    match setting.number() {
        Some(number) => {
            draft.section(place).plain(key, number.min(i64::MAX as u64), Some(from));
        }
        None => {
            draft.leave(from, setting.key, setting.value, format!("It is no number; see `{key}`."))
        }
    }
}

fn write_upstream(given: &Given<'_>, wishes: Wishes, draft: &mut Draft) {
    let conf = &given.settings;
    let listed = given.clients.as_ref().map_or(&[][..], |clients| &clients.list.entries);
    // The list has a say in this only if it is the list of who may connect.
    let listed = if conf.is_on(&AUTHENTICATION) { listed } else { &[] };
    let secure = listed.iter().filter(|listed| listed.secure).count();
    conf.get("SecureConnection");
    let everything_by_tls = conf.is_on(&["SecureConnection"]);
    let tls = everything_by_tls || secure > 0;
    let upstream = draft.section(Place::Upstream);
    let (scheme, port, default) = match tls {
        true if !everything_by_tls => ("mqtts", conf.get("BrokerSecurePortNo"), "8883"),
        true => ("mqtts", conf.get("BrokerPortNo"), "8883"),
        false => ("mqtt", conf.get("BrokerPortNo"), "1883"),
    };
    let port = port.map_or(default, |setting| setting.value);
    let broker = conf.get("BrokerName").filter(|setting| !setting.value.is_empty());
    let host = broker.map_or("", |setting| setting.value);
    let host = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    if tls && !everything_by_tls && secure < listed.len() {
        upstream.comment(
            "Some clients only had secureConnection. Here all devices go by the same broker address, so all \
             of them go by TLS.",
        );
    }
    match broker {
        Some(setting) => {
            upstream.text("url", &format!("{scheme}://{host}:{port}"), Some(Given::place(setting)))
        }
        None => upstream.comment(NO_BROKER).text("url", BROKER_TO_NAME, None),
    };
    let aggregating = conf.is_on(&AGGREGATING);
    let from = conf.get_any(&AGGREGATING).map(Given::place);
    let mode = if aggregating { "aggregating" } else { "transparent" };
    upstream.text("mode", mode, from);
    if let Some(setting) = conf.get("MQTTVersion") {
        match setting.number() {
            Some(4) => {
                upstream.text("version", "3.1.1", Some(Given::place(setting)));
            }
            _ => draft.leave(
                Given::place(setting),
                setting.key,
                setting.value,
                "MQTT 5 and 3.1.1 are spoken to the broker; see `version` of [upstream].",
            ),
        }
    }
    let login = Login {
        username: conf.get("LoginID").map(|setting| (setting.value, Given::place(setting))),
        password: conf.get("Password").map(|setting| (setting.value, Given::place(setting))),
        password_key: "Password",
    };
    write_login(&login, wishes.passwords, draft);
    write_tls(given, tls, &host, draft);
}

/// `[upstream.tls]`, in a comment if the broker is not spoken to by TLS.
fn write_tls(given: &Given<'_>, tls: bool, host: &str, draft: &mut Draft) {
    let conf = &given.settings;
    let files = [
        ("ca_file", conf.get("RootCAfile")),
        // The program reads the first, its sample has the second, and an earlier one had the third.
        ("cert_file", conf.get_any(&["CertKey", "CertsKey", "CertsFile"])),
        ("key_file", conf.get("PrivateKey")),
    ];
    let files =
        files.map(|(key, setting)| (key, setting.filter(|setting| !setting.value.is_empty())));
    let secure_port = conf.get("BrokerSecurePortNo");
    if let (false, Some(setting)) = (tls, secure_port) {
        draft.leave(
            Given::place(setting),
            setting.key,
            setting.value,
            format!(
                "No client has secureConnection. For TLS, for all devices: url = \"mqtts://{host}:{}\" under \
                 [upstream].",
                setting.value
            ),
        );
    }
    if files.iter().all(|(_, setting)| setting.is_none()) {
        return;
    }
    let section = draft.section(Place::Tls);
    if !tls {
        section.comment("For a url with mqtts://.");
    }
    let files: Vec<_> = files
        .into_iter()
        .filter_map(|(key, setting)| {
            setting.map(|setting| (key, given.path(setting.value), setting))
        })
        .collect();
    if tls && files.iter().any(|(_, path, _)| !is_here(path)) {
        section.comment(
            "Not all of these files are on this machine. Where they are, take the \"#\" away.",
        );
    }
    for (key, path, setting) in &files {
        section.text(key, path, Some(Given::place(setting)));
        // A certificate and its key go together.
        let pair = files.iter().filter(|(other, ..)| (*other == "ca_file") == (*key == "ca_file"));
        if let (true, Some(Line::Key { on, .. })) = (tls, section.lines.last_mut()) {
            *on = pair.clone().all(|(_, path, _)| is_here(path));
        }
    }
    if !tls {
        section.switch_off();
    }
}

/// Whether this is a file that can be looked at: the reader of configurations would do so, whatever it is.
fn is_here(path: &str) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= LONGEST as u64)
}
