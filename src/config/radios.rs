//! What single framings of a `[[serial]]` want to know, and what they cannot do.

use std::path::Path;

use super::checked::SerialLink;
use super::reader::{Complaint, Reader};
use crate::transport::framing::Framing;
use crate::transport::line::Key;

/// Keys that are for one framing only.
const OF_ONE: [(&str, Framing); 7] = [
    ("send_device", Framing::LoraLink),
    ("address", Framing::RhSerial),
    ("reliable", Framing::RhSerial),
    ("pan_id", Framing::Aquila),
    ("key", Framing::Aquila),
    ("key_file", Framing::Aquila),
    ("pairing", Framing::Aquila),
];

/// The keys that are for one framing only.
pub(super) fn read_radio(reader: &mut Reader<'_>, directory: &Path, link: &mut SerialLink) {
    for (key, framing) in OF_ONE {
        if link.line.framing == framing {
            continue;
        }
        if let Some(entry) = reader.take(key) {
            let message = format!("`{key}` is for framing \"{framing}\" only");
            let help = format!("take it out; this line has framing \"{}\"", link.line.framing);
            reader.complain(&entry.key_origin, Complaint::new(message, help));
        }
    }
    match link.line.framing {
        Framing::Slip
        | Framing::Cobs
        | Framing::Length
        | Framing::Xbee
        | Framing::Hub
        | Framing::LoraLink => {}
        Framing::RhSerial => {
            reader.integer("address", 0..=254, &mut link.line.rh_serial.address);
            reader.boolean("reliable", &mut link.line.rh_serial.reliable);
        }
        Framing::Aquila => read_network(reader, directory, link),
    }
}

fn read_network(reader: &mut Reader<'_>, directory: &Path, link: &mut SerialLink) {
    let network = &mut link.line.aquila;
    reader.integer("pan_id", 1..=255, &mut network.pan_id);
    reader.boolean("pairing", &mut network.pairing);
    let inline = reader.text("key", &mut network.key, |text| check_key("key", text));
    let mut from_file = None;
    let file = reader.text("key_file", &mut from_file, |text| {
        let path = directory.join(text);
        let octets = std::fs::read(&path).map_err(|error| {
            let message = format!("cannot read `key_file` {}: {error}", path.display());
            let help = "relative names begin at the directory of the configuration file; the gateway's \
                        user must be able to read it";
            Complaint::new(message, help)
        })?;
        check_key("key_file", String::from_utf8_lossy(&octets).trim()).map(|key| Some((path, key)))
    });
    if let (Some(_), Some(place)) = (&inline, &file) {
        let message = "`key` and `key_file` are both given";
        reader.complain(place, Complaint::new(message, "keep the one and take the other out"));
    }
    if let Some((path, key)) = from_file {
        network.key = key;
        link.key_file = Some(path);
    }
}

/// The key is not shown, whatever is wrong with it.
fn check_key(name: &str, text: &str) -> Result<Key, Complaint> {
    let digits: Option<Vec<u8>> = text.chars().map(hex).collect();
    let octets = digits.as_deref().and_then(|digits| {
        let (pairs, rest) = digits.as_chunks::<2>();
        let octets: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        <[u8; 16]>::try_from(octets).ok().filter(|_| rest.is_empty())
    });
    octets.map(Key).ok_or_else(|| {
        let help = "32 hexadecimal digits, as the firmware of the devices has them; `openssl rand -hex 16` \
                    makes some";
        Complaint::new(format!("`{name}` is no key of 16 octets"), help)
    })
}

fn hex(digit: char) -> Option<u8> {
    digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use crate::transport::line::{AquilaSettings, RhSettings};

    fn load(directory: &Path, keys: &str) -> Result<Config, String> {
        let text = format!("[[serial]]\ndevice = \"/dev/ttyS0\"\n{keys}");
        let config = Config::from_toml(&directory.join("gateway.toml"), &text, []);
        config.map_err(|error| error.to_string())
    }

    /// With the keys of its framing and with none; what is printed reads back the same.
    #[test]
    fn single_framings_have_keys_and_defaults_of_their_own() {
        let directory = tempfile::tempdir().unwrap();
        let key = "00112233445566778899aAbBcCdDeEfF";
        std::fs::write(directory.path().join("key"), format!("{key}\r\n")).unwrap();
        let line = |keys: &str| {
            let config = load(directory.path(), keys).unwrap();
            assert!(!config.to_toml().contains("00112233"));
            assert!(!format!("{config:?}").contains("34, 51"));
            let printed = config.to_toml();
            let again = Config::from_toml(Path::new("gateway.toml"), &printed, []).unwrap();
            (config.serial[0].line.clone(), again.serial[0].line.clone())
        };
        let (plain, _) = line("");
        assert_eq!((plain.baud, plain.max_packet), (57_600, 1_024));

        let (rh, _) = line("framing = \"rh-serial\"\n");
        assert_eq!((rh.baud, rh.max_packet), (57_600, 60));
        assert_eq!(rh.rh_serial, RhSettings { address: 1, reliable: false });
        let (rh, again) = line("framing = \"rh-serial\"\naddress = 254\nreliable = true\n");
        assert_eq!(rh.rh_serial, RhSettings { address: 254, reliable: true });
        assert_eq!(rh.rh_serial, again.rh_serial);

        let (lora, _) = line("framing = \"loralink\"\n");
        assert_eq!((lora.baud, lora.max_packet), (115_200, 246));

        let (aquila, again) = line("framing = \"aquila\"\n");
        assert_eq!((aquila.baud, aquila.max_packet), (115_200, 54));
        assert_eq!(aquila.aquila, AquilaSettings::default());
        assert_eq!(aquila.aquila, again.aquila);
        let octets = std::array::from_fn(|at| at as u8 * 0x11);
        let network = AquilaSettings { pan_id: 9, key: Key(octets), pairing: true };
        let keys = "framing = \"aquila\"\npan_id = 9\npairing = true\n";
        let (inline, _) = line(&format!("{keys}key = \"{key}\"\n"));
        assert_eq!(inline.aquila, network);
        let (from_file, again) = line(&format!("{keys}key_file = \"key\"\n"));
        assert_eq!((from_file.aquila, again.aquila), (network, network));
        let both = load(directory.path(), &format!("{keys}key = \"{key}\"\nkey_file = \"key\"\n"));
        assert!(both.unwrap_err().contains("`key` and `key_file` are both given"));
    }

    #[test]
    fn a_key_is_sixteen_octets() {
        for wrong in
            ["", "0", "+1112233445566778899aabbccddeeff", "00112233445566778899aabbccddeeff0"]
        {
            assert!(check_key("key", wrong).is_err(), "{wrong}");
        }
    }
}
