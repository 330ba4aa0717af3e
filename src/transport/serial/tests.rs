//! One line on a pseudo-terminal, without a gateway.

use std::fs::File;
use std::future::poll_fn;
use std::io::Read;

use nix::pty::openpty;
use nix::unistd::ttyname;

use super::*;
use crate::transport::line;

const ID: LinkId = LinkId(3);

/// A line that is open, and its other end.
async fn open_line(framing: Framing) -> (SerialLink, File) {
    let pty = openpty(None, None).unwrap();
    let device = ttyname(&pty.slave).unwrap().display().to_string();
    let line = line::Settings::new(framing);
    let settings = config::SerialLink { line, ..config::SerialLink::new(&device) };
    let mut link = SerialLink::new(ID, &settings);
    poll_fn(|cx| {
        let taken = link.poll_receive(cx, Time(0), &mut |_, _, _| panic!("nothing was sent"));
        if taken.is_ready() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert_eq!(link.openings(), 1);
    (link, pty.master.into())
}

fn send(link: &mut SerialLink, to: LinkId, packet: &[u8]) {
    let mut effects = Effects::default();
    let bytes = effects.store(packet);
    effects.push(Effect::Send { link: to, to: Address::NONE, bytes, client: None });
    link.transmit(&effects);
}

/// Octets that a line at 57,600 bits a second has in its queue, and the packets of 100 among them.
const QUEUED: usize = 4 * 5_760 / 100;

#[tokio::test]
async fn a_line_that_nobody_reads_is_bounded() {
    let (mut link, mut master) = open_line(Framing::Length).await;
    let packet = |number: u16| {
        let [high, low] = number.to_be_bytes();
        [&[100, 0x0C, 0x20, 0, 1, high, low][..], &[7; 93]].concat()
    };
    send(&mut link, LinkId(2), &packet(0));
    for number in 0..1_000 {
        send(&mut link, ID, &packet(number));
    }
    assert_eq!(link.line().stats().overflow_drops, 1_000 - QUEUED as u64);

    // Nobody reads, but time passes: no more is taken from the queue than the system takes.
    for second in 1..100 {
        let _ = poll_fn(|cx| Poll::Ready(link.poll_flush(cx, Time(second * 1_000)))).await;
        // What was left, and what the line carries in 30 ms.
        assert!(link.output.len() < OUTPUT + 300);
    }
    assert!(!link.output.is_empty() && link.line().stats().sent < QUEUED as u64);

    // What was queued comes out whole.
    let reader = std::thread::spawn(move || {
        let mut octets = vec![0; QUEUED * 100];
        master.read_exact(&mut octets).unwrap();
        (octets, master)
    });
    let mut now = Time(100_000);
    while link.line().stats().sent < QUEUED as u64 || !link.output.is_empty() {
        now = now.after(Duration::from_millis(20));
        poll_fn(|cx| link.poll_flush(cx, now)).await;
    }
    let (octets, master) = reader.join().unwrap();
    let expected: Vec<u8> = (0..QUEUED as u16).flat_map(packet).collect();
    assert!(octets == expected);

    // There is room again, until the other end is gone.
    send(&mut link, ID, &packet(0));
    assert_eq!(link.line().stats().overflow_drops, 1_000 - QUEUED as u64);
    drop(master);
    now = now.after(Duration::from_secs(1));
    poll_fn(|cx| link.poll_flush(cx, now)).await;
    assert!(link.output.is_empty(), "it is not for whoever comes next");
    send(&mut link, ID, &packet(0));
    assert_eq!(link.line().stats().away_drops, 1);
}
