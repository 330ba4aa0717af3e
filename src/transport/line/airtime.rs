//! How long a radio is on the air with a packet.

use std::fmt;
use std::time::Duration;

/// What carries packets on from the line, as far as it is known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Air {
    /// So many octets of packets a second.
    pub rate: Option<u32>,
    /// A LoRa modem with these settings.
    pub lora: Option<Lora>,
}

/// What a radio can do, and may.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ability {
    /// How fast it is.
    pub air: Air,
    /// How much of the time it may be on the air, in hundredths of a percent; always, without.
    pub duty_cycle: Option<u16>,
}

impl Ability {
    /// With what the radio says itself, where it says more: what is configured counts, but no limit of
    /// the radio is exceeded.
    #[must_use]
    pub fn with(self, radio: Self) -> Self {
        let duty_cycle = match (self.duty_cycle, radio.duty_cycle) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        let air = if self.air == Air::default() { radio.air } else { self.air };
        Self { air, duty_cycle }
    }
}

/// How a LoRa modem sends, as far as the time on the air depends on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lora {
    /// Spreading factor, 5..=12.
    pub spreading_factor: u8,
    /// Bandwidth, Hz; not 0.
    pub bandwidth: u32,
    /// 5..=8, of coding rates 4/5 to 4/8.
    pub coding_rate: u8,
}

/// Symbols of the preamble that is usual, with the 4.25 of the synchronisation word, in quarters.
const PREAMBLE_QUARTERS: u64 = 4 * 8 + 17;
/// What radios put around a packet on the air: addresses, type, integrity code. Octets.
const AIR_OVERHEAD: u64 = 9;

impl Air {
    /// Time that a packet of so many octets takes, by whichever is slower; zero if nothing is known.
    pub fn time(self, octets: usize) -> Duration {
        let octets = octets as u64;
        let rate = u64::from(self.rate.unwrap_or(0));
        let micros = octets.saturating_mul(1_000_000).checked_div(rate);
        let lora = self.lora.map(|lora| lora.time(octets.saturating_add(AIR_OVERHEAD)));
        Duration::from_micros(micros.unwrap_or(0)).max(lora.unwrap_or_default())
    }
}

impl Lora {
    /// The formula of Semtech's data sheets (SX1276 §4.1.1.7): explicit header, CRC, and low data rate
    /// optimisation where a symbol takes 16 ms or longer.
    fn time(self, octets: u64) -> Duration {
        let sf = u64::from(self.spreading_factor.clamp(5, 12));
        let bandwidth = u64::from(self.bandwidth.max(1));
        let symbol_ns = (1_u64 << sf).saturating_mul(1_000_000_000) / bandwidth;
        let slow = symbol_ns >= 16_000_000;
        let bits = (8 * octets + 28 + 16).saturating_sub(4 * sf);
        let per_block = 4 * (sf - if slow { 2 } else { 0 });
        let symbols = 8 + bits.div_ceil(per_block) * u64::from(self.coding_rate.clamp(5, 8));
        Duration::from_nanos((PREAMBLE_QUARTERS + 4 * symbols).saturating_mul(symbol_ns) / 4)
    }

    /// Reads "SF7", "SF9 BW125", "SF10 BW62.5 CR4/6": bandwidth in kHz, 125 and 4/5 if not said.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lora = Self { spreading_factor: 0, bandwidth: 125_000, coding_rate: 5 };
        for word in text.split_whitespace() {
            let upper = word.to_ascii_uppercase();
            let done = if let Some(value) = upper.strip_prefix("SF") {
                value.parse().is_ok_and(|value| {
                    lora.spreading_factor = value;
                    (5..=12).contains(&value)
                })
            } else if let Some(value) = upper.strip_prefix("BW") {
                value.parse::<f64>().is_ok_and(|value| {
                    lora.bandwidth = (value * 1_000.0) as u32;
                    (7.0..=2_000.0).contains(&value)
                })
            } else if let Some(value) = upper.strip_prefix("CR4/") {
                value.parse().is_ok_and(|value| {
                    lora.coding_rate = value;
                    (5..=8).contains(&value)
                })
            } else {
                false
            };
            if !done {
                return Err(format!(
                    "\"{word}\" is none of SF5 to SF12, BW7 to BW2000, CR4/5 to CR4/8"
                ));
            }
        }
        if lora.spreading_factor == 0 {
            return Err("the spreading factor is missing, as SF7 in \"SF7 BW125 CR4/5\"".to_owned());
        }
        Ok(lora)
    }
}

impl fmt::Display for Lora {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spreading_factor, bandwidth, coding_rate } = self;
        let khz = f64::from(*bandwidth) / 1_000.0;
        write!(f, "SF{spreading_factor} BW{khz} CR4/{coding_rate}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lora(text: &str) -> Lora {
        Lora::parse(text).unwrap()
    }

    /// The first two are figures that calculators give; the third is reckoned by hand from the formula.
    #[test]
    fn lora_takes_as_long_as_the_data_sheet_says() {
        assert_eq!(lora("SF7 BW125 CR4/5").time(20).as_micros(), 56_576);
        assert_eq!(lora("SF12 BW125 CR4/5").time(51).as_micros(), 2_465_792);
        assert_eq!(lora("SF10 BW250 CR4/8").time(30).as_millis(), 312);
        let air = Air { rate: None, lora: Some(lora("SF7")) };
        assert!(air.time(20) > Duration::from_micros(56_576));
        assert_eq!(Air { rate: Some(20), ..air }.time(20), Duration::from_secs(1));
    }

    #[test]
    fn settings_are_read_and_written() {
        assert_eq!(lora("sf9 bw62.5").to_string(), "SF9 BW62.5 CR4/5");
        assert_eq!(lora("CR4/8 SF12 BW500").to_string(), "SF12 BW500 CR4/8");
        for wrong in ["", "BW125", "SF13", "SF7 BW0", "SF7 CR5", "SF7 BWx", "7", "SF7 CR4/9"] {
            assert!(Lora::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rate_is_octets_a_second() {
        let air = Air { rate: Some(500), lora: None };
        assert_eq!(air.time(50), Duration::from_millis(100));
        assert_eq!(Air::default().time(50), Duration::ZERO);
    }
}
