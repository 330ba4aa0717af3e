//! The listener against real sockets on loopback.

use std::collections::HashSet;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::*;
use crate::core::Span;

const LINK: LinkId = LinkId(3);

/// A listener inside a runtime that is driven by hand.
struct Rig {
    runtime: Runtime,
    link: UdpLink,
    buffers: ReceiveBuffers,
}

impl Rig {
    fn new(listen: &str) -> Self {
        Self::with(&settings(listen))
    }

    fn with(settings: &config::UdpLink) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let link = {
            let _guard = runtime.enter();
            UdpLink::open(LINK, settings).unwrap()
        };
        Self { runtime, link, buffers: ReceiveBuffers::default() }
    }

    fn port(&self) -> u16 {
        self.link.local_addr().port()
    }

    /// Waits until at least `count` datagrams have come, or for five seconds.
    fn receive(&mut self, count: usize) -> Vec<(UdpAddress, Vec<u8>)> {
        let Self { runtime, link, buffers } = self;
        let mut all = Vec::new();
        runtime.block_on(async {
            while all.len() < count {
                let turn = poll_fn(|cx| {
                    link.poll_receive(cx, buffers, &mut |from, bytes| {
                        all.push((UdpAddress::decode(from).unwrap(), bytes.to_vec()));
                    })
                });
                match timeout(Duration::from_secs(5), turn).await {
                    // As the loop does: the driver has to look for new events in between.
                    Ok(taken) if taken.more => tokio::task::yield_now().await,
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        });
        all
    }

    fn transmit(&mut self, effects: &Effects) {
        self.link.transmit(effects);
    }
}

fn settings(listen: &str) -> config::UdpLink {
    config::UdpLink {
        listen: listen.parse().unwrap(),
        advertise_to: Vec::new(),
        groups: Vec::new(),
        retry_interval: None,
        receive_buffer: 4 * 1024 * 1024,
    }
}

fn send_effect(effects: &mut Effects, link: LinkId, to: UdpAddress, bytes: &[u8]) {
    let bytes: Span = effects.store(bytes);
    effects.push(Effect::Send { link, to: to.encode(), bytes, client: None });
}

fn device(bind: &str) -> UdpSocket {
    let socket = UdpSocket::bind(bind).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn heard(socket: &UdpSocket) -> (SocketAddr, Vec<u8>) {
    let mut buffer = vec![0; 65_536];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    buffer.truncate(length);
    (from, buffer)
}

#[test]
fn batches_go_both_ways_whole_and_in_order() {
    let mut rig = Rig::new("127.0.0.1:0");
    let devices: Vec<UdpSocket> = (0..5).map(|_| device("127.0.0.1:0")).collect();
    let to = rig.link.local_addr();
    for number in 0..100_u32 {
        for device in &devices {
            device.send_to(&number.to_be_bytes(), to).unwrap();
        }
    }
    let received = rig.receive(500);
    assert_eq!(received.len(), 500);
    let mut effects = Effects::new();
    for (from, bytes) in &received {
        assert_eq!(from.local, None, "bound to one address");
        send_effect(&mut effects, LINK, *from, bytes);
        // For somebody else: must not be sent here.
        send_effect(&mut effects, LinkId(9), *from, b"other link");
    }
    rig.transmit(&effects);
    for device in &devices {
        for number in 0..100_u32 {
            assert_eq!(heard(device), (to, number.to_be_bytes().to_vec()));
        }
    }
    assert_eq!(rig.link.stats().received, 500);
    assert_eq!(rig.link.stats().sent, 500);
    assert_eq!(rig.link.stats().sent_bytes, 2_000);
}

#[test]
fn large_and_empty_datagrams_are_whole() {
    let mut rig = Rig::new("127.0.0.1:0");
    let device = device("127.0.0.1:0");
    let to = rig.link.local_addr();
    let sizes = [0, 1, 65_507, 60_000, 0, 1_500];
    for (index, size) in sizes.into_iter().enumerate() {
        device.send_to(&vec![index as u8; size], to).unwrap();
    }
    let received = rig.receive(sizes.len());
    let mut effects = Effects::new();
    for (index, ((from, bytes), size)) in received.iter().zip(sizes).enumerate() {
        assert_eq!(*bytes, vec![index as u8; size]);
        send_effect(&mut effects, LINK, *from, bytes);
    }
    rig.transmit(&effects);
    for (index, size) in sizes.into_iter().enumerate() {
        assert_eq!(heard(&device).1, vec![index as u8; size]);
    }
}

#[test]
fn answers_leave_from_the_address_that_was_asked() {
    let mut rig = Rig::new("0.0.0.0:0");
    let port = rig.port();
    let device = device("127.0.0.1:0");
    let mut effects = Effects::new();
    // Several own addresses in one batch, interleaved.
    for round in 0..10_u8 {
        for host in 1..=3_u8 {
            let to = (Ipv4Addr::new(127, 0, 0, host), port);
            device.send_to(&[host, round], to).unwrap();
        }
    }
    for (from, bytes) in rig.receive(30) {
        assert_eq!(from.local, Some(Ipv4Addr::new(127, 0, 0, bytes[0]).into()));
        send_effect(&mut effects, LINK, from, &bytes);
    }
    rig.transmit(&effects);
    let mut next_round = [0; 4];
    for _ in 0..30 {
        let (from, bytes) = heard(&device);
        let host = bytes[0];
        assert_eq!(from, (Ipv4Addr::new(127, 0, 0, host), port).into());
        assert_eq!(bytes[1], next_round[usize::from(host)], "order towards one device");
        next_round[usize::from(host)] += 1;
    }
}

#[test]
fn an_own_address_that_has_gone_does_not_stop_the_rest() {
    let mut rig = Rig::new("0.0.0.0:0");
    let device = device("127.0.0.1:0");
    let peer = device.local_addr().unwrap();
    let mut effects = Effects::new();
    let gone = UdpAddress::new(peer, Some("203.0.113.77".parse().unwrap()));
    send_effect(&mut effects, LINK, gone, b"one");
    let present = UdpAddress::new(peer, Some("127.0.0.1".parse().unwrap()));
    // Larger than any datagram may be: refused by the kernel, and only this one.
    send_effect(&mut effects, LINK, present, &vec![0; 65_508]);
    send_effect(&mut effects, LINK, present, b"two");
    rig.transmit(&effects);
    let both: HashSet<Vec<u8>> = [heard(&device).1, heard(&device).1].into();
    assert_eq!(both, [b"one".to_vec(), b"two".to_vec()].into());
    assert_eq!(rig.link.stats().send_errors, 1);
    assert_eq!(rig.link.stats().sent, 2);
}

#[test]
fn one_dual_stack_listener_serves_both_versions_of_ip() {
    let mut rig = Rig::new("[::]:0");
    let port = rig.port();
    let old = device("127.0.0.1:0");
    let new = device("[::1]:0");
    old.send_to(b"4", ("127.0.0.2", port)).unwrap();
    new.send_to(b"6", ("::1", port)).unwrap();
    let mut effects = Effects::new();
    for (from, bytes) in rig.receive(2) {
        let (peer, local) = match bytes[0] {
            b'4' => (old.local_addr().unwrap(), "127.0.0.2"),
            _ => (new.local_addr().unwrap(), "::1"),
        };
        assert_eq!(from, UdpAddress { peer, local: Some(local.parse().unwrap()) });
        send_effect(&mut effects, LINK, from, &bytes);
    }
    rig.transmit(&effects);
    assert_eq!(heard(&old), (format!("127.0.0.2:{port}").parse().unwrap(), b"4".to_vec()));
    assert_eq!(heard(&new), (format!("[::1]:{port}").parse().unwrap(), b"6".to_vec()));
}

/// A device that sends to a group through loopback and listens to it.
fn group_device(group: Ipv4Addr, port: u16) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from((group, port)).into()).unwrap();
    let lo = nix::net::if_::if_nametoindex("lo").unwrap();
    socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(lo)).unwrap();
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn send_to_group(group: SocketAddr, bytes: &[u8]) -> UdpSocket {
    let socket = device("127.0.0.1:0");
    let raw = SockRef::from(&socket);
    raw.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    socket.send_to(bytes, group).unwrap();
    socket
}

