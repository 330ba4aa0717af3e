//! One line on a pseudo-terminal, without a gateway.

use std::fs::File;
use std::future::poll_fn;
use std::io::Read;

use nix::pty::openpty;
use nix::unistd::ttyname;

use super::*;

const ID: LinkId = LinkId(3);

/// A line that is open, and its other end.
async fn open_line(framing: Framing) -> (SerialLink, File) {
    let pty = openpty(None, None).unwrap();
    let device = ttyname(&pty.slave).unwrap().display().to_string();
    let settings = config::SerialLink {
        device: device.into(),
        baud: 57_600,
        framing,
        retry_interval: None,
        max_packet: 1_024,
    };
    let mut link = SerialLink::new(ID, &settings);
    // Ready when it is open: the first read has found nothing.
    poll_fn(|cx| {
        let taken = link.poll_receive(cx, Time(0), &mut |_, _| panic!("nothing was sent"));
        assert!(taken.is_pending());
        if link.stats().openings == 1 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (link, pty.master.into())
}

fn send(link: &mut SerialLink, to: LinkId, packet: &[u8]) {
    let mut effects = Effects::default();
    let bytes = effects.store(packet);
    effects.push(Effect::Send { link: to, to: Address::new(&[]).unwrap(), bytes });
    link.transmit(&effects);
}

#[tokio::test]
async fn a_line_that_nobody_reads_is_bounded() {
    let (mut link, mut master) = open_line(Framing::Length).await;
    let packet = [[100, 0x0C].as_slice(), &[7; 98]].concat();
    send(&mut link, LinkId(2), &packet);
    assert_eq!(link.output.len(), 0, "it was for another link");
    for _ in 0..1_000 {
        send(&mut link, ID, &packet);
        assert!(link.output.len() <= 2 * 5_760);
    }
    let Stats { sent, overflow_drops, .. } = *link.stats();
    assert_eq!((sent, overflow_drops), (115, 885));

    // What was queued comes out whole.
    let reader = std::thread::spawn(move || {
        let mut octets = vec![0; 11_500];
        master.read_exact(&mut octets).unwrap();
        (octets, master)
    });
    while !link.output.is_empty() {
        poll_fn(|cx| link.poll_flush(cx)).await;
    }
    let (octets, master) = reader.join().unwrap();
    assert_eq!(octets, packet.repeat(115));

    // There is room again, until the other end is gone.
    send(&mut link, ID, &packet);
    assert_eq!(link.stats().sent, 116);
    drop(master);
    poll_fn(|cx| link.poll_flush(cx)).await;
    assert!(link.output.is_empty(), "it is not for whoever comes next");
    send(&mut link, ID, &packet);
    assert_eq!(link.stats().away_drops, 1);
    assert!(matches!(link.port, Port::Closing(_)));
}
