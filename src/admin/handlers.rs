//! What each path does.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::http::Extensions;
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use tracing::info;

use super::api::{Client, Link, PermitJoin, Reloaded};
use super::disk::off_thread;
use super::figures::UpstreamState;
use super::guard::{Access, Guard};
use super::question::{Asker, ClientQuery, NoAnswer, NotJoined, Question, channel};
use super::respond::{self, Answer};
use super::router::{NoRoute, Route, route};
use super::server::Deadline;
use super::timeline::TimelineOf;
use super::{Settings, capture, events, exposition, metrics, page, query, token};
use crate::capture::Folder;
use crate::config;
use crate::ops::{Allowed, RateLimit, logging};

/// Octets that a request may have behind its headers. Nothing is read out of them.
const MAX_BODY: usize = 64 * 1024;

/// The description of the API.
const OPENAPI: &str = include_str!("../../docs/openapi.json");

/// What all requests share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) asker: Asker,
    guard: Guard,
    /// Where captures are kept.
    pub(super) captures: Folder,
    name: String,
    /// Lines about changes of the log level.
    lines: Mutex<RateLimit<()>>,
}

impl Context {
    /// Whether another change of the log level is worth a line.
    fn level_changes(&self) -> Option<Allowed> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.allow(Instant::now(), ())
    }

    /// `address` is where it really listens.
    pub(super) async fn new(settings: Settings, address: SocketAddr) -> Self {
        let guard = if address.ip().to_canonical().is_loopback() {
            Guard::Local
        } else {
            let state_dir = settings.state_dir.clone();
            let hash = off_thread(move || token::open(&state_dir)).await;
            Guard::with_token(hash.ok().flatten())
        };
        let captures = Folder::new(&settings.state_dir);
        Self::with(settings.asker, guard, captures, settings.name)
    }

    /// Of a gateway that does not answer; whether whoever asks needs a token, which nobody has.
    pub(super) fn deaf(guarded: bool) -> Self {
        let guard = if guarded { Guard::with_token(None) } else { Guard::Local };
        // The other end of the channel is gone.
        let captures = Folder::new(Path::new(""));
        Self::with(channel().0, guard, captures, "deaf".to_owned())
    }

    fn with(asker: Asker, guard: Guard, captures: Folder, name: String) -> Self {
        let lines = Mutex::new(RateLimit::new(10, Duration::from_secs(60), 1));
        Self { asker, guard, captures, name, lines }
    }
}

/// Answers a request.
pub(super) async fn handle(
    context: &Context,
    from: SocketAddr,
    request: Request<Incoming>,
) -> Answer {
    let (head, body) = request.into_parts();
    let route = route(head.method.as_str(), head.uri.path());
    let access = match &route {
        Ok(route) if route.is_open() => Access::Open,
        // What there is and what is not is nobody's business who may not ask.
        _ if matches!(head.method, Method::GET | Method::HEAD) => Access::Look,
        _ => Access::Change,
    };
    if let Err(refused) = context.guard.check(from, &head.uri, &head.headers, access) {
        return respond::last(*refused);
    }
    let route = match route {
        Ok(route) => route,
        Err(none) => return no_route(none),
    };
    if access == Access::Change && Limited::new(body, MAX_BODY).collect().await.is_err() {
        return respond::error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "nothing needs to be said in the body",
        );
    }
    let query = head.uri.query().unwrap_or("");
    let answer = match route {
        Route::Page(file) => Ok(page::serve(file, &head.headers)),
        Route::Metrics => metrics(context).await,
        Route::Health => health(context).await,
        Route::Ready => ready(context).await,
        Route::OpenApi => Ok(respond::text(StatusCode::OK, "application/json", OPENAPI)),
        Route::Clients => clients(context, query).await,
        Route::Client(id) => client(context, &id).await,
        Route::Kick(id) => kick(context, &id).await,
        Route::Timeline(id) => timeline(context, Some(&id)).await,
        Route::Strangers => timeline(context, None).await,
        Route::Events => events(context, query, &head.extensions).await,
        Route::Status => status(context).await,
        Route::Links => links(context).await,
        Route::Topics => topics(context, query).await,
        Route::PermitJoin(name) => permit_join(context, &name, query).await,
        Route::Reload => reload(context).await,
        Route::LogLevel => Ok(log_level()),
        Route::SetLogLevel => Ok(set_log_level(context, query)),
        Route::Capture => capture::report(context).await,
        Route::CaptureStart => capture::start(context, query).await,
        Route::CaptureStop => capture::stop(context).await,
        Route::CaptureFile => capture::file(context, deadline(&head.extensions)).await,
    };
    let answer = answer
        .unwrap_or_else(|none| respond::error(StatusCode::SERVICE_UNAVAILABLE, &none.to_string()));
    // Who is nobody to us keeps no place.
    if access == Access::Open && context.guard.needs_token() {
        return respond::last(answer);
    }
    answer
}

