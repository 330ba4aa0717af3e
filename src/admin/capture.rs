//! Captures by the API. What needs the disk is done in threads that may wait for it.

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use futures_util::stream::unfold;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::StatusCode;
use hyper::body::Frame;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, HeaderValue};
use nix::fcntl::OFlag;

use super::api::Capture;
use super::disk::off_thread;
use super::handlers::Context;
use super::query;
use super::question::{NoAnswer, NoCapture, Question};
use super::respond::{self, Answer};
use super::server::Deadline;
use crate::capture::{Folder, Report, Setup};

/// What a capture is called in HTTP.
const KIND: &str = "application/vnd.tcpdump.pcap";
/// Octets that are read at a time.
const PIECE: u64 = 64 * 1024;
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
    let (octets, choice) = match query::capture(query) {
        Ok(found) => found,
        Err(why) => return Ok(respond::error(StatusCode::BAD_REQUEST, &why)),
    };
    // So that no file is removed for one that cannot be.
    if context.asker.ask(Question::Capture).await?.is_some_and(|report| report.active) {
        return Ok(busy());
    }
    let folder = context.captures.clone();
    let sink = match off_thread(move || folder.begin(octets)).await {
        Ok(Ok(sink)) => sink,
        Ok(Err(why)) => return Ok(no_capture(&why.to_string())),
        Err(why) => return Ok(no_capture(&why.to_string())),
    };
    let setup = Box::new(Setup { sink, choice });
    Ok(match context.asker.ask(|reply| Question::CaptureStart(setup, reply)).await? {
        Ok(report) => respond::json(StatusCode::OK, &Capture::from(Some(report))),
        Err(NoCapture::Busy) => busy(),
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
pub(super) async fn file(context: &Context, deadline: Deadline) -> Result<Answer, NoAnswer> {
    let report = context.asker.ask(Question::Capture).await?;
    let folder = context.captures.clone();
    Ok(match off_thread(move || open(&folder, report)).await {
        Ok(Ok(Some(file))) => download(file, deadline),
        Ok(Ok(None)) => respond::error(
            StatusCode::NOT_FOUND,
            "there is no file of a capture; POST /api/v1/capture begins one",
        ),
        Ok(Err(error)) => no_capture(&format!("the file cannot be read: {error}")),
        Err(why) => no_capture(&why.to_string()),
    })
}

fn busy() -> Answer {
    respond::error(StatusCode::CONFLICT, &NoCapture::Busy.to_string())
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
    // Should it have become a pipe, its writer is not waited for.
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = match options.open(&path) {
        // Somebody has removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        outcome => outcome?,
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Ok(None);
    }
    let octets = octets.map_or(found.len(), |octets| octets.min(found.len()));
    Ok(Some(Opened { name: name(&path), file, octets }))
}

/// Its name, which we have given it.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn download(opened: Opened, deadline: Deadline) -> Answer {
    let Opened { name, file, octets } = opened;
    let mut answer = respond::text(StatusCode::OK, KIND, "");
    let headers = answer.headers_mut();
    // Should it end before, the download has failed.
    headers.insert(CONTENT_LENGTH, octets.into());
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    let frames = unfold((file, octets), move |(file, left)| {
        // Whoever reads has taken what there was.
        deadline.renew();
        async move {
            let (file, piece) = off_thread(move || piece(file, left)).await.ok()?.ok()?;
            let left = left.saturating_sub(piece.len() as u64);
            let more = !piece.is_empty();
            more.then_some((Ok::<_, Infallible>(Frame::data(piece.into())), (file, left)))
        }
    });
    *answer.body_mut() = StreamBody::new(frames).boxed_unsync();
    answer
}

fn piece(file: File, left: u64) -> io::Result<(File, Vec<u8>)> {
    let mut octets = Vec::new();
    (&file).take(left.min(PIECE)).read_to_end(&mut octets)?;
    Ok((file, octets))
}
