//! `check --ble`: which adapters there are, whether they can be used, what is in range, and what the
//! gateway would do about it.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::sleep;

use crate::cli::link::block_on;
use crate::cli::{Failure, print};
use crate::config::{BleLink, Config};
use crate::transport::ble::radio::{Found, Heard, Trouble, adapters, in_range};
use crate::transport::ble::{PermitJoin, Profile, Service, Settings};

/// Devices that are listed.
const MOST: usize = 50;

/// Prints what there is.
///
/// # Errors
/// No adapter can be used.
pub(super) fn check(adapter: &str, time: Duration, config: &Config) -> Result<(), Failure> {
    block_on(async {
        let all = adapters().await.map_err(failed)?;
        print(&list(&all, &config.ble))?;
        let found = choose(&all, adapter, &config.ble).map_err(failed)?;
        // A scan would switch it on.
        if !found.powered {
            return Err(failed(Trouble::Off { adapter: found.name.clone() }));
        }
        eprintln!("{}: listening for {} s …", found.name, time.as_secs());
        let heard = in_range(found, sleep(time)).await.map_err(failed)?;
        print(&tell(found, &heard, link_of(found, &config.ble)))
    })
}

fn failed(trouble: Trouble) -> Failure {
    Failure::run(trouble.to_string())
}

/// The adapter that is meant: without a name one that is on, first one that the configuration uses.
fn choose<'a>(all: &'a [Found], name: &str, links: &[BleLink]) -> Result<&'a Found, Trouble> {
    let Some(first) = all.first() else { return Err(Trouble::NoAdapter) };
    if name.is_empty() {
        let on = all.iter().filter(|found| found.powered);
        let found = on.min_by_key(|found| link_of(found, links).is_none());
        return found.ok_or_else(|| Trouble::Off { adapter: first.name.clone() });
    }
    let there = || all.iter().map(ToString::to_string).collect();
    let found = all.iter().find(|found| found.is(name));
    found.ok_or_else(|| Trouble::NotThisOne { wanted: name.to_owned(), there: there() })
}

/// The `[[ble]]` that uses this adapter.
fn link_of<'a>(found: &Found, links: &'a [BleLink]) -> Option<&'a BleLink> {
    let named = links
        .iter()
        .find(|link| link.settings.adapter.as_deref().is_some_and(|adapter| found.is(adapter)));
    named.or_else(|| links.iter().find(|link| link.settings.adapter.is_none() && found.powered))
}

fn list(all: &[Found], links: &[BleLink]) -> String {
    let mut out = "Adapters:\n".to_owned();
    for found in all {
        let state = if found.powered { "on" } else { "off: `bluetoothctl power on`" };
        let link = link_of(found, links).map_or("", |_| ", for a [[ble]] of the configuration");
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {found}: {state}{link}");
    }
    if all.is_empty() {
        out.push_str("  none\n");
    }
    out
}

fn tell(found: &Found, heard: &[Heard], link: Option<&BleLink>) -> String {
    let settings = link.map_or_else(Settings::default, |link| link.settings.clone());
    let mut heard: Vec<&Heard> = heard.iter().collect();
    heard.sort_by_key(|device| (std::cmp::Reverse(device.advert.rssi), device.address));
    let (useful, others): (Vec<&Heard>, Vec<&Heard>) =
        heard.into_iter().partition(|device| verdict(device, &settings).is_some());
    let mut out = format!("In range of {}, strongest first:\n", found.name);
    for device in useful.iter().take(MOST) {
        let _ = writeln!(
            out,
            "  {}  {}  {}\n      {}",
            device.address,
            strength(device),
            name(device),
            verdict(device, &settings).unwrap_or_default()
        );
    }
    if useful.is_empty() {
        out.push_str(
            "  nothing that this program can use. Devices that sleep are silent for long (--listen 5m \
             waits), and one that is connected to somebody else is not seen.\n",
        );
    }
    if !others.is_empty() {
        let named: Vec<String> = others.iter().take(MOST).map(|device| name(device)).collect();
        let _ = writeln!(
            out,
            "  and {} that are none of the gateway's: {}",
            others.len(),
            named.join(", ")
        );
    }
    if link.is_none()
        && let Some(profile) = useful.iter().find_map(|device| profile_of(device))
    {
        let _ = write!(
            out,
            "The configuration has no [[ble]] for this adapter. These lines would take them in:\n\n\
             [[ble]]\nadapter = \"{}\"\nprofile = \"{profile}\"\n",
            found.name
        );
    }
    out
}

fn strength(device: &Heard) -> String {
    match device.advert.rssi {
        Some(rssi) => format!("{rssi:4} dBm"),
        None => "        ".to_owned(),
    }
}

fn name(device: &Heard) -> String {
    match &device.advert.name {
        Some(name) => format!("\"{}\"", name.escape_debug()),
        None => device.address.to_string(),
    }
}

/// The profile whose service it advertises.
fn profile_of(device: &Heard) -> Option<Profile> {
    let known = Profile::WORDS.iter().filter(|(_, profile)| *profile != Profile::Custom);
    let mut known = known.map(|(_, profile)| *profile);
    known.find(|profile| device.advert.services.contains(&Service::of(*profile).uuid))
}

/// What the gateway would do with a device, if there is something to say.
fn verdict(device: &Heard, settings: &Settings) -> Option<String> {
    let connected = if device.connected { "connected now; " } else { "" };
    let offers = device.advert.services.contains(&settings.service.uuid);
    let admitted = settings.admits(device.address, &device.advert);
    let words = match (admitted, profile_of(device)) {
        (true, _) => match settings.permit_join {
            PermitJoin::Always => "the gateway connects to it".to_owned(),
            PermitJoin::Never => {
                "the gateway connects to it only if it was here before (permit_join)".to_owned()
            }
            PermitJoin::For(time) => format!(
                "the gateway connects to it if it was here before, or within {} s after the start \
                 (permit_join)",
                time.as_secs()
            ),
        },
        (false, _) if offers => {
            "offers the service, but `allow` under [[ble]] does not name it".to_owned()
        }
        (false, Some(profile)) => format!(
            "offers another service: profile = \"{profile}\" under [[ble]] takes such devices"
        ),
        (false, None) => return None,
    };
    Some(format!("{connected}{words}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::ble::{Advert, Allowed, Mac};

    fn device(last: u8, profile: Profile) -> Heard {
        let services = vec![Service::of(profile).uuid];
        let advert = Advert { name: None, services, rssi: Some(-50 - i16::from(last)) };
        Heard { address: Mac([0xF0, 0, 0, 0, 0, last]), advert, connected: false }
    }

    #[test]
    fn what_would_happen_to_a_device_is_said() {
        let of = |device: &Heard, settings: &Settings| verdict(device, settings).unwrap();
        let mut settings = Settings::default();
        let nus = device(1, Profile::Nus);
        assert_eq!(of(&nus, &settings), "the gateway connects to it");
        let other = device(2, Profile::Hm10);
        assert!(of(&other, &settings).contains("profile = \"hm10\""));
        let stranger = Heard { advert: Advert::default(), ..device(3, Profile::Nus) };
        assert_eq!(verdict(&stranger, &settings), None);
        settings.allow = vec![Allowed::parse("sensor-*")];
        assert!(of(&nus, &settings).contains("`allow`"));
        settings.allow = vec![Allowed::Address(nus.address)];
        settings.permit_join = PermitJoin::Never;
        let connected = Heard { connected: true, ..nus };
        let words = of(&connected, &settings);
        assert!(words.starts_with("connected now; ") && words.contains("permit_join"), "{words}");
    }
}
