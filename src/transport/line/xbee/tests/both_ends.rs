//! Our station for the module's end against the one for the host's, by way of lines.

use bytes::BytesMut;

use super::*;
use crate::transport::line::{Framing, Line, Settings};

/// A gateway's line, and a module.
struct Ends {
    line: Line,
    module: Module,
    now: Time,
    out: Outbox,
    up: Vec<(Vec<u8>, Vec<u8>)>,
    down: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Ends {
    fn new(mode: Mode) -> Self {
        let settings = Settings::new(Framing::Xbee);
        let mut ends = Self {
            line: Line::new(&settings),
            module: Module::new(mode, 1_024, 57_600),
            now: Time(0),
            out: Outbox::default(),
            up: Vec::new(),
            down: Vec::new(),
        };
        ends.line.opened(ends.now);
        ends.module.opened(ends.now, &mut ends.out);
        ends.run();
        ends
    }

    /// Until both have nothing more to say.
    fn run(&mut self) {
        let mut written = BytesMut::new();
        loop {
            self.line.poll_output(self.now, &mut written);
            let (line, module, out, down) =
                (&mut self.line, &mut self.module, &mut self.out, &mut self.down);
            module.feed(self.now, Port::Main, &written, out, &mut |to, _, packet| {
                down.push((to.octets().to_vec(), packet.to_vec()));
            });
            let heard = std::mem::take(&mut out.octets);
            let up = &mut self.up;
            line.feed(self.now, Port::Main, &heard, &mut |from, _, packet| {
                up.push((from.octets().to_vec(), packet.to_vec()));
            });
            if written.is_empty() && heard.is_empty() {
                match line.next_timeout(self.now) {
                    Some(next) => self.now = self.now.max(next),
                    None => return,
                }
            }
            written.clear();
        }
    }
}

#[test]
fn they_understand_each_other() {
    for mode in Mode::ALL {
        let mut ends = Ends::new(mode);
        let nodes = [
            &[0, 0x13, 0xA2, 0, 0x7E, 0x7D, 0x11, 0x13][..],
            &[0x7D, 0x7E],
            &[0, 0, 0, 0, 0, 0, 0, 9],
        ];
        let packet = [84, 0x0C, 0x7E, 0x7D, 0x11, 0x13].repeat(14);
        for node in nodes {
            let from = Address::new(node).unwrap();
            ends.module.send(ends.now, To::One(&from), &packet, &mut ends.out).unwrap();
            ends.run();
            assert_eq!(ends.up.pop(), Some((node.to_vec(), packet.clone())));
            ends.line.push(Some(&from), &packet);
            ends.run();
            assert_eq!(ends.down.pop(), Some((node.to_vec(), packet.clone())));
        }
        ends.line.push(None, &[3, 1, 0]);
        ends.run();
        assert_eq!(ends.down.pop(), Some((BROADCAST.to_be_bytes().to_vec(), vec![3, 1, 0])));
        assert_eq!(ends.line.outcomes(), Outcomes { delivered: 4, ..Outcomes::default() });
        assert_eq!(ends.line.discarded().damaged, 0);
        assert_eq!(ends.module.discarded(), Discarded::default());
        assert_eq!(ends.line.largest(), 84);
        ends.line.push(None, &[85; 85]);
        ends.run();
        assert_eq!((ends.line.stats().unsendable, ends.down.len()), (1, 0));
        let notes: Vec<String> = ends.line.take_notes().into_iter().map(|note| note.text).collect();
        assert!(
            notes.iter().any(|text| text.contains("the radio carries 84 at most")),
            "{notes:?}"
        );
        let found =
            notes.iter().any(|text| text.starts_with("XBee 0013A20000000001, firmware 4060"));
        assert!(found, "{notes:?}");
    }
}

#[test]
fn the_module_has_limits() {
    let mut ends = Ends::new(Mode::Escaped);
    let (module, out) = (&mut ends.module, &mut ends.out);
    let from = Address::new(&[1]).unwrap();
    assert_eq!(module.send(Time(0), To::One(&from), PINGREQ, out), Err(Unsendable::BadAddress));
    assert_eq!(module.send(Time(0), To::All, PINGREQ, out), Err(Unsendable::BadAddress));
    let from = Address::new(&[1, 2]).unwrap();
    assert_eq!(module.send(Time(0), To::One(&from), &[85; 85], out), Err(Unsendable::TooLong));
    assert_eq!(module.largest(), 84);
    // What its host sends against the rules.
    let mut ask = |frame: &ToModule<'_>| {
        let (mut data, mut octets) = (Vec::new(), Vec::new());
        frame.write(&mut data);
        encode(Mode::Escaped, &data, &mut octets);
        out.octets.clear();
        let mut heard = 0;
        module.feed(Time(0), Port::Main, &octets, out, &mut |_, _, _| heard += 1);
        let mut answer = Vec::new();
        let mut ear = Ear::new(Mode::Escaped, Sender::Module, 99, 9_600);
        ear.feed(Time(0), &out.octets, &mut |data| answer = data.to_vec());
        (heard, answer)
    };
    let long = ToModule::Transmit { id: 7, to: DEVICE, manner: Manner::Usual, payload: &[85; 85] };
    assert_eq!(ask(&long), (0, vec![0x8B, 7, 0x1A, 0x2B, 0, 0x74, 0]));
    let quiet = ToModule::Transmit { id: 0, to: DEVICE, manner: Manner::Usual, payload: PINGREQ };
    assert_eq!(ask(&quiet), (1, vec![]));
    let unknown = ToModule::Command { id: 3, command: *b"ZZ", value: &[] };
    assert_eq!(ask(&unknown), (0, vec![0x88, 3, b'Z', b'Z', 2]));
    assert_eq!(ask(&ToModule::Command { id: 0, command: *b"AP", value: &[] }), (0, vec![]));
}

