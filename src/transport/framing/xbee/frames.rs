//! What is in API frames (Digi's manuals of XBee S1 802.15.4, S2C and XBee 3).

/// 64-bit address of everybody.
pub const BROADCAST: u64 = 0xFFFF;
/// 64-bit address that is not known.
pub const NO_LONG: u64 = u64::MAX;
/// 16-bit address that is not known.
pub const NO_SHORT: u16 = 0xFFFE;

/// Types of frames to the module.
const TRANSMIT_LONG: u8 = 0x00;
const TRANSMIT_SHORT: u8 = 0x01;
const COMMAND: u8 = 0x08;
const TRANSMIT: u8 = 0x10;
const EXPLICIT_TRANSMIT: u8 = 0x11;
const REMOTE_COMMAND: u8 = 0x17;
/// Types of frames from it.
const RECEIVED_LONG: u8 = 0x80;
const RECEIVED_SHORT: u8 = 0x81;
const ANSWER: u8 = 0x88;
const LEGACY_STATUS: u8 = 0x89;
const MODEM_STATUS: u8 = 0x8A;
const STATUS: u8 = 0x8B;
const RECEIVED: u8 = 0x90;
const EXPLICIT_RECEIVED: u8 = 0x91;
const INTRODUCED: u8 = 0x95;
const REMOTE_ANSWER: u8 = 0x97;

/// Radius (0 is the largest) and options (none) of what is sent.
const NO_OPTIONS: [u8; 2] = [0, 0];
/// Receive options: it was acknowledged.
const ACKNOWLEDGED: u8 = 0x01;
/// Option of a command for another module: it counts at once.
const APPLY: u8 = 0x02;

/// A node of the network: both its addresses, as far as they are known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Node {
    /// The one that never changes, or [`NO_LONG`].
    pub long: u64,
    /// The one that it has in its network for now, or [`NO_SHORT`].
    pub short: u16,
}

/// Which family of frames a module uses for data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    /// 10 and 90.
    Usual,
    /// 11 and 91, with Zigbee's addressing of applications; modules with AO=1 and above.
    Explicit(Endpoints),
    /// 00, 01, 80 and 81: 802.15.4 modules of series 1, and later ones with AO=2.
    Legacy,
}

/// Addresses of an application in a Zigbee node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Endpoints {
    /// Of the sender.
    pub source: u8,
    /// Of the receiver.
    pub destination: u8,
    /// Cluster.
    pub cluster: u16,
    /// Profile.
    pub profile: u16,
}

impl Endpoints {
    /// Those of the answer.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self { source: self.destination, destination: self.source, ..self }
    }
}

/// What a module says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FromModule<'a> {
    /// A packet came.
    Received {
        /// From whom.
        from: Node,
        /// In which kind of frame.
        manner: Manner,
        /// Strength, dBm; only legacy frames have it.
        rssi: Option<i16>,
        /// The packet.
        payload: &'a [u8],
    },
    /// What became of a packet.
    Status {
        /// The number that was given to it.
        id: u8,
        /// The 16-bit address that it was sent to, or [`NO_SHORT`].
        short: u16,
        /// 0 if it was delivered.
        delivery: u8,
    },
    /// The answer to a command.
    Answer {
        /// Two letters.
        command: [u8; 2],
        /// 0 if it was understood.
        status: u8,
        /// The parameter.
        value: &'a [u8],
    },
    /// Something has happened to the module.
    ModemStatus(u8),
    /// A node has said who it is.
    Introduced {
        /// Which.
        node: Node,
        /// Its parameter NI.
        name: &'a [u8],
    },
    /// The answer of another module to a command.
    RemoteAnswer {
        /// Whose.
        node: Node,
        /// Two letters.
        command: [u8; 2],
        /// 0 if it was understood; 4 if it did not get there.
        status: u8,
        /// The parameter.
        value: &'a [u8],
    },
}