#[test]
fn a_group_on_the_listeners_port_is_heard_and_answered() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let port = device(listen).local_addr().unwrap().port();
        let group: SocketAddr = format!("225.9.8.7:{port}").parse().unwrap();
        let mut settings = settings(&listen.replace(":0", &format!(":{port}")));
        if listen == "[::]:0" {
            settings.listen = format!("[::]:{port}").parse().unwrap();
        }
        settings.groups = vec!["225.9.8.7%lo:1".parse().unwrap()];
        settings.groups[0].port = port;
        let mut rig = Rig::with(&settings);
        assert!(rig.link.groups.is_empty(), "no second socket");
        let device = send_to_group(group, b"search");
        let received = rig.receive(1);
        assert_eq!(received[0].1, b"search");
        let mut effects = Effects::new();
        send_effect(&mut effects, LINK, received[0].0, b"here");
        rig.transmit(&effects);
        let (from, bytes) = heard(&device);
        assert_eq!(bytes, b"here");
        assert_eq!(from.port(), port);
        assert!(!from.ip().is_multicast());
    }
}

#[test]
fn a_group_on_another_port_is_answered_from_the_listener() {
    let port = device("127.0.0.1:0").local_addr().unwrap().port();
    let mut settings = settings("127.0.0.1:0");
    settings.groups = vec![format!("225.9.8.6%lo:{port}").parse().unwrap()];
    let mut rig = Rig::with(&settings);
    let device = send_to_group(format!("225.9.8.6:{port}").parse().unwrap(), b"search");
    let received = rig.receive(1);
    assert_eq!(received[0].0.peer, device.local_addr().unwrap());
    let mut effects = Effects::new();
    send_effect(&mut effects, LINK, received[0].0, b"here");
    rig.transmit(&effects);
    assert_eq!(heard(&device), (rig.link.local_addr(), b"here".to_vec()));
}

