//! What has to hold for any octets on a hub's line, and in one of its frames. Used by the fuzzer and
//! by the tests. It panics when it does not hold.

use mqtt_sn_gateway::hub::{
    BufferTooSmall, DecodeError, Discarded, FrameDecoder, FrameError, FrameWriter, Message, decode,
    encode, frame_len_max,
};

/// The octets are what is in a frame. What decodes is written as a frame that reads back equal, no
/// longer than what came.
pub fn check_contents(octets: &[u8]) -> Result<Message<'_>, DecodeError> {
    let decoded = decode(octets);
    match &decoded {
        Ok(message) => {
            let line = frame(message, octets.len());
            let (frames, discarded) = take_apart(&line, octets.len() + 2);
            assert_eq!(discarded, Discarded::default());
            let [Ok(contents)] = frames.as_slice() else { panic!("{frames:?}") };
            assert!(contents.len() <= octets.len());
            assert_eq!(decode(contents).as_ref(), Ok(message));
        }
        Err(error) => {
            assert_eq!(DecodeError::KINDS.get(error.index()), Some(&error.kind()));
            assert!(!error.to_string().is_empty());
        }
    }
    decoded
}

/// The message as a frame, which needs all of its room.
fn frame(message: &Message<'_>, contents: usize) -> Vec<u8> {
    let mut line = vec![0; frame_len_max(contents)];
    let length = encode(message, &mut line).expect("it came in as many octets");
    let needed = length;
    assert_eq!(encode(message, &mut line[..length - 1]), Err(BufferTooSmall { needed }));
    line.truncate(length);
    assert_eq!(encode(message, &mut line), Ok(length));
    line
}

/// The octets are a line. Each one is accounted for; what is in a frame fits the buffer and comes out
/// again when it is framed again; with a larger buffer there are no fewer frames.
pub fn check_line(octets: &[u8]) -> (Vec<Vec<u8>>, Discarded) {
    let (frames, discarded) = take_apart(octets, 40);
    let (larger, _) = take_apart(octets, octets.len());
    let frames: Vec<_> = frames.into_iter().flatten().collect();
    let mut larger = larger.into_iter().flatten();
    for contents in &frames {
        assert!(!contents.is_empty() && contents.len() + 2 <= 40);
        assert!(larger.any(|other| other == *contents), "a larger buffer has lost a frame");
        let mut line = vec![0; frame_len_max(contents.len())];
        let mut writer = FrameWriter::new(&mut line);
        writer.push(contents);
        let length = writer.finish().expect("the longest frame has room");
        assert_eq!(take_apart(&line[..length], 40).0, [Ok(contents.clone())]);
        let _ = check_contents(contents);
    }
    (frames, discarded)
}

fn take_apart(line: &[u8], size: usize) -> (Vec<Result<Vec<u8>, FrameError>>, Discarded) {
    let mut decoder = FrameDecoder::new(vec![0; size]);
    let (mut said, mut open, mut accounted) = (Vec::new(), 0, 0);
    for octet in line {
        let frame = decoder.push(*octet).map(|frame| frame.map(<[u8]>::to_vec));
        if matches!(frame, Some(Ok(_))) {
            accounted += open;
        }
        said.extend(frame);
        (open, accounted) = if *octet == 0 { (0, accounted + 1) } else { (open + 1, accounted) };
    }
    decoder.reset();
    let discarded = decoder.discarded();
    assert_eq!(accounted + discarded.octets, line.len() as u64);
    let Discarded { stuffing, too_short, crc, too_long, .. } = discarded;
    let errors = said.iter().filter(|frame| frame.is_err()).count() as u64;
    assert_eq!(stuffing + too_short + crc + too_long, errors);
    (said, discarded)
}