fn no_route(none: NoRoute) -> Answer {
    match none {
        NoRoute::Unknown => respond::error(
            StatusCode::NOT_FOUND,
            "there is nothing at this path; /api/v1/openapi.json describes the API",
        ),
        NoRoute::Method(allowed) => respond::not_allowed(allowed),
        NoRoute::Encoding => respond::error(
            StatusCode::BAD_REQUEST,
            "the path is not properly encoded: % and two hexadecimal digits for each octet of UTF-8",
        ),
    }
}

async fn metrics(context: &Context) -> Result<Answer, NoAnswer> {
    let figures = context.asker.ask(Question::Figures).await?;
    Ok(respond::text(StatusCode::OK, exposition::CONTENT_TYPE, metrics::render(&figures)))
}

async fn health(context: &Context) -> Result<Answer, NoAnswer> {
    Ok(match context.asker.ask(Question::Alive).await {
        Ok(()) => respond::plain(StatusCode::OK, "ok"),
        Err(none) => respond::plain(StatusCode::SERVICE_UNAVAILABLE, &none.to_string()),
    })
}

async fn ready(context: &Context) -> Result<Answer, NoAnswer> {
    Ok(match context.asker.ask(Question::Upstream).await {
        Ok(states) => match not_ready(&states) {
            None => respond::plain(StatusCode::OK, "ok"),
            Some(why) => respond::plain(StatusCode::SERVICE_UNAVAILABLE, &why),
        },
        Err(none) => respond::plain(StatusCode::SERVICE_UNAVAILABLE, &none.to_string()),
    })
}

/// Why the gateway is not ready, if it is not.
fn not_ready(states: &[UpstreamState]) -> Option<String> {
    let state = states.iter().find(|state| !state.connected)?;
    let trouble = state.trouble.as_deref();
    Some(trouble.map_or("not connected to the broker yet".to_owned(), |trouble| {
        format!("not connected to the broker: {trouble}")
    }))
}

/// The loop looks at a part of the table each time, and has its turns in between.
async fn clients(context: &Context, query: &str) -> Result<Answer, NoAnswer> {
    let asked = match query::clients(query) {
        Ok(asked) => asked,
        Err(why) => return Ok(respond::error(StatusCode::BAD_REQUEST, &why)),
    };
    let mut found: Vec<Client> = Vec::new();
    let mut from = Some(asked.from);
    while let Some(place) = from
        && found.len() < asked.limit
    {
        let limit = asked.limit - found.len();
        let part = ClientQuery { from: place, limit, ..asked.clone() };
        let part = context.asker.ask(|reply| Question::Clients(part, reply)).await?;
        found.extend(part.clients);
        from = part.next;
    }
    Ok(respond::json(StatusCode::OK, &json!({ "clients": found, "next": from })))
}

async fn client(context: &Context, id: &str) -> Result<Answer, NoAnswer> {
    let found = context.asker.ask(|reply| Question::Client(id.to_owned(), reply)).await?;
    Ok(found.map_or_else(|| no_client(id), |details| respond::json(StatusCode::OK, &details)))
}

async fn kick(context: &Context, id: &str) -> Result<Answer, NoAnswer> {
    let known = context.asker.ask(|reply| Question::Kick(id.to_owned(), reply)).await?;
    Ok(if known { respond::json(StatusCode::OK, &json!({ "kicked": id })) } else { no_client(id) })
}

async fn timeline(context: &Context, id: Option<&str>) -> Result<Answer, NoAnswer> {
    let id = id.map(str::to_owned);
    let asked = id.clone();
    let found = context.asker.ask(|reply| Question::Timeline(asked, reply)).await?;
    Ok(match (found, id) {
        (Some(found), id) => respond::json(StatusCode::OK, &TimelineOf::new(id, &found)),
        (None, id) => no_client(&id.unwrap_or_default()),
    })
}

