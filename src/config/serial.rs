//! `[[serial]]`.

use std::path::Path;
use std::time::Duration;

use super::checked::SerialLink;
use super::error::{Origin, Problem};
use super::load::{HOUR, SHORTEST};
use super::radios::read_radio;
use super::reader::{Complaint, Reader, bad_value};
use super::tree::Table;
use crate::transport::framing::Framing;
use crate::transport::line::{Air, Lora, Settings};
use crate::transport::serial::FlowControl;

/// Longest `open_delay`.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

pub(super) fn read_serial(
    tables: Vec<(Origin, Table)>,
    directory: &Path,
    links: &mut Vec<SerialLink>,
    problems: &mut Vec<Problem>,
) {
    for (begin, table) in tables {
        let mut reader = Reader::new("serial", table, problems);
        let mut link = SerialLink::new("");
        let place = reader.text("device", &mut link.device, |text| check_device(text, links));
        if place.is_none() {
            let help = "add device = \"/dev/serial/by-id/…\" below it; `ls -l /dev/serial/by-id` \
                        lists what is plugged in";
            reader.complain(&begin, Complaint::new("this [[serial]] has no `device`", help));
        }
        let mut framing = Framing::default();
        reader.text("framing", &mut framing, check_framing);
        link.line = Settings::new(framing);
        reader.integer("baud", 300..=4_000_000, &mut link.line.baud);
        reader.choice("flow_control", &mut link.flow_control, &FlowControl::WORDS);
        reader.duration_or_never("open_delay", SHORTEST..=LONGEST_DELAY, &mut link.open_delay);
        let mut retry = Duration::ZERO;
        if reader.duration("retry_interval", SHORTEST..=HOUR, &mut retry).is_some() {
            link.retry_interval = Some(retry);
        }
        let most = Settings::longest_packet(framing) as u64;
        reader.size("max_packet", 32..=most, &mut link.line.max_packet);
        read_radio(&mut reader, directory, &mut link);
        read_send_device(&mut reader, &mut link, links);
        read_pace(&mut reader, &mut link.line);
        reader.finish();
        links.push(link);
    }
}

fn read_send_device(reader: &mut Reader<'_>, link: &mut SerialLink, links: &[SerialLink]) {
    let mut device = "".into();
    let Some(place) = reader.text("send_device", &mut device, |text| check_device(text, links))
    else {
        return;
    };
    if !device.is_empty() && device == link.device {
        let help = "it is for modems that send by one device and receive by another";
        reader.complain(&place, Complaint::new("`send_device` is `device` again", help));
    }
    link.send_device = Some(device).filter(|device| !device.is_empty());
}

/// What the radio behind the line can carry, and may.
fn read_pace(reader: &mut Reader<'_>, line: &mut Settings) {
    let mut rate = 0;
    if reader.size("rate_limit", 1..=1_000_000, &mut rate).is_some() && rate > 0 {
        line.air.rate = Some(rate);
    }
    reader.text("lora", &mut line.air.lora, |text| match Lora::parse(text) {
        Ok(lora) => Ok(Some(lora)),
        Err(help) => Err(bad_value("lora", text, help)),
    });
    let mut duty_cycle = 0;
    if let Some(place) = reader.text("duty_cycle", &mut duty_cycle, check_duty_cycle)
        && duty_cycle > 0
    {
        line.duty_cycle = Some(duty_cycle);
        // A hub can say how fast it is; of other radios nobody knows otherwise.
        if line.air == Air::default() && line.framing != Framing::Hub {
            let message =
                "`duty_cycle` is a share of time, and how long a packet takes is not known";
            let help =
                "add lora = \"SF7 BW125\" as the modem is set, or rate_limit in octets a second";
            reader.complain(&place, Complaint::new(message, help));
        }
    }
}

/// Hundredths of a percent.
fn check_duty_cycle(text: &str) -> Result<u16, Complaint> {
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let share = percent.map(|percent| (percent * 100.0).round());
    match share.filter(|share| (1.0..=10_000.0).contains(share)) {
        Some(share) => Ok(share as u16),
        None => Err(bad_value("duty_cycle", text, "from \"0.01%\" to \"100%\", as in \"1%\"")),
    }
}

fn check_device(text: &str, links: &[SerialLink]) -> Result<Box<str>, Complaint> {
    if !text.starts_with('/') || text.contains(char::is_control) {
        let help = "the whole path of a device, like \"/dev/serial/by-id/usb-…\" or \"/dev/ttyS0\"";
        return Err(bad_value("device", text, help));
    }
    let mut others = links.iter().flat_map(|link| [Some(&link.device), link.send_device.as_ref()]);
    if others.any(|other| other.is_some_and(|other| **other == *text)) {
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
    Err(bad_value("framing", text, help))
}
