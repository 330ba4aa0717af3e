//! `[[serial]]`.

use std::time::Duration;

use super::checked::SerialLink;
use super::error::{Origin, Problem};
use super::load::{HOUR, SHORTEST};
use super::reader::{Complaint, Reader, bad_value};
use super::tree::Table;
use crate::transport::framing::Framing;

/// `baud` of a `[[serial]]` that does not say, bits a second.
const DEFAULT_BAUD: u32 = 57_600;
/// `max_packet` of a `[[serial]]` that does not say, octets.
const DEFAULT_MAX_PACKET: usize = 1_024;

/// Framings that a later version has.
const LATER: [&str; 5] = ["xbee", "loralink", "aquila", "rh-serial", "hub"];

pub(super) fn read_serial(
    tables: Vec<(Origin, Table)>,
    links: &mut Vec<SerialLink>,
    problems: &mut Vec<Problem>,
) {
    for (begin, table) in tables {
        let mut reader = Reader::new("serial", table, problems);
        let mut link = SerialLink {
            device: "".into(),
            baud: DEFAULT_BAUD,
            framing: Framing::default(),
            retry_interval: None,
            max_packet: DEFAULT_MAX_PACKET,
        };
        let place = reader.text("device", &mut link.device, |text| check_device(text, links));
        if place.is_none() {
            let help = "add device = \"/dev/serial/by-id/…\" below it; `ls -l /dev/serial/by-id` \
                        lists what is plugged in";
            reader.complain(&begin, Complaint::new("this [[serial]] has no `device`", help));
        }
        reader.integer("baud", 300..=4_000_000, &mut link.baud);
        reader.text("framing", &mut link.framing, check_framing);
        let mut retry = Duration::ZERO;
        if reader.duration("retry_interval", SHORTEST..=HOUR, &mut retry).is_some() {
            link.retry_interval = Some(retry);
        }
        reader.size("max_packet", 32..=65_535, &mut link.max_packet);
        reader.finish();
        links.push(link);
    }
}

fn check_device(text: &str, links: &[SerialLink]) -> Result<Box<str>, Complaint> {
    if !text.starts_with('/') || text.contains(char::is_control) {
        let help = "the whole path of a device, like \"/dev/serial/by-id/usb-…\" or \"/dev/ttyS0\"";
        return Err(bad_value("device", text, help));
    }
    if links.iter().any(|link| &*link.device == text) {
        let message = format!("device {text} is there twice");
        return Err(Complaint::new(message, "each [[serial]] has a device of its own"));
    }
    Ok(text.into())
}

fn check_framing(text: &str) -> Result<Framing, Complaint> {
    if let Some((_, framing)) = Framing::WORDS.iter().find(|(word, _)| *word == text) {
        return Ok(*framing);
    }
    let words = Framing::WORDS.map(|(word, _)| word).join("\", \"");
    let help = format!("one of \"{words}\"");
    if LATER.contains(&text) {
        let message = format!("`framing` \"{text}\" is not available in this version");
        return Err(Complaint::new(message, help));
    }
    Err(bad_value("framing", text, help))
}
