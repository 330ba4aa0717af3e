//! Against the server side of the same library, and against bytes written by hand.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::*;

type Peer = tungstenite::WebSocket<TcpStream>;

fn accept(stream: TcpStream, protocol: Option<&'static str>) -> Peer {
    #[expect(clippy::result_large_err, reason = "the library's type")]
    let answer = |request: &Request, mut response: Response| {
        assert_eq!(request.uri(), "/mqtt");
        assert_eq!(request.headers()["sec-websocket-protocol"], "mqtt");
        if let Some(protocol) = protocol {
            response.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
        }
        Ok(response)
    };
    tungstenite::accept_hdr(stream, answer).unwrap()
}

/// Connects with a peer that a thread plays, and does something with the connection.
fn with_peer<T>(
    peer: impl FnOnce(TcpStream) + Send + 'static,
    test: impl AsyncFnOnce(Result<WebSocket, String>) -> T,
) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread: JoinHandle<()> = std::thread::spawn(move || peer(listener.accept().unwrap().0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server {
        scheme: Scheme::Ws,
        host: address.ip().to_string().into(),
        port: address.port(),
        path: Server::DEFAULT_PATH.into(),
        embedded: false,
    };
    let outcome = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        test(connect(&server, Wire::Tcp(stream)).await).await
    });
    thread.join().unwrap();
    outcome
}

async fn read(socket: &mut WebSocket, input: &mut BytesMut) -> io::Result<usize> {
    poll_fn(|cx| socket.poll_read(cx, input, 64 * 1024)).await
}

async fn read_all(socket: &mut WebSocket) -> (Vec<u8>, io::Result<usize>) {
    let mut input = BytesMut::new();
    loop {
        match read(socket, &mut input).await {
            Ok(1..) => {}
            end => return (input.to_vec(), end),
        }
    }
}

async fn write(socket: &mut WebSocket, octets: &[u8]) {
    let mut output = BytesMut::from(octets);
    poll_fn(|cx| socket.poll_write(cx, &mut output)).await.unwrap();
    assert!(output.is_empty());
}

#[test]
fn bytes_pass_whatever_the_frames_are() {
    let sent: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
    let expected = sent.clone();
    let peer = move |stream| {
        let mut peer = accept(stream, Some("mqtt"));
        let mut heard = Vec::new();
        while heard.len() < expected.len() {
            match peer.read().unwrap() {
                Message::Binary(octets) => heard.extend_from_slice(&octets),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(heard, expected);
        // Back in small pieces, with nothing and pings in between.
        for piece in heard.chunks(997) {
            peer.write(Message::Ping(b"there?".as_slice().into())).unwrap();
            peer.write(Message::Binary(piece.to_vec().into())).unwrap();
            peer.write(Message::Binary(Vec::new().into())).unwrap();
        }
        peer.flush().unwrap();
        for _ in heard.chunks(997) {
            let Message::Pong(octets) = peer.read().unwrap() else { continue };
            assert_eq!(&octets[..], b"there?");
            break;
        }
        peer.close(None).unwrap();
        while peer.read().is_ok() {}
    };
    with_peer(peer, async |socket| {
        let mut socket = socket.unwrap();
        write(&mut socket, &sent).await;
        let (heard, end) = read_all(&mut socket).await;
        assert_eq!(heard, sent);
        assert_eq!(end.unwrap(), 0);
    });
}

#[test]
fn a_message_in_several_frames_is_one() {
    let peer = |stream: TcpStream| {
        let mut peer = accept(stream, Some("mqtt"));
        // Binary, not the last; a ping in between; its continuation, the last.
        let frames = [&[0x02, 3, 1, 2, 3][..], &[0x89, 1, b'x'], &[0x80, 2, 4, 5]].concat();
        peer.get_mut().write_all(&frames).unwrap();
        assert_eq!(peer.read().unwrap(), Message::Pong(b"x".as_slice().into()));
    };
    with_peer(peer, async |socket| {
        let (heard, end) = read_all(&mut socket.unwrap()).await;
        assert_eq!(heard, [1, 2, 3, 4, 5]);
        assert_eq!(end.unwrap(), 0, "hanging up is an end like any other");
    });
}

#[test]
fn our_close_is_one_of_web_socket() {
    let peer = |stream: TcpStream| {
        let mut peer = accept(stream, Some("mqtt"));
        assert_eq!(peer.read().unwrap(), Message::Binary(b"bye".as_slice().into()));
        assert!(matches!(peer.read().unwrap(), Message::Close(_)));
        while peer.read().is_ok() {}
    };
    with_peer(peer, async |socket| {
        let mut socket = socket.unwrap();
        write(&mut socket, b"bye").await;
        poll_fn(|cx| socket.poll_finish(cx)).await.unwrap();
        let (heard, end) = read_all(&mut socket).await;
        assert!(heard.is_empty() && end.unwrap() == 0);
    });
}

#[test]
fn what_a_broker_must_not_send_ends_it() {
    for (octets, says) in [
        // Text.
        (&[0x81, 2, b'h', b'i'][..], "sent text"),
        // A reason to close.
        (&[0x88, 5, 0x03, 0xEA, b'b', b'a', b'd'], "(code 1002 \"bad\")"),
        // 2^62 octets are to follow.
        (&[0x82, 127, 0x40, 0, 0, 0, 0, 0, 0, 0], "over 16 MiB"),
        // A masked frame.
        (&[0x82, 0x81, 1, 2, 3, 4, 5], "masked"),
        (&[0xF2, 0], "WebSocket: "),
    ] {
        let peer = move |stream: TcpStream| {
            let mut peer = accept(stream, Some("mqtt"));
            // What came before it counts.
            peer.get_mut().write_all(&[0x82, 1, 7]).unwrap();
            peer.get_mut().write_all(octets).unwrap();
            let _ = peer.get_mut().read_to_end(&mut Vec::new());
        };
        with_peer(peer, async |socket| {
            let mut socket = socket.unwrap();
            let (heard, end) = read_all(&mut socket).await;
            assert_eq!(heard, [7]);
            let error = end.unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        });
    }
}

#[test]
fn the_subprotocol_has_to_be_mqtt() {
    for protocol in [None, Some("chat")] {
        let peer = move |stream| drop(accept(stream, protocol));
        let error = with_peer(peer, async |socket| socket.unwrap_err());
        assert!(error.contains("subprotocol \"mqtt\""), "{error}");
        assert!(error.contains("the path /mqtt"), "{error}");
    }
}

#[test]
fn endless_headers_have_an_end() {
    let peer = |mut stream: TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n");
        while stream.write_all(&[b'x'; 1024]).is_ok() {}
    };
    let error = with_peer(peer, async |socket| socket.unwrap_err());
    assert!(error.contains("refused") || error.contains("HTTP"), "{error}");
}

#[test]
fn addresses_become_those_of_http() {
    let server = |scheme, host: &str, port, path: &str| Server {
        scheme,
        host: host.into(),
        port,
        path: path.into(),
        embedded: false,
    };
    for (server, expected) in [
        (server(Scheme::Ws, "a.example", 80, "/mqtt"), "ws://a.example/mqtt"),
        (server(Scheme::Wss, "a_b", 443, "/?x=y"), "wss://a_b/?x=y"),
        (server(Scheme::Wss, "::1", 80, "/"), "wss://[::1]:80/"),
        (server(Scheme::Ws, "fe80::1%eth0", 8080, "/x"), "ws://[fe80::1]:8080/x"),
    ] {
        assert_eq!(uri(&server).unwrap().to_string(), expected);
    }
}
