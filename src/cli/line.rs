//! A serial line as devices have it: with a gateway at its other end. `pub`, `sub` and `simulate` use it
//! instead of UDP.

mod place;
mod wire;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::Failure;
use super::decode::hex;
use crate::core::Address;
use crate::transport::framing::Framing;
use crate::transport::line::{End, Settings};
use crate::transport::serial::{FlowControl, How};
pub(super) use place::{Numbers, Place, device_address, device_at};
pub(super) use wire::{Tell, Wire, open_port};

/// Of the arguments about the line, in help texts.
pub(super) const HEADING: &str = "Instead of --gateway";

/// Address of a gateway with RadioHead, if its configuration does not say another.
const RH_GATEWAY: u8 = 1;

/// Arguments about the line.
#[derive(Debug, Args)]
pub(super) struct LineArguments {
    /// Serial line with the gateway at its other end
    #[arg(long, value_name = "DEVICE", conflicts_with = "gateway", help_heading = HEADING)]
    serial: Option<String>,

    /// What is spoken on the line, as `framing` in the configuration of the gateway
    #[arg(long, value_name = "FRAMING", default_value = "slip", requires = "serial", value_parser = framing(), help_heading = HEADING)]
    framing: Framing,

    /// Bits a second; without it 57600, or 115200 with loralink and aquila
    #[arg(long, value_name = "N", requires = "serial", value_parser = clap::value_parser!(u32).range(300..=4_000_000), help_heading = HEADING)]
    baud: Option<u32>,

    /// How the ends tell each other to wait
    #[arg(long, value_name = "HOW", default_value = "none", requires = "serial", value_parser = flow_control(), help_heading = HEADING)]
    flow_control: FlowControl,

    /// The gateway's address in hex. With xbee and loralink there is a radio at the line, and the
    /// gateway has another; with rh-serial the address is 01 if nothing is said
    #[arg(long, value_name = "ADDRESS", requires = "serial", value_parser = address, help_heading = HEADING)]
    to: Option<Address>,

    /// With rh-serial: datagrams are acknowledged, as `reliable` in the configuration
    #[arg(long, requires = "serial", help_heading = HEADING)]
    reliable: bool,
}

/// What is known of a line before it is opened.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) device: String,
    pub(super) settings: Settings,
    pub(super) how: How,
    pub(super) end: End,
    /// The gateway's address, if there is a radio at the line and the gateway has another.
    pub(super) peer: Option<Address>,
}

impl LineArguments {
    /// `None` if there is none, and UDP is used.
    pub(super) fn plan(&self) -> Result<Option<Plan>, Failure> {
        let Self { serial: Some(device), framing, baud, flow_control, to, reliable } = self else {
            return Ok(None);
        };
        let mut settings = Settings::new(*framing);
        settings.baud = baud.unwrap_or(settings.baud);
        // It is the gateway that has a limit.
        settings.max_packet = Settings::longest_packet(*framing);
        settings.rh_serial.reliable = *reliable;
        if *reliable && *framing != Framing::RhSerial {
            return Err(Failure::usage("--reliable is for framing rh-serial only"));
        }
        let (mut end, mut peer) = (End::Devices { gateway: RH_GATEWAY }, None);
        if let Some(to) = to {
            if !place::is_address(*framing, to) {
                return Err(Failure::usage(place::explain(*framing, "--to")));
            }
            match (framing, to.octets()) {
                (Framing::Xbee | Framing::LoraLink, _) => (end, peer) = (End::Host, Some(*to)),
                (Framing::RhSerial, [gateway]) => end = End::Devices { gateway: *gateway },
                _ => {
                    return Err(Failure::usage(format!(
                        "--to is for framings xbee, loralink and rh-serial: with {framing} devices \
                         do not have to know an address of the gateway"
                    )));
                }
            }
        }
        let how = How { baud: settings.baud, flow_control: *flow_control };
        Ok(Some(Plan { device: device.clone(), settings, how, end, peer }))
    }
}

impl Plan {
    pub(super) fn framing(&self) -> Framing {
        self.settings.framing
    }
}

/// An address in hex.
pub(super) fn address(text: &str) -> Result<Address, String> {
    Address::new(&hex::parse(text)?).ok_or_else(|| format!("at most {} octets", Address::MAX))
}

pub(super) fn framing() -> impl TypedValueParser<Value = Framing> {
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
