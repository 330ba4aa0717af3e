//! Brokers that mean no good.

use super::*;

#[test]
fn hostile_packets_end_the_connection() {
    for settings in [v4(), v5()] {
        for bad in [
            &[0x20, 2, 0, 0][..],         // a second CONNACK
            &[0x36, 5, 0, 1, b't', 0, 1], // QoS 3
            &[0x32, 5, 0, 1, b't', 0, 0], // packet id 0
            &[0x30, 3, 0, 1, b'#'],       // a wildcard
            &[0x41, 2, 0, 1],             // flags
            &[0x60, 2, 0, 1],             // PUBREL needs flags 2
            &[0x40, 1, 0],                // cut
            &[0x40, 0],
            &[0x90, 2, 0, 1], // no code
            &[0xD0, 1, 0],    // a PINGRESP with something in it
            &[0x10, 2, 0, 1], // what only clients send
            &[0x82, 2, 0, 1],
            &[0xC0, 0],
            &[0xF0, 0],
            &[0x00, 0],
            &[0x30, 0xFF, 0xFF, 0xFF, 0xFF], // remaining length
            b"GET / HTTP/1.1\r\n\r\n",
        ] {
            let mut client = Client::connected(settings.clone());
            assert!(client.input(bad).is_err(), "{bad:02x?}");
            client.close();
            assert_eq!(client.events(), [Event::Disconnected]);
        }
        for early in [&[0x30, 4, 0, 1, b't', 0][..], &[0x40, 2, 0, 1], &[0xD0, 0], b"HTTP/1.1 400"]
        {
            let mut client = Client::new(settings.clone());
            client.session.open(client.now);
            assert!(client.input(early).is_err(), "{early:02x?}");
            client.close();
            assert_eq!(client.events(), []);
        }
    }
}

#[test]
fn a_broker_that_sends_and_does_not_read_is_given_up() {
    let mut client = Client::connected(Settings { max_queued_bytes: 1, ..v4() });
    let flood: Vec<u8> = [0x50, 2, 0, 9].repeat(10_000);
    let result = (0..1_000).try_for_each(|_| client.input(&flood));
    assert!(matches!(result, Err(ConnectionError::Stalled(_))), "{result:?}");
    assert!(client.session.output().len() < 8 * 1024 * 1024);
}
