//! From Eclipse Paho's MQTTSNGateway: `gateway.conf`, `clients.conf` and `predefinedTopic.conf`.

mod broker;
mod clients;
mod left;
mod links;
mod parse;

use std::path::{Path, PathBuf};

use parse::{AnyList, List, Listed, Predefined, Setting, Settings};

use super::draft::{Draft, Origin};
use super::input::{Source, Wrong, read};
use super::settle::settle;
use crate::cli::Failure;

pub(super) use links::Network;

/// What the switches are called, now and in earlier versions.
const AUTHENTICATION: [&str; 2] = ["ClientAuthentication", "ClientAuthorization"];
const AGGREGATING: [&str; 2] = ["AggregatingGateway", "AggregateGateway"];

/// What is wanted of the translation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes {
    /// The network that Paho's gateway was built for.
    pub(super) network: Option<Network>,
    /// Passwords are repeated.
    pub(super) passwords: bool,
}

/// A list with its file.
struct Named<T> {
    name: String,
    list: List<T>,
}

/// Everything that is translated.
struct Given<'a> {
    conf: &'a Source,
    settings: Settings<'a>,
    clients: Option<Named<Listed>>,
    topics: Option<Named<Predefined>>,
}

impl Given<'_> {
    /// Where a setting stands.
    fn place(setting: &Setting<'_>) -> Origin {
        Origin { file: CONF, line: setting.line }
    }

    /// A name of a file in `gateway.conf` as a whole path.
    fn path(&self, name: &str) -> String {
        beside(&self.conf.name, name).display().to_string()
    }
}

/// Indices of the files in the draft.
const CONF: usize = 0;
const CLIENTS: usize = 1;
const TOPICS: usize = 2;

/// Reads the files and gives the text of a `gateway.toml`. Lists that are not named on the command line
/// are looked for where `gateway.conf` says that they are.
pub(super) fn import(paths: &[PathBuf], wishes: Wishes) -> Result<String, Failure> {
    let Some((conf, lists)) = paths.split_first() else {
        return Err(Failure::usage("no file is named"));
    };
    let conf = read(conf)?;
    let settings = Settings::parse(&conf.octets).map_err(|wrong| wrong.of(&conf.name))?;
    let mut given = Given { conf: &conf, settings, clients: None, topics: None };
    for path in lists {
        take_list(&mut given, read(path)?)?;
    }
    find_lists(&mut given)?;
    settle(translate(&given, wishes))
}

/// A file that was named on the command line.
fn take_list(given: &mut Given<'_>, source: Source) -> Result<(), Failure> {
    let list = AnyList::parse(&source.octets).map_err(|wrong| wrong.of(&source.name))?;
    let name = source.name;
    let (other, kind) = match list {
        AnyList::Empty => return Ok(()),
        AnyList::Clients(list) => {
            (given.clients.replace(Named { name: name.clone(), list }).is_some(), "clients.conf")
        }
        AnyList::Topics(list) => (
            given.topics.replace(Named { name: name.clone(), list }).is_some(),
            "predefinedTopic.conf",
        ),
    };
    if other {
        let message = format!("this is a {kind}, and one was named before it");
        return Err(Wrong::new(0, message, "one of each kind is read").of(&name));
    }
    Ok(())
}

/// The files that `gateway.conf` names and that have a say: whom to let in must not be guessed, and topics
/// must not get lost without a word.
fn find_lists(given: &mut Given<'_>) -> Result<(), Failure> {
    let settings = &given.settings;
    let must_have_clients = settings.is_on(&AUTHENTICATION);
    let wants_clients = settings.is_on(&["QoS-1"]) || settings.is_on(&["Forwarder"]);
    let must_have_topics = settings.is_on(&["PredefinedTopic"]);
    if given.clients.is_none() && (must_have_clients || wants_clients) {
        let found =
            find(given, "ClientsList", must_have_clients, "clients.conf", |list| match list {
                AnyList::Clients(list) => Some(list),
                _ => None,
            })?;
        given.clients = found;
    }
    if given.topics.is_none() && must_have_topics {
        let found =
            find(given, "PredefinedTopicList", true, "predefinedTopic.conf", |list| match list {
                AnyList::Topics(list) => Some(list),
                _ => None,
            })?;
        given.topics = found;
    }
    Ok(())
}

fn find<T>(
    given: &Given<'_>,
    key: &str,
    needed: bool,
    kind: &str,
    pick: fn(AnyList) -> Option<List<T>>,
) -> Result<Option<Named<T>>, Failure> {
    let conf = &given.conf.name;
    let help = format!("name it: mqtt-sn-gateway config --from-paho {conf} {kind}");
    let Some(setting) = given.settings.all.iter().find(|setting| setting.key == key) else {
        let message = format!("a {kind} has a say here, but `{key}` does not name it");
        return if needed { Err(Wrong::new(0, message, help).of(conf)) } else { Ok(None) };
    };
    match read(&beside(conf, setting.value)) {
        Ok(source) => {
            let list = AnyList::parse(&source.octets).map_err(|wrong| wrong.of(&source.name))?;
            if list == AnyList::Empty {
                return Ok(None);
            }
            let list = pick(list).ok_or_else(|| {
                Wrong::new(0, format!("this is no {kind}"), help).of(&source.name)
            })?;
            Ok(Some(Named { name: source.name, list }))
        }
        Err(_) if !needed => Ok(None),
        Err(error) => Err(Failure {
            message: format!(
                "{}\n  = {conf}:{} names it; if it is elsewhere, {help}",
                error.message, setting.line
            ),
            ..error
        }),
    }
}

/// A name in the file `conf` begins at the directory of that file.
fn beside(conf: &str, name: &str) -> PathBuf {
    let path = Path::new(conf).parent().unwrap_or(Path::new("")).join(name);
    std::path::absolute(&path).unwrap_or(path)
}

/// Everything, in the order of the sample.
fn translate(given: &Given<'_>, wishes: Wishes) -> Draft {
    let mut draft = Draft::new("that of Paho's MQTTSNGateway");
    draft.file(&given.conf.name);
    // The places of the lists are theirs, whether they are there or not.
    draft.file(given.clients.as_ref().map_or("", |clients| &clients.name));
    draft.file(given.topics.as_ref().map_or("", |topics| &topics.name));
    broker::translate(given, wishes, &mut draft);
    links::translate(given, wishes.network, &mut draft);
    clients::translate(given, &mut draft);
    left::translate(given, &mut draft);
    draft
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The draft from texts, without files.
    pub(in crate::cli::import) fn draft_of(
        conf: &[u8],
        lists: &[&[u8]],
        wishes: Wishes,
    ) -> Result<Draft, String> {
        let source =
            |name: &str, octets: &[u8]| Source { name: name.to_owned(), octets: octets.to_vec() };
        let conf = source("/paho/gateway.conf", conf);
        let settings = Settings::parse(&conf.octets).map_err(|wrong| wrong.message)?;
        let mut given = Given { conf: &conf, settings, clients: None, topics: None };
        for (name, list) in
            ["/paho/clients.conf", "/paho/predefinedTopic.conf"].into_iter().zip(lists)
        {
            take_list(&mut given, source(name, list)).map_err(|failure| failure.message)?;
        }
        Ok(translate(&given, wishes))
    }

    /// The text from texts.
    pub(in crate::cli::import) fn text_of(conf: &str, lists: &[&str], wishes: Wishes) -> String {
        let lists: Vec<&[u8]> = lists.iter().map(|list| list.as_bytes()).collect();
        settle(draft_of(conf.as_bytes(), &lists, wishes).unwrap()).unwrap()
    }
}
