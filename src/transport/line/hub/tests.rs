//! Stations for hubs, against messages written by the codec, and one end against the other.

use super::*;

const PINGREQ: [u8; 2] = [0x02, 0x16];
const PINGRESP: [u8; 2] = [0x02, 0x17];

/// A station by itself.
struct Bench {
    hub: Hub,
    now: Time,
    out: Outbox,
    heard: Vec<(Vec<u8>, Option<i16>, Vec<u8>)>,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            hub: Hub::new(200),
            now: Time(1_000),
            out: Outbox::default(),
            heard: Vec::new(),
        };
        bench.hub.opened(bench.now, &mut bench.out);
        bench
    }

    fn hear(&mut self, message: &Message<'_>) {
        let mut frame = [0; 400];
        let length = encode(message, &mut frame).unwrap();
        self.hear_octets(&frame[..length]);
    }

    fn hear_octets(&mut self, octets: &[u8]) {
        let Self { hub, now, out, heard } = self;
        hub.feed(*now, Port::Main, octets, out, &mut |from, signal, packet| {
            heard.push((from.octets().to_vec(), signal.rssi, packet.to_vec()));
        });
    }

    fn hello(&mut self, change: impl FnOnce(&mut Hello<'_>)) {
        let mut hello = Hello {
            version: 1,
            started: false,
            max_packet: 60,
            queue: 2,
            duty_cycle: 100,
            bit_rate: 55_555,
            address_len: 1,
            address: hub::Address::new(&[1]).unwrap(),
            name: Text::new("attic").unwrap(),
            radio: Text::new("RFM69").unwrap(),
        };
        change(&mut hello);
        self.hear(&Message::Hello(hello));
    }

    fn send(&mut self, to: u8, packet: &[u8]) -> Result<(), Unsendable> {
        assert!(self.hub.is_ready());
        let address = Address::new(&[to]).unwrap();
        self.hub.send(self.now, To::One(&address), packet, &mut self.out)
    }

    fn wait(&mut self, pause: Duration) {
        let end = self.now.after(pause);
        while let Some(at) = self.hub.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.hub.timeout(self.now, &mut self.out);
            assert_ne!(self.hub.next_timeout(), Some(at), "for ever");
        }
        self.now = end;
    }

    /// Types and sequence numbers of the frames written.
    fn written(&mut self) -> Vec<(u8, u8)> {
        let mut decoder = FrameDecoder::new([0; 400]);
        let octets = std::mem::take(&mut self.out.octets);
        let mut found = Vec::new();
        for octet in octets {
            if let Some(contents) = decoder.push(octet) {
                let contents = contents.unwrap();
                found.push((contents[1], contents[2]));
            }
        }
        found
    }

    fn notes(&mut self) -> String {
        self.out.take_notes().into_iter().map(|note| note.text + "\n").collect()
    }

    fn result(&mut self, sequence: u8, outcome: Outcome) {
        self.hear(&Message::Result { sequence: NonZeroU8::new(sequence).unwrap(), outcome });
    }
}

#[test]
fn a_hub_is_asked_until_it_says_what_it_is() {
    let mut bench = Bench::new();
    assert!(!bench.hub.is_ready());
    bench.wait(Duration::from_millis(5_500));
    assert_eq!(bench.written(), [(1, 1); 6]);
    // What it hears counts already.
    bench.hear(&Message::Received(Received {
        from: hub::Address::new(&[5]).unwrap(),
        broadcast: true,
        rssi: Some(-71),
        lqi: None,
        packet: &PINGREQ,
    }));
    assert_eq!(bench.heard, [(vec![5], Some(-71), PINGREQ.to_vec())]);
    bench.hello(|_| {});
    assert!(bench.hub.is_ready());
    assert_eq!((bench.hub.largest(), bench.hub.next_timeout()), (60, None));
    assert_eq!(
        bench.hub.ability(),
        Ability { air: Air { rate: Some(6_944), lora: None }, duty_cycle: Some(100) }
    );
    assert_eq!(
        bench.notes(),
        "hub \"attic\", RFM69, address 01, packets of up to 60 octets, 55555 bits/s, on the air 1% of \
         the time at most\n"
    );
}

#[test]
fn a_silent_hub_is_a_trouble_and_is_asked_for_ever() {
    let mut bench = Bench::new();
    bench.wait(Duration::from_secs(3_600));
    let asked = bench.written().len();
    assert!((360..380).contains(&asked), "{asked}");
    let notes = bench.notes();
    assert!(
        notes.contains("does not answer HELLO REQUEST") && notes.lines().count() == 1,
        "{notes}"
    );
}

#[test]
fn results_are_awaited_and_no_more_than_the_hub_takes_are_out() {
    let mut bench = Bench::new();
    bench.hello(|_| {});
    assert_eq!(bench.written().len(), 1);
    bench.send(7, &PINGRESP).unwrap();
    bench.send(8, &PINGRESP).unwrap();
    assert_eq!(bench.written(), [(2, 1), (2, 2)]);
    assert!(!bench.hub.is_ready());
    bench.result(9, Outcome::SENT);
    assert!(!bench.hub.is_ready(), "nobody has this number");
    bench.result(2, Outcome::ACKNOWLEDGED);
    bench.result(2, Outcome::ACKNOWLEDGED);
    bench.send(9, &PINGRESP).unwrap();
    bench.result(1, Outcome::NO_ANSWER);
    bench.notes();
    bench.wait(Duration::from_secs(31));
    assert!(bench.hub.is_ready());
    assert!(bench.notes().contains("within 30 s"));
    bench.result(3, Outcome::SENT);
    let expected = Outcomes { delivered: 1, failed: 1, unanswered: 1, repeated: 0 };
    assert_eq!(bench.hub.outcomes(), expected);
    // Numbers go round, and 0 is none.
    bench.written();
    for _ in 0..300 {
        bench.send(1, &PINGRESP).unwrap();
        let [(2, number)] = bench.written()[..] else { panic!("one frame") };
        assert_ne!(number, 0);
        bench.result(number, Outcome::SENT);
    }
}

