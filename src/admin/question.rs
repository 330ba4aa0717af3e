//! What is asked of the loop, and the way there. The loop answers between its turns; every answer is
//! bounded work.

use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::figures::{Figures, UpstreamState};

/// Questions that wait for the loop.
const WAITING: usize = 32;
/// How long the loop has to answer: it turns in milliseconds, or it hangs.
const PATIENCE: Duration = Duration::from_secs(2);

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
            Self::Late => write!(
                f,
                "the gateway did not answer within {} s: it is overloaded, or it hangs; its log and \
                 its CPU time say which",
                PATIENCE.as_secs()
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
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.0.send(make(reply)).await.map_err(|_| NoAnswer::Stopped)?;
            answer.await.map_err(|_| NoAnswer::Stopped)
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or(Err(NoAnswer::Late))
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