/// An interface on which IPv6 groups can be reached; loopback is none.
fn ipv6_interface() -> Option<String> {
    nix::ifaddrs::getifaddrs().unwrap().find_map(|address| {
        let is_link_local = address
            .address
            .and_then(|address| address.as_sockaddr_in6().map(|v6| v6.ip()))
            .is_some_and(|ip| ip.is_unicast_link_local());
        is_link_local.then_some(address.interface_name)
    })
}

#[test]
fn an_ipv6_group_is_heard() {
    let Some(interface) = ipv6_interface() else {
        eprintln!("not tested: no interface has an IPv6 address");
        return;
    };
    let port = device("[::]:0").local_addr().unwrap().port();
    let mut settings = settings(&format!("[::]:{port}"));
    settings.groups = vec![format!("[ff02::1234%{interface}]:{port}").parse().unwrap()];
    let mut rig = Rig::with(&settings);
    let device = device("[::]:0");
    // No hop: it is looped back on this host and never sent out.
    SockRef::from(&device).set_multicast_hops_v6(0).unwrap();
    let index = nix::net::if_::if_nametoindex(interface.as_str()).unwrap();
    let group = std::net::SocketAddrV6::new("ff02::1234".parse().unwrap(), port, 0, index);
    device.send_to(b"search", group).unwrap();
    let received = rig.receive(1);
    assert_eq!(received[0].0.local, None, "a group is no address to answer from");
    let mut effects = Effects::new();
    send_effect(&mut effects, LINK, received[0].0, b"here");
    rig.transmit(&effects);
    assert_eq!(heard(&device).1, b"here");
}

#[test]
fn broadcast_reaches_every_target_from_the_listener() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let port = device("127.0.0.1:0").local_addr().unwrap().port();
        let group = Ipv4Addr::new(225, 9, 8, 5);
        let member = group_device(group, port);
        let single = device("127.0.0.1:0");
        let mut settings = settings(listen);
        settings.advertise_to = vec![
            format!("225.9.8.5%lo:{port}").parse().unwrap(),
            single.local_addr().unwrap().into(),
            "127.255.255.255:9".parse().unwrap(),
        ];
        let mut rig = Rig::with(&settings);
        let mut effects = Effects::new();
        let bytes = effects.store(b"advertise");
        effects.push(Effect::Broadcast { link: LINK, radius: 0, bytes });
        rig.transmit(&effects);
        for socket in [&member, &single] {
            let (from, bytes) = heard(socket);
            assert_eq!(bytes, b"advertise");
            assert_eq!(from.port(), rig.port());
        }
        assert_eq!(rig.link.stats().sent, 3, "the broadcast address took it too");
        assert_eq!(rig.link.stats().send_errors, 0);
    }
}

