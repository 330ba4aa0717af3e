//! Captures by the API. What needs the disk is done in threads that may wait for it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_DISPOSITION, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::api::Capture;
use super::handlers::Context;
use super::query;
use super::question::{NoAnswer, NoCapture, Question};
use super::respond::{self, Answer};
use crate::capture::{Folder, MOST_API_BYTES, Report, Setup};

/// What a capture is called in HTTP.
const KIND: &str = "application/vnd.tcpdump.pcap";
/// Octets that are read at a time.
const PIECE: usize = 64 * 1024;
/// How often, and how many times, it is looked whether the end of a capture is written.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
const LOOKS: usize = 100;

/// How it stands.
pub(super) async fn report(context: &Context) -> Result<Answer, NoAnswer> {
    let report = context.asker.ask(Question::Capture).await?;
    Ok(respond::json(StatusCode::OK, &Capture::from(report)))
}

/// Begins one, in a file whose name is made here.
pub(super) async fn start(context: &Context, query: &str) -> Result<Answer, NoAnswer> {
    let choice = match query::capture(query) {
        Ok(choice) => choice,
        Err(why) => return Ok(respond::error(StatusCode::BAD_REQUEST, &why)),
    };
    // So that no file is removed for one that cannot be.
    if context.asker.ask(Question::Capture).await?.is_some_and(|report| report.active) {
        return Ok(busy());
    }
    let folder = context.captures.clone();
    let octets = choice.max_bytes.unwrap_or(MOST_API_BYTES);
    let sink = match off_thread(move || folder.begin(octets)).await {
        Ok(Ok(sink)) => sink,
        Ok(Err(why)) => return Ok(no_capture(&why.to_string())),
        Err(why) => return Ok(no_capture(&why.to_string())),
    };
    let setup = Box::new(Setup { sink, choice });
    Ok(match context.asker.ask(|reply| Question::CaptureStart(setup, reply)).await? {
        Ok(report) => respond::json(StatusCode::OK, &Capture::from(Some(report))),
        Err(NoCapture::Busy(setup)) => {
            let _ = off_thread(move || Folder::discard(setup.sink)).await;
            busy()
        }
        Err(why) => no_capture(&why.to_string()),
    })
}

/// Ends it, and waits a little until all of it is written.
pub(super) async fn stop(context: &Context) -> Result<Answer, NoAnswer> {
    let mut report = context.asker.ask(Question::CaptureStop).await?;
    for _ in 0..LOOKS {
        if !report.as_ref().is_some_and(|report| report.active) {
            break;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
        report = context.asker.ask(Question::Capture).await?;
    }
    Ok(respond::json(StatusCode::OK, &Capture::from(report)))
}

/// The last file, as far as it is written.
pub(super) async fn file(context: &Context) -> Result<Answer, NoAnswer> {
    let report = context.asker.ask(Question::Capture).await?;
    let folder = context.captures.clone();
    Ok(match off_thread(move || open(&folder, report)).await {
        Ok(Ok(Some(file))) => download(file),
        Ok(Ok(None)) => respond::error(
            StatusCode::NOT_FOUND,
            "there is no file of a capture; POST /api/v1/capture begins one",
        ),
        Ok(Err(error)) => no_capture(&format!("the file cannot be read: {error}")),
        Err(why) => no_capture(&why.to_string()),
    })
}

async fn off_thread<T: Send + 'static>(
    act: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    spawn_blocking(act).await
}

fn busy() -> Answer {
    let message = "a capture runs already; DELETE /api/v1/capture ends it";
    respond::error(StatusCode::CONFLICT, message)
}

fn no_capture(why: &str) -> Answer {
    respond::error(StatusCode::INSUFFICIENT_STORAGE, why)
}

/// A file that is to be sent.
struct Opened {
    name: String,
    file: File,
    octets: u64,
}

/// The file of the present capture or the last one, be it of an earlier run of the program.
fn open(folder: &Folder, report: Option<Report>) -> io::Result<Option<Opened>> {
    let present = report.and_then(|report| Some((report.file?, Some(report.written))));
    let found = match present {
        Some(present) => Some(present),
        None => folder.newest()?.map(|path| (path, None)),
    };
    let Some((path, octets)) = found else { return Ok(None) };
    let file = match File::open(&path) {
        // Somebody has removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        outcome => outcome?,
    };
    let length = file.metadata()?.len();
    let octets = octets.map_or(length, |octets| octets.min(length));
    Ok(Some(Opened { name: name(&path), file, octets }))
}

/// Its name, which we have given it.
fn name(path: &PathBuf) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn download(Opened { name, file, octets }: Opened) -> Answer {
    let body = Pieces { state: State::At(Some(file)), left: octets };
    let mut answer = respond::text(StatusCode::OK, KIND, "");
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    if let Ok(disposition) = disposition {
        answer.headers_mut().insert(CONTENT_DISPOSITION, disposition);
    }
    let (head, _) = answer.into_parts();
    Response::from_parts(head, body.boxed_unsync())
}

/// A file, piece by piece.
struct Pieces {
    state: State,
    left: u64,
}

enum State {
    /// Before the next piece; nothing if it cannot be read.
    At(Option<File>),
    Reading(JoinHandle<io::Result<(File, Vec<u8>)>>),
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let left = self.left;
        loop {
            match &mut self.state {
                State::At(file) => {
                    let Some(file) = file.take().filter(|_| left > 0) else {
                        return Poll::Ready(None);
                    };
                    self.state = State::Reading(spawn_blocking(move || piece(file, left)));
                }
                State::Reading(reading) => {
                    let read = ready!(Pin::new(reading).poll(cx));
                    // That there is less than was promised ends the connection, and so the download.
                    let Ok(Ok((file, piece))) = read else {
                        self.state = State::At(None);
                        return Poll::Ready(None);
                    };
                    self.state = State::At(Some(file).filter(|_| !piece.is_empty()));
                    self.left = left.saturating_sub(piece.len() as u64);
                    return Poll::Ready(Some(Ok(Frame::data(piece.into()))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

fn piece(file: File, left: u64) -> io::Result<(File, Vec<u8>)> {
    let mut octets = Vec::with_capacity(PIECE);
    (&file).take(left.min(PIECE as u64)).read_to_end(&mut octets)?;
    Ok((file, octets))
}
