//! What each path does.

use std::net::SocketAddr;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};

use super::Settings;
use super::exposition;
use super::figures::UpstreamState;
use super::metrics;
use super::question::{Asker, NoAnswer, Question};
use super::respond::{self, Answer};
use super::router::{NoRoute, Route, route};

/// What all requests share.
#[derive(Debug)]
pub(super) struct Context {
    asker: Asker,
}

impl Context {
    /// `address` is where it really listens.
    pub(super) fn new(settings: Settings, _address: SocketAddr) -> Self {
        Self { asker: settings.asker }
    }
}

/// Answers a request.
pub(super) async fn handle(
    context: &Context,
    _from: SocketAddr,
    request: Request<Incoming>,
) -> Answer {
    let route = match route(request.method().as_str(), request.uri().path()) {
        Ok(route) => route,
        Err(none) => return no_route(none),
    };
    let answer = match route {
        Route::Metrics => metrics(context).await,
        Route::Health => health(context).await,
        Route::Ready => ready(context).await,
    };
    answer.unwrap_or_else(|none| respond::error(StatusCode::SERVICE_UNAVAILABLE, &none.to_string()))
}

fn no_route(none: NoRoute) -> Answer {
    match none {
        NoRoute::Unknown => respond::error(StatusCode::NOT_FOUND, "there is nothing at this path"),
        NoRoute::Method(allowed) => respond::not_allowed(allowed),
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