impl<'a> FromModule<'a> {
    /// Reads a frame; `None` if it is of another type, or too short.
    #[must_use]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let (kind, rest) = data.split_first()?;
        Some(match *kind {
            RECEIVED => {
                let (from, rest) = node(rest)?;
                let (_options, payload) = rest.split_first()?;
                Self::Received { from, manner: Manner::Usual, rssi: None, payload }
            }
            EXPLICIT_RECEIVED => {
                let (from, rest) = node(rest)?;
                let (endpoints, rest) = endpoints(rest)?;
                let (_options, payload) = rest.split_first()?;
                Self::Received { from, manner: Manner::Explicit(endpoints), rssi: None, payload }
            }
            RECEIVED_LONG => {
                let (long, rest) = rest.split_first_chunk()?;
                let from = Node { long: u64::from_be_bytes(*long), short: NO_SHORT };
                legacy(from, rest)?
            }
            RECEIVED_SHORT => {
                let (short, rest) = rest.split_first_chunk()?;
                let from = Node { long: NO_LONG, short: u16::from_be_bytes(*short) };
                legacy(from, rest)?
            }
            STATUS => {
                let ([id, high, low, _retries, delivery, _discovery], _) =
                    rest.split_first_chunk()?;
                let short = u16::from_be_bytes([*high, *low]);
                Self::Status { id: *id, short, delivery: *delivery }
            }
            LEGACY_STATUS => {
                let ([id, delivery], _) = rest.split_first_chunk()?;
                Self::Status { id: *id, short: NO_SHORT, delivery: *delivery }
            }
            ANSWER => {
                let ([_id, first, second, status], value) = rest.split_first_chunk()?;
                Self::Answer { command: [*first, *second], status: *status, value }
            }
            MODEM_STATUS => Self::ModemStatus(*rest.first()?),
            INTRODUCED => {
                // After who has passed it on, and how.
                let (short, rest) = rest.get(11..)?.split_first_chunk()?;
                let (long, rest) = rest.split_first_chunk()?;
                let node =
                    Node { long: u64::from_be_bytes(*long), short: u16::from_be_bytes(*short) };
                let end = rest.iter().position(|octet| *octet == 0)?;
                Self::Introduced { node, name: rest.get(..end)? }
            }
            REMOTE_ANSWER => {
                let (node, rest) = node(rest.get(1..)?)?;
                let ([first, second, status], value) = rest.split_first_chunk()?;
                Self::RemoteAnswer { node, command: [*first, *second], status: *status, value }
            }
            _ => return None,
        })
    }
}

/// What a module is asked to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ToModule<'a> {
    /// To send a packet.
    Transmit {
        /// Comes back with the status; there will be none if it is 0.
        id: u8,
        /// To whom.
        to: Node,
        /// In which kind of frame. Legacy frames go to the 64-bit address if there is one.
        manner: Manner,
        /// The packet.
        payload: &'a [u8],
    },
    /// To tell or change a parameter.
    Command {
        /// Comes back with the answer; there will be none if it is 0.
        id: u8,
        /// Two letters.
        command: [u8; 2],
        /// The parameter; empty to ask for it.
        value: &'a [u8],
    },
    /// The same for another module.
    RemoteCommand {
        /// Comes back with the answer; there will be none if it is 0.
        id: u8,
        /// Which.
        to: Node,
        /// Two letters.
        command: [u8; 2],
        /// The parameter; empty to ask for it.
        value: &'a [u8],
    },
}

impl<'a> ToModule<'a> {
    /// Reads a frame; `None` if it is of another type, or too short.
    #[must_use]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let ([kind, id], rest) = data.split_first_chunk()?;
        let id = *id;
        Some(match *kind {
            TRANSMIT => {
                let (to, rest) = node(rest)?;
                let (_options, payload) = rest.split_first_chunk::<2>()?;
                Self::Transmit { id, to, manner: Manner::Usual, payload }
            }
            EXPLICIT_TRANSMIT => {
                let (to, rest) = node(rest)?;
                let (endpoints, rest) = endpoints(rest)?;
                let (_options, payload) = rest.split_first_chunk::<2>()?;
                Self::Transmit { id, to, manner: Manner::Explicit(endpoints), payload }
            }
            TRANSMIT_LONG => {
                let (long, rest) = rest.split_first_chunk()?;
                let to = Node { long: u64::from_be_bytes(*long), short: NO_SHORT };
                let (_options, payload) = rest.split_first()?;
                Self::Transmit { id, to, manner: Manner::Legacy, payload }
            }
            TRANSMIT_SHORT => {
                let (short, rest) = rest.split_first_chunk()?;
                let to = Node { long: NO_LONG, short: u16::from_be_bytes(*short) };
                let (_options, payload) = rest.split_first()?;
                Self::Transmit { id, to, manner: Manner::Legacy, payload }
            }
            COMMAND => {
                let (command, value) = rest.split_first_chunk()?;
                Self::Command { id, command: *command, value }
            }
            REMOTE_COMMAND => {
                let (to, rest) = node(rest)?;
                let ([_options, first, second], value) = rest.split_first_chunk()?;
                Self::RemoteCommand { id, to, command: [*first, *second], value }
            }
            _ => return None,
        })
    }

    /// Appends the data of the frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Transmit { id, to, manner: Manner::Usual, payload } => {
                out.extend_from_slice(&[TRANSMIT, id]);
                write_node(to, out);
                out.extend_from_slice(&NO_OPTIONS);
                out.extend_from_slice(payload);
            }
            Self::Transmit { id, to, manner: Manner::Explicit(endpoints), payload } => {
                out.extend_from_slice(&[EXPLICIT_TRANSMIT, id]);
                write_node(to, out);
                write_endpoints(endpoints, out);
                out.extend_from_slice(&NO_OPTIONS);
                out.extend_from_slice(payload);
            }
            Self::Transmit { id, to, manner: Manner::Legacy, payload } => {
                if to.long == NO_LONG {
                    out.extend_from_slice(&[TRANSMIT_SHORT, id]);
                    out.extend_from_slice(&to.short.to_be_bytes());
                } else {
                    out.extend_from_slice(&[TRANSMIT_LONG, id]);
                    out.extend_from_slice(&to.long.to_be_bytes());
                }
                out.push(0);
                out.extend_from_slice(payload);
            }
            Self::Command { id, command, value } => {
                out.extend_from_slice(&[COMMAND, id]);
                out.extend_from_slice(&command);
                out.extend_from_slice(value);
            }
            Self::RemoteCommand { id, to, command: [first, second], value } => {
                out.extend_from_slice(&[REMOTE_COMMAND, id]);
                write_node(to, out);
                out.extend_from_slice(&[APPLY, first, second]);
                out.extend_from_slice(value);
            }
        }
    }
}