#[test]
fn a_hub_that_starts_again_has_lost_everything() {
    let mut bench = Bench::new();
    bench.hello(|_| {});
    bench.send(7, &PINGRESP).unwrap();
    bench.send(8, &PINGRESP).unwrap();
    bench.hear(&Message::Busy { milliseconds: 60_000 });
    bench.hello(|hello| hello.started = true);
    assert!(bench.hub.is_ready());
    assert_eq!(bench.hub.outcomes().unanswered, 2);
    assert!(bench.notes().contains("has just started"));
}

#[test]
fn a_busy_hub_is_left_alone() {
    let mut bench = Bench::new();
    bench.hello(|_| {});
    bench.hear(&Message::Busy { milliseconds: 2_000 });
    assert!(!bench.hub.is_ready());
    bench.wait(Duration::from_millis(1_999));
    assert!(!bench.hub.is_ready());
    bench.wait(Duration::from_millis(1));
    assert!(bench.hub.is_ready());
    bench.hear(&Message::Busy { milliseconds: u32::MAX });
    bench.wait(LONGEST_PAUSE);
    assert!(bench.hub.is_ready(), "it would say so again");
    bench.hear(&Message::Busy { milliseconds: 2_000 });
    bench.hear(&Message::Busy { milliseconds: 0 });
    assert!(bench.hub.is_ready());
}

#[test]
fn a_hub_that_reports_nothing_is_not_waited_for() {
    let mut bench = Bench::new();
    bench.hello(|hello| (hello.queue, hello.max_packet) = (0, 3));
    assert!(bench.notes().contains("too little for MQTT-SN"));
    bench.written();
    for _ in 0..100 {
        bench.send(7, &[7; 200]).unwrap();
    }
    assert_eq!(bench.written(), [(2, 0); 100]);
    assert_eq!(bench.send(7, &[7; 201]), Err(Unsendable::TooLong));
    let long = Address::new(&[1; 9]).unwrap();
    let sent = bench.hub.send(bench.now, To::One(&long), &PINGRESP, &mut bench.out);
    assert_eq!(sent, Err(Unsendable::BadAddress));
}

#[test]
fn what_is_no_message_of_a_hub_is_counted() {
    let mut bench = Bench::new();
    let echo = std::mem::take(&mut bench.out.octets);
    bench.hear_octets(&echo);
    bench.hear_octets(&[0, 5, 2, 0x16, 0xF6, 0x65, 0, 1, 2, 3, 0]);
    bench.hear(&Message::Received(Received {
        from: hub::Address::new(&[5]).unwrap(),
        broadcast: false,
        rssi: None,
        lqi: None,
        packet: &[7; 201],
    }));
    assert_eq!(bench.heard, []);
    let discarded = bench.hub.discarded();
    assert_eq!((discarded.damaged, discarded.overlong), (3, 1));
    assert!(!bench.hub.is_ready());
}

/// One end against the other, whatever the pieces in which it comes.
#[test]
fn both_ends_understand_each_other() {
    let device = Address::new(&[0x0A, 0, 0xFF]).unwrap();
    for piece in [1, 2, 7, 1_000] {
        let (mut hub, mut end) = (Hub::new(200), HubEnd::new(200));
        let (mut to_end, mut to_hub) = (Outbox::default(), Outbox::default());
        end.opened(Time(0), &mut to_hub);
        hub.opened(Time(0), &mut to_end);
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let mut talk =
            |hub: &mut Hub, end: &mut HubEnd, to_hub: &mut Outbox, to_end: &mut Outbox| {
                while !to_hub.octets.is_empty() || !to_end.octets.is_empty() {
                    for octets in std::mem::take(&mut to_end.octets).chunks(piece) {
                        end.feed(Time(0), Port::Main, octets, to_hub, &mut |to, _, packet| {
                            down.push((*to, packet.to_vec()));
                        });
                    }
                    for octets in std::mem::take(&mut to_hub.octets).chunks(piece) {
                        hub.feed(Time(0), Port::Main, octets, to_end, &mut |from, _, packet| {
                            up.push((*from, packet.to_vec()));
                        });
                    }
                }
            };
        talk(&mut hub, &mut end, &mut to_hub, &mut to_end);
        end.send(Time(0), To::One(&device), &PINGREQ, &mut to_hub).unwrap();
        hub.send(Time(0), To::One(&device), &PINGRESP, &mut to_end).unwrap();
        hub.send(Time(0), To::All, &[3, 1, 0], &mut to_end).unwrap();
        assert_eq!(end.send(Time(0), To::All, &PINGREQ, &mut to_hub), Err(Unsendable::BadAddress));
        talk(&mut hub, &mut end, &mut to_hub, &mut to_end);
        assert_eq!(up, [(device, PINGREQ.to_vec())]);
        assert_eq!(down, [(device, PINGRESP.to_vec()), (Address::NONE, vec![3, 1, 0])]);
        assert_eq!(hub.outcomes(), Outcomes { delivered: 2, ..Outcomes::default() });
        assert_eq!((hub.discarded(), end.discarded()), Default::default());
    }
}
