//! What is asked of the loop, and the way there. The loop answers between its turns; every answer is
//! bounded work.

use std::fmt;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::api::{Client, ClientDetails, Status, TopicNames};
use super::figures::{Figures, JoinFigures, LinkFigures, UpstreamState};
use super::happening::WatchQuery;
use super::watching::Watching;
use crate::capture::{Report, Setup};
use crate::config::Changes;
use crate::core::ClientState;
use crate::runtime::Snapshot;

/// Questions that wait for the loop.
const WAITING: usize = 32;
/// How long the loop has to answer: it turns in milliseconds, or it hangs.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for what waits for a disk.
const DISK_PATIENCE: Duration = Duration::from_secs(20);

/// Where an answer goes. That nobody waits for it any longer is no error.
pub type Reply<T> = oneshot::Sender<T>;

/// A question to the loop.
#[derive(Debug)]
pub enum Question {
    /// Whether it turns.
    Alive(Reply<()>),
    /// How the shared connections to the broker stand.
    Upstream(Reply<Vec<UpstreamState>>),
    /// All counters.
    Figures(Reply<Box<Figures>>),
    /// What is known of each link.
    Links(Reply<Vec<LinkFigures>>),
    /// Some of the clients.
    Clients(ClientQuery, Reply<ClientPart>),
    /// One client by its id; `None` if there is none.
    Client(String, Reply<Option<Box<ClientDetails>>>),
    /// The diary of a client by its id, or of those that are none; `None` if there is none.
    Timeline(Option<String>, Reply<Option<Box<Snapshot>>>),
    /// Somebody wants to be told what happens; `None` if there are too many.
    Watch(WatchQuery, Reply<Option<Watching>>),
    /// How the gateway stands.
    Status(Reply<Box<Status>>),
    /// The end of a client and its session. Gives whether there was one.
    Kick(String, Reply<bool>),
    /// Some of the topic names, from a place on.
    Topics(u32, Reply<TopicNames>),
    /// Devices that were never here may join the link of this name, for so long; not any more if that is no time.
    PermitJoin(String, Duration, JoinReply),
    /// The configuration is to be read again.
    Reload(ReloadReply),
    /// How the capture stands, or how the last one ended; `None` if there was none.
    Capture(Reply<Option<Report>>),
    /// A capture is to begin.
    CaptureStart(Box<Setup>, Reply<Result<Report, NoCapture>>),
    /// It is to end. The last of it may still be on its way to the disk.
    CaptureStop(Reply<Option<Report>>),
}

impl Question {
    /// It asks for a change, and whoever asks has given up, and was told so: it is not to be made later, when
    /// nobody expects it any more.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        match self {
            Self::Kick(_, reply) => reply.is_closed(),
            Self::PermitJoin(_, _, reply) => reply.is_closed(),
            Self::Reload(reply) => reply.is_closed(),
            Self::CaptureStart(_, reply) => reply.is_closed(),
            Self::CaptureStop(reply) => reply.is_closed(),
            Self::Alive(_)
            | Self::Upstream(_)
            | Self::Figures(_)
            | Self::Links(_)
            | Self::Clients(..)
            | Self::Client(..)
            | Self::Timeline(..)
            | Self::Watch(..)
            | Self::Status(_)
            | Self::Topics(..)
            | Self::Capture(_) => false,
        }
    }
}

/// Why no capture begins.
#[derive(Debug)]
pub enum NoCapture {
    /// One runs.
    Busy,
    /// The system has no room for it.
    System(io::Error),
}

impl fmt::Display for NoCapture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("a capture runs already; DELETE /api/v1/capture ends it"),
            Self::System(error) => write!(f, "the system does not let it run: {error}"),
        }
    }
}

/// Whether devices may join now.
pub type JoinReply = Reply<Result<JoinFigures, NotJoined>>;

/// Why that cannot be said to a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotJoined {
    /// There is no such link.
    Unknown,
    /// Everybody may at any time.
    Always,
    /// It is for whoever reaches it.
    Open,
}