/// Appends the data of a frame with a packet that came. `rssi`, dBm, is for legacy frames.
pub fn write_received(from: Node, manner: Manner, rssi: i16, payload: &[u8], out: &mut Vec<u8>) {
    match manner {
        Manner::Usual => {
            out.push(RECEIVED);
            write_node(from, out);
        }
        Manner::Explicit(endpoints) => {
            out.push(EXPLICIT_RECEIVED);
            write_node(from, out);
            write_endpoints(endpoints, out);
        }
        Manner::Legacy => {
            if from.long == NO_LONG {
                out.push(RECEIVED_SHORT);
                out.extend_from_slice(&from.short.to_be_bytes());
            } else {
                out.push(RECEIVED_LONG);
                out.extend_from_slice(&from.long.to_be_bytes());
            }
            out.push(u8::try_from(-rssi).unwrap_or(u8::MAX));
        }
    }
    out.push(ACKNOWLEDGED);
    out.extend_from_slice(payload);
}

/// Appends the data of a frame that says what became of a packet that was sent in such a frame.
pub fn write_status(id: u8, manner: Manner, short: u16, delivery: u8, out: &mut Vec<u8>) {
    let [high, low] = short.to_be_bytes();
    match manner {
        Manner::Legacy => out.extend_from_slice(&[LEGACY_STATUS, id, delivery]),
        _ => out.extend_from_slice(&[STATUS, id, high, low, 0, delivery, 0]),
    }
}

/// Appends the data of a frame that answers a command.
pub fn write_answer(id: u8, command: [u8; 2], status: u8, value: &[u8], out: &mut Vec<u8>) {
    let [first, second] = command;
    out.extend_from_slice(&[ANSWER, id, first, second, status]);
    out.extend_from_slice(value);
}

/// Appends the data of a frame that says what has happened to the module.
pub fn write_modem_status(status: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[MODEM_STATUS, status]);
}

fn node(octets: &[u8]) -> Option<(Node, &[u8])> {
    let (long, rest) = octets.split_first_chunk()?;
    let (short, rest) = rest.split_first_chunk()?;
    let node = Node { long: u64::from_be_bytes(*long), short: u16::from_be_bytes(*short) };
    Some((node, rest))
}

fn write_node(node: Node, out: &mut Vec<u8>) {
    out.extend_from_slice(&node.long.to_be_bytes());
    out.extend_from_slice(&node.short.to_be_bytes());
}

fn endpoints(octets: &[u8]) -> Option<(Endpoints, &[u8])> {
    let ([source, destination, a, b, c, d], rest) = octets.split_first_chunk()?;
    let endpoints = Endpoints {
        source: *source,
        destination: *destination,
        cluster: u16::from_be_bytes([*a, *b]),
        profile: u16::from_be_bytes([*c, *d]),
    };
    Some((endpoints, rest))
}

fn write_endpoints(endpoints: Endpoints, out: &mut Vec<u8>) {
    let Endpoints { source, destination, cluster, profile } = endpoints;
    out.extend_from_slice(&[source, destination]);
    out.extend_from_slice(&cluster.to_be_bytes());
    out.extend_from_slice(&profile.to_be_bytes());
}

/// RSSI, options and payload.
fn legacy(from: Node, octets: &[u8]) -> Option<FromModule<'_>> {
    let ([rssi, _options], payload) = octets.split_first_chunk()?;
    let rssi = Some(-i16::from(*rssi));
    Some(FromModule::Received { from, manner: Manner::Legacy, rssi, payload })
}
