//! Who may ask for what.
//!
//! On the loopback whoever is on this machine may do everything; a web page in a browser on this
//! machine may not, although the browser is. Elsewhere a token is asked for.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
};
use hyper::{StatusCode, Uri};
use tracing::warn;

use super::respond::{self, Answer};
use super::token::TokenHash;
use crate::ops::RateLimit;

/// Wrong tokens from one address within [`INTERVAL`] that are answered as such.
const TRIES: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(60);
/// Addresses of which this is known.
const ADDRESSES: usize = 1_024;

/// What somebody wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    /// What everybody may have.
    Open,
    /// To look at something.
    Look,
    /// What is not only looking.
    Change,
}

/// The rules.
#[derive(Debug)]
pub(super) enum Guard {
    /// Whoever is on this machine.
    Local,
    /// Whoever has the token; nobody if there is none.
    Token { hash: Option<TokenHash>, failures: Box<Mutex<Failures>> },
}

/// Who tried in vain.
#[derive(Debug)]
pub(super) struct Failures {
    answers: RateLimit<IpAddr>,
    lines: RateLimit<()>,
}

impl Guard {
    pub(super) fn with_token(hash: Option<TokenHash>) -> Self {
        let failures = Failures {
            answers: RateLimit::new(TRIES, INTERVAL, ADDRESSES),
            lines: RateLimit::new(5, INTERVAL, 1),
        };
        Self::Token { hash, failures: Box::new(Mutex::new(failures)) }
    }

    /// Refuses whoever may not do this.
    pub(super) fn check(
        &self,
        from: SocketAddr,
        uri: &Uri,
        headers: &HeaderMap,
        access: Access,
    ) -> Result<(), Box<Answer>> {
        check_page(uri, headers)?;
        if access == Access::Open {
            return Ok(());
        }
        match self {
            Self::Local => check_host(uri, headers)?,
            Self::Token { hash, failures } => {
                if !is_bearer(headers, hash.as_ref()) {
                    return Err(Box::new(refuse(from, failures)));
                }
            }
        }
        if access == Access::Change { check_intent(headers) } else { Ok(()) }
    }

    /// Whether a token is needed for anything.
    pub(super) fn needs_token(&self) -> bool {
        matches!(self, Self::Token { .. })
    }
}

/// A name that leads to this machine only by somebody's DNS is not ours: the page of that somebody in a
/// browser here would be let in by it.
fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<(), Box<Answer>> {
    let said = headers.get_all(HOST).iter().map(HeaderValue::to_str);
    for host in said.chain(uri.authority().map(|authority| Ok(authority.as_str()))) {
        if !host.is_ok_and(is_local) {
            let message = "on the loopback this is served as localhost, 127.0.0.1 and [::1] only; a proxy \
                           has to say one of these in Host, or set [admin] listen to another address \
                           and use the token";
            return Err(Box::new(respond::error(StatusCode::FORBIDDEN, message)));
        }
    }
    Ok(())
}

/// Whether the host of an authority (`host:port`) is this machine by its own word.
fn is_local(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    };
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// A change has to be wanted by whoever sends it: a form on somebody's page cannot send these headers,
/// and a script there not without being asked first, which is never answered.
fn check_intent(headers: &HeaderMap) -> Result<(), Box<Answer>> {
    let json = headers.get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.to_str().unwrap_or("").split(';').next().unwrap_or("");
        kind.trim().eq_ignore_ascii_case("application/json")
    });
    let requested = HeaderName::from_static("x-requested-with");
    if !(json || headers.contains_key(requested) || headers.contains_key(AUTHORIZATION)) {
        let message = "whoever changes something says so with a header that no form can send: \
                       X-Requested-With with any value, Content-Type: application/json, or \
                       Authorization";
        return Err(Box::new(respond::error(StatusCode::FORBIDDEN, message)));
    }
    Ok(())
}

/// Somebody's page in a browser cannot read what it is answered, but its requests come, and it could take all
/// connections by them. A link on it may be followed; to show us in a part of itself is not that.
fn check_page(uri: &Uri, headers: &HeaderMap) -> Result<(), Box<Answer>> {
    let is = |name, value: &[u8]| {
        let said = headers.get(HeaderName::from_static(name));
        said.is_some_and(|said| said.as_bytes() == value)
    };
    let foreign = is("sec-fetch-site", b"cross-site") || is("sec-fetch-site", b"same-site");
    let followed = is("sec-fetch-mode", b"navigate") && is("sec-fetch-dest", b"document");
    if (foreign && !followed) || !is_own_origin(uri, headers) {
        let message = "this was sent by a page of another origin";
        return Err(Box::new(respond::error(StatusCode::FORBIDDEN, message)));
    }
    Ok(())
}

/// Whether the page that sends this is ours, or it says of none.
fn is_own_origin(uri: &Uri, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let own = uri.authority().map(|authority| authority.as_str());
    let own = own.or_else(|| headers.get(HOST)?.to_str().ok()).unwrap_or("");
    let origin = origin.to_str().unwrap_or("");
    let origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    !own.is_empty() && origin.is_some_and(|origin| origin.eq_ignore_ascii_case(own))
}

fn is_bearer(headers: &HeaderMap, hash: Option<&TokenHash>) -> bool {
    let Some(said) = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes) else { return false };
    let Some((scheme, token)) = said.split_at_checked("Bearer ".len()) else { return false };
    scheme.eq_ignore_ascii_case(b"Bearer ") && hash.is_some_and(|hash| hash.is_of(token))
}

/// What whoever has no token hears, and how often. One who has it is never kept waiting by those who
/// have not: it cannot be guessed.
fn refuse(from: SocketAddr, failures: &Mutex<Failures>) -> Answer {
    let now = Instant::now();
    let ip = from.ip().to_canonical();
    let (answer, line) = {
        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
        (failures.answers.allow(now, ip), failures.lines.allow(now, ()))
    };
    if let Some(more) = line {
        warn!("admin interface: {ip} was refused, it has no token, or the wrong one{more}");
    }
    if answer.is_none() {
        let message = "too many tries without the right token; wait a minute";
        let mut answer = respond::error(StatusCode::TOO_MANY_REQUESTS, message);
        let wait = HeaderValue::from(INTERVAL.as_secs());
        answer.headers_mut().insert(hyper::header::RETRY_AFTER, wait);
        return answer;
    }
    let message = "the token is missing or wrong: send Authorization: Bearer TOKEN. The log of the \
                   gateway has said it at its first start; deleting admin-token in its state_dir makes \
                   another one at the next start";
    let mut answer = respond::error(StatusCode::UNAUTHORIZED, message);
    let how = HeaderValue::from_static("Bearer realm=\"mqtt-sn-gateway\"");
    answer.headers_mut().insert(hyper::header::WWW_AUTHENTICATE, how);
    answer
}

#[cfg(test)]
mod tests;