/// What changed, or what is wrong with the configuration.
pub type ReloadReply = Reply<Result<Changes, String>>;

/// Which clients are asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClientQuery {
    /// Where to begin: 0, or where the part before ended.
    pub from: u32,
    /// Most clients in the answer.
    pub limit: usize,
    /// A part of the client id, letters of either case.
    pub text: Option<String>,
    /// The state.
    pub state: Option<ClientState>,
    /// A pattern for the name of the link: `*` is any number of characters, `?` is one.
    pub link: Option<String>,
}

/// Clients that were found in a bounded part of the table.
#[derive(Debug, Default)]
pub struct ClientPart {
    /// Those that fit.
    pub clients: Vec<Client>,
    /// Where to go on; `None` at the end.
    pub next: Option<u32>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoAnswer {
    /// It did not come in time.
    Late,
    /// The loop has ended.
    Stopped,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str(
                "the gateway did not answer in time: it is overloaded, or it hangs; its log and its CPU \
                 time say which"
            ),
            Self::Stopped => f.write_str("the gateway is stopping"),
        }
    }
}

/// Asks the loop.
#[derive(Clone, Debug)]
pub struct Asker(mpsc::Sender<Question>);

/// The loop's end.
#[derive(Debug)]
pub struct Questions(mpsc::Receiver<Question>);

/// Both ends.
#[must_use]
pub fn channel() -> (Asker, Questions) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Asker(sender), Questions(receiver))
}

impl Asker {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// If there is none in time.
    pub async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> Question) -> Result<T, NoAnswer> {
        self.ask_within(PATIENCE, make).await
    }

    /// The same where the answer needs the disk.
    ///
    /// # Errors
    /// If there is none in time.
    pub async fn ask_disk<T>(
        &self,
        make: impl FnOnce(Reply<T>) -> Question,
    ) -> Result<T, NoAnswer> {
        self.ask_within(DISK_PATIENCE, make).await
    }

    async fn ask_within<T>(
        &self,
        patience: Duration,
        make: impl FnOnce(Reply<T>) -> Question,
    ) -> Result<T, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.0.send(make(reply)).await.map_err(|_| NoAnswer::Stopped)?;
            answer.await.map_err(|_| NoAnswer::Stopped)
        };
        tokio::time::timeout(patience, asked).await.unwrap_or(Err(NoAnswer::Late))
    }
}

impl Questions {
    /// The next question; pending for ever once nobody can ask any.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Question> {
        match self.0.poll_recv(cx) {
            Poll::Ready(Some(question)) => Poll::Ready(question),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn a_loop_that_is_gone_is_told_from_one_that_hangs() {
        block_on(async {
            let (asker, questions) = channel();
            assert_eq!(asker.ask(Question::Alive).await, Err(NoAnswer::Late));
            drop(questions);
            assert_eq!(asker.ask(Question::Alive).await, Err(NoAnswer::Stopped));
        });
    }

    #[test]
    fn a_change_is_given_up_with_its_answer_and_not_before() {
        let (reply, answer) = oneshot::channel();
        let question = Question::Kick("meter-7".to_owned(), reply);
        assert!(!question.is_given_up());
        drop(answer);
        assert!(question.is_given_up());
        let (reply, answer) = oneshot::channel();
        let question = Question::CaptureStop(reply);
        assert!(!question.is_given_up());
        drop(answer);
        assert!(question.is_given_up());
    }

    #[test]
    fn more_questions_than_fit_wait_no_longer_than_others() {
        block_on(async {
            let (asker, _questions) = channel();
            let all = (0..2 * WAITING).map(|_| {
                let asker = asker.clone();
                tokio::spawn(async move { asker.ask(Question::Alive).await })
            });
            for one in all.collect::<Vec<_>>() {
                assert_eq!(one.await.unwrap(), Err(NoAnswer::Late));
            }
        });
    }
}
