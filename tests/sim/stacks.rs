//! The habits of client stacks in the field, one row each. Sensors that have them carry the client
//! ids by which the gateway's rules pick the profile.

/// What a stack does that another does not.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    /// Its client ids are `prefix-number`; `sensor` is by the book.
    pub prefix: &'static str,
    /// The gateway's profile for it.
    pub profile: &'static str,
    /// Has a handler for REGISTER.
    pub answers_register: bool,
    /// Topics that it has room for; beyond them it does not answer REGISTER.
    pub slots: usize,
    /// Longest topic name, octets.
    pub longest_name: usize,
    /// Longest packet, octets.
    pub longest_packet: usize,
    /// Answers PUBACK "not supported" to DUP, Retain, a predefined id or QoS 2.
    pub refuses_flags: bool,
    /// Highest QoS that it publishes and subscribes with.
    pub max_qos: u8,
    /// Acknowledges every QoS with PUBACK.
    pub only_puback: bool,
    /// PINGREQ at the full interval, not earlier.
    pub pings_late: bool,
    /// PINGREQ at the interval whatever else it sends.
    pub pings_regardless: bool,
    /// CONNECT is not repeated.
    pub connects_once: bool,
    /// SUBSCRIBE and UNSUBSCRIBE of a short or predefined topic are longer than they need be.
    pub spare_octets: bool,
    /// First message id after a start.
    pub first_id: Option<u16>,
    /// Connects again when it is told that it is not connected.
    pub heeds_disconnect: bool,
    /// Repeats its goodbye until it is answered.
    pub insists_on_goodbye: bool,
    /// Another source port after sleep.
    pub moves_after_sleep: bool,
    /// QoS 0 with a message id.
    pub id_at_qos0: bool,
    /// REGISTERs and SUBSCRIBEs at once.
    pub parallel: usize,
    /// DUP on retransmission.
    pub sets_dup: bool,
    /// Seconds.
    pub keep_alive: u16,
    /// T_retry, seconds.
    pub retry: u64,
    /// N_retry.
    pub retries: u8,
    /// PUBLISHes at once.
    pub pipeline: usize,
    /// Knows how to sleep.
    pub sleeps: bool,
}

/// By the book.
pub const STANDARD: Stack = Stack {
    prefix: "sensor",
    profile: "standard",
    answers_register: true,
    slots: usize::MAX,
    longest_name: usize::MAX,
    longest_packet: usize::MAX,
    refuses_flags: false,
    max_qos: 2,
    only_puback: false,
    pings_late: false,
    pings_regardless: false,
    connects_once: false,
    spare_octets: false,
    first_id: None,
    heeds_disconnect: true,
    insists_on_goodbye: false,
    moves_after_sleep: false,
    id_at_qos0: false,
    parallel: 1,
    sets_dup: true,
    keep_alive: 60,
    retry: 10,
    retries: 3,
    pipeline: 1,
    sleeps: true,
};

/// The others.
pub const FIELD: [Stack; 5] = [
    Stack {
        prefix: "zephyr",
        profile: "zephyr",
        slots: 20,
        longest_name: 64,
        pings_late: true,
        pings_regardless: true,
        connects_once: true,
        parallel: 4,
        retries: 5,
        pipeline: 5,
        ..STANDARD
    },
    Stack {
        prefix: "emcute",
        profile: "emcute",
        answers_register: false,
        longest_name: 196,
        longest_packet: 512,
        refuses_flags: true,
        max_qos: 1,
        pings_late: true,
        first_id: Some(0x1234),
        heeds_disconnect: false,
        sets_dup: false,
        keep_alive: 360,
        retry: 15,
        sleeps: false,
        ..STANDARD
    },
    Stack {
        prefix: "asymcute",
        profile: "asymcute",
        answers_register: false,
        longest_name: 32,
        longest_packet: 128,
        max_qos: 1,
        spare_octets: true,
        keep_alive: 360,
        pipeline: 3,
        sleeps: false,
        ..STANDARD
    },
    Stack {
        prefix: "nordic",
        profile: "nordic",
        max_qos: 1,
        only_puback: true,
        insists_on_goodbye: true,
        retry: 8,
        retries: 2,
        pipeline: 4,
        ..STANDARD
    },
    Stack {
        prefix: "microbit",
        profile: "microbit",
        longest_name: 32,
        longest_packet: 60,
        moves_after_sleep: true,
        id_at_qos0: true,
        sets_dup: false,
        keep_alive: 120,
        ..STANDARD
    },
];

/// The stack whose client ids begin with `prefix`.
pub fn of_client(id: &str) -> &'static Stack {
    let prefix = id.split('-').next().unwrap_or_default();
    FIELD.iter().find(|stack| stack.prefix == prefix).unwrap_or(&STANDARD)
}
