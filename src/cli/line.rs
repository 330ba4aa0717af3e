//! A serial line as devices have it: with a gateway at its other end. `pub`, `sub` and `simulate` use it
//! instead of UDP.

mod wire;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::Failure;
use super::decode::hex;
use crate::core::Address;
use crate::transport::framing::Framing;
use crate::transport::line::{Air, Settings};
use crate::transport::serial::{FlowControl, How};
pub(super) use wire::Wire;

/// Longest packet either way, octets. It is the gateway that has a limit.
const MAX_PACKET: usize = 65_535;

/// Of the arguments about the line, in help texts.
pub(super) const HEADING: &str = "Instead of --gateway";

/// Arguments about the line.
#[derive(Debug, Args)]
pub(super) struct LineArguments {
    /// Serial line with the gateway at its other end
    #[arg(long, value_name = "DEVICE", conflicts_with = "gateway", help_heading = HEADING)]
    serial: Option<String>,

    /// What is spoken on the line, as `framing` under [[serial]]
    #[arg(long, value_name = "FRAMING", default_value = "slip", requires = "serial", value_parser = framing(), help_heading = HEADING)]
    framing: Framing,

    /// Bits a second
    #[arg(long, value_name = "N", default_value_t = 57_600, requires = "serial", value_parser = clap::value_parser!(u32).range(300..=4_000_000), help_heading = HEADING)]
    baud: u32,

    /// How the ends tell each other to wait
    #[arg(long, value_name = "HOW", default_value = "none", requires = "serial", value_parser = flow_control(), help_heading = HEADING)]
    flow_control: FlowControl,
}

/// What is known of a line before it is opened.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) device: String,
    pub(super) settings: Settings,
    pub(super) how: How,
}

impl LineArguments {
    /// `None` if there is none, and UDP is used.
    pub(super) fn plan(&self) -> Option<Plan> {
        let Self { serial, framing, baud, flow_control } = self;
        let settings = Settings {
            framing: *framing,
            baud: *baud,
            max_packet: MAX_PACKET,
            air: Air::default(),
            duty_cycle: None,
        };
        let how = How { baud: *baud, flow_control: *flow_control };
        serial.clone().map(|device| Plan { device, settings, how })
    }
}

/// Who a device is on its line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// Nobody has an address.
    Nowhere,
    /// The line is that of a radio, which says whose packet it is.
    At(Address),
}

impl Place {
    /// The place of the device with this number, of those that have none of their own choice.
    pub(super) fn of(framing: Framing, number: u16) -> Self {
        match framing {
            Framing::Slip | Framing::Cobs | Framing::Length => Self::Nowhere,
            Framing::Hub => Address::new(&number.to_be_bytes()).map_or(Self::Nowhere, Self::At),
        }
    }

    /// The place with an address that somebody has chosen.
    pub(super) fn chosen(framing: Framing, address: Option<Address>) -> Result<Self, Failure> {
        let Some(address) = address else { return Ok(Self::of(framing, 1)) };
        let longest = match framing {
            Framing::Slip | Framing::Cobs | Framing::Length => {
                return Err(Failure::usage(format!(
                    "with framing {framing} there are no addresses, so --address says nothing; \
                     behind one line devices are told apart by --forwarder"
                )));
            }
            Framing::Hub => crate::hub::ADDRESS_LEN_MAX,
        };
        if !(1..=longest).contains(&address.octets().len()) {
            return Err(Failure::usage(format!(
                "with framing {framing} an address has 1 to {longest} octets"
            )));
        }
        Ok(Self::At(address))
    }

    /// Under which address packets go to the line.
    pub(super) fn address(&self) -> Option<&Address> {
        match self {
            Self::Nowhere => None,
            Self::At(address) => Some(address),
        }
    }

    /// Whether a packet is for this place that was sent to an address, or to everybody.
    pub(super) fn hears(&self, address: &Address) -> bool {
        match self {
            Self::Nowhere => true,
            Self::At(own) => address == own || *address == Address::NONE,
        }
    }
}

/// An address in hex.
pub(super) fn address(text: &str) -> Result<Address, String> {
    Address::new(&hex::parse(text)?).ok_or_else(|| format!("at most {} octets", Address::MAX))
}

fn framing() -> impl TypedValueParser<Value = Framing> {
    words(&Framing::WORDS)
}

fn flow_control() -> impl TypedValueParser<Value = FlowControl> {
    words(&FlowControl::WORDS)
}

/// Takes one of these words.
fn words<T: Copy + Default + Send + Sync + 'static>(
    all: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|(word, _)| *word)).map(|found| {
        // It was one of them.
        all.iter().find(|(word, _)| *word == found).map_or_else(T::default, |(_, value)| *value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_for_framings_that_have_some() {
        for (_, framing) in Framing::WORDS {
            let usual = Place::chosen(framing, None).unwrap();
            assert_eq!(usual, Place::of(framing, 1));
            assert!(usual.hears(&Address::NONE), "what is for everybody");
            let chosen = Place::chosen(framing, address("AB").ok());
            match usual {
                Place::Nowhere => assert!(chosen.is_err()),
                Place::At(usual) => {
                    let own = Address::new(&[0xAB]).unwrap();
                    let chosen = chosen.unwrap();
                    assert_eq!(chosen.address(), Some(&own));
                    assert!(chosen.hears(&own) && !chosen.hears(&usual));
                    assert!(Place::chosen(framing, address("").ok()).is_err());
                    assert!(Place::chosen(framing, address("010203040506070809").ok()).is_err());
                }
            }
        }
    }
}