#[test]
fn a_burst_is_received_or_counted() {
    const BURST: u64 = 20_000;
    let mut rig = Rig::new("127.0.0.1:0");
    let to = rig.link.local_addr();
    // Nobody takes anything while the burst comes in: all that is not lost is in the buffer.
    std::thread::spawn(move || {
        let device = device("127.0.0.1:0");
        for _ in 0..BURST {
            device.send_to(&[7; 32], to).unwrap();
        }
    })
    .join()
    .unwrap();
    let lost = rig.link.refresh_kernel_drops();
    let received = rig.receive((BURST - lost) as usize);
    assert_eq!(received.len() as u64 + lost, BURST);
    assert_eq!(rig.link.stats().kernel_drops, lost);
}

#[test]
fn lost_datagrams_are_counted() {
    let mut settings = settings("127.0.0.1:0");
    settings.receive_buffer = 4_096;
    let mut rig = Rig::with(&settings);
    let device = device("127.0.0.1:0");
    for _ in 0..1_000 {
        device.send_to(&[7; 1_000], rig.link.local_addr()).unwrap();
    }
    let lost = rig.link.refresh_kernel_drops();
    assert!(lost > 0);
    assert_eq!(rig.receive(1_000 - lost as usize).len() as u64, 1_000 - lost);
}

#[test]
fn a_link_that_never_runs_dry_gives_others_a_turn() {
    let mut rig = Rig::new("127.0.0.1:0");
    let device = device("127.0.0.1:0");
    for _ in 0..1_000 {
        device.send_to(b"x", rig.link.local_addr()).unwrap();
    }
    let Rig { runtime, link, buffers } = &mut rig;
    let mut turns = Vec::new();
    runtime.block_on(async {
        while turns.iter().sum::<usize>() < 1_000 {
            let taken = poll_fn(|cx| link.poll_receive(cx, buffers, &mut |_, _| {})).await;
            assert!(taken.datagrams <= FAIR_SHARE + BATCH);
            turns.push(taken.datagrams);
        }
    });
    assert!(turns.len() >= 3, "{turns:?}");
}

#[test]
fn what_the_kernel_cannot_take_waits_or_is_counted() {
    let mut rig = Rig::new("127.0.0.1:0");
    // Loopback hands datagrams over at once, so the queue is filled by hand.
    let device = device("127.0.0.1:0");
    let to = UdpAddress::new(device.local_addr().unwrap(), None);
    for number in 0..100_u8 {
        assert!(rig.link.overflow.push(&Outgoing { to, bytes: &[number] }));
    }
    let mut effects = Effects::new();
    send_effect(&mut effects, LINK, to, &[100]);
    rig.transmit(&effects);
    assert_eq!(rig.link.stats().sent, 0, "nobody overtakes");
    let Rig { runtime, link, .. } = &mut rig;
    runtime.block_on(poll_fn(|cx| link.poll_flush(cx)));
    for number in 0..=100_u8 {
        assert_eq!(heard(&device).1, [number]);
    }
    let again = poll_fn(|cx| Poll::Ready(link.poll_flush(cx).is_pending()));
    assert!(runtime.block_on(again), "nothing left to do");
}

#[test]
fn a_port_in_use_is_said_so() {
    let holder = device("127.0.0.1:0");
    let port = holder.local_addr().unwrap().port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let error = UdpLink::open(LINK, &settings(&format!("127.0.0.1:{port}"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on udp 127.0.0.1:{port}: another program uses port {port} already; \
             stop it (`ss -ulpn sport = :{port}` names it) or choose another port for `listen` \
             under [[udp]]"
        )
    );
    let error = UdpLink::open(LINK, &settings("203.0.113.77:1883")).unwrap_err();
    assert!(error.to_string().contains("203.0.113.77 is no address of this machine"), "{error}");
}