/// The whole queue is not filled by a node that is away, and others do not wait for it.
#[test]
fn a_node_that_is_away_keeps_nobody_waiting() {
    let mut ends = Ends::new(Mode::Plain);
    let (away, near) = (Address::new(&[0; 8]).unwrap(), Address::new(&[1; 8]).unwrap());
    let publish = |number: u8| vec![9, 0x0C, 0, 0, 1, 0, 0, number, 0];
    let mut statuses = Vec::new();
    let mut arrived = 0;
    let mut written = BytesMut::new();
    let mut ear = Ear::new(Mode::Plain, Sender::Host, 1_024, 57_600);
    for round in 0..3_000_u64 {
        ends.now = Time(round * 10);
        if round % 10 == 0 {
            ends.line.push(Some(&away), &publish((round / 10) as u8));
            ends.line.push(Some(&near), &publish((round / 10) as u8));
        }
        ends.line.poll_output(ends.now, &mut written);
        ear.feed(ends.now, &written, &mut |data| match ToModule::parse(data) {
            Some(ToModule::Transmit { id, to, .. }) if to.long == 0 => {
                statuses.push((round + 300, id, 0x24));
            }
            Some(ToModule::Transmit { id, .. }) => {
                arrived += 1;
                statuses.push((round + 2, id, 0));
            }
            _ => {}
        });
        written.clear();
        for (_, id, delivery) in statuses.extract_if(.., |(due, _, _)| *due <= round) {
            let (mut data, mut octets) = (Vec::new(), Vec::new());
            write_status(id, Manner::Usual, NO_SHORT, delivery, &mut data);
            encode(Mode::Plain, &data, &mut octets);
            ends.line.feed(ends.now, Port::Main, &octets, &mut |_, _, _| {});
        }
    }
    assert!((295..=300).contains(&arrived), "{arrived} of 300");
    let stats = ends.line.stats();
    assert_eq!(stats.overflow_drops, 0);
    assert!(stats.unreachable_drops > 200, "{stats:?}");
    assert!(ends.line.outcomes().failed >= 10);
}