/// The server gives one to every request.
fn deadline(extensions: &Extensions) -> Deadline {
    extensions.get::<Deadline>().cloned().unwrap_or_default()
}

async fn events(
    context: &Context,
    query: &str,
    extensions: &Extensions,
) -> Result<Answer, NoAnswer> {
    let asked = match query::events(query) {
        Ok(asked) => asked,
        Err(why) => return Ok(respond::error(StatusCode::BAD_REQUEST, &why)),
    };
    let watching = context.asker.ask(|reply| Question::Watch(asked, reply)).await?;
    let deadline = deadline(extensions);
    Ok(watching.map_or_else(
        || {
            let message = "too many watch already; close another page or stream first";
            respond::error(StatusCode::SERVICE_UNAVAILABLE, message)
        },
        |watching| events::answer(watching, &context.name, deadline),
    ))
}

async fn status(context: &Context) -> Result<Answer, NoAnswer> {
    let mut status = context.asker.ask(Question::Status).await?;
    status.name.clone_from(&context.name);
    Ok(respond::json(StatusCode::OK, &status))
}

fn no_client(id: &str) -> Answer {
    let message = format!(
        "there is no client {id:?}; ids are case-sensitive, and / in them is written as %2F here"
    );
    respond::error(StatusCode::NOT_FOUND, &message)
}

async fn links(context: &Context) -> Result<Answer, NoAnswer> {
    let links = context.asker.ask(Question::Links).await?;
    let links: Vec<Link> = links.into_iter().map(Link::from).collect();
    Ok(respond::json(StatusCode::OK, &json!({ "links": links })))
}

async fn topics(context: &Context, query: &str) -> Result<Answer, NoAnswer> {
    let from = match query::topics(query) {
        Ok(from) => from,
        Err(why) => return Ok(respond::error(StatusCode::BAD_REQUEST, &why)),
    };
    let names = context.asker.ask(|reply| Question::Topics(from, reply)).await?;
    Ok(respond::json(StatusCode::OK, &names))
}

async fn permit_join(context: &Context, name: &str, query: &str) -> Result<Answer, NoAnswer> {
    let time = match query::permit_join(query) {
        Ok(time) => time,
        Err(why) => return Ok(respond::error(StatusCode::BAD_REQUEST, &why)),
    };
    let link = name.to_owned();
    let done = context.asker.ask(|reply| Question::PermitJoin(link, time, reply)).await?;
    let (status, why) = match done {
        Ok(join) => {
            let join = json!({ "link": name, "permit_join": PermitJoin::from(join) });
            return Ok(respond::json(StatusCode::OK, &join));
        }
        Err(NotJoined::Unknown) => (
            StatusCode::NOT_FOUND,
            format!("there is no link {name:?}; GET /api/v1/links has their names"),
        ),
        Err(NotJoined::Always) => (
            StatusCode::CONFLICT,
            "everybody may join this link at any time: permit_join under [[ble]] is \"always\""
                .into(),
        ),
        Err(NotJoined::Open) => {
            (StatusCode::CONFLICT, "nobody has to join this link: that is for [[ble]]".into())
        }
    };
    Ok(respond::error(status, &why))
}

fn log_level() -> Answer {
    respond::json(StatusCode::OK, &json!({ "level": logging::level() }))
}

fn set_log_level(context: &Context, query: &str) -> Answer {
    let set = query::level(query).and_then(|level| {
        config::check_log_level(&level)?;
        logging::set_level(&level).map_err(|error| error.to_string())?;
        if let Some(more) = context.level_changes() {
            info!("log level is {level} now, by the API, until the next reload or restart{more}");
        }
        Ok(())
    });
    match set {
        Ok(()) => log_level(),
        Err(why) => respond::error(StatusCode::BAD_REQUEST, &why),
    }
}

async fn reload(context: &Context) -> Result<Answer, NoAnswer> {
    Ok(match context.asker.ask_disk(Question::Reload).await? {
        Ok(changes) => respond::json(StatusCode::OK, &Reloaded::from(changes)),
        Err(why) => respond::error(StatusCode::UNPROCESSABLE_ENTITY, &why),
    })
}
