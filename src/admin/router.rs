//! Which path is what. Nothing here does anything: any octets may come.

use std::borrow::Cow;

use super::page;
use super::query::decode;

/// What is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Route<'a> {
    /// `GET /` and the files that it needs
    Page(&'static page::File),
    /// `GET /metrics`
    Metrics,
    /// `GET /healthz`
    Health,
    /// `GET /readyz`
    Ready,
    /// `GET /api/v1/openapi.json`
    OpenApi,
    /// `GET /api/v1/clients`
    Clients,
    /// `GET /api/v1/clients/{id}`
    Client(Cow<'a, str>),
    /// `GET /api/v1/clients/{id}/timeline`
    Timeline(Cow<'a, str>),
    /// `GET /api/v1/strangers`
    Strangers,
    /// `GET /api/v1/events`
    Events,
    /// `GET /api/v1/status`
    Status,
    /// `DELETE /api/v1/clients/{id}`
    Kick(Cow<'a, str>),
    /// `GET /api/v1/links`
    Links,
    /// `GET /api/v1/topics`
    Topics,
    /// `POST /api/v1/links/{name}/permit-join`
    PermitJoin(Cow<'a, str>),
    /// `POST /api/v1/reload`
    Reload,
    /// `GET /api/v1/log`
    LogLevel,
    /// `PUT /api/v1/log`
    SetLogLevel,
    /// `GET /api/v1/capture`
    Capture,
    /// `POST /api/v1/capture`
    CaptureStart,
    /// `DELETE /api/v1/capture`
    CaptureStop,
    /// `GET /api/v1/capture/file`
    CaptureFile,
}

/// Why there is no route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoRoute {
    /// There is no such path.
    Unknown,
    /// The path has other methods, these.
    Method(&'static str),
    /// A `%` without two hexadecimal digits, or octets that are no UTF-8.
    Encoding,
}

const READ: &str = "GET, HEAD";

impl Route<'_> {
    /// Anybody may know: those who watch over many programs ask without a login, and the page asks for one.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Page(_) | Self::Health | Self::Ready)
    }
}

/// Finds the route of a request. `path` is as it came, without the query.
pub(super) fn route<'a>(method: &str, path: &'a str) -> Result<Route<'a>, NoRoute> {
    let reads = matches!(method, "GET" | "HEAD");
    let read = |route| if reads { Ok(route) } else { Err(NoRoute::Method(READ)) };
    if let Some(file) = page::find(path) {
        return read(Route::Page(file));
    }
    match path {
        "/metrics" => return read(Route::Metrics),
        "/healthz" => return read(Route::Health),
        "/readyz" => return read(Route::Ready),
        _ => {}
    }
    let path = path.strip_prefix("/api/v1/").ok_or(NoRoute::Unknown)?;
    match path {
        "openapi.json" => read(Route::OpenApi),
        "clients" => read(Route::Clients),
        "links" => read(Route::Links),
        "topics" => read(Route::Topics),
        "strangers" => read(Route::Strangers),
        "events" => read(Route::Events),
        "status" => read(Route::Status),
        "reload" if method == "POST" => Ok(Route::Reload),
        "reload" => Err(NoRoute::Method("POST")),
        "log" if method == "PUT" => Ok(Route::SetLogLevel),
        "log" if reads => Ok(Route::LogLevel),
        "log" => Err(NoRoute::Method("GET, HEAD, PUT")),
        _ if path.starts_with("links/") => {
            let name =
                path.strip_prefix("links/").and_then(|path| path.strip_suffix("/permit-join"));
            let name = name.filter(|name| !name.is_empty() && !name.contains('/'));
            let name = decode(name.ok_or(NoRoute::Unknown)?).ok_or(NoRoute::Encoding)?;
            match method {
                "POST" => Ok(Route::PermitJoin(name)),
                _ => Err(NoRoute::Method("POST")),
            }
        }
        "capture" if method == "POST" => Ok(Route::CaptureStart),
        "capture" if method == "DELETE" => Ok(Route::CaptureStop),
        "capture" if reads => Ok(Route::Capture),
        "capture" => Err(NoRoute::Method("GET, HEAD, POST, DELETE")),
        "capture/file" => read(Route::CaptureFile),
        _ => {
            let id = path.strip_prefix("clients/").ok_or(NoRoute::Unknown)?;
            let (id, timeline) = match id.strip_suffix("/timeline") {
                Some(id) => (id, true),
                None => (id, false),
            };
            if id.is_empty() || id.contains('/') {
                return Err(NoRoute::Unknown);
            }
            let id = decode(id).ok_or(NoRoute::Encoding)?;
            match method {
                _ if timeline => read(Route::Timeline(id)),
                "DELETE" => Ok(Route::Kick(id)),
                _ if reads => Ok(Route::Client(id)),
                _ => Err(NoRoute::Method("GET, HEAD, DELETE")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_path_has_its_methods() {
        let client = |id: &'static str| Route::Client(Cow::Borrowed(id));
        for (method, path, expected) in [
            ("GET", "/metrics", Ok(Route::Metrics)),
            ("HEAD", "/readyz", Ok(Route::Ready)),
            ("POST", "/metrics", Err(NoRoute::Method(READ))),
            ("get", "/metrics", Err(NoRoute::Method(READ))),
            ("GET", "/api/v1/clients", Ok(Route::Clients)),
            ("GET", "/api/v1/clients/", Err(NoRoute::Unknown)),
            ("GET", "/api/v1/clients/a%2Fb", Ok(client("a/b"))),
            ("GET", "/api/v1/clients/a/b", Err(NoRoute::Unknown)),
            ("GET", "/api/v1/clients/a%2Fb/timeline", Ok(Route::Timeline("a/b".into()))),
            ("GET", "/api/v1/clients/timeline", Ok(client("timeline"))),
            ("GET", "/api/v1/clients//timeline", Err(NoRoute::Unknown)),
            ("DELETE", "/api/v1/clients/a/timeline", Err(NoRoute::Method(READ))),
            ("GET", "/api/v1/events", Ok(Route::Events)),
            ("GET", "/api/v1/clients/%zz", Err(NoRoute::Encoding)),
            ("DELETE", "/api/v1/clients/a", Ok(Route::Kick("a".into()))),
            ("PUT", "/api/v1/clients/a", Err(NoRoute::Method("GET, HEAD, DELETE"))),
            ("POST", "/api/v1/reload", Ok(Route::Reload)),
            ("GET", "/api/v1/reload", Err(NoRoute::Method("POST"))),
            ("GET", "/api/v1/log", Ok(Route::LogLevel)),
            ("PUT", "/api/v1/log", Ok(Route::SetLogLevel)),
            ("POST", "/api/v1/log", Err(NoRoute::Method("GET, HEAD, PUT"))),
            (
                "POST",
                "/api/v1/links/ble%20hci0/permit-join",
                Ok(Route::PermitJoin("ble hci0".into())),
            ),
            ("GET", "/api/v1/links/ble/permit-join", Err(NoRoute::Method("POST"))),
            ("POST", "/api/v1/links/ble", Err(NoRoute::Unknown)),
            ("POST", "/api/v1/links//permit-join", Err(NoRoute::Unknown)),
            ("POST", "/api/v1/links/a/b/permit-join", Err(NoRoute::Unknown)),
            ("POST", "/api/v1/links/%/permit-join", Err(NoRoute::Encoding)),
            ("POST", "/api/v1/capture", Ok(Route::CaptureStart)),
            ("DELETE", "/api/v1/capture", Ok(Route::CaptureStop)),
            ("HEAD", "/api/v1/capture", Ok(Route::Capture)),
            ("PUT", "/api/v1/capture", Err(NoRoute::Method("GET, HEAD, POST, DELETE"))),
            ("GET", "/api/v1/capture/file", Ok(Route::CaptureFile)),
            ("DELETE", "/api/v1/capture/file", Err(NoRoute::Method(READ))),
            ("GET", "/api/v1/capture/../admin-token", Err(NoRoute::Unknown)),
            ("GET", "/api/v2/clients", Err(NoRoute::Unknown)),
            ("POST", "/", Err(NoRoute::Method(READ))),
            ("GET", "/page/", Err(NoRoute::Unknown)),
            ("GET", "/page/mod.rs", Err(NoRoute::Unknown)),
            ("GET", "", Err(NoRoute::Unknown)),
        ] {
            assert_eq!(route(method, path), expected, "{method} {path}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_has_a_route_or_a_reason(method in "\\PC{0,8}", path in "(/|api|v1|clients|%|[a-f0-9]|\\PC){0,20}") {
            let _ = route(&method, &path);
        }

        #[test]
        fn an_id_comes_out_as_it_went_in(id in "\\PC{1,40}") {
            let encoded: String = id.bytes().map(|octet| format!("%{octet:02X}")).collect();
            let path = format!("/api/v1/clients/{encoded}");
            prop_assert_eq!(route("GET", &path), Ok(Route::Client(id.into())));
        }
    }
}
