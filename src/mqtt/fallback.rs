//! Which version the next connection speaks.
//!
//! With `Version::Auto` a session asks for MQTT 5 first. Two things make it ask for 3.1.1:
//!
//! - The broker says in its CONNACK that it does not speak 5. Then 3.1.1 stays, until a connection
//!   with 3.1.1 fails before its CONNACK.
//! - The connection ends without a CONNACK. The broker may hang up on what it does not know, or it
//!   may just have been going down. So the next attempt alone speaks 3.1.1: if that fails too, the
//!   one after it speaks 5 again, and if it succeeds, 5 is asked for again once that connection
//!   has ended. A broker that was merely down does not pin us to 3.1.1.
//!
//! A broker that has accepted 5 is not asked for 3.1.1 over a connection that ended early: it was going
//! down. To change the version within a session is also more than some bear (mosquitto 2.0 holds a
//! receive maximum of 5 against a connection with 3.1.1, which knows of none, and hangs up on it).

use super::settings::Version;
use super::wire::Protocol;

/// The state of the rule above.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fallback {
    /// The version is given.
    Fixed(Protocol),
    /// Ask for 5.
    Newest,
    /// The same, of a broker that has accepted it.
    Proven,
    /// 3.1.1, for one connection.
    Once,
    /// 3.1.1, since the broker said so.
    Refused,
}

impl Fallback {
    pub(super) fn new(version: Version) -> Self {
        match version {
            Version::Auto => Self::Newest,
            Version::V311 => Self::Fixed(Protocol::V4),
            Version::V5 => Self::Fixed(Protocol::V5),
        }
    }

    /// The version of the next connection.
    pub(super) fn protocol(self) -> Protocol {
        match self {
            Self::Fixed(protocol) => protocol,
            Self::Newest | Self::Proven => Protocol::V5,
            Self::Once | Self::Refused => Protocol::V4,
        }
    }

    /// The broker refused the version. True if the next connection speaks another one.
    pub(super) fn refused(&mut self) -> bool {
        let next = match self {
            Self::Fixed(_) => return false,
            Self::Newest | Self::Proven => Self::Refused,
            Self::Once | Self::Refused => Self::Newest,
        };
        // From 5 to 3.1.1 is progress. Back again is for another day: no connection at once.
        let fall_back = next == Self::Refused;
        *self = next;
        fall_back
    }

    /// The broker accepted a connection. True if it turns out only now that it speaks 5.
    pub(super) fn accepted(&mut self) -> bool {
        let news = *self == Self::Newest;
        if news {
            *self = Self::Proven;
        }
        news
    }

    /// What is known of the broker elsewhere, if nothing is here.
    pub(super) fn learn(&mut self, other: Self) {
        if *self == Self::Newest {
            *self = other;
        }
    }

    /// It is known that the broker speaks 5.
    pub(super) fn is_proven(self) -> bool {
        self == Self::Proven
    }

    /// The connection ended without a CONNACK.
    pub(super) fn no_connack(&mut self) {
        *self = match self {
            Self::Fixed(protocol) => Self::Fixed(*protocol),
            Self::Newest => Self::Once,
            Self::Proven => Self::Proven,
            Self::Once | Self::Refused => Self::Newest,
        };
    }

    /// A connection that the broker had accepted ended.
    pub(super) fn connection_lost(&mut self) {
        if *self == Self::Once {
            *self = Self::Newest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_refuses_5_keeps_3_1_1_until_that_fails() {
        let mut fallback = Fallback::new(Version::Auto);
        assert_eq!(fallback.protocol(), Protocol::V5);
        assert!(fallback.refused());
        assert_eq!(fallback.protocol(), Protocol::V4);
        fallback.connection_lost();
        assert_eq!(fallback.protocol(), Protocol::V4);
        fallback.no_connack();
        assert_eq!(fallback.protocol(), Protocol::V5);
    }

    #[test]
    fn a_broker_that_was_down_gets_5_again() {
        let mut fallback = Fallback::new(Version::Auto);
        for expected in [Protocol::V5, Protocol::V4, Protocol::V5, Protocol::V4] {
            assert_eq!(fallback.protocol(), expected);
            fallback.no_connack();
        }
        fallback.no_connack();
        assert_eq!(fallback.protocol(), Protocol::V4);
        fallback.connection_lost();
        assert_eq!(fallback.protocol(), Protocol::V5);
    }

    #[test]
    fn a_broker_that_has_accepted_5_gets_no_3_1_1_unless_it_says_so() {
        let mut fallback = Fallback::new(Version::Auto);
        assert!(fallback.accepted() && fallback.is_proven() && !fallback.accepted());
        fallback.connection_lost();
        for _ in 0..3 {
            fallback.no_connack();
            assert_eq!(fallback.protocol(), Protocol::V5);
        }
        assert!(fallback.refused());
        assert_eq!(fallback.protocol(), Protocol::V4);
    }

    #[test]
    fn a_given_version_stays() {
        for (version, protocol) in [(Version::V311, Protocol::V4), (Version::V5, Protocol::V5)] {
            let mut fallback = Fallback::new(version);
            assert!(!fallback.refused());
            fallback.no_connack();
            fallback.connection_lost();
            assert_eq!(fallback.protocol(), protocol);
        }
    }

    #[test]
    fn refusing_both_versions_does_not_connect_in_a_tight_loop() {
        let mut fallback = Fallback::new(Version::Auto);
        assert!(fallback.refused());
        assert!(!fallback.refused());
        assert_eq!(fallback.protocol(), Protocol::V5);
    }
}
