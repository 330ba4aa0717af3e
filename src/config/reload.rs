//! A configuration that takes the place of another one while the gateway runs: what of it counts at
//! once, and what only after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::checked::Config;

/// What a new configuration changed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// Keys and tables that count at once.
    pub taken: BTreeSet<String>,
    /// Keys that need a restart, with the value that stays in force until then.
    pub kept: BTreeMap<String, String>,
}

impl Changes {
    /// Nothing is different.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.kept.is_empty()
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for name in &self.taken {
            write!(f, "{}{name}", if first { "" } else { ", " })?;
            first = false;
        }
        Ok(())
    }
}

impl Config {
    /// Takes over from `new` what can change while the gateway runs: `[sessions]`, `[discovery]`,
    /// `[topics]`, `[[client]]`, `[access]`, `retry_interval` of the links that stay, and `[log] level`.
    pub fn take_over(&mut self, new: Config) -> Changes {
        let mut changes = self.changes_to(&new);
        let Config {
            sessions,
            discovery,
            topics,
            clients,
            deny_by_default,
            udp,
            serial,
            ble,
            log,
            upstream,
            ..
        } = new;
        self.upstream.username = upstream.username;
        self.upstream.password = upstream.password;
        self.upstream.password_file = upstream.password_file;
        self.upstream.tls = upstream.tls;
        self.sessions = sessions;
        self.discovery = discovery;
        self.topics = topics;
        self.clients = clients;
        self.deny_by_default = deny_by_default;
        self.log.level = log.level;
        let same = self.udp.len() == udp.len();
        for (link, new) in self.udp.iter_mut().zip(udp) {
            if same && link.listen == new.listen {
                link.retry_interval = new.retry_interval;
            }
        }
        if !same {
            // Which of them is which nobody can say.
            changes.taken.retain(|name| name != UDP_INTERVAL);
        }
        // A line is known by its device.
        let mut same = self.serial.len() == serial.len();
        for link in &mut self.serial {
            match serial.iter().find(|new| new.device == link.device) {
                Some(new) => link.retry_interval = new.retry_interval,
                None => same = false,
            }
        }
        if !same {
            changes.taken.retain(|name| name != SERIAL_INTERVAL);
        }
        // And Bluetooth by its adapter.
        let mut same = self.ble.len() == ble.len();
        for link in &mut self.ble {
            match ble.iter().find(|new| new.settings.adapter == link.settings.adapter) {
                Some(new) => link.retry_interval = new.retry_interval,
                None => same = false,
            }
        }
        if !same {
            changes.taken.retain(|name| name != BLE_INTERVAL);
        }
        changes
    }

    fn changes_to(&self, new: &Config) -> Changes {
        let mut changes = Changes::default();
        let (before, after) = (flatten(&self.to_toml()), flatten(&new.to_toml()));
        let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for key in keys {
            let (old, new) = (before.get(key), after.get(key));
            if old == new {
                continue;
            }
            match live(key) {
                Some(name) => {
                    changes.taken.insert(name);
                }
                None => {
                    let old = old.map_or("not set", String::as_str);
                    changes.kept.insert(key.clone(), old.to_owned());
                }
            }
        }
        // An interval that is not the link's own is that of the sessions.
        let own = |config: &Config| -> Vec<_> {
            config.udp.iter().map(|link| link.retry_interval).collect()
        };
        if own(self) == own(new) {
            changes.taken.remove(UDP_INTERVAL);
        }
        let own = |config: &Config| -> Vec<_> {
            config.serial.iter().map(|link| link.retry_interval).collect()
        };
        if own(self) == own(new) {
            changes.taken.remove(SERIAL_INTERVAL);
        }
        let own = |config: &Config| -> Vec<_> {
            config.ble.iter().map(|link| link.retry_interval).collect()
        };
        if own(self) == own(new) {
            changes.taken.remove(BLE_INTERVAL);
        }
        // Passwords and keys are not printed.
        for (at, (old, new)) in self.serial.iter().zip(&new.serial).enumerate() {
            if old.device == new.device && old.line.aquila.key != new.line.aquila.key {
                changes.kept.insert(format!("serial.{at}.key"), "(hidden)".to_owned());
            }
        }
        if self.upstream.password != new.upstream.password {
            changes.taken.insert("upstream.password".to_owned());
        }
        if self.clients != new.clients {
            changes.taken.insert("[[client]]".to_owned());
        }
        changes
    }
}

