//! From EMQX: `gateway.mqttsn` of EMQX 5, and `emqx_sn.conf` of EMQX 4.

mod gateway;
mod hocon;
mod listeners;
mod plugin;

use std::path::Path;

use hocon::{Document, Node, Object, Value};

use super::draft::{Draft, Origin, Place, Section};
use super::input::{Source, Wrong, read};
use super::settle::settle;
use crate::cli::Failure;

/// Where EMQX sends ADVERTISE, whatever its listeners are.
const BROADCAST: &str = "255.255.255.255";
/// The port of EMQX's gateway if nothing is said.
const PORT: u16 = 1884;
/// Longest client id that the gateway can be told to take, octets.
const LONGEST_ID: u16 = 128;

/// Reads the file and gives the text of a `gateway.toml`.
pub(super) fn import(path: &Path, passwords: bool) -> Result<String, Failure> {
    let source = read(path)?;
    let draft = translate(&source, passwords).map_err(|wrong| wrong.of(&source.name))?;
    settle(draft)
}

/// Of which version the file is shows in its keys.
fn translate(source: &Source, passwords: bool) -> Result<Draft, Wrong> {
    let mut draft = Draft::new("that of EMQX");
    draft.file(&source.name);
    if plugin::is_one(&source.octets) {
        plugin::translate(&source.octets, passwords, &mut draft)?;
        return Ok(draft);
    }
    let document = hocon::parse(&source.octets)?;
    gateway::translate(document, passwords, &mut draft)?;
    Ok(draft)
}

/// Where a line is.
fn at(line: usize) -> Origin {
    Origin { file: 0, line }
}

/// What was a part of the broker is a client of it now.
fn write_broker(url: &str, from: Option<Origin>, draft: &mut Draft) {
    let root = draft.section(Place::Root);
    root.comment(
        "The client id of the gateway's own connection to EMQX. Two gateways at one EMQX need two names.",
    );
    root.shown("name", "gateway");
    let upstream = draft.section(Place::Upstream);
    upstream.comment(
        "The gateway was a part of EMQX. It is a program of its own now and a client of EMQX's MQTT listener: here, \
         of an EMQX on the same machine. Write another address if it is elsewhere; mqtts:// is TLS.",
    );
    upstream.text("url", url, from);
    upstream.comment(
        "As before, each device is a client of EMQX, under its own id, and EMQX's rules for it apply.",
    );
    upstream.text("mode", "transparent", None);
    let sessions = draft.section(Place::Sessions);
    sessions.comment("EMQX takes longer ids than MQTT-SN has.");
    sessions.plain("max_client_id_length", LONGEST_ID, None);
}

/// A file name and keys in which something secret may stand.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["passw", "secret", "token", "key", "psk", "salt", "cookie"]
        .iter()
        .any(|word| key.contains(word))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The draft from a text.
    pub(in crate::cli::import) fn draft_of(
        octets: &[u8],
        passwords: bool,
    ) -> Result<Draft, String> {
        let source = Source { name: "/etc/emqx/emqx.conf".to_owned(), octets: octets.to_vec() };
        translate(&source, passwords).map_err(|wrong| format!("{}: {}", wrong.line, wrong.message))
    }

    /// The text from a text.
    pub(in crate::cli::import) fn text_of(text: &str, passwords: bool) -> String {
        settle(draft_of(text.as_bytes(), passwords).unwrap()).unwrap()
    }
}
