//! Being found: SEARCHGW to the gateway itself and to a group, ADVERTISE to a group.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use mqtt_sn_gateway::codec::{Message, Packet, decode};
use socket2::{Domain, Protocol, Socket, Type};

use crate::rig::{Device, PATIENCE, Rig, Upstream};

/// A group of the range for private use, which no router passes on.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 18, 83);

#[test]
fn a_search_is_answered_to_the_asker() {
    let rig = Rig::start(Upstream::Mqtt5, "", "");
    let mut device = Device::new(rig.gateway.link());
    let answer = device.ask("GWINFO", &Message::SearchGw { radius: 1 }, |message| match *message {
        Message::GwInfo { gateway_id, address } => Some((gateway_id, address.to_vec())),
        _ => None,
    });
    assert_eq!(answer, (1, Vec::new()), "its id, and no address: the sender's is the right one");
    rig.stop();
}

#[test]
fn a_gateway_that_shall_not_be_found_is_silent() {
    let rig = Rig::start(Upstream::Mqtt5, "", "[discovery]\nanswer_search = false\n");
    let mut device = Device::new(rig.gateway.link());
    device.send(&Message::SearchGw { radius: 1 });
    device.connect("after-search");
    let answers = device.trace.iter().filter_map(|(_, octets)| decode(octets).ok());
    let found = answers.filter(|packet| matches!(packet.message, Message::GwInfo { .. })).count();
    assert_eq!(found, 0);
    rig.stop();
}

/// All of it over the loopback interface.
#[test]
fn a_group_hears_the_gateway_and_is_heard() {
    let device = group_member();
    let port = device.local_addr().unwrap().port();
    let search = free_udp_port();
    let rig = Rig::start(
        Upstream::Mqtt5,
        "",
        &format!(
            "[[udp]]\nlisten = \"127.0.0.1:0\"\nadvertise_to = [\"{GROUP}:{port}\"]\n\
             groups = [\"{GROUP}:{search}\"]\n[discovery]\nadvertise_interval = \"1s\"\n"
        ),
    );
    let mut buffer = [0; 64];
    let (length, from) = device.recv_from(&mut buffer).expect("ADVERTISE in time");
    let Message::Advertise { gateway_id: 1, duration } = decode(&buffer[..length]).unwrap().message
    else {
        panic!("{:02x?} is no ADVERTISE of gateway 1", &buffer[..length]);
    };
    assert!(duration >= 1, "the next one comes before it is missed");
    assert_eq!(from, rig.gateway.links[1], "from the socket that devices shall speak to");

    let message = Message::SearchGw { radius: 0 };
    let packet = Packet { forwarder: None, message };
    let mut octets = vec![0; packet.encoded_len()];
    packet.encode(&mut octets).unwrap();
    device.send_to(&octets, SocketAddr::from((GROUP, search))).unwrap();
    loop {
        let (length, from) = device.recv_from(&mut buffer).expect("GWINFO in time");
        assert_eq!(from, rig.gateway.links[1]);
        match decode(&buffer[..length]).unwrap().message {
            Message::GwInfo { gateway_id: 1, address: [] } => break,
            Message::Advertise { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    rig.stop();
}

/// A socket on a free port that has joined the group on the loopback interface.
fn group_member() -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into()).unwrap();
    socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST).unwrap();
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    socket.set_multicast_loop_v4(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

fn free_udp_port() -> u16 {
    UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}