const UDP_INTERVAL: &str = "[[udp]] retry_interval";
const SERIAL_INTERVAL: &str = "[[serial]] retry_interval";
const BLE_INTERVAL: &str = "[[ble]] retry_interval";

/// By which name a key is told that can change at once.
fn live(key: &str) -> Option<String> {
    let (table, rest) = key.split_once('.').unwrap_or(("", key));
    match table {
        "client" => Some("[[client]]".to_owned()),
        "topics" => Some("[topics]".to_owned()),
        "sessions" | "discovery" | "access" => Some(key.to_owned()),
        "upstream" if matches!(rest, "username" | "password_file") || rest.starts_with("tls.") => {
            Some(key.to_owned())
        }
        "log" if rest == "level" => Some(key.to_owned()),
        "udp" if rest.ends_with(".retry_interval") => Some(UDP_INTERVAL.to_owned()),
        "serial" if rest.ends_with(".retry_interval") => Some(SERIAL_INTERVAL.to_owned()),
        "ble" if rest.ends_with(".retry_interval") => Some(BLE_INTERVAL.to_owned()),
        _ => None,
    }
}

/// The keys of a configuration that was printed, with the path of their tables, and their values.
fn flatten(toml: &str) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut table = String::new();
    for line in toml.lines() {
        if let Some(name) = line.strip_prefix("[[").and_then(|line| line.strip_suffix("]]")) {
            let count = counts.entry(name).or_default();
            table = format!("{name}.{count}.");
            *count += 1;
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            table = match name.split_once('.') {
                // Of the table in a list that was opened last.
                Some((list, rest)) if counts.contains_key(list) => {
                    format!("{list}.{}.{rest}.", counts[list] - 1)
                }
                _ => format!("{name}."),
            };
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#'))
        {
            keys.insert(format!("{table}{key}"), value.to_owned());
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn load(text: &str) -> Config {
        let text = format!("{text}\n[[udp]]\nlisten = \"127.0.0.1:1883\"\n");
        let none: [(std::ffi::OsString, std::ffi::OsString); 0] = [];
        Config::from_toml(Path::new("gateway.toml"), &text, none)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn changes(before: &str, after: &str) -> (Vec<String>, Vec<String>) {
        let mut config = load(before);
        let changes = config.take_over(load(after));
        let again = config.take_over(load(after));
        assert!(again.taken.is_empty(), "{again:?}");
        assert_eq!(again.kept, changes.kept);
        let kept = changes.kept.iter().map(|(key, old)| format!("{key} = {old}")).collect();
        (changes.taken.into_iter().collect(), kept)
    }

    #[test]
    fn nothing_is_different_from_itself() {
        let text = "[topics]\n1 = \"a\"\n[[client]]\nid = \"a\"\n[client.topics]\n2 = \"b\"\n";
        assert!(load(text).take_over(load(text)).is_empty());
    }

    #[test]
    fn what_can_change_at_once_is_taken_over() {
        let rules = "[[client]]\nid = \"a\"\n[client.topics]\n2 = \"b\"\n[[client]]\nid = \"b\"\n";
        let (taken, kept) = changes(
            "[sessions]\nretry_interval = \"5s\"\n",
            &format!(
                "[sessions]\nmax_clients = 3\n[topics]\n1 = \"a\"\n[discovery]\nanswer_search = \
                 false\n[access]\ndefault = \"deny\"\n[log]\nlevel = \"warn\"\n{rules}"
            ),
        );
        assert_eq!(
            taken,
            [
                "[[client]]",
                "[topics]",
                "access.default",
                "discovery.answer_search",
                "log.level",
                "sessions.max_clients",
                "sessions.retry_interval"
            ]
        );
        assert_eq!(kept, [""; 0]);
        let other = rules.replace("2 = \"b\"", "2 = \"c\"");
        assert_eq!(changes(rules, &other).0, ["[[client]]"]);
    }

    #[test]
    fn logins_are_taken_over_and_not_shown() {
        let upstream = |user: &str, password: &str| {
            format!(
                "[upstream]\nurl = \"mqtt://a\"\nusername = \"{user}\"\npassword = \"{password}\"\n"
            )
        };
        let (taken, kept) = changes(&upstream("u", "x"), &upstream("v", "y"));
        assert_eq!(taken, ["upstream.password", "upstream.username"]);
        assert_eq!(kept, [""; 0]);
        let rule = |password: &str| {
            format!(
                "[[client]]\nid = \"a\"\nmode = \"transparent\"\nusername = \"u\"\n\
                 password = \"{password}\"\n"
            )
        };
        assert_eq!(changes(&rule("x"), &rule("y")).0, ["[[client]]"]);
    }

    #[test]
    fn what_needs_a_restart_keeps_its_value() {
        let (taken, kept) = changes(
            "name = \"one\"\n[upstream]\nurl = \"mqtt://a\"\n",
            "name = \"two\"\n[upstream]\nurl = \"mqtt://b\"\nmode = \"transparent\"\n[log]\nformat = \"json\"\n[store]\nsync = \"off\"\n",
        );
        assert_eq!(taken, [""; 0]);
        assert_eq!(
            kept,
            [
                "log.format = \"text\"",
                "name = \"one\"",
                "store.sync = \"batch\"",
                "upstream.mode = \"aggregating\"",
                "upstream.url = \"mqtt://a:1883\""
            ]
        );
    }

    #[test]
    fn links_stay_but_for_their_intervals() {
        let link = "[[udp]]\nlisten = \"127.0.0.1:1884\"\n";
        let (taken, kept) = changes(link, &format!("{link}retry_interval = \"1s\"\n"));
        assert_eq!((taken, kept.len()), (vec!["[[udp]] retry_interval".to_owned()], 0));
        let (taken, kept) = changes("", &format!("{link}retry_interval = \"1s\"\n"));
        assert_eq!(taken, [""; 0]);
        assert!(kept.iter().any(|key| key == "udp.1.listen = not set"), "{kept:?}");
    }

    #[test]
    fn lines_stay_but_for_their_intervals() {
        let line = "[[serial]]\ndevice = \"/dev/ttyS0\"\n";
        let (taken, kept) = changes(line, &format!("{line}retry_interval = \"1s\"\n"));
        assert_eq!((taken, kept.len()), (vec!["[[serial]] retry_interval".to_owned()], 0));
        let (taken, kept) = changes(line, &format!("{line}baud = 9600\nframing = \"length\"\n"));
        assert_eq!(taken, [""; 0]);
        assert_eq!(kept, ["serial.0.baud = 57600", "serial.0.framing = \"slip\""]);
        let network = format!("{line}framing = \"aquila\"\nkey = \"");
        let with = |digit: char| format!("{network}{}\"\n", digit.to_string().repeat(32));
        let (_, kept) = changes(&with('1'), &with('2'));
        assert_eq!(kept, ["serial.0.key = (hidden)"]);
        let (_, kept) = changes("", line);
        assert!(kept.iter().any(|key| key == "serial.0.device = not set"), "{kept:?}");
        // Intervals that follow those of the sessions are not told apart from them.
        let faster = format!("[sessions]\nretry_interval = \"1s\"\n{line}");
        assert_eq!(changes(line, &faster).0, ["sessions.retry_interval"]);
    }
}
