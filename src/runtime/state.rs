//! What the gateway goes on from.

use tracing::{info, warn};

use super::wording::Count;
use crate::config::Config;
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
pub(super) fn announce(config: &Config, image: Option<&Image>) {
    let directory = config.state_dir.display();
    match image {
        None => info!("state directory {directory}: empty, beginning with nothing"),
        Some(image) => info!("state directory {directory}: going on with {}", contents(image)),
    }
}

fn contents(image: &Image) -> String {
    let count = |number: usize, what| Count(u32::try_from(number).unwrap_or(u32::MAX), what);
    let waiting = image.clients.values().map(|client| client.queue.len()).sum();
    format!(
        "{}, {} for them, {} for the broker",
        count(image.clients.len(), "client"),
        count(waiting, "message"),
        count(image.requests.len(), "publication")
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
    fn says_what_there_is_and_goes_on_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let state_dir = directory.path().join("state");
        let config = Config { state_dir, ..Config::default() };
        let mut state = open(&config).unwrap();
        assert_eq!((state.image, state.not_before), (None, Time(0)));
        let mut records = Vec::new();
        let (topic, payload, retain) = ("t", &b"x"[..], false);
        let qos = crate::core::upstream::MqttQos::Two;
        for record in [
            Record::NewClient { slot: 0, id: "a" },
            Record::NewClient { slot: 1, id: "b" },
            Record::Message { serial: 5, topic, payload },
            Record::Enqueued { slot: 1, message: 5, qos, retain },
            Record::Request { key: 1, origin: 0, at: 7_000, qos, retain, topic, payload },
            Record::Request { key: 2, origin: 1, at: 6_000, qos, retain, topic, payload },
        ] {
            record.put(&mut records);
        }
        let outcome = state.journal.commit(&Commit { records, ..Commit::default() });
        assert_eq!(outcome.journal, Ok(()));
        drop(state.journal);
        let state = open(&config).unwrap();
        let image = state.image.unwrap();
        let expected = "2 clients, 1 message for them, 2 publications for the broker";
        assert_eq!(contents(&image), expected);
        assert_eq!(state.not_before, Time(7_000));
    }
}
