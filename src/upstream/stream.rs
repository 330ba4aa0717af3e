//! Bytes to and from the broker, whatever is below them.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion};

use super::websocket::WebSocket;

/// Room for one read, octets.
const READ: usize = 64 * 1024;

/// TCP, or TLS over it.
#[derive(Debug)]
pub(super) enum Wire {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => match ready!(Pin::new(stream).poll_read(cx, buf)) {
                // Few brokers say goodbye in TLS. MQTT packets know their lengths, so nobody can
                // gain anything by cutting them off.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                outcome => Poll::Ready(outcome),
            },
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, octets),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, octets),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// An open way to a broker. MQTT has not been spoken on it yet.
#[derive(Debug)]
pub struct Stream {
    kind: Kind,
    /// Something was taken that may not have left yet.
    unflushed: bool,
}

#[derive(Debug)]
enum Kind {
    Wire(Wire),
    WebSocket(Box<WebSocket>),
}

impl Stream {
    pub(super) fn wire(wire: Wire) -> Self {
        Self { kind: Kind::Wire(wire), unflushed: false }
    }

    pub(super) fn web_socket(socket: WebSocket) -> Self {
        Self { kind: Kind::WebSocket(Box::new(socket)), unflushed: false }
    }

    /// Reads what has come, about 64 KiB at most, behind what `input` holds. Ready with 0 when the
    /// broker has closed the connection.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Wire(wire) => {
                input.reserve(READ);
                // A read that does not fill the room clears the readiness: no second call to find
                // out.
                pin!(wire.read_buf(input)).poll(cx)
            }
            Kind::WebSocket(socket) => socket.poll_read(cx, input, READ),
        }
    }

    /// Writes as much of `output` as the system takes, and takes it away from the front. Pending if
    /// something is left, here or on the way; then the task is woken when there is room.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        output: &mut BytesMut,
    ) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Wire(wire) => {
                while !output.is_empty() {
                    let written = ready!(Pin::new(&mut *wire).poll_write(cx, output))?;
                    self.unflushed = true;
                    if written == output.len() {
                        output.clear();
                    } else {
                        output.advance(written);
                    }
                }
                if self.unflushed {
                    ready!(Pin::new(wire).poll_flush(cx))?;
                }
            }
            Kind::WebSocket(socket) => {
                self.unflushed |= !output.is_empty();
                ready!(socket.poll_write(cx, output))?;
            }
        }
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Whether [`Self::poll_write`] has something to do even without output.
    #[must_use]
    pub fn has_unflushed(&self) -> bool {
        self.unflushed
    }

    /// Tells the broker that nothing more will be sent. What it still sends can be read.
    pub fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Wire(wire) => Pin::new(wire).poll_shutdown(cx),
            Kind::WebSocket(socket) => socket.poll_finish(cx),
        }
    }

    /// What TLS agreed on, for the log; `None` without TLS.
    #[must_use]
    pub fn tls(&self) -> Option<&'static str> {
        let wire = match &self.kind {
            Kind::Wire(wire) => wire,
            Kind::WebSocket(socket) => socket.wire(),
        };
        let Wire::Tls(stream) = wire else { return None };
        let (_, session) = stream.get_ref();
        let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        Some(match (session.protocol_version(), resumed) {
            (Some(ProtocolVersion::TLSv1_3), false) => "TLS 1.3",
            (Some(ProtocolVersion::TLSv1_3), true) => "TLS 1.3 resumed",
            (_, false) => "TLS 1.2",
            (_, true) => "TLS 1.2 resumed",
        })
    }

    /// Whether it is bare TCP, without TLS or WebSocket.
    pub(super) fn is_bare(&self) -> bool {
        matches!(self.kind, Kind::Wire(Wire::Tcp(_)))
    }
}
