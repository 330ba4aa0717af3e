//! Server-sent events: what happens, as it happens.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::stream::unfold;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::StatusCode;
use hyper::body::{Bytes, Frame};
use serde::Serialize;
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::happening::{Watched, What};
use super::respond::{self, Answer};
use super::server::Deadline;
use super::timeline::Entry;
use super::watching::Watching;

/// How often something is said if there is no news, so that a connection that is gone is seen.
const BEAT: Duration = Duration::from_secs(15);
/// Octets that are put together for one write.
const BATCH: usize = 16 * 1024;

/// What a stream is made of.
struct Stream {
    watching: Watching,
    beat: Interval,
    hello: Option<String>,
    /// It lives as long as whoever reads takes something.
    deadline: Deadline,
}

/// An entry, and whose it is.
#[derive(Serialize)]
struct OfClient<'a> {
    client: Option<&'a str>,
    #[serde(flatten)]
    entry: Entry,
}

/// The answer that never ends.
pub(super) fn answer(watching: Watching, name: &str, deadline: Deadline) -> Answer {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat.reset();
    let hello = json!({ "name": name, "version": env!("CARGO_PKG_VERSION") });
    let mut said = String::new();
    event(&mut said, "hello", &hello);
    let stream = Stream { watching, beat, hello: Some(said), deadline };
    let frames = unfold(stream, |mut stream| async move {
        let text = stream.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), stream))
    });
    let mut answer = respond::text(StatusCode::OK, "text/event-stream", "");
    *answer.body_mut() = StreamBody::new(frames).boxed_unsync();
    answer
}

impl Stream {
    /// What is to be written next. It is asked only when what was written before is on its way.
    async fn next(&mut self) -> Option<String> {
        self.deadline.renew();
        if let Some(hello) = self.hello.take() {
            return Some(hello);
        }
        let mut text = String::new();
        tokio::select! {
            news = self.watching.next() => {
                let mut news = news;
                // None at all: the gateway stops.
                news.as_ref()?;
                while let Some(one) = news {
                    tell(&mut text, &one);
                    if text.len() >= BATCH {
                        break;
                    }
                    news = self.watching.more();
                    if news.is_none() {
                        // What waited is older than what had no room behind it.
                        let missed = self.watching.missed();
                        if missed > 0 {
                            event(&mut text, "missed", &json!({ "count": missed }));
                        }
                    }
                }
            }
            _ = self.beat.tick() => text.push_str(": nothing new\n\n"),
        }
        Some(text)
    }
}

fn tell(text: &mut String, watched: &Watched) {
    match watched {
        Watched::Happened(client, happening) => {
            let kind = match happening.what {
                What::Packet(_) => "packet",
                What::Sentence(..) => "note",
            };
            let entry = OfClient { client: client.as_deref(), entry: Entry::from(happening) };
            event(text, kind, &entry);
        }
        Watched::Client(client) => event(text, "client", client),
        Watched::Removed(id) => event(text, "removed", &json!({ "id": id })),
    }
}

/// Line ends are escaped in JSON, so that one line holds any of it.
fn event(text: &mut String, kind: &str, data: &impl Serialize) {
    // Nothing that is told has keys that are no strings, which is all that can fail.
    if let Ok(data) = serde_json::to_string(data) {
        text.push_str("event: ");
        text.push_str(kind);
        text.push_str("\ndata: ");
        text.push_str(&data);
        text.push_str("\n\n");
    }
}
