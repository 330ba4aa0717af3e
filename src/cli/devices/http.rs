//! A client for the admin interface.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
pub(super) use hyper::Method;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::cli::Failure;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer, octets. A page of clients has some hundred KiB.
const LONGEST: usize = 16 * 1024 * 1024;

/// Where to ask.
pub(super) struct Http {
    /// As it stands in Host.
    authority: String,
    host: String,
    port: u16,
    token: Option<String>,
}

impl Http {
    pub(super) fn new(url: &str, token: Option<String>) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Err(Failure::usage(format!("--url {url}: {why}; write it like http://127.0.0.1:8080")))
        };
        let Ok(uri) = url.parse::<Uri>() else { return wrong("this is no URL") };
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return wrong("only http is spoken here, so name the gateway itself"),
            _ => return wrong("it begins with http://"),
        }
        if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
            return wrong("nothing comes after the port");
        }
        let Some(authority) = uri.authority().filter(|a| !a.host().is_empty()) else {
            return wrong("there is no host in it");
        };
        let has_port = !authority.as_str().ends_with(authority.host());
        if has_port && authority.port_u16().is_none() {
            return wrong("the port is a number from 0 to 65535");
        }
        if authority.as_str().contains('@') {
            return wrong("a login is of no use here");
        }
        Ok(Self {
            authority: authority.to_string(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            token,
        })
    }

    /// Sends a request; gives the JSON of a good answer.
    pub(super) fn ask(&self, method: Method, path: &str) -> Result<Value, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::run(error.to_string()))?;
        let answer = runtime.block_on(async {
            let late =
                || format!("no answer from {} within {} s", self.authority, PATIENCE.as_secs());
            let answer = tokio::time::timeout(PATIENCE, self.exchange(method, path)).await;
            answer.unwrap_or_else(|_| Err(late()))
        });
        runtime.shutdown_background();
        let (status, body) = answer.map_err(Failure::run)?;
        let value: Option<Value> = serde_json::from_slice(&body).ok();
        if (200..300).contains(&status)
            && let Some(value) = value
        {
            return Ok(value);
        }
        let said = value.as_ref().and_then(|value| value.get("error")).and_then(Value::as_str);
        Err(Failure::run(match said {
            Some(said) => super::table::shown(said),
            None => format!(
                "{} answers, but not like the admin interface of a gateway (status {status}); is --url right?",
                self.authority
            ),
        }))
    }

    async fn exchange(&self, method: Method, path: &str) -> Result<(u16, Bytes), String> {
        let stream = TcpStream::connect((&*self.host, self.port)).await.map_err(|error| {
            format!(
                "cannot reach the admin interface at {}: {error}; does the gateway run, and what does \
                 [admin] listen say?",
                self.authority
            )
        })?;
        let broken = |error: hyper::Error| {
            format!("{} does not answer as HTTP has it: {error}; is --url right?", self.authority)
        };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.authority)
            .header("x-requested-with", "mqtt-sn-gateway devices");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), LONGEST).collect().await;
        connection.abort();
        let body =
            body.map_err(|error| format!("the answer of {} broke off: {error}", self.authority))?;
        Ok((status, body.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_or_refused() {
        let fine = |url: &str| {
            let Http { host, port, .. } = Http::new(url, None).unwrap_or_else(|f| panic!("{f:?}"));
            format!("{host} {port}")
        };
        assert_eq!(fine("http://127.0.0.1:8080"), "127.0.0.1 8080");
        assert_eq!(fine("http://[::1]:8080/"), "::1 8080");
        assert_eq!(fine("http://gateway.example"), "gateway.example 80");
        for wrong in [
            "",
            "127.0.0.1:8080",
            "ftp://a",
            "https://a",
            "http://",
            "http://a/b",
            "http://u:p@a",
            "http://a:99999",
            "http://a b",
        ] {
            assert_eq!(
                Http::new(wrong, None).err().map(|failure| failure.code),
                Some(2),
                "{wrong}"
            );
        }
    }
}
