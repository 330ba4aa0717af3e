//! Bad lines for tests, the same in every run.

/// xorshift64*, from a seed that is not 0.
pub(super) struct Noise(pub(super) u64);

impl Noise {
    pub(super) fn octet(&mut self) -> u8 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D).to_be_bytes()[0]
    }

    /// Octets of which many are those that framings have to mind.
    pub(super) fn packet(&mut self, length: usize) -> Vec<u8> {
        const SPECIAL: [u8; 8] = [0x10, 0x02, 0x03, 0x7E, 0x7D, 0x11, 0xC0, 0xDB];
        (0..length)
            .map(|_| match self.octet() {
                special @ 0..=63 => SPECIAL[usize::from(special % 8)],
                _ => self.octet(),
            })
            .collect()
    }

    /// Turns a bit of about one octet in a hundred, and says whether there was one.
    pub(super) fn damage(&mut self, line: &mut [u8]) -> bool {
        let mut damaged = false;
        for octet in line {
            if self.octet() < 3 {
                *octet ^= 1 << (self.octet() % 8);
                damaged = true;
            }
        }
        damaged
    }
}
