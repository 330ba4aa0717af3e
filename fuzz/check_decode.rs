//! What must hold for any octets that arrive; shared by the fuzz target and by the test that
//! replays the corpus. It panics when it does not hold.

use mqtt_sn_gateway::codec::{
    BufferTooSmall, DecodeError, Packet, decode, decode_message, frame_length, split_forwarder,
};

/// Decodes `octets` and checks the answer against what the other functions say.
pub fn check(octets: &[u8]) -> Result<Packet<'_>, DecodeError> {
    let decoded = decode(octets);
    let length = frame_length(octets);
    match decoded {
        Ok(packet) => {
            assert_eq!(length, Ok(Some(octets.len())), "decoded, but framed otherwise");
            check_written(&packet, octets.len());
            let bare = packet.forwarder.map_or(0, |forwarder| forwarder.encoded_len());
            let split = (bare > 0).then(|| octets.split_at(bare));
            assert_eq!(split_forwarder(octets), split);
            assert_eq!(decode_message(&octets[bare..]), Ok(packet.message));
        }
        Err(error) => {
            assert_eq!(DecodeError::KINDS.get(error.index()), Some(&error.kind()));
            assert!(!error.to_string().is_empty());
            if length == Ok(Some(octets.len())) {
                assert!(
                    matches!(
                        error,
                        DecodeError::ReservedType { .. }
                            | DecodeError::BodyTooShort { .. }
                            | DecodeError::BodyTooLong { .. }
                    ),
                    "well framed, but {error}"
                );
            }
        }
    }
    decoded
}

/// The packet is written no longer than it came, reads back equal, and needs all of its room.
fn check_written(packet: &Packet<'_>, received: usize) {
    let needed = packet.encoded_len();
    assert!(needed <= received, "{needed} octets written for {received}");
    let mut out = vec![0; needed];
    assert_eq!(packet.encode(&mut out), Ok(needed));
    assert_eq!(decode(&out).as_ref(), Ok(packet));
    let short = needed.saturating_sub(1);
    assert_eq!(packet.encode(&mut out[..short]), Err(BufferTooSmall { needed }));
}
