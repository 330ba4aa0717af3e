//! What has to hold for any octets from a radio on a serial line. Used by the fuzzer and by the tests.

use mqtt_sn_gateway::core::Address;
use mqtt_sn_gateway::time::Time;
use mqtt_sn_gateway::transport::framing::{Discarded, Framing, aquila, loralink, rh_serial};
use mqtt_sn_gateway::transport::line::{
    Air, Aquila, AquilaBridge, AquilaSettings, Key, LoraLink, LoraModem, Outbox, Port, RhSerial,
    RhSettings, Settings, Station, To,
};

/// Longest packet, octets.
const LONGEST: usize = 60;

/// What octets have come to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    /// Which of the stations: 0 to [`STATIONS`].
    pub station: usize,
    /// Packets that were taken.
    pub packets: usize,
    /// What was thrown away.
    pub discarded: Discarded,
    /// Packets that were sent.
    pub sent: usize,
    /// Results that the radio has told.
    pub results: u64,
}

/// How many stations there are.
pub const STATIONS: usize = 7;

/// The first octet says which station, the others are the line.
pub fn check(octets: &[u8]) -> Seen {
    let Some((which, line)) = octets.split_first() else { return Seen::default() };
    let station = usize::from(*which) % STATIONS;
    check_codecs(line);
    let mut seen = run(&mut *make(station), station, line);
    seen.station = station;
    seen
}

fn make(station: usize) -> Box<dyn Station> {
    let settings = |framing| Settings {
        framing,
        baud: 57_600,
        max_packet: LONGEST,
        air: Air::default(),
        duty_cycle: None,
        rh_serial: RhSettings { address: 1, reliable: station == 0 },
        aquila: AquilaSettings { pan_id: 1, key: Key([0xC0; 16]), pairing: station == 4 },
    };
    match station {
        0 | 1 => Box::new(RhSerial::new(&settings(Framing::RhSerial), 7)),
        2 => Box::new(LoraLink::new(LONGEST)),
        3 | 4 => Box::new(Aquila::new(&settings(Framing::Aquila), 7)),
        5 => Box::new(LoraModem::new(LONGEST)),
        _ => Box::new(AquilaBridge::new(LONGEST)),
    }
}

/// Pieces of a line come in, and whoever was heard last is sent something.
fn run(station: &mut dyn Station, which: usize, line: &[u8]) -> Seen {
    let (mut now, mut out, mut seen) = (Time(1_000), Outbox::default(), Seen::default());
    let mut written = Vec::new();
    station.opened(now, &mut out);
    for (number, piece) in line.chunks(7).enumerate() {
        let port = if number % 3 == 2 { Port::Send } else { Port::Main };
        // A pair of modems has two lines; others have one.
        let port = if which == 2 { port } else { Port::Main };
        let mut last: Option<Address> = None;
        station.feed(now, port, piece, &mut out, &mut |from, _, packet| {
            assert!(packet.len() <= LONGEST, "{packet:02x?}");
            seen.packets += 1;
            last = Some(*from);
        });
        if let Some(to) = last
            && station.is_ready()
            && station.takes(To::One(&to))
            && station.send(now, To::One(&to), &[2, 0x17], &mut out).is_ok()
        {
            seen.sent += 1;
        }
        now.0 += 41;
        let mut turns = 0;
        while let Some(next) = station.next_timeout().filter(|next| *next <= now) {
            station.timeout(now, &mut out);
            turns += 1;
            assert!(turns < 100, "{next:?} comes again and again");
        }
        written.append(&mut out.octets);
        assert!(out.take_notes().len() <= 16);
    }
    seen.discarded = station.discarded();
    assert!(seen.discarded.octets <= line.len() as u64);
    let outcomes = station.outcomes();
    seen.results = outcomes.delivered + outcomes.failed;
    assert!(seen.results + outcomes.unanswered <= seen.sent as u64);
    well_formed(which, &written);
    seen
}

/// What a station writes is frames and nothing else.
fn well_formed(which: usize, line: &[u8]) {
    let discarded = match which {
        0 | 1 => {
            let mut decoder = rh_serial::Decoder::new(LONGEST);
            decoder.feed(line, &mut |_, _| {});
            decoder.discarded()
        }
        2 => {
            let mut decoder = loralink::HostDecoder::new(LONGEST);
            decoder.feed(line, &mut |_| {});
            decoder.discarded()
        }
        5 => {
            let mut decoder = loralink::Decoder::new(LONGEST);
            decoder.feed(line, &mut |_, _| {});
            decoder.discarded()
        }
        _ => {
            let mut decoder = aquila::Decoder::new(LONGEST);
            decoder.feed(line, &mut |_| {});
            decoder.discarded()
        }
    };
    assert_eq!(discarded, Discarded::default());
}

/// Octet by octet or at once, the same comes out, and what is whole is written as it came.
fn check_codecs(line: &[u8]) {
    let (mut once, mut slowly) =
        (rh_serial::Decoder::new(LONGEST), rh_serial::Decoder::new(LONGEST));
    let (mut all, mut single) = (Vec::new(), Vec::new());
    once.feed(line, &mut |header, payload| all.push((header, payload.to_vec())));
    for octet in line {
        slowly.feed(&[*octet], &mut |header, payload| single.push((header, payload.to_vec())));
    }
    assert_eq!((&all, once.discarded()), (&single, slowly.discarded()));
    for (header, payload) in all {
        let mut out = Vec::new();
        rh_serial::encode(header, &payload, &mut out);
        assert!(line.windows(out.len()).any(|some| some == out), "{out:02x?}");
    }
    let (mut once, mut slowly) = (aquila::Decoder::new(LONGEST), aquila::Decoder::new(LONGEST));
    let (mut all, mut single) = (Vec::new(), Vec::new());
    once.feed(line, &mut |content| all.push(content.to_vec()));
    for octet in line {
        slowly.feed(&[*octet], &mut |content| single.push(content.to_vec()));
    }
    assert_eq!((&all, once.discarded()), (&single, slowly.discarded()));
    for content in all {
        let mut out = Vec::new();
        aquila::encode(&content, &mut out);
        // A line need not begin with an END.
        assert!(line.windows(out.len() - 1).any(|some| some == &out[1..]), "{out:02x?}");
    }
    let (mut once, mut slowly) = (loralink::Decoder::new(LONGEST), loralink::Decoder::new(LONGEST));
    let (mut all, mut single) = (Vec::new(), Vec::new());
    once.feed(line, &mut |frame, raw| all.push(format!("{frame:?} {raw}")));
    for octet in line {
        slowly.feed(&[*octet], &mut |frame, raw| single.push(format!("{frame:?} {raw}")));
    }
    assert_eq!((&all, once.discarded()), (&single, slowly.discarded()));
}
