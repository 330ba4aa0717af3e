//! `[[ble]]`.

use std::time::Duration;

use uuid::Uuid;

use super::checked::BleLink;
use super::error::{Origin, Problem};
use super::load::{DAY, HOUR, SECOND, SHORTEST};
use super::reader::{Complaint, Reader, bad_value};
use super::tree::Table;
use super::units::parse_duration;
use crate::transport::ble::{Allowed, Mac, PermitJoin, Profile, Service, parse_uuid};

/// Longest packet that `max_packet` allows.
const LONGEST_PACKET: u64 = 65_535;
/// Entries of `allow`.
const MOST_ALLOWED: usize = 1_000;

pub(super) fn read_ble(
    tables: Vec<(Origin, Table)>,
    links: &mut Vec<BleLink>,
    problems: &mut Vec<Problem>,
) {
    for (begin, table) in tables {
        let mut reader = Reader::new("ble", table, problems);
        if cfg!(not(feature = "ble")) {
            let help = "build it with the feature `ble`, which is on by default";
            let message = "this gateway was built without Bluetooth";
            reader.complain(&begin, Complaint::new(message, help));
        }
        let mut link = BleLink::default();
        let named = reader.text("adapter", &mut link.settings.adapter, check_adapter);
        if let Some(complaint) = claimed_twice(links, link.settings.adapter.as_deref()) {
            reader.complain(named.as_ref().unwrap_or(&begin), complaint);
        }
        read_service(&mut reader, &begin, &mut link.settings.service);
        let allowed = reader.texts("allow", &mut link.settings.allow, check_allowed);
        if let Some(place) = allowed
            && link.settings.allow.len() > MOST_ALLOWED
        {
            let message = format!("`allow` has more than {MOST_ALLOWED} entries");
            reader.complain(&place, Complaint::new(message, "let name patterns stand for them"));
        }
        reader.text("permit_join", &mut link.settings.permit_join, check_permit_join);
        reader.integer("mtu", 23..=517, &mut link.settings.mtu);
        reader.boolean("split", &mut link.settings.split);
        reader.integer("max_connections", 1..=64, &mut link.settings.max_connections);
        reader.duration("slot_time", SECOND..=HOUR, &mut link.settings.slot_time);
        let mut retry = Duration::ZERO;
        if reader.duration("retry_interval", SHORTEST..=HOUR, &mut retry).is_some() {
            link.retry_interval = Some(retry);
        }
        reader.size("max_packet", 32..=LONGEST_PACKET, &mut link.settings.max_packet);
        reader.finish();
        links.push(link);
    }
}

/// The profile, and what makes another one.
fn read_service(reader: &mut Reader<'_>, begin: &Origin, service: &mut Service) {
    let mut profile = Profile::default();
    // A service of one's own says by itself that it is one.
    if !reader.has("profile") && reader.has("service") {
        profile = Profile::Custom;
    }
    reader.choice("profile", &mut profile, &Profile::WORDS);
    *service = Service::of(profile);
    let mut uuid = Uuid::nil();
    let named = reader.text("service", &mut uuid, |text| check_uuid("service", text));
    match (named, profile) {
        (Some(_), Profile::Custom) => service.uuid = uuid,
        (None, Profile::Custom) => {
            let help = "add service = \"…\", the UUID under which the device offers it; \
                        `check --ble` lists those in range";
            reader.complain(begin, Complaint::new("this [[ble]] has no `service`", help));
        }
        (Some(place), profile) => {
            let message = format!("profile {profile} has a service of its own");
            let help = "take out one of the two, or write profile = \"custom\"";
            reader.complain(&place, Complaint::new(message, help));
        }
        (None, _) => {}
    }
    // Of a known service, too: some firmware has other characteristics in it.
    reader.text("write", &mut service.write, |text| check_uuid("write", text).map(Some));
    reader.text("notify", &mut service.notify, |text| check_uuid("notify", text).map(Some));
}

/// An adapter is used by one link only. Whether a name and an address mean the same one is seen when
/// it is opened.
fn claimed_twice(links: &[BleLink], adapter: Option<&str>) -> Option<Complaint> {
    let same = |other: &BleLink| match (other.settings.adapter.as_deref(), adapter) {
        (Some(one), Some(another)) => one.eq_ignore_ascii_case(another),
        (None, None) => true,
        _ => false,
    };
    links.iter().any(same).then(|| {
        let message = match adapter {
            Some(adapter) => format!("adapter {adapter} is there twice"),
            None => "two [[ble]] take whichever adapter there is".to_owned(),
        };
        let help = "each [[ble]] has an adapter of its own: adapter = \"hci1\"; `check --ble` \
                    lists them";
        Complaint::new(message, help)
    })
}

fn check_adapter(text: &str) -> Result<Option<Box<str>>, Complaint> {
    let number = text.strip_prefix("hci").unwrap_or("");
    let is_name = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    if !is_name && Mac::parse(text).is_none() {
        let help = "the name of an adapter, like \"hci0\", or its address, like \
                    \"00:1A:7D:DA:71:13\"; `check --ble` lists them";
        return Err(bad_value("adapter", text, help));
    }
    Ok(Some(text.into()))
}

fn check_uuid(key: &'static str, text: &str) -> Result<Uuid, Complaint> {
    parse_uuid(text).filter(|uuid| !uuid.is_nil()).ok_or_else(|| {
        let help = "a UUID in full, like \"6e400001-b5a3-f393-e0a9-e50e24dcca9e\", or a short one, \
                    like \"0xFFE0\"";
        bad_value(key, text, help)
    })
}

fn check_allowed(text: &str) -> Result<Allowed, Complaint> {
    if text.is_empty() || text.len() > 248 || text.contains(char::is_control) {
        let help = "the address of a device, a pattern for names, like \"sensor-*\", or the UUID \
                    of a service that devices advertise";
        return Err(bad_value("allow", text, help));
    }
    Ok(Allowed::parse(text))
}

fn check_permit_join(text: &str) -> Result<PermitJoin, Complaint> {
    match text {
        "always" => Ok(PermitJoin::Always),
        "never" => Ok(PermitJoin::Never),
        _ => match parse_duration(text) {
            Ok(time) if (SECOND..=DAY).contains(&time) => Ok(PermitJoin::For(time)),
            _ => {
                let help = "\"always\", \"never\", or for how long after the start devices may \
                            join that were never here, up to \"1d\", as in \"10m\"";
                Err(bad_value("permit_join", text, help))
            }
        },
    }
}
