//! Which path is what. Nothing here does anything: any octets may come.

/// What is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Route {
    /// `GET /metrics`
    Metrics,
    /// `GET /healthz`
    Health,
    /// `GET /readyz`
    Ready,
}

/// Why there is no route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoRoute {
    /// There is no such path.
    Unknown,
    /// The path has other methods, these.
    Method(&'static str),
}

/// The paths with one method.
const READ: &str = "GET, HEAD";

/// Finds the route of a request. `path` is as it came, without the query.
pub(super) fn route(method: &str, path: &str) -> Result<Route, NoRoute> {
    let reads = matches!(method, "GET" | "HEAD");
    let read = |route: Route| if reads { Ok(route) } else { Err(NoRoute::Method(READ)) };
    match path {
        "/metrics" => read(Route::Metrics),
        "/healthz" => read(Route::Health),
        "/readyz" => read(Route::Ready),
        _ => Err(NoRoute::Unknown),
    }
}
