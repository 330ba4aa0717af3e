//! What the protocol promises, and who broke it.

/// A promise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Promise {
    Acknowledged,
    AtMostOnce,
    ExactlyOnce,
    Arrives,
    InOrder,
    RightDevice,
    RightTopic,
    RightPayload,
    RightQos,
    Asleep,
    PingrespLast,
    TopicIds,
    WellFormed,
    Sessions,
    Answers,
    Wills,
}

impl Promise {
    /// All of them, in the order of the table.
    pub(super) const ALL: [Self; 16] = [
        Self::Acknowledged,
        Self::AtMostOnce,
        Self::ExactlyOnce,
        Self::Arrives,
        Self::InOrder,
        Self::RightDevice,
        Self::RightTopic,
        Self::RightPayload,
        Self::RightQos,
        Self::Asleep,
        Self::PingrespLast,
        Self::TopicIds,
        Self::WellFormed,
        Self::Sessions,
        Self::Answers,
        Self::Wills,
    ];

    /// Name for programs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged-arrives",
            Self::AtMostOnce => "qos0-at-most-once",
            Self::ExactlyOnce => "qos2-exactly-once",
            Self::Arrives => "qos0-arrives",
            Self::InOrder => "order",
            Self::RightDevice => "right-device",
            Self::RightTopic => "right-topic",
            Self::RightPayload => "right-payload",
            Self::RightQos => "right-qos",
            Self::Asleep => "nothing-while-asleep",
            Self::PingrespLast => "pingresp-last",
            Self::TopicIds => "topic-ids-stable",
            Self::WellFormed => "well-formed",
            Self::Sessions => "sessions-last",
            Self::Answers => "answers",
            Self::Wills => "wills",
        }
    }

    /// What it says that is broken.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged, but never arrived",
            Self::AtMostOnce => "QoS 0, but arrived more often than sent",
            Self::ExactlyOnce => "QoS 2, but arrived more than once",
            Self::Arrives => {
                "QoS 0, never arrived, although no loss was asked for (--lossy-network allows it)"
            }
            Self::InOrder => "arrived after a later message of the same topic and QoS",
            Self::RightDevice => "arrived at a device that did not subscribe to it",
            Self::RightTopic => "arrived under another topic",
            Self::RightPayload => "arrived with another payload",
            Self::RightQos => {
                "arrived at a lower QoS than it should, or at a higher one than was granted"
            }
            Self::Asleep => "sent to a device that is asleep",
            Self::PingrespLast => "PINGRESP, although messages for the device waited",
            Self::TopicIds => "a topic id changed within a session",
            Self::WellFormed => "a malformed packet",
            Self::Sessions => "a session was ended for no reason",
            Self::Answers => "no answer",
            Self::Wills => "a will that was not published, or for no reason",
        }
    }
}

/// How often each promise was broken, with an example.
#[derive(Debug, Default)]
pub(super) struct Broken {
    found: [Option<Breach>; Promise::ALL.len()],
}

/// How often one promise was broken.
#[derive(Debug)]
pub(super) struct Breach {
    pub(super) count: u64,
    /// The first one.
    pub(super) example: String,
}

impl Broken {
    /// Counts a breach; the example is made for the first only.
    pub(super) fn add(&mut self, promise: Promise, example: impl FnOnce() -> String) {
        if let Some(found) = self.found.get_mut(promise as usize) {
            found.get_or_insert_with(|| Breach { count: 0, example: example() }).count += 1;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Promise, &Breach)> {
        let all = Promise::ALL.into_iter().zip(&self.found);
        all.filter_map(|(promise, found)| Some((promise, found.as_ref()?)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.iter().all(Option::is_none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_promise_has_its_place_and_its_first_example() {
        let mut broken = Broken::default();
        assert!(broken.is_empty());
        for (index, promise) in Promise::ALL.into_iter().enumerate() {
            assert_eq!(promise as usize, index);
            broken.add(promise, || format!("first {index}"));
            broken.add(promise, || unreachable!("the first is enough"));
        }
        for (index, (promise, breach)) in broken.iter().enumerate() {
            assert_eq!(promise, Promise::ALL[index]);
            assert_eq!((breach.count, breach.example.as_str()), (2, &*format!("first {index}")));
        }
        assert!(!broken.is_empty());
    }
}
