//! The page at `/`: HTML, CSS and JavaScript modules, compiled in as they are. They contain nothing of the
//! gateway, so anybody may have them; what they show they ask of the API.

use std::sync::LazyLock;

use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH, REFERRER_POLICY,
};

use super::respond::{self, Answer};

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// What a browser may do with it: load our files, talk to us, nothing else. With trusted types no text can
/// become HTML, whatever a device calls itself.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'",
);

/// A file of the page.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($path:literal is $kind:ident from $file:literal,)+) => {
        &[$(File { path: $path, kind: $kind, text: include_str!($file) },)+]
    };
}

static FILES: &[File] = files! {
    "/" is HTML from "index.html",
    "/page/api.js" is SCRIPT from "api.js",
    "/page/base.css" is STYLE from "base.css",
    "/page/crowd.js" is SCRIPT from "crowd.js",
    "/page/dialogs.js" is SCRIPT from "dialogs.js",
    "/page/dom.js" is SCRIPT from "dom.js",
    "/page/format.js" is SCRIPT from "format.js",
    "/page/frame.css" is STYLE from "frame.css",
    "/page/grid.js" is SCRIPT from "grid.js",
    "/page/icon.svg" is IMAGE from "icon.svg",
    "/page/live.js" is SCRIPT from "live.js",
    "/page/main.js" is SCRIPT from "main.js",
    "/page/parts.css" is STYLE from "parts.css",
    "/page/router.js" is SCRIPT from "router.js",
    "/page/spark.js" is SCRIPT from "spark.js",
    "/page/sse.js" is SCRIPT from "sse.js",
    "/page/store.js" is SCRIPT from "store.js",
    "/page/theme.js" is SCRIPT from "theme.js",
    "/page/timeline.js" is SCRIPT from "timeline.js",
    "/page/trouble.js" is SCRIPT from "trouble.js",
    "/page/views.css" is STYLE from "views.css",
    "/page/views/capture.js" is SCRIPT from "views/capture.js",
    "/page/views/card.js" is SCRIPT from "views/card.js",
    "/page/views/client.js" is SCRIPT from "views/client.js",
    "/page/views/clients.js" is SCRIPT from "views/clients.js",
    "/page/views/facts.js" is SCRIPT from "views/facts.js",
    "/page/views/links.js" is SCRIPT from "views/links.js",
    "/page/views/overview.js" is SCRIPT from "views/overview.js",
    "/page/views/strangers.js" is SCRIPT from "views/strangers.js",
    "/page/views/topics.js" is SCRIPT from "views/topics.js",
    "/page/views/upkeep.js" is SCRIPT from "views/upkeep.js",
};

/// Of all files together: a gateway with other files is seen at once, and nothing is loaded twice.
static TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for file in FILES {
        context.update(file.path.as_bytes());
        context.update(file.text.as_bytes());
    }
    let digest = context.finish();
    let digits = crate::transport::hex::lower_hex(&digest.as_ref()[..8]);
    HeaderValue::from_str(&format!("\"{digits}\"")).unwrap_or(HeaderValue::from_static("\"page\""))
});

/// The file at a path.
pub(super) fn find(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

/// The file, or that the one which the browser has is still right.
pub(super) fn serve(file: &'static File, headers: &HeaderMap) -> Answer {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let known = known.flat_map(|tags| tags.split(',')).any(|tag| {
        let tag = tag.trim();
        *TAG == tag.strip_prefix("W/").unwrap_or(tag)
    });
    let mut answer = if known {
        respond::not_modified()
    } else {
        respond::text(StatusCode::OK, file.kind, file.text)
    };
    let headers = answer.headers_mut();
    // It is kept, and asked about each time.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ETAG, TAG.clone());
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let sharing = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(sharing, HeaderValue::from_static("same-origin"));
    answer
}

#[cfg(test)]
mod tests;
