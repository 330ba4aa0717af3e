//! What the gateway goes on from.

use tracing::{info, warn};

use super::wording::Count;
use crate::config::Config;
use crate::core::Restored;
use crate::store::file::{self, FileStorage, StateError};
use crate::store::image::Image;
use crate::store::journal::{Journal, Opened};
use crate::time::Time;

/// The state, opened.
pub(super) struct State {
    pub(super) journal: Journal<FileStorage>,
    /// What was there.
    pub(super) image: Option<Image>,
    /// The latest moment that it speaks of.
    pub(super) not_before: Time,
}

/// Opens the state directory.
pub(super) fn open(config: &Config) -> Result<State, StateError> {
    let (journal, image, opened) = file::open(&config.state_dir, config.store.sync)?;
    if opened.cut > 0 {
        warn!("state directory {}: {}", config.state_dir.display(), what_was_cut(&opened));
    }
    let not_before = Time(image.as_ref().map_or(0, Image::latest));
    Ok(State { journal, image, not_before })
}

/// Says what was there, once nothing else stands in the way of the start.
pub(super) fn announce(config: &Config, restored: Option<Restored>) {
    let directory = config.state_dir.display();
    match restored {
        None => info!("state directory {directory}: empty, beginning with nothing"),
        Some(restored) => {
            info!("state directory {directory}: going on with {}", contents(&restored));
        }
    }
}

fn contents(restored: &Restored) -> String {
    let count = |number: usize, what| Count(u32::try_from(number).unwrap_or(u32::MAX), what);
    format!(
        "{}, {} for them, {} for the broker",
        count(restored.clients, "client"),
        count(restored.waiting, "message"),
        count(restored.spooled, "publication")
    )
}

fn what_was_cut(opened: &Opened) -> String {
    let octets = opened.cut;
    if opened.gap {
        format!(
            "the journal was damaged {octets} octets before its end, and was cut there; what was \
             written after that is lost, which can happen with `sync = \"off\"`"
        )
    } else {
        format!(
            "the last {octets} octets of the journal were not whole, and were cut off: what is left of a \
             write during which the gateway or the machine stopped"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::commit::Commit;
    use crate::store::record::Record;

    #[test]
    fn goes_on_after_what_there_is() {
        let directory = tempfile::tempdir().unwrap();
        let state_dir = directory.path().join("state");
        let config = Config { state_dir, ..Config::default() };
        let mut state = open(&config).unwrap();
        assert_eq!((state.image, state.not_before), (None, Time(0)));
        let mut records = Vec::new();
        for at in [7_000, 6_000] {
            let qos = crate::core::upstream::MqttQos::Two;
            let (topic, payload) = ("t", &b"x"[..]);
            let request =
                Record::Request { key: at, origin: 0, at, qos, retain: false, topic, payload };
            request.put(&mut records);
        }
        let outcome = state.journal.commit(&Commit { records, ..Commit::default() });
        assert_eq!(outcome.journal, Ok(()));
        drop(state.journal);
        let state = open(&config).unwrap();
        assert_eq!(state.image.map(|image| image.main.requests.len()), Some(2));
        assert_eq!(state.not_before, Time(7_000));
    }
    #[test]
    fn says_what_there_was() {
        let restored = Restored { clients: 2, waiting: 1, spooled: 0 };
        let expected = "2 clients, 1 message for them, 0 publications for the broker";
        assert_eq!(contents(&restored), expected);
        let opened = Opened { cut: 7, gap: false, ..Opened::default() };
        assert!(
            what_was_cut(&opened).starts_with("the last 7 octets of the journal were not whole")
        );
        let opened = Opened { cut: 7, gap: true, ..Opened::default() };
        assert!(
            what_was_cut(&opened).starts_with("the journal was damaged 7 octets before its end")
        );
    }
}
