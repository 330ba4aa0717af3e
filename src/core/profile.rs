//! Quirks of common client stacks, as data. A client's profile is chosen by its client id
//! ([`ClientRule`](super::ClientRule)); without one it is treated by the book.

use super::upstream::MqttQos;

/// What a client stack needs that the specification does not ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Profile {
    /// Name in the configuration.
    pub name: &'static str,
    /// Whose habits these are, in a few words.
    pub about: &'static str,
    /// It answers REGISTER. Where it does not, it learns topic ids from SUBACK and REGACK only and
    /// keeps them over a reconnection; subscriptions with wildcards are refused.
    pub answers_register: bool,
    /// It understands topic id type "predefined" in a PUBLISH from the gateway. Where it does not, it
    /// finds the topic by the number alone, and gets it as a normal id.
    pub predefined: bool,
    /// It understands the DUP flag.
    pub dup: bool,
    /// It understands the Retain flag.
    pub retain: bool,
    /// Highest QoS of messages to it; subscriptions are granted no more.
    pub max_qos: MqttQos,
    /// Longest topic name that it has room for, octets.
    pub longest_topic: Option<u16>,
    /// Longest packet that it has room for, octets.
    pub longest_packet: Option<u16>,
}

impl Profile {
    /// A client that does what MQTT-SN 1.2 says.
    pub const STANDARD: Profile = Profile {
        name: "standard",
        about: "MQTT-SN 1.2 by the book",
        answers_register: true,
        predefined: true,
        dup: true,
        retain: true,
        max_qos: MqttQos::Two,
        longest_topic: None,
        longest_packet: None,
    };

    /// All profiles; the first is the default.
    pub const ALL: &[Profile] = &[
        Profile::STANDARD,
        Profile {
            name: "zephyr",
            about: "Zephyr's mqtt_sn library: 64 octets for a topic name",
            longest_topic: Some(64),
            ..Profile::STANDARD
        },
        Profile {
            name: "emcute",
            about: "RIOT emcute: no REGISTER from the gateway, QoS 0 and 1, no flags, 512 octets",
            answers_register: false,
            predefined: false,
            dup: false,
            retain: false,
            max_qos: MqttQos::One,
            longest_topic: Some(196),
            longest_packet: Some(512),
        },
        Profile {
            name: "asymcute",
            about: "RIOT asymcute: no REGISTER from the gateway, QoS 0 and 1, packets of 128 octets",
            answers_register: false,
            max_qos: MqttQos::One,
            longest_topic: Some(32),
            longest_packet: Some(128),
            ..Profile::STANDARD
        },
        Profile {
            name: "nordic",
            about: "Nordic's MQTT-SN client and OpenThread's: QoS 0 and 1",
            max_qos: MqttQos::One,
            ..Profile::STANDARD
        },
        Profile {
            name: "microbit",
            about: "micro:bit and other small radios: packets of 60 octets",
            longest_packet: Some(60),
            ..Profile::STANDARD
        },
    ];

    /// Position in [`Self::ALL`] of the profile with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<u8> {
        Self::ALL.iter().position(|profile| profile.name == name).map(|at| at as u8)
    }

    /// The profile at a position of [`Self::ALL`], else the default.
    #[must_use]
    pub fn at(position: u8) -> &'static Profile {
        Self::ALL.get(usize::from(position)).unwrap_or(&Self::STANDARD)
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any number of characters and `?` for
/// one.
#[must_use]
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Where to go on when what follows the last `*` does not match here after all.
    let mut retry = None;
    loop {
        let (mut rest, mut left) = (pattern.clone(), text.clone());
        match (rest.next(), left.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                pattern = rest;
                retry = Some((pattern.clone(), text.clone()));
            }
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
                (pattern, text) = (rest, left);
            }
            _ => {
                let Some((after, from)) = &mut retry else { return false };
                if from.next().is_none() {
                    return false;
                }
                (pattern, text) = (after.clone(), from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "meter-1"),
            ("meter-*", "meter-"),
            ("meter-*", "meter-17"),
            ("*-17", "meter-17"),
            ("m*-?7", "meter-17"),
            ("*a*a*", "banana"),
            ("?", "ü"),
        ] {
            assert!(glob_matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("meter-*", "meter"),
            ("?", ""),
            ("?", "ab"),
            ("*a", "ab"),
            ("a*b*c", "a-b-b"),
            ("METER", "meter"),
        ] {
            assert!(!glob_matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn profiles_have_names_of_their_own() {
        for (position, profile) in Profile::ALL.iter().enumerate() {
            assert_eq!(Profile::named(profile.name).map(usize::from), Some(position));
            assert_eq!(Profile::at(position as u8), profile);
        }
        assert_eq!(Profile::named("other"), None);
        assert_eq!(Profile::at(200), &Profile::STANDARD);
    }
}
