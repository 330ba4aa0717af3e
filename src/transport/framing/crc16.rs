//! CRC-16 with the polynomial of CCITT, in the two shapes that radios use.

/// CRC-16/XMODEM: start 0, most significant bit first.
pub(super) fn xmodem(octets: &[u8]) -> u16 {
    octets.iter().fold(0, |crc, octet| {
        (0..8).fold(crc ^ u16::from(*octet) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    })
}

/// CRC-16/MCRF4XX, of octets that come one by one: least significant bit first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mcrf4xx(u16);

impl Mcrf4xx {
    pub(super) const START: Self = Self(0xFFFF);

    pub(super) fn add(&mut self, octet: u8) {
        self.0 = (0..8).fold(self.0 ^ u16::from(octet), |crc, _| {
            if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0x8408 }
        });
    }

    pub(super) fn value(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_values() {
        assert_eq!(xmodem(b"123456789"), 0x31C3);
        let mut crc = Mcrf4xx::START;
        b"123456789".iter().for_each(|octet| crc.add(*octet));
        assert_eq!(crc.value(), 0x6F91);
    }
}
