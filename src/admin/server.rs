//! Connections: who gets one, and for how long.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use super::handlers::{self, Context};
use super::places::{Place, Places};
use super::{Settings, respond};

/// Octets of the request line and all headers, and their number.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// How long a client may take for its request line and headers, and how long a connection may idle.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a request may take from its headers to the last octet of the answer; and an answer that never
/// ends, until whoever reads it has taken what there is.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// After this an answer is the last on its connection, so that others get their turn. One that is being
/// read goes on.
const LIFE: Duration = Duration::from_secs(600);
/// When an address that could not be had is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// What those hear for whom there is no room.
const FULL: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
                    Content-Length: 50\r\nConnection: close\r\nRetry-After: 10\r\n\r\n\
                    {\"error\":\"too many connections; try again later\"}\n";

/// Serves for ever.
pub(super) async fn serve(settings: Settings) {
    let listener = listen(settings.listen).await;
    let address = listener.local_addr().unwrap_or(settings.listen);
    info!("admin interface on http://{address}");
    let context = Arc::new(Context::new(settings, address).await);
    let places = Places::default();
    loop {
        match listener.accept().await {
            Ok((stream, from)) => match places.take(from.ip()) {
                Some(place) => {
                    tokio::spawn(connection(stream, from, Arc::clone(&context), place));
                }
                // If it does not fit the socket's buffer nobody will read it.
                None => drop(stream.try_write(FULL.as_bytes())),
            },
            Err(error) => {
                // Of a client that is gone already, or there are no files left.
                debug!("admin interface: cannot take a connection: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Opens the listener, however long it takes: devices are served meanwhile.
async fn listen(address: SocketAddr) -> TcpListener {
    let mut told = None;
    loop {
        match open(address) {
            Ok(listener) => return listener,
            Err(error) => {
                if told != Some(error.kind()) {
                    told = Some(error.kind());
                    let why = match error.kind() {
                        io::ErrorKind::AddrInUse => {
                            "another program listens there; choose a free port in [admin] listen, or \
                             \"\" for none"
                                .to_owned()
                        }
                        _ => format!("{error}; see [admin] listen"),
                    };
                    warn!(
                        "no admin interface on {address}: {why}. Devices are served without metrics, \
                         health checks and API; it is tried again every {} s",
                        AGAIN.as_secs()
                    );
                }
                sleep(AGAIN).await;
            }
        }
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Until when the present request has to be over.
#[derive(Clone, Debug)]
pub(super) struct Deadline(Arc<Mutex<Instant>>);

impl Default for Deadline {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now() + REQUEST_TIME)))
    }
}

impl Deadline {
    /// It begins anew.
    pub(super) fn renew(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + REQUEST_TIME;
    }

    fn get(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn passed(&self) {
        while self.get() > Instant::now() {
            sleep_until(self.get()).await;
        }
    }
}

async fn connection(stream: TcpStream, from: SocketAddr, context: Arc<Context>, _place: Place) {
    // Answers are small and written at once.
    let _ = stream.set_nodelay(true);
    talk(stream, from, context).await;
}

/// Answers the requests on a connection, one after the other.
pub(super) async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    from: SocketAddr,
    context: Arc<Context>,
) {
    let deadline = Deadline::default();
    let begun = Instant::now();
    let service = service_fn(|mut request: Request<Incoming>| {
        deadline.renew();
        let context = Arc::clone(&context);
        request.extensions_mut().insert(deadline.clone());
        async move {
            let answer = handlers::handle(&context, from, request).await;
            let last = is_over(begun, Instant::now());
            Ok::<_, Infallible>(if last { respond::last(answer) } else { answer })
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(2 * MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    tokio::select! {
        outcome = &mut served => {
            if let Err(error) = outcome {
                debug!("admin interface: {from}: {error}");
            }
        }
        () = deadline.passed() => debug!("admin interface: {from} was too slow"),
    }
}

/// Whether a connection has lived long enough.
fn is_over(begun: Instant, now: Instant) -> bool {
    now.saturating_duration_since(begun) >= LIFE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_does_not_live_for_ever() {
        let begun = Instant::now();
        assert!(!is_over(begun, begun));
        assert!(!is_over(begun, begun + LIFE - Duration::from_millis(1)));
        assert!(is_over(begun, begun + LIFE));
    }
}
