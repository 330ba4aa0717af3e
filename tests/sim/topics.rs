//! The topics and filters that the simulated world talks about, with every form that MQTT-SN has
//! for naming them.

use crate::rng::Rng;

/// Predefined ids, known to the gateway and to every sensor.
pub const PREDEFINED: [(u16, &str); 3] = [(1, "pre/one"), (2, "pre/two"), (7, "all/cmd")];

/// A topic below this prefix is refused by the broker.
pub const FORBIDDEN: &str = "secret/";

/// How a sensor names a topic or filter on the wire (MQTT-SN 1.2 §5.3.4, TopicIdType).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Form {
    /// In full in SUBSCRIBE, by a registered id in PUBLISH.
    Name,
    /// Predefined id.
    Predefined(u16),
    /// Two characters.
    Short,
}

/// A topic or filter and the form in which it is used.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Topic {
    pub name: String,
    pub form: Form,
}

impl Topic {
    /// `name`, in the most special form that it has; every name has one form only, so that two
    /// transactions never mean the same subscription in different words.
    pub fn new(name: &str) -> Self {
        let predefined = PREDEFINED.iter().find(|(_, known)| *known == name);
        let form = match predefined {
            Some((id, _)) if *id != 7 => Form::Predefined(*id),
            _ if name.len() == 2 && !name.contains(['#', '+']) => Form::Short,
            // "all/cmd" has a predefined id and is nevertheless used by its name.
            _ => Form::Name,
        };
        Self { name: name.to_owned(), form }
    }

    /// Whether it can only be subscribed to.
    pub fn is_wildcard(&self) -> bool {
        self.name.contains(['#', '+'])
    }
}

/// The name behind a predefined id.
pub fn predefined(id: u16) -> Option<&'static str> {
    PREDEFINED.iter().find(|(known, _)| *known == id).map(|(_, name)| *name)
}

const LONG: &str =
    "building/7/floor/3/room/42/cabinet/north/rack/2/unit/19/sensor/temperature/inlet";

const SHARED: [&str; 10] =
    ["all/cmd", "a/b", "a/c", "a/b/c", "ab", "cd", "pre/one", "pre/two", "x", LONG];

const SHARED_FILTERS: [&str; 7] = ["a/#", "a/+", "+/b", "dev/+/cmd", "pre/#", "building/#", "+"];

/// A topic for a sensor or the outside world to publish to.
pub fn publishable(rng: &mut Rng, sensors: usize) -> Topic {
    let shared = rng.pick(&SHARED);
    match rng.below(20) {
        0 => Topic::new("secret/plan"),
        1..=6 => {
            let sensor = rng.below(sensors as u64);
            Topic::new(&format!("dev/{sensor}/{}", rng.pick(&["cmd", "state"])))
        }
        _ => Topic::new(shared),
    }
}

/// A filter for sensor `own` to subscribe to.
pub fn subscribable(rng: &mut Rng, own: usize) -> Topic {
    let (shared, filter) = (rng.pick(&SHARED), rng.pick(&SHARED_FILTERS));
    match rng.below(20) {
        0 => Topic::new("secret/#"),
        1 => Topic::new("#"),
        2..=5 => Topic::new(&format!("dev/{own}/{}", rng.pick(&["cmd", "#"]))),
        6..=11 => Topic::new(filter),
        _ => Topic::new(shared),
    }
}

/// Every concrete topic of a world, for the probes at its end.
pub fn all(sensors: usize) -> Vec<Topic> {
    let own = (0..sensors).map(|sensor| format!("dev/{sensor}/cmd"));
    SHARED.iter().map(|name| (*name).to_owned()).chain(own).map(|name| Topic::new(&name)).collect()
}
