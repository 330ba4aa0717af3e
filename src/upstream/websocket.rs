//! MQTT over WebSocket: binary frames with bytes in them, wherever packets begin and end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use futures_util::{Sink, Stream as _};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::http::{Response, StatusCode, Uri};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::server::{Scheme, Server};
use super::stream::Wire;
use super::tls::{self, Stage};

/// The subprotocol of MQTT, 3.1.1 and 5.
const PROTOCOL: &str = "mqtt";
/// What is kept for reading on each connection, octets. Longer messages get what they need.
const READ_BUFFER: usize = 4 * 1024;
/// Most payload of a frame that is sent, octets: so much is kept for writing on a busy connection.
const FRAME: usize = 16 * 1024;
/// Longest message that is taken, octets. It has to fit the longest MQTT packet, and brokers may
/// put several in one.
const LONGEST: usize = 16 * 1024 * 1024;

/// A WebSocket connection that was upgraded.
#[derive(Debug)]
pub(super) struct WebSocket {
    stream: WebSocketStream<Wire>,
    /// Why nothing more comes, if that was noticed behind something that came.
    end: Option<io::Result<()>>,
}

/// Whether HTTP can ask for this.
pub(super) fn is_address(server: &Server) -> bool {
    uri(server).is_some()
}

fn uri(server: &Server) -> Option<Uri> {
    let (name, path) = (server.name(), &server.path);
    let host = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    let scheme = server.scheme.name();
    let uri = if server.port == server.scheme.default_port() {
        format!("{scheme}://{host}{path}")
    } else {
        format!("{scheme}://{host}:{}{path}", server.port)
    };
    uri.parse().ok()
}

/// Asks for the upgrade. No time limit of its own.
///
/// # Errors
/// Why it failed, for the log.
pub(super) async fn connect(server: &Server, wire: Wire) -> Result<WebSocket, String> {
    let Some(uri) = uri(server) else {
        return Err("no HTTP address can be made of this; check `url`".to_owned());
    };
    let request = ClientRequestBuilder::new(uri).with_sub_protocol(PROTOCOL);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(LONGEST))
        .max_frame_size(Some(LONGEST));
    match client_async_with_config(request, wire, Some(config)).await {
        Ok((stream, _)) => Ok(WebSocket { stream, end: None }),
        Err(error) => Err(explain(error, server)),
    }
}

impl WebSocket {
    pub(super) fn wire(&self) -> &Wire {
        self.stream.get_ref()
    }

    /// Appends what has come to `input`; stops when that is `enough` octets or more.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut BytesMut,
        enough: usize,
    ) -> Poll<io::Result<usize>> {
        let mut count = 0;
        while self.end.is_none() && count < enough {
            // It answers pings by itself.
            match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Pending if count == 0 => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(Some(Ok(Message::Binary(octets)))) => {
                    input.extend_from_slice(&octets);
                    count += octets.len();
                }
                Poll::Ready(Some(Ok(Message::Close(frame)))) => self.end = Some(closed(frame)),
                Poll::Ready(Some(Ok(Message::Text(_)))) => {
                    let text = "the broker sent text over WebSocket; MQTT is binary";
                    self.end = Some(Err(io::Error::other(text)));
                }
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => self.end = Some(ended(error)),
                Poll::Ready(None) => self.end = Some(Ok(())),
            }
        }
        if count > 0 {
            return Poll::Ready(Ok(count));
        }
        // Once the error, then the plain end.
        Poll::Ready(self.end.replace(Ok(())).unwrap_or(Ok(())).map(|()| 0))
    }

    /// Sends `output` in frames, and takes what was sent away from the front.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        output: &mut BytesMut,
    ) -> Poll<io::Result<()>> {
        // One frame at a time, so that a broker that does not read is noticed by what is left.
        ready!(self.poll_flush(cx))?;
        while !output.is_empty() {
            let frame = output.split_to(output.len().min(FRAME)).freeze();
            Pin::new(&mut self.stream).start_send(Message::Binary(frame)).map_err(failed)?;
            ready!(self.poll_flush(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends a close frame.
    pub(super) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx).map_err(failed)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(failed)
    }
}

/// The broker has closed it in order. Why, if it was not just the end.
fn closed(frame: Option<CloseFrame>) -> io::Result<()> {
    let Some(CloseFrame { code, reason }) = frame else { return Ok(()) };
    if matches!(code, CloseCode::Normal | CloseCode::Away | CloseCode::Status) {
        return Ok(());
    }
    let code = u16::from(code);
    let reason = if reason.is_empty() { String::new() } else { format!(" {:?}", &*reason) };
    Err(io::Error::other(format!("the broker closed the WebSocket (code {code}{reason})")))
}

fn ended(error: Error) -> io::Result<()> {
    match error {
        // Not every broker says goodbye in WebSocket.
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Ok(()),
        other => Err(failed(other)),
    }
}

fn failed(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::Capacity(_) => {
            let limit = LONGEST / (1024 * 1024);
            io::Error::other(format!("the broker sent a WebSocket message over {limit} MiB"))
        }
        other => io::Error::other(format!("WebSocket: {other}")),
    }
}

fn explain(error: Error, server: &Server) -> String {
    let port = server.port;
    let scheme = server.scheme.name();
    match error {
        Error::Http(response) => answered(&response, server),
        Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => format!(
            "it does not agree to the WebSocket subprotocol \"{PROTOCOL}\": is a broker behind the \
             path {}?",
            server.path
        ),
        Error::Protocol(ProtocolError::HandshakeIncomplete) | Error::ConnectionClosed => {
            hung_up(port, scheme)
        }
        Error::Io(error)
            if matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
            ) =>
        {
            hung_up(port, scheme)
        }
        Error::Io(error) if server.scheme == Scheme::Wss => {
            tls::explain(&error, server, Stage::Later)
        }
        Error::Io(error) => error.to_string(),
        Error::Protocol(ProtocolError::HttparseError(_)) => format!(
            "what answers does not speak HTTP; is {port} its port for {scheme}://? For MQTT without \
             WebSocket write {} in `url`",
            if server.scheme == Scheme::Wss { "mqtts://" } else { "mqtt://" }
        ),
        other => format!("it refused the WebSocket ({other})"),
    }
}

fn hung_up(port: u16, scheme: &str) -> String {
    let other = if scheme == Scheme::Wss.name() { "mqtts://" } else { "mqtt:// or wss://" };
    format!(
        "it hung up instead of answering the HTTP request; is {port} its port for {scheme}://? Else \
         write {other} in `url`"
    )
}

/// It speaks HTTP, but does not want to change over.
fn answered(response: &Response<Option<Vec<u8>>>, server: &Server) -> String {
    let status = response.status();
    let help = match status {
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            "something in front of the broker refuses; its log says more".to_owned()
        }
        _ if status.is_redirection() => {
            let location = response.headers().get("location").and_then(|value| value.to_str().ok());
            let location: String = location.unwrap_or("elsewhere").chars().take(200).collect();
            format!("it points to {location}: put that into `url`, with ws:// or wss://")
        }
        _ if status.is_server_error() => {
            "the broker behind it may be away; its log says more".to_owned()
        }
        StatusCode::BAD_REQUEST if server.scheme == Scheme::Ws => {
            "does it want TLS there (wss://)? Else check the path in `url`".to_owned()
        }
        _ => "check the path in `url`".to_owned(),
    };
    format!("it answered HTTP {status} to GET {} instead of 101; {help}", server.path)
}

#[cfg(test)]
mod tests;
